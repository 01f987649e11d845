package main

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// docs/cli.md tells of every verb, key, flag and example that there is, and of no other.
func TestReferenceIsTrue(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	sections := map[string]string{}
	parts := regexp.MustCompile(`(?m)^## (.*)$`).Split(string(data), -1)
	names := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(data), -1)
	head := parts[0]
	for i, n := range names {
		sections[n[1]] = parts[i+1]
	}

	a := &app{out: io.Discard, err: io.Discard}
	root := a.command()
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	flags := matches(root.Flags().FlagUsages()+root.PersistentFlags().FlagUsages(), `(?m)^ *(?:-[a-z], )?(--[a-z-]+)`)
	require.ElementsMatch(t, unique(flags), matches(head, "(?m)^\\| `(--[a-z-]+)`"))
	require.Equal(t, []string{"0", "1", "2", "130"}, matches(head, `(?m)^\| (\d+) \|`))

	var verbs []string
	walk(root, func(c *cobra.Command) {
		name := c.CommandPath()
		verbs = append(verbs, name)
		text := sections[name]
		require.ElementsMatch(t, strings.Fields(c.Annotations[ownKeys]), matches(text, "(?m)^\\| `([a-z]+)="), name)
		for _, example := range strings.Split(c.Example, "\n") {
			require.Contains(t, text, "\n    "+strings.TrimSpace(example)+"\n", name)
		}
		require.False(t, c.HasLocalFlags(), "%s has flags of its own", name)
	})
	var told []string
	for n := range sections {
		told = append(told, n)
	}
	require.ElementsMatch(t, verbs, told)
}

// walk visits the commands that do something.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	if _, ok := c.Annotations[ownKeys]; ok {
		visit(c)
	}
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

func matches(text, pattern string) (out []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// What --json prints has the keys that the reference names.
func TestReferenceNamesTheKeysOfResults(t *testing.T) {
	data, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	run := trained(t)
	for verb, args := range map[string][]string{
		"evaluate":   {"evaluate", "weights=" + run, "out=" + t.TempDir()},
		"predict":    {"predict", "weights=" + run, "source=../../testdata/wildata/datasets/savanna-tiles/images/val", "out=" + t.TempDir()},
		"model info": {"model", "info", "weights=" + run},
	} {
		_, text, ok := strings.Cut(string(data), "## wildtrain "+verb+"\n")
		require.True(t, ok)
		_, text, _ = strings.Cut(text, "`--json`:")
		text, _, _ = strings.Cut(text, "\n## ")
		for name := range object(t, args...) {
			if strings.HasPrefix(name, "AP/") {
				name = "AP/CLASS"
			}
			require.Contains(t, text, "`"+name+"`", verb)
		}
	}
}
