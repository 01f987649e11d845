package yamlsafe_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

func parse(t *testing.T, text string) *yamlsafe.Node {
	t.Helper()
	n, err := yamlsafe.Parse("f.yaml", []byte(text), yamlsafe.DefaultLimits())
	require.NoError(t, err)
	return n
}

func TestTree(t *testing.T) {
	n := parse(t, "# @package _global_\nnames:\n  1: impala\n  2: 'zebra'\nlist: [a, 1e-3, !env X]\nnothing: ~\n")
	require.Equal(t, yamlsafe.Mapping, n.Kind)
	assert.Equal(t, "# @package _global_", firstHead(n))
	names := n.Get("names")
	assert.Equal(t, 3, names.Pairs[0].Key.Line)
	assert.Equal(t, 3, names.Pairs[0].Key.Column)
	assert.True(t, names.Pairs[0].Value.Plain)
	assert.False(t, names.Get("2").Plain)
	list := n.Get("list")
	assert.Equal(t, "1e-3", list.Items[1].Value)
	assert.Equal(t, "!env", list.Items[2].Tag)
	assert.Equal(t, "", list.Items[0].Tag)
	assert.True(t, n.Get("nothing").Null())
	assert.False(t, list.Null())
	assert.Nil(t, n.Get("absent"))
}

func firstHead(n *yamlsafe.Node) string {
	if n.Head != "" {
		return n.Head
	}
	return n.Pairs[0].Key.Head
}

func TestEmptyDocument(t *testing.T) {
	for _, text := range []string{"", "\n\n", "# only a comment\n", "---\n"} {
		assert.True(t, parse(t, text).Null(), "%q", text)
	}
}

func TestAliasAndMerge(t *testing.T) {
	n := parse(t, "base: &b {a: 1, b: 2}\nx:\n  <<: *b\n  a: 3\ny: *b\n")
	x := n.Get("x")
	require.Len(t, x.Pairs, 2)
	assert.Equal(t, "3", x.Get("a").Value)
	assert.Equal(t, "2", x.Get("b").Value)
	assert.Equal(t, "1", n.Get("y").Get("a").Value)
}

func TestRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		prev := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 10), ",") + "]\n"
	}
	tests := []struct {
		name, text, want string
		line             int
	}{
		{"duplicate key", "a: 1\nb: 2\na: 3\n", `key "a" was given already in line 1`, 3},
		{"alias bomb", bomb, "nodes (aliases expanded)", 0},
		{"duplicate anchor", "a: &x 1\nb: &x 2\n", `anchor "x" was given already in line 1`, 2},
		{"alias cycle", "a: &a [1, *a]\n", "contains itself", 1},
		{"too deep", strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested deeper than 100 levels", 1},
		{"two documents", "a: 1\n---\nb: 2\n", "second document", 2},
		{"mapping as key", "{a: b}: c\n", "a key must be a plain value", 1},
		{"merge of a value", "a:\n  <<: 3\n", "<< needs a mapping", 2},
		{"tab", "a:\n\tb: 1\n", "cannot start any token", 2},
		{"open quote", "a: 1\nb: \"x\n", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := yamlsafe.Parse("f.yaml", []byte(tt.text), yamlsafe.DefaultLimits())
			var e *yamlsafe.Error
			require.True(t, errors.As(err, &e), "%v", err)
			assert.Contains(t, err.Error(), tt.want)
			assert.Equal(t, "f.yaml", e.File)
			if tt.line > 0 {
				assert.Equal(t, tt.line, e.Line)
			}
		})
	}
	_, err := yamlsafe.Parse("f.yaml", make([]byte, 20), yamlsafe.Limits{Bytes: 10, Depth: 5, Nodes: 5})
	assert.ErrorContains(t, err, "20 bytes, more than the limit of 10")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: &x {b: [1, 2]}\nc: *x\n", "<<: *a", "- - -", "? [a]\n: b", "!!binary |\n x", "a: \"\\u00", "%YAML 1.1\n---\n"} {
		f.Add([]byte(s))
	}
	limits := yamlsafe.Limits{Bytes: 1 << 14, Depth: 20, Nodes: 1000}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := yamlsafe.Parse("f", data, limits)
		if err != nil {
			var e *yamlsafe.Error
			if !errors.As(err, &e) || n != nil {
				t.Fatalf("error %v (%T) with tree %v", err, err, n)
			}
			return
		}
		if count := size(n); count > limits.Nodes {
			t.Fatalf("%d nodes", count)
		}
	})
}

func size(n *yamlsafe.Node) int {
	if n == nil {
		return 0
	}
	count := 1
	for _, i := range n.Items {
		count += size(i)
	}
	for _, p := range n.Pairs {
		count += size(p.Value)
	}
	return count
}
