package main

import (
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

const referenceFile = "../../docs/cli.md"

// docs/cli.md tells of every verb, key, flag and example that there is, and of no other.
func TestReferenceIsCurrent(t *testing.T) {
	page := referencePage((&app{out: io.Discard, err: io.Discard}).command())
	if *update {
		require.NoError(t, os.WriteFile(referenceFile, []byte(page), 0o644))
	}
	data, err := os.ReadFile(referenceFile)
	require.NoError(t, err)
	difference := cmp.Diff(strings.Split(string(data), "\n"), strings.Split(page, "\n"))
	require.Empty(t, difference, "write it anew with: go test ./examples/wildtrain -run TestReferenceIsCurrent -update")
}

// Every verb shows how it is used, by its full name, and says what it is for.
func TestVerbsHaveExamples(t *testing.T) {
	root := (&app{out: io.Discard, err: io.Discard}).command()
	visit(root, func(c *cobra.Command) {
		require.NotEmpty(t, c.Short, c.CommandPath())
		require.NotEmpty(t, c.Example, c.CommandPath())
		for i, line := range strings.Split(c.Example, "\n") {
			path := c.CommandPath()
			if i > 0 { // what comes next may be another verb
				path = "wildtrain"
			}
			require.Regexp(t, `^  `+path+`( |$)`, line)
		}
	})
}

// What --json prints has the keys that the reference names, and no other.
func TestReferenceNamesTheKeysOfResults(t *testing.T) {
	run := trained(t)
	root := (&app{out: io.Discard, err: io.Discard}).command()
	for name, args := range map[string][]string{
		"evaluate":   {"evaluate", "weights=" + run, "out=" + t.TempDir()},
		"predict":    {"predict", "weights=" + run, "source=../../testdata/wildata/datasets/savanna-tiles/images/val", "out=" + t.TempDir()},
		"model info": {"model", "info", "weights=" + run},
	} {
		c, _, err := root.Find(strings.Fields(name))
		require.NoError(t, err)
		_, told, ok := strings.Cut(c.Annotations[reference], "| `--json` | |\n")
		require.True(t, ok, name)
		var names []string
		for _, row := range strings.Split(told, "\n") {
			first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
				names = append(names, m[1])
			}
		}
		printed := map[string]bool{}
		for key := range object(t, args...) {
			if strings.HasPrefix(key, "AP/") {
				key = "AP/CLASS"
			}
			printed[key] = true
			require.Contains(t, names, key, name)
		}
		for _, key := range names {
			require.True(t, printed[key] || omitted[key], "%s: --json lacks %s", name, key)
		}
	}
}

// omitted are keys that are told only where there is something to tell.
var omitted = map[string]bool{"license": true}

// Every verb has a manual page with its keys and examples.
func TestManPages(t *testing.T) {
	root := (&app{out: io.Discard, err: io.Discard}).command()
	pages := manPages(root)
	require.Contains(t, pages["wildtrain.1"], "130")
	visit(root, func(c *cobra.Command) {
		page := strings.ReplaceAll(pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"], `\-`, "-")
		require.NotEmpty(t, page, c.CommandPath())
		for _, k := range strings.Fields(c.Annotations[ownKeys]) {
			require.Contains(t, page, `\fB`+k+"=", c.CommandPath())
		}
		for _, example := range strings.Split(c.Example, "\n") {
			require.Contains(t, strings.ReplaceAll(page, `\e`, `\`), strings.TrimSpace(example))
		}
	})
}
