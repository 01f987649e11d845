package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/pipeline"
)

// files are the settings and keys whose values are paths.
var files = []string{"weights", "resume", "source", "out", "in", "data.root", "runs", "model.weights", "model.architecture", "training.resume", "predict.source"}

// completes makes a command offer its keys, and where it takes settings, the
// configuration's keys, groups and options.
func (a *app) completes(c *cobra.Command) {
	keys := strings.Fields(c.Annotations[ownKeys])
	settings := c.Annotations[takesSettings] != ""
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		name, value, isValue := strings.Cut(word, "=")
		if isValue && (slices.Contains(keys, name) || settings) && slices.Contains(files, name) {
			return paths(name+"=", value), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		var words []string
		for _, k := range keys {
			if !isValue && strings.HasPrefix(k, word) && !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, k+"=") }) {
				words = append(words, k+"=")
			}
		}
		if settings {
			words = append(words, a.settings(args, word)...)
		}
		if strings.Contains(c.Use, "FILE") && !isValue && len(words) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if !isValue {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return words, directive
	}
}

// settings are the words of the configuration that begin with word, under the
// choices made so far; a command line that is not finished may not compose yet.
func (a *app) settings(args []string, word string) []string {
	o := a.options(slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return !strings.Contains(arg, "=") }))
	o.Warn = nil
	c, err := pipeline.Tree(o)
	if err != nil {
		o.Overrides = nil
		if c, err = pipeline.Tree(o); err != nil {
			return nil
		}
	}
	return c.Complete(word)
}

// paths are files and folders whose names begin with a text.
func paths(head, begin string) (words []string) {
	found, err := filepath.Glob(begin + "*") // a pattern that is not one matches nothing
	if err != nil {
		return nil
	}
	for _, p := range found {
		if st, err := os.Stat(p); err == nil && st.IsDir() {
			p += string(filepath.Separator)
		}
		words = append(words, head+p)
	}
	return words
}

// bashWords stands in for the one function of the package bash-completion that
// cobra's script calls, where that package is missing: it cuts the line at spaces only.
const bashWords = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref() {
        local line=${COMP_LINE:0:COMP_POINT}
        read -ra words <<<"$line"
        [[ $line == *" " ]] && words+=("")
        cword=$((${#words[@]} - 1))
        cur=${words[cword]} prev=${words[cword - 1]}
    }
fi
`

// completion is the verb that prints what a shell must know.
func (a *app) completion(root *cobra.Command) verb {
	return verb{
		name: "completion", short: "Print the script that makes a shell complete verbs, keys, groups and options",
		args:    []key{{"shell", "SHELL", true, "bash, zsh, fish or powershell"}},
		example: "wildtrain completion bash > ~/.local/share/bash-completion/completions/wildtrain\nwildtrain completion zsh > ~/.zfunc/_wildtrain",
		run: func(_ context.Context, own map[string]string, _ []string) error {
			switch own["shell"] {
			case "bash":
				if _, err := io.WriteString(a.out, bashWords); err != nil {
					return err
				}
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usagef("there is no completion for %q: bash, zsh, fish or powershell", own["shell"])
		},
	}
}
