package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The reference docs/cli.md is written from the verbs. A test holds the file
// against them;
//
//	go test ./examples/wildtrain -run TestReferenceIsCurrent -update
//
// writes it anew.

const referenceHead = `# The command line

<!-- Written from the verbs: go test ./examples/wildtrain -run TestReferenceIsCurrent -update -->

    go build -o bin/wildtrain ./examples/wildtrain     # after eval "$(go run ./cmd/libtorch env)"
    wildtrain VERB key=value …

Words are ` + "`key=value`" + `. A verb has a few keys of its own, listed below; every other
key sets the configuration (` + "`training.epochs=3`, `data.root=DATA`, `model=yolo11s`" + `),
with Hydra's override grammar: ` + "`+key=value` adds, `~key`" + ` removes, quotes and lists as
there. [configuration.md](configuration.md) lists what can be set. A verb's own key may be
given once. Flags and words may stand in any order.

Results go to standard output, all else to standard error: progress as one line
that is written over on a terminal, as plain lines elsewhere.

`

const referenceSettings = `
Verbs that take settings have flags of Hydra's that show what the settings come to,
and do nothing else:

`

const referenceTail = `
| exit code | |
|---|---|
| 0 | done |
| 1 | failed: broken data, unreadable weights, a full disk; the message names the file, and the line where there is one |
| 2 | wrong command line or configuration; the message names the key |
| 130 | interrupted |

The first interrupt (Ctrl-C, SIGTERM) lets the optimiser step under way end and, in
training, saves ` + "`checkpoints/last`" + `; the second ends the process at once. What can be
known to be wrong before work begins is told before anything is written.
`

// referencePage is docs/cli.md.
func referencePage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(referenceHead)
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	all := pflag.NewFlagSet("all", pflag.ContinueOnError)
	all.AddFlagSet(root.PersistentFlags())
	all.AddFlagSet(root.Flags())
	b.WriteString(flagTable(all))
	b.WriteString(referenceSettings)
	settings := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	(&hydraFlags{}).flags(settings)
	b.WriteString(flagTable(settings))
	b.WriteString(referenceTail)
	b.WriteString("\n| verb | |\n|---|---|\n")
	visit(root, func(c *cobra.Command) {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), cell(c.Short))
	})
	visit(root, func(c *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n%s", c.CommandPath(), c.Annotations[reference])
	})
	return b.String()
}

// visit calls f for the commands that do something, in the order of their names.
func visit(c *cobra.Command, f func(*cobra.Command)) {
	if _, ok := c.Annotations[reference]; ok && !c.Hidden {
		f(c)
	}
	for _, sub := range c.Commands() {
		visit(sub, f)
	}
}

// reference is the verb's section of docs/cli.md below the heading.
func (v verb) reference(flags *pflag.FlagSet) string {
	var parts []string
	add := func(part string) {
		if part != "" {
			parts = append(parts, strings.TrimSpace(part)+"\n")
		}
	}
	add(v.short + ".")
	add(v.long)
	add(table("word", v.args, func(k key) (string, string) { return k.value, k.described() }))
	add(table("key", v.keys, func(k key) (string, string) { return k.name + "=" + k.value, k.described() }))
	add(flagTable(flags))
	if v.settings {
		add("Takes settings of the configuration.")
	}
	if v.example != "" {
		parts = append(parts, "    "+strings.ReplaceAll(v.example, "\n", "\n    ")+"\n")
	}
	add(v.after)
	add(table("`--json`", v.json, func(r result) (string, string) { return strings.ReplaceAll(r.names, " ", "`, `"), r.text }))
	return strings.Join(parts, "\n")
}

func (k key) described() string {
	if k.required {
		return k.text + "; required"
	}
	return k.text
}

// table is a Markdown table of code and text.
func table[T any](title string, rows []T, row func(T) (code, text string)) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | |\n|---|---|\n", title)
	for _, r := range rows {
		code, text := row(r)
		fmt.Fprintf(&b, "| `%s` | %s |\n", cell(code), cell(text))
	}
	return b.String()
}

// cell is text that may hold bars, for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func flagTable(set *pflag.FlagSet) string {
	type row struct{ code, text string }
	var rows []row
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		code := "--" + f.Name
		if value != "" {
			code += " " + value
		}
		if f.Shorthand != "" {
			code += "`, `-" + f.Shorthand
		}
		rows = append(rows, row{code, text})
	})
	return table("flag", rows, func(r row) (string, string) { return r.code, r.text })
}
