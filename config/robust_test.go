package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sixFiles is a tree of six files as the bar of 1 ms names it.
func sixFiles(t testing.TB) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.yaml":           "defaults:\n  - db: pg\n  - opt: adam\n  - srv: ng\n  - _self_\nname: x\nurl: http://${srv.host}/${name}\n",
		"db/pg.yaml":          "defaults:\n  - base\n  - _self_\nhost: localhost\nport: 5432\n",
		"db/base.yaml":        "host: ???\nport: ???\nuser: root\n",
		"opt/adam.yaml":       "lr: 1e-3\nbetas: [0.9, 0.999]\n",
		"srv/ng.yaml":         "defaults:\n  - tls@tls: strict\n  - _self_\nhost: h\nworkers: 4\n",
		"srv/tls/strict.yaml": "cert: c\nkey: k\n",
	} {
		full := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(text), 0o644))
	}
	return dir
}

func BenchmarkComposeSixFiles(b *testing.B) {
	dir := sixFiles(b)
	for b.Loop() {
		c, err := Compose(Options{Dirs: []string{dir}, Foreign: true, Overrides: []string{"opt.lr=0.1", "db.port=1"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Resolve(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkComposeShipped(b *testing.B) {
	for b.Loop() {
		c, err := Compose(Options{Overrides: []string{"model=yolo11s", "data.root=/x", "training.epochs=3"}})
		if err != nil {
			b.Fatal(err)
		}
		run := DefaultRun()
		if err := c.Decode(&run); err != nil {
			b.Fatal(err)
		}
	}
}

// hanging stands for a parser that does not come to an end: what is quadratic takes
// a second here, what is exponential takes for ever.
const hanging = time.Minute

// No input of 64 KB may take long: each parser and the evaluator get texts that
// make careless ones explode.
func TestHostileInputIsQuick(t *testing.T) {
	repeat := func(s string) string { return strings.Repeat(s, hostileSize/len(s)) }
	texts := []string{
		repeat("${"), repeat("["), repeat("{a:"), repeat("\\"), repeat("'"), repeat("\""), repeat("a."), repeat("1_"), repeat("${a}"),
		repeat("${a:"), repeat("f("), repeat("a,"), repeat("1:"), repeat("1:30:"), repeat("0x"), repeat("9"), repeat("1e"), repeat(" "), repeat(".."), repeat("$"),
		"${a:" + repeat("\\\\") + "}", "${" + repeat(".") + "a}", "[" + repeat("a,") + "a]", repeat("(a"), "'" + repeat("\\'") + "'", repeat("_1"), repeat("+"), repeat("-"),
		"range(0,1e18,1)", "range(0,1,1e-300)", "a" + repeat("b") + "=" + repeat("c"), "{" + repeat("a:1,") + "a:1}",
	}
	var many strings.Builder
	for i := range hostileSize / 7 {
		fmt.Fprintf(&many, "%d:1,", i)
	}
	texts = append(texts, "{"+many.String()+"a:1}", "${oc.create:{"+many.String()+"a:1}}")
	for _, text := range texts {
		start := time.Now()
		_, _ = parseInterpolation(text)
		_, _ = parseElement(text)
		if o, err := parseOverride("a=" + text); err == nil {
			_, _ = Jobs([]*Override{o}, nil, 0)
		}
		_, _ = parseOverride(text)
		for _, yaml := range []string{text, "a: " + text, "a: \"" + text} {
			root, err := parseYAML("f", []byte(yaml), newRepository(nil).limits)
			if err == nil {
				_, _ = newEvaluator(newEnvironment(&Options{})).resolveTree(root)
				_ = root.YAML()
			}
		}
		assert.Less(t, time.Since(start), hanging, "%.20q", text)
	}
}

func TestGrowthIsRefused(t *testing.T) {
	var text, lists strings.Builder
	text.WriteString("a0: xxxxxxxxxx\n")
	lists.WriteString("a0: [1, 2]\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&text, "a%d: ${a%d}${a%d}\n", i, i-1, i-1)
		fmt.Fprintf(&lists, "a%d: ['${a%d}', '${a%d}']\n", i, i-1, i-1)
	}
	for _, doc := range []string{text.String(), lists.String(), "a: ${b}\nb: ${a}\n", "a: {b: '${a}'}\n", "a: [1, '${a}']\n", "a: '${b}'\nb: ['${a}']\n"} {
		root, err := parseYAML("f", []byte(doc), newRepository(nil).limits)
		require.NoError(t, err)
		start := time.Now()
		_, err = newEvaluator(newEnvironment(&Options{})).resolveTree(root)
		assert.Error(t, err, "%.20q", doc)
		assert.Less(t, time.Since(start), hanging)
	}
}

func TestDefaultsListsThatIncludeEachOther(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.yaml"), []byte("defaults:\n  - a\n  - a\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("defaults:\n  - a\n  - a\n"), 0o644))
	_, err := Compose(Options{Dirs: []string{dir}, Foreign: true})
	var e *Error
	require.True(t, errors.As(err, &e), "%v", err)
	assert.Contains(t, e.Message, "do they include each other?")
}

func FuzzOverride(f *testing.F) {
	for _, s := range []string{"a=1", "~a", "++a.b={x:[1,2],y:'q'}", "a=choice(1,2,range(3))", "a=1,b", "a='it\\'s'", "a=${x}", "a+=[1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parseOverride(line)
		if err != nil || o.Sweep() != nil || !o.HasValue || o.Op == Extend {
			return
		}
		// What is passed on to a job means the same there. Hydra loses the empty text,
		// texts that str(…) makes of numbers and odd characters inside ${…}.
		if strings.Contains(line, "${") || strings.Contains(line, "str(") || strings.Contains(line, "str (") || strings.Contains(line, "str\t") || !printableValue(o.value) {
			return
		}
		again, err := parseOverride(o.element() + "=" + overrideText(o.value))
		if err != nil {
			t.Fatalf("%q became %q: %v", line, overrideText(o.value), err)
		}
		if fmt.Sprint(typed(again.value)) != fmt.Sprint(typed(o.value)) {
			t.Fatalf("%q became %q: %v, not %v", line, overrideText(o.value), typed(again.value), typed(o.value))
		}
	})
}

// printableValue reports whether a value survives being written without quotes.
func printableValue(v any) bool {
	switch x := v.(type) {
	case string:
		return x != ""
	case []any:
		return !slices.ContainsFunc(x, func(item any) bool { return !printableValue(item) })
	case *pairs:
		return printableValue(x.keys) && printableValue(x.values)
	}
	return true
}

func FuzzInterpolation(f *testing.F) {
	for _, s := range []string{"${a}", "${a.b[0]}x", "${oc.env:HOME,'x ${y}'}", "\\${a}\\\\${b}", "${a:[1,{b:c}]}", "${.a}${..b}", "${oc.decode:'[1, 2]'}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		root := newDict(nil)
		root.set("a", newNode(Int, int64(1), nil))
		n, err := textNode(s, nil)
		if err != nil {
			return
		}
		root.set("x", n)
		_, _ = newEvaluator(newEnvironment(&Options{})).resolveTree(root)
	})
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, 'y']\n", "a: ${b}\nb: {c: 1e3}\n", "- 1\n- 0x1F\n", "a: !!str 1\n", "a: &x [1]\nb: *x\n", "? a b\n: 'x y'\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start := time.Now()
		defer func() {
			if took := time.Since(start); took > hanging && len(s) <= 64<<10 {
				t.Fatalf("%d bytes took %v", len(s), took)
			}
		}()
		root, err := parseYAML("f", []byte(s), newRepository(nil).limits)
		if err != nil {
			return
		}
		// What is written reads back as the same.
		text := root.YAML()
		again, err := parseYAML("again", []byte(text), newRepository(nil).limits)
		if err != nil {
			t.Fatalf("%q became %q: %v", s, text, err)
		}
		if !same(root, again) {
			t.Fatalf("%q became %q", s, text)
		}
	})
}

// same compares trees; NaN equals itself.
func same(a, b *Node) bool { return fmt.Sprint(typed(a)) == fmt.Sprint(typed(b)) }
