package config

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The cases and answers of testdata/hydra_peer.py, compared with this package.

type peerCase struct {
	Kind      string            `json:"kind"`
	Text      string            `json:"text"`
	Line      string            `json:"line"`
	Name      string            `json:"name"`
	Files     map[string]string `json:"files"`
	Overrides []string          `json:"overrides"`
	Answer    json.RawMessage   `json:"answer"`
	Why       string            `json:"why"`
}

func (p *peerCase) refused() bool { return string(p.Answer) == `"error"` }

// typed writes a value in the form of the peer's answers.
func typed(v any) any {
	switch x := v.(type) {
	case *Node:
		switch x.kind {
		case Dict:
			list := []any{}
			for i, k := range x.keys {
				list = append(list, []any{typed(k), typed(x.items[i])})
			}
			return map[string]any{"d": list}
		case List:
			list := []any{}
			for _, item := range x.items {
				list = append(list, typed(item))
			}
			return list
		}
		return typed(x.value)
	case quoted:
		return map[string]any{"q": x.withQuotes()}
	case float64:
		return map[string]any{"f": pyFloat(x)}
	case []any:
		list := []any{}
		for _, item := range x {
			list = append(list, typed(item))
		}
		return list
	case *pairs:
		list := []any{}
		for i, k := range x.keys {
			list = append(list, []any{typed(k), typed(x.values[i])})
		}
		return map[string]any{"d": list}
	case nil, bool, string:
		return x
	}
	return map[string]any{"i": pyStr(v)}
}

// diff compares JSON values; "" where equal.
func diff(name string, got any, want json.RawMessage) string {
	text, err := json.Marshal(got)
	if err != nil {
		return err.Error()
	}
	var a, b any
	if json.Unmarshal(text, &a) != nil || json.Unmarshal(want, &b) != nil {
		return "unreadable"
	}
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return fmt.Sprintf("%s:\n   got %s\n  want %s", name, text, want)
}

func peerEnv(name string) (string, bool) {
	v, ok := map[string]string{"TEST_ENV": "text", "TEST_NUM": "12", "HOME": os.Getenv("HOME")}[name]
	return v, ok
}

func checkValue(p *peerCase) string {
	root, err := parseYAML("case.yaml", []byte(p.Text), newRepository(nil).limits)
	if p.refused() || err != nil {
		if p.refused() != (err != nil) {
			return fmt.Sprintf("got error %v, want error %v", err, p.refused())
		}
		return ""
	}
	var want struct {
		Raw, YAML json.RawMessage
		Resolved  [][2]json.RawMessage
	}
	if err := json.Unmarshal(p.Answer, &want); err != nil {
		return err.Error()
	}
	if d := diff("raw", typed(root), want.Raw); d != "" {
		return d
	}
	if d := diff("yaml", root.YAML(), want.YAML); d != "" {
		return d
	}
	for i, item := range root.items {
		e := newEvaluator(newEnvironment(&Options{Env: peerEnv}))
		var got any = map[string]any{"error": true}
		if r, err := e.access(item); err == nil {
			got = typed(r)
		}
		if d := diff(fmt.Sprintf("entry %d", i), got, want.Resolved[i][1]); d != "" {
			return d
		}
	}
	return ""
}

// access is cfg[key] of the peer: a missing value is an error there.
func (e *evaluator) access(n *Node) (*Node, error) {
	if n.Missing() {
		return nil, problem("missing")
	}
	return e.resolveTree(n)
}

func checkOverride(p *peerCase) string {
	o, err := parseOverride(p.Line)
	if p.refused() || err != nil {
		if p.refused() != (err != nil) && (o == nil || o.Op != Extend) {
			return fmt.Sprintf("got error %v, want error %v", err, p.refused())
		}
		return ""
	}
	if o.Op == Extend {
		return "read as an extension"
	}
	got := map[string]any{"op": [...]string{"CHANGE", "ADD", "FORCE_ADD", "DEL"}[o.Op], "key": o.Key, "package": nil, "type": nil}
	if o.HasPackage {
		got["package"] = o.Package
	}
	if o.HasValue {
		got["type"] = "ELEMENT"
	}
	s := o.Sweep()
	switch {
	case s == nil:
		got["value"], got["back"] = typed(o.value), nil
		if o.HasValue {
			got["back"] = overrideText(o.value)
		}
	case s.Kind == GlobSweep:
		got["type"] = "GLOB_CHOICE_SWEEP"
		got["glob"] = [][]string{append([]string{}, s.include...), append([]string{}, s.exclude...)}
	default:
		describeSweep(o, s, got)
	}
	return diff(p.Line, got, p.Answer)
}

