package config

import (
	"strings"
)

// entry is one item of a defaults list. With a group it is "group: option",
// without one it names a file.
type entry struct {
	group   string
	isGroup bool
	path    string   // of a file entry; "_self_"
	option  *string  // of a group entry: nil where null or where options is set
	options []string // several options, merged in order
	many    bool

	pkg    *string // explicit package, behind "@"
	header *string // package of the file's header, made absolute

	optional, override  bool
	appended, primary   bool // +group=option of the command line; the primary file
	deleted, virtual    bool
	baseDir, parentPack string
	place               *place
}

func (d *entry) isSelf() bool {
	return !d.isGroup && d.path == "_self_" || d.isGroup && d.option != nil && *d.option == "_self_"
}

// parseDefaults reads a defaults list.
func parseDefaults(n *Node) ([]*entry, error) {
	if n.kind != List {
		return nil, errorAt(n, "the defaults list must be a list, not a %s", n.kind)
	}
	var out []*entry
	for _, item := range n.items {
		e, err := parseEntry(item)
		if err != nil {
			return nil, err
		}
		e.place = item.place
		out = append(out, e)
	}
	return out, nil
}

func parseEntry(item *Node) (*entry, error) {
	switch {
	case item.kind == String:
		name, pkg := splitPackage(item.value.(string))
		e := &entry{path: name, pkg: here(pkg)}
		if e.isSelf() && pkg != nil {
			return nil, errorAt(item, "_self_ takes no package")
		}
		return e, nil
	case item.kind != Dict:
		return nil, errorAt(item, "an entry of the defaults list is text or \"group: option\", not %s", item.kind)
	case item.Len() != 1:
		return nil, errorAt(item, "an entry of the defaults list has exactly one key, not %d", item.Len())
	}
	key, ok := item.keys[0].(string)
	if !ok {
		return nil, errorAt(item, "the name of a group must be text")
	}
	name, pkg := splitPackage(key)
	e := &entry{isGroup: true, pkg: here(pkg)}
	words := strings.Split(name, " ")
	for _, w := range words[:len(words)-1] {
		if w != "optional" && w != "override" {
			break
		}
		e.optional = e.optional || w == "optional"
		e.override = e.override || w == "override"
	}
	if e.group = words[len(words)-1]; e.group == "" {
		return nil, errorAt(item, "the name of a group is missing")
	}
	return e, e.setOption(item.items[0])
}

func (d *entry) setOption(v *Node) error {
	switch v.kind {
	case Null:
		return nil
	case String:
		s := v.value.(string)
		d.option = &s
		return nil
	case List:
		d.many = true
		for _, o := range v.items {
			if o.kind != String {
				return errorAt(o, "an option must be text, not %s", o.kind)
			}
			d.options = append(d.options, o.value.(string))
		}
		return nil
	}
	return errorAt(v, "an option must be text, a list of texts or null, not %s", v.kind)
}

// splitPackage cuts group@package; a part behind ":" is ignored, as in Hydra.
func splitPackage(s string) (string, *string) {
	name, pkg, ok := strings.Cut(s, "@")
	if !ok {
		return s, nil
	}
	pkg, _, _ = strings.Cut(pkg, ":")
	return name, &pkg
}

// here replaces the package _here_, the parent's own.
func here(pkg *string) *string {
	if pkg != nil && *pkg == "_here_" {
		empty := ""
		return &empty
	}
	return pkg
}

// under tells the entry what stands above it.
func (d *entry) under(baseDir, pkg string) {
	d.baseDir, d.parentPack = baseDir, pkg
	if d.pkg != nil && strings.Contains(*d.pkg, "_group_") {
		p := "_global_." + strings.ReplaceAll(*d.pkg, "_group_", d.defaultPackage())
		d.pkg = &p
	}
}

func (d *entry) setHeader(h *string) {
	if h == nil {
		return
	}
	p := *h
	if p != "_global_" && !strings.HasPrefix(p, "_global_.") {
		p = "_global_." + p
	}
	d.header = &p
}

// relativeGroup is the group as written, without a leading slash.
func (d *entry) relativeGroup() string {
	if d.isGroup {
		return strings.TrimPrefix(d.group, "/")
	}
	p := strings.TrimPrefix(d.path, "/")
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return ""
}

func (d *entry) absolute() bool {
	if d.isGroup {
		return strings.HasPrefix(d.group, "/")
	}
	return strings.HasPrefix(d.path, "/")
}

// groupPath is the group from the root of the search path.
func (d *entry) groupPath() string {
	g := d.relativeGroup()
	switch {
	case d.absolute() || d.baseDir == "":
		return g
	case g == "":
		return d.baseDir
	}
	return d.baseDir + "/" + g
}

// name is the option or the file's name; ok is false for null and for lists.
func (d *entry) name() (string, bool) {
	if d.isGroup {
		if d.option == nil {
			return "", false
		}
		return *d.option, true
	}
	return d.path[strings.LastIndexByte(d.path, '/')+1:], true
}

// configPath is the path of the file, without .yaml.
func (d *entry) configPath() string {
	if d.isGroup {
		n, ok := d.name()
		if !ok {
			n = "None"
		}
		return d.groupPath() + "/" + n
	}
	p := strings.TrimPrefix(d.path, "/")
	if d.absolute() || d.baseDir == "" {
		return p
	}
	return d.baseDir + "/" + p
}

func (d *entry) defaultPackage() string { return strings.ReplaceAll(d.groupPath(), "/", ".") }

// ownPackage is the explicit package, else the header's where allowed.
func (d *entry) ownPackage(useHeader bool) *string {
	if d.pkg == nil && useHeader {
		return d.header
	}
	return d.pkg
}

// finalPackage is where the file's content goes, "" for the root.
func (d *entry) finalPackage(useHeader bool) string {
	pkg := strings.ReplaceAll(d.relativeGroup(), "/", ".")
	if p := d.ownPackage(useHeader); p != nil {
		pkg = *p
	}
	out := pkg
	if d.parentPack != "" {
		out = d.parentPack
		if pkg != "" {
			out += "." + pkg
		}
	}
	if i := strings.LastIndex(out, "_global_"); i >= 0 {
		out = out[min(len(out), i+len("_global_")+1):]
	}
	return out
}

// overrideKey is how the command line names the entry: group, or group@package
// where the package is not the group's own.
func (d *entry) overrideKey() string {
	key := d.groupPath()
	if pkg := d.finalPackage(false); pkg != d.defaultPackage() {
		if pkg == "" {
			pkg = "_global_"
		}
		key += "@" + pkg
	}
	return key
}

func (d *entry) interpolated() bool {
	if d.isGroup {
		return d.option != nil && strings.Contains(*d.option, "${")
	}
	return strings.Contains(d.path, "${")
}

// missing reports whether the choice is "???".
func (d *entry) missing() bool {
	n, ok := d.name()
	return ok && n == "???"
}

func (d *entry) clone() *entry {
	c := *d
	c.options = append([]string(nil), d.options...)
	return &c
}
