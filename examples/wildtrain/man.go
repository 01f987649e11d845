package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// man is the verb that writes the manual pages.
func (a *app) man(root *cobra.Command) verb {
	return verb{
		name: "man", short: "Write the manual pages, one for each verb",
		keys:    []key{{"out", "FOLDER", true, "where to write"}},
		example: "wildtrain man out=~/.local/share/man/man1",
		json:    []result{{"pages", "the files that were written"}},
		run: func(_ context.Context, own map[string]string, _ []string) error {
			if err := os.MkdirAll(own["out"], 0o755); err != nil {
				return err
			}
			files := []string{}
			for name, text := range manPages(root) {
				file := filepath.Join(own["out"], name)
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					return err
				}
				files = append(files, file)
			}
			if a.json {
				return a.print(map[string]any{"pages": slices.Sorted(slices.Values(files))})
			}
			fmt.Fprintf(a.out, "%d pages in %s\n", len(files), own["out"])
			return nil
		},
	}
}

// manPages are the manual pages by file name: one for each verb, from its section
// of docs/cli.md, and wildtrain.1 from the head of it.
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	head, _, _ := strings.Cut(referencePage(root), "\n## ")
	pages["wildtrain.1"] = manPage("wildtrain", root.Short, strings.TrimPrefix(head, "# The command line\n"))
	visit(root, func(c *cobra.Command) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		synopsis := "    " + c.UseLine() + "\n\n"
		pages[name+".1"] = manPage(name, c.Short, synopsis+c.Annotations[reference])
	})
	return pages
}

var (
	manCode = regexp.MustCompile("`([^`]*)`")
	manLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	manNote = regexp.MustCompile(`(?s)<!--.*?-->`)
)

// manPage turns the Markdown that verbs write (paragraphs, tables of two columns,
// indented lines, code) into roff's man macros.
func manPage(name, short, markdown string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %q 1\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n", strings.ToUpper(name), roff(name), roff(short))
	code := false
	for _, line := range strings.Split(manNote.ReplaceAllString(markdown, ""), "\n") {
		indented := strings.HasPrefix(line, "    ")
		if indented != code {
			if code = indented; code {
				b.WriteString(".PP\n.nf\n.RS\n")
			} else {
				b.WriteString(".RE\n.fi\n")
			}
		}
		switch {
		case indented:
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		case line == "":
			b.WriteString(".PP\n")
		case strings.HasPrefix(line, "|---"):
		case strings.HasPrefix(line, "| "):
			first, second, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "| "), "|"), " | ")
			if second = strings.TrimSpace(second); second == "" { // the table's head
				fmt.Fprintf(&b, ".SS %s\n", roff(first))
				continue
			}
			fmt.Fprintf(&b, ".TP\n%s\n%s\n", roff(first), roff(second))
		default:
			b.WriteString(roff(line) + "\n")
		}
	}
	return b.String()
}

// roff escapes a line of text and shows its code in bold.
func roff(line string) string {
	line = manLink.ReplaceAllString(strings.ReplaceAll(line, `\|`, "|"), "$1")
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	return manCode.ReplaceAllString(line, `\fB$1\fR`)
}
