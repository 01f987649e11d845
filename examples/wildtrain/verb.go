package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verb is a command of key=value words: keys of its own and, where it takes
// settings, overrides of the configuration. Help, completion, docs/cli.md and
// the man pages are all made from it. Texts are Markdown of paragraphs, `code`
// and indented lines.
type verb struct {
	name, short string
	long        string // what there is to know beyond short: paragraphs
	example     string // one command a line
	args        []key  // words without key, in order
	keys        []key
	flags       func(*pflag.FlagSet) // declares flags of its own; nil for none
	settings    bool
	after       string   // what is left behind, how to read it: paragraphs below the keys
	json        []result // keys of what --json prints
	run         func(ctx context.Context, own map[string]string, overrides []string) error
}

// key is one of a verb's own keys, or a word in its place.
type key struct {
	name, value string // weights, RUN_OR_FILE
	required    bool
	text        string
}

// result are keys of the object that --json prints. A part of a key that
// varies is written in capitals: AP/CLASS.
type result struct {
	names string // separated by spaces
	text  string
}

// What a command keeps in its annotations.
const (
	ownKeys   = "keys"      // names of its own keys, separated by spaces
	reference = "reference" // its section of docs/cli.md
)

func (v verb) command() *cobra.Command {
	use, names := v.name, []string{}
	for _, k := range v.args {
		use += " " + optional(k.value, k.required)
	}
	for _, k := range v.keys {
		use += " " + optional(k.name+"="+k.value, k.required)
		names = append(names, k.name)
	}
	if v.settings {
		use += " [key=value …]"
	}
	c := &cobra.Command{
		Use: use, Short: v.short, Long: v.help(), Example: indent(v.example), DisableFlagsInUseLine: true,
		Annotations: map[string]string{ownKeys: strings.Join(names, " ")},
		RunE: func(c *cobra.Command, args []string) error {
			own, overrides, err := v.words(args)
			if err != nil {
				return err
			}
			return v.run(c.Context(), own, overrides)
		},
	}
	if v.settings {
		c.Annotations[takesSettings] = "yes"
	}
	if v.flags != nil {
		v.flags(c.Flags())
	}
	c.Annotations[reference] = v.reference(c.Flags())
	return c
}

func optional(word string, required bool) string {
	if required {
		return word
	}
	return "[" + word + "]"
}

// help is the text of --help above usage and flags.
func (v verb) help() string {
	var b strings.Builder
	b.WriteString(v.short + ".\n")
	if v.long != "" {
		b.WriteString("\n" + v.long + "\n")
	}
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	section := func(title string, n int, row func(int) (string, string)) {
		for i := range n {
			if i == 0 {
				fmt.Fprintf(w, "\n%s:\n", title)
			}
			name, text := row(i)
			fmt.Fprintf(w, "  %s\t%s\n", name, text)
		}
		w.Flush() // a strings.Builder takes everything
	}
	section("Words", len(v.args), func(i int) (string, string) { return v.args[i].value, v.args[i].text })
	section("Keys", len(v.keys), func(i int) (string, string) {
		return v.keys[i].name + "=" + v.keys[i].value, v.keys[i].text
	})
	if v.settings {
		b.WriteString("\nEvery other key=value changes the configuration: see docs/configuration.md.\n")
	}
	if v.after != "" {
		b.WriteString("\n" + v.after + "\n")
	}
	section("With --json", len(v.json), func(i int) (string, string) {
		return strings.ReplaceAll(v.json[i].names, " ", ", "), v.json[i].text
	})
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "`", "")
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}

// words splits arguments into the verb's own keys and words, by name, and the
// overrides of the configuration.
func (v verb) words(args []string) (own map[string]string, overrides []string, err error) {
	own, place := map[string]string{}, 0
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		_, twice := own[name]
		switch {
		case !ok && v.settings && strings.HasPrefix(arg, "~"):
			overrides = append(overrides, arg)
		case !ok && place < len(v.args):
			own[v.args[place].name] = arg
			place++
		case !ok:
			return nil, nil, usagef("%q is not of the form key=value", arg)
		case twice:
			return nil, nil, usagef("%s= is given twice", name)
		case !v.has(name) && v.settings:
			overrides = append(overrides, arg)
		case !v.has(name):
			return nil, nil, usagef("%s has no key %q", v.name, name)
		case value == "":
			return nil, nil, usagef("%s= has no value", name)
		default:
			own[name] = value
		}
	}
	if place < len(v.args) && v.args[place].required {
		return nil, nil, usagef("%s is missing: %s", v.args[place].value, v.args[place].text)
	}
	for _, k := range v.keys {
		if _, ok := own[k.name]; k.required && !ok {
			return nil, nil, usagef("%s=%s is missing: %s", k.name, k.value, k.text)
		}
	}
	return own, overrides, nil
}

func (v verb) has(name string) bool {
	for _, k := range v.keys {
		if k.name == name {
			return true
		}
	}
	return false
}
