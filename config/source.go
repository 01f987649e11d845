package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// Source is one entry of the search path.
type Source struct {
	Provider string // who put it there: main, command-line, shipped, hydra
	Path     string // folder, or the name of an embedded tree
	tree     fs.FS
	shared   *sync.Map // parsed files, of trees that cannot change
}

// file is one parsed YAML file.
type file struct {
	name     string // path inside its source, without .yaml
	header   *string
	root     *Node // without the defaults list; a Dict or a List
	defaults []*entry
	source   *Source
}

// repository finds files on the search path; the first hit wins.
type repository struct {
	sources []*Source
	limits  yamlsafe.Limits
	files   map[string]*file
	dirs    map[string]bool
}

func newRepository(sources []*Source) *repository {
	return &repository{sources: sources, limits: yamlsafe.DefaultLimits(), files: map[string]*file{}, dirs: map[string]bool{}}
}

// FolderSource makes a Source of a folder.
func FolderSource(provider, dir string) *Source {
	return &Source{Provider: provider, Path: dir, tree: os.DirFS(dir)}
}

// TreeSource makes a Source of a file system, such as an embedded one.
func TreeSource(provider, name string, tree fs.FS) *Source {
	return &Source{Provider: provider, Path: name, tree: tree}
}

func (s *Source) available() bool { return s.isGroup("") }

func (s *Source) isGroup(name string) bool {
	info, err := fs.Stat(s.tree, cleanPath(name))
	return err == nil && info.IsDir()
}

func (s *Source) isConfig(name string) bool {
	info, err := fs.Stat(s.tree, cleanPath(fileName(name)))
	return err == nil && info.Mode().IsRegular()
}

func cleanPath(name string) string {
	p := path.Clean("/" + name)[1:]
	if p == "" {
		return "."
	}
	return p
}

func fileName(name string) string {
	if strings.HasSuffix(name, ".yaml") {
		return name
	}
	return name + ".yaml"
}

// list returns the names of the options (files) or groups (folders) in a group.
func (s *Source) list(group string, groups bool) []string {
	entries, err := fs.ReadDir(s.tree, cleanPath(group))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		name := e.Name()
		switch full := path.Join(group, name); {
		case groups && s.isGroup(full):
			out = append(out, name)
		case !groups && strings.HasSuffix(name, ".yaml") && s.isConfig(full):
			out = append(out, strings.TrimSuffix(name, ".yaml"))
		}
	}
	return out
}

func (r *repository) groupExists(name string) bool {
	known, ok := r.dirs[name]
	if !ok {
		known = slices.ContainsFunc(r.sources, func(s *Source) bool { return s.isGroup(name) })
		r.dirs[name] = known
	}
	return known
}

// list joins the options, or sub-groups, of a group over all sources, sorted.
func (r *repository) list(group string, groups bool) []string {
	var out []string
	for _, s := range r.sources {
		out = append(out, s.list(group, groups)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// load returns the parsed file, nil where no source has it.
func (r *repository) load(name string) (*file, error) {
	if f, ok := r.files[name]; ok {
		return f, nil
	}
	if slices.Contains(strings.Split(name, "/"), "..") || strings.Contains(name, `\`) {
		return nil, problem("config %q may not leave its folder", name)
	}
	var f *file
	for _, s := range r.sources {
		if !s.isConfig(name) {
			continue
		}
		var err error
		if f, err = s.load(name, r.limits); err != nil {
			return nil, err
		}
		break
	}
	r.files[name] = f
	return f, nil
}

func (s *Source) load(name string, limits yamlsafe.Limits) (*file, error) {
	if s.shared != nil {
		if f, ok := s.shared.Load(name); ok {
			return f.(*file), nil
		}
	}
	full := path.Join(filepath.ToSlash(s.Path), fileName(name))
	data, err := fs.ReadFile(s.tree, cleanPath(fileName(name)))
	if err != nil {
		return nil, &Error{File: full, Message: "cannot be read: " + reason(err)}
	}
	f, err := parseFile(full, name, data, limits)
	if err != nil {
		return nil, err
	}
	f.source = s
	if s.shared != nil {
		s.shared.Store(name, f)
	}
	return f, nil
}

func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func parseFile(full, name string, data []byte, limits yamlsafe.Limits) (*file, error) {
	root, err := parseYAML(full, data, limits)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, root: root}
	if f.header, err = packageHeader(full, string(data)); err != nil {
		return nil, err
	}
	if root.kind == Dict {
		if d := root.child("defaults"); d != nil {
			root.remove("defaults")
			if f.defaults, err = parseDefaults(d); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// parseYAML reads a file that holds a mapping or a list; an empty one is an empty
// mapping.
func parseYAML(full string, data []byte, limits yamlsafe.Limits) (*Node, error) {
	y, err := yamlsafe.Parse(full, data, limits)
	if err != nil {
		return nil, fromYAML(err)
	}
	if y.Null() {
		return newDict(&place{file: full}), nil
	}
	root, err := fromYAMLNode(y, full)
	if err != nil {
		return nil, err
	}
	if !root.container() {
		return nil, errorAt(root, "a configuration file holds a mapping or a list, not a single value")
	}
	return root, nil
}

var headerLine = regexp.MustCompile(`^\s*#\s*@`)

// packageHeader reads "# @package x" from the first comment block within the
// first 512 characters, nil where there is none.
func packageHeader(full, text string) (*string, error) {
	if r := []rune(text[:min(len(text), 4*512)]); len(r) > 512 {
		text = string(r[:512])
	}
	var found *string
	for i, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if !headerLine.MatchString(line) {
			break
		}
		words := strings.Fields(strings.TrimLeft(line, "#"))
		if len(words) != 2 {
			return nil, &Error{File: full, Line: i + 1, Message: "a header has the form \"# @package name\""}
		}
		if words[0] == "@package" {
			found = &words[1]
		}
	}
	return found, nil
}
