package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// verb is a command of key=value words: keys of its own and, where it takes
// settings, overrides of the configuration.
type verb struct {
	name, short string
	example     string // one command a line
	keys        []key
	settings    bool
	run         func(ctx context.Context, own map[string]string, overrides []string) error
}

// key is one of a verb's own keys.
type key struct {
	name, value string // weights, RUN_OR_FILE
	required    bool
	text        string
}

// ownKeys is where a command keeps the names of its own keys.
const ownKeys = "keys"

func (v verb) command() *cobra.Command {
	use, names := v.name, []string{}
	for _, k := range v.keys {
		word := k.name + "=" + k.value
		if !k.required {
			word = "[" + word + "]"
		}
		use += " " + word
		names = append(names, k.name)
	}
	if v.settings {
		use += " [key=value …]"
	}
	return &cobra.Command{
		Use: use, Short: v.short, Long: v.long(), Example: indent(v.example), DisableFlagsInUseLine: true,
		Annotations: map[string]string{ownKeys: strings.Join(names, " ")},
		RunE: func(c *cobra.Command, args []string) error {
			own, overrides, err := v.words(args)
			if err != nil {
				return err
			}
			return v.run(c.Context(), own, overrides)
		},
	}
}

// long is the help text.
func (v verb) long() string {
	var b strings.Builder
	b.WriteString(v.short + ".\n")
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for i, k := range v.keys {
		if i == 0 {
			fmt.Fprintln(w, "\nKeys:")
		}
		fmt.Fprintf(w, "  %s=%s\t%s\n", k.name, k.value, k.text)
	}
	w.Flush() // a strings.Builder takes everything
	if v.settings {
		b.WriteString("\nEvery other key=value changes the configuration: see docs/configuration.md.\n")
	}
	return strings.TrimSpace(b.String())
}

func indent(text string) string {
	if text == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}

// words splits arguments into the verb's own keys and the overrides of the configuration.
func (v verb) words(args []string) (own map[string]string, overrides []string, err error) {
	own = map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		_, twice := own[name]
		switch {
		case !ok && !(v.settings && strings.HasPrefix(arg, "~")):
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