func describeSweep(o *Override, s *Sweep, got map[string]any) {
	tags := append([]string{}, s.Tags...)
	if len(tags) == 2 && tags[0] > tags[1] {
		tags[0], tags[1] = tags[1], tags[0]
	}
	got["tags"], got["shuffle"] = tags, s.Shuffle
	switch s.Kind {
	case ChoiceSweep:
		got["type"] = "CHOICE_SWEEP"
		if s.Simple {
			got["type"] = "SIMPLE_CHOICE_SWEEP"
		}
	case RangeSweep:
		got["type"] = "RANGE_SWEEP"
	case IntervalSweep:
		got["type"] = "INTERVAL_SWEEP"
		got["interval"] = []any{typed(s.start), typed(s.stop)}
		return
	}
	if s.Shuffle {
		return
	}
	jobs, err := Jobs([]*Override{o}, nil, 0)
	if err != nil {
		got["jobs"] = "error"
		return
	}
	lines := []string{}
	for _, j := range jobs {
		lines = append(lines, j[0])
	}
	got["jobs"] = lines
}

func checkComposition(t *testing.T, p *peerCase) string {
	dir := t.TempDir()
	for name, text := range p.Files {
		full := filepath.Join(dir, name)
		if os.MkdirAll(filepath.Dir(full), 0o755) != nil || os.WriteFile(full, []byte(text), 0o644) != nil {
			return "cannot write"
		}
	}
	c, err := Compose(Options{Name: p.Name, Dirs: []string{dir}, Foreign: true, Overrides: p.Overrides, Env: peerEnv, Strict: true})
	if p.refused() || err != nil {
		if p.refused() != (err != nil) {
			return fmt.Sprintf("got error %v, want error %v %s", err, p.refused(), p.Why)
		}
		return ""
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal(p.Answer, &want); err != nil {
		return err.Error()
	}
	own := &pairs{}
	for i, k := range c.choices.keys {
		if !strings.HasPrefix(k.(string), "hydra") {
			own.set(k, c.choices.values[i])
		}
	}
	list := []any{}
	for _, d := range c.Defaults {
		if !strings.HasPrefix(d.Path, "hydra/") {
			list = append(list, []any{d.Path, d.Package, d.Self})
		}
	}
	var resolved any = map[string]any{"error": true}
	if r, err := c.Resolve(); err == nil {
		resolved = typed(r)
	}
	for _, x := range []struct {
		name string
		got  any
	}{{"defaults", list}, {"choices", typed(own)}, {"config", typed(c.Root)}, {"yaml", c.Root.YAML()}, {"resolved", resolved}, {"dirname", c.full.child("hydra").child("job").child("override_dirname").Text()}} {
		if d := diff(x.name, x.got, want[x.name]); d != "" {
			return d
		}
	}
	return ""
}

// comparePeer runs all cases and reports the first differences of each kind.
func comparePeer(t *testing.T, r io.Reader) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 16<<20)
	count, bad := map[string]int{}, map[string]int{}
	for in.Scan() {
		var p peerCase
		if err := json.Unmarshal(in.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		d := ""
		switch p.Kind {
		case "head":
			t.Logf("%s", in.Bytes())
		case "value":
			d = checkValue(&p)
		case "override":
			d = checkOverride(&p)
		case "compose":
			d = checkComposition(t, &p)
		}
		count[p.Kind]++
		if d == "" {
			continue
		}
		if bad[p.Kind]++; bad[p.Kind] <= 15 {
			p.Answer = nil
			text, _ := json.Marshal(p)
			t.Errorf("%s\n%s", text, d)
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("cases %v, differences %v", count, bad)
}

// testdata/hydra.jsonl was made by
//
//	python testdata/hydra_peer.py --table --seed 7 --values 120 --overrides 150 --compositions 60
//
// WILDTRAIN_CASES names another file of cases.
func TestPeerAnswers(t *testing.T) {
	name := os.Getenv("WILDTRAIN_CASES")
	if name == "" {
		name = "testdata/hydra.jsonl"
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	comparePeer(t, f)
}
