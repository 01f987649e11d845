package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Default is one file of the final defaults list, in the order of merging.
type Default struct {
	Path    string // file, without .yaml
	Package string // where its content goes, "" for the root
	Parent  string // file whose defaults list asked for it
	Self    bool   // the file's own values, among those it asked for
	key     string // override key, for the check of duplicates
	primary bool
}

// tree is the expanded defaults list of one entry.
type tree struct {
	node     *entry
	parent   *tree
	children []*tree // in order of merging
}

// choices collects what the command line and override entries say about groups.
type choices struct {
	repo      *repository
	set       map[string]*choice // override key → new option
	order     []string
	deletions map[string]*deletion
	delOrder  []string
	appended  []*entry
	values    []*Override // overrides of values, for later
	known     *pairs      // override key → option
	byGroup   map[string][]string
	eval      *evaluator
	loose     bool // leave "???" groups open (multirun)
	ours      bool // the primary file is at the root wherever it lies
	depth     int
	visited   int
}

type choice struct {
	option   *string
	options  []string
	many     bool
	external bool
	used     bool
	from     string // file of an override entry
	place    *place
}

type deletion struct {
	option *string
	used   bool
}

func newChoices(repo *repository, overrides []*Override, eval *evaluator) (*choices, error) {
	c := &choices{repo: repo, set: map[string]*choice{}, deletions: map[string]*deletion{}, known: &pairs{}, byGroup: map[string][]string{}, eval: eval}
	for _, o := range overrides {
		if o.Sweep() != nil {
			continue
		}
		if _, dict := o.value.(*pairs); dict || !repo.groupExists(o.Key) {
			c.values = append(c.values, o)
			continue
		}
		if err := c.addOverride(o); err != nil {
			err.File = "override " + o.Line
			return nil, err
		}
	}
	return c, nil
}

func (c *choices) addOverride(o *Override) *Error {
	option, options, many := groupValue(o.value)
	switch o.Op {
	case ForceAdd:
		return problem("++ works on values; %q is a group: use +%s or %s", o.Key, o.name(), o.name())
	case Extend:
		return problem("+= works on lists; %q is a group", o.Key)
	case Delete:
		if o.HasValue && o.value != nil && option == nil {
			return problem("the option of a group to delete must be text")
		}
		c.deletions[o.name()] = &deletion{option: option}
		if !slices.Contains(c.delOrder, o.name()) {
			c.delOrder = append(c.delOrder, o.name())
		}
		return nil
	}
	if option == nil && !many {
		x := problem("the option of the group %q must be text or a list, not %s", o.Key, overrideText(o.value))
		x.Hint = didYouMean(overrideText(o.value), c.repo.list(o.Key, false))
		return x
	}
	if o.Op == Add {
		e := &entry{isGroup: true, group: o.Key, option: option, options: options, many: many, appended: true}
		if o.HasPackage {
			e.pkg = here(&o.Package)
		}
		c.appended = append(c.appended, e)
		return nil
	}
	c.setChoice(o.name(), &choice{option: option, options: options, many: many, external: true, place: &place{file: o.Line, override: true}})
	return nil
}

func (c *choices) setChoice(key string, ch *choice) {
	if _, ok := c.set[key]; !ok {
		c.order = append(c.order, key)
	}
	c.set[key] = ch
}

// groupValue reads an option or a list of options.
func groupValue(v any) (option *string, options []string, many bool) {
	switch x := v.(type) {
	case string:
		return &x, nil, false
	case quoted:
		return &x.text, nil, false
	case []any:
		for _, item := range x {
			if q, ok := item.(quoted); ok {
				item = q.text
			}
			options = append(options, pyStr(item))
		}
		return nil, options, true
	}
	return nil, nil, false
}

// maxDefaults bounds files of one composition: lists that include each other grow
// without end.
const maxDefaults = 10_000

// expand builds the tree below root.node.
func (c *choices) expand(root *tree, isPrimary, interpolated bool) error {
	if c.depth++; c.depth > maxNesting {
		return c.entryError(root.node, "defaults lists are nested deeper than %d: do they include each other?", maxNesting)
	}
	defer func() { c.depth-- }()
	if c.visited++; c.visited > maxDefaults {
		return c.entryError(root.node, "the defaults list has more than %d entries", maxDefaults)
	}
	node := root.node
	f, done, err := c.open(root, isPrimary)
	if done || err != nil {
		return err
	}
	list, err := c.listOf(f, node, isPrimary)
	if err != nil {
		return err
	}
	if err := c.noteOverrides(list, node, interpolated); err != nil {
		return err
	}
	var children []*tree // from last to first, as overrides of later entries count
	for i := len(list) - 1; i >= 0; i-- {
		if children, err = c.child(root, list[i], children, interpolated); err != nil {
			return err
		}
	}
	if err := c.interpolate(root, children); err != nil {
		return err
	}
	slices.Reverse(children)
	root.children = children
	return nil
}

// open loads the entry's file. done means that there is nothing below it.
func (c *choices) open(root *tree, isPrimary bool) (f *file, done bool, err error) {
	node := root.node
	if !node.missing() {
		if _, ok := node.name(); ok {
			if f, err = c.repo.load(node.configPath()); err != nil {
				return nil, true, err
			}
			if f != nil {
				header := f.header
				if header == nil && isPrimary && c.ours {
					header = new(string)
					*header = "_global_"
				}
				node.setHeader(header)
			}
		}
	}
	if isPrimary && f == nil {
		return nil, true, c.notFound(root)
	}
	if c.deleted(node) {
		return nil, true, nil
	}
	if err := c.note(node); err != nil {
		return nil, true, err
	}
	if _, ok := node.name(); !ok {
		return nil, true, nil
	}
	if strings.HasSuffix(node.configPath(), "???") {
		if c.loose {
			return nil, true, nil
		}
		return nil, true, c.mustChoose(node)
	}
	if f == nil {
		if node.optional {
			node.deleted = true
			return nil, true, nil
		}
		return nil, true, c.notFound(root)
	}
	return f, false, nil
}

// listOf copies the file's defaults list and puts _self_ in where it is absent.
func (c *choices) listOf(f *file, node *entry, isPrimary bool) ([]*entry, error) {
	list := make([]*entry, 0, len(f.defaults)+1)
	hasSelf, hasOthers := false, false
	for _, d := range f.defaults {
		if d.isSelf() && hasSelf {
			return nil, c.entryError(d, "_self_ appears twice in the defaults list of %q", node.configPath())
		}
		hasSelf = hasSelf || d.isSelf()
		hasOthers = hasOthers || !d.override
		list = append(list, d.clone())
	}
	appends := isPrimary && len(c.appended) > 0
	if !hasSelf && hasOthers || len(list) == 0 && appends {
		list = append(list, &entry{path: "_self_"})
	}
	if isPrimary {
		for _, d := range c.appended {
			list = append(list, d.clone())
		}
	}
	return list, nil
}

// noteOverrides checks the order of a list and takes note of its override
// entries.
func (c *choices) noteOverrides(list []*entry, node *entry, interpolated bool) error {
	var seen *entry
	for _, d := range list {
		if d.isSelf() {
			continue
		}
		d.under(node.groupPath(), node.finalPackage(true))
		if seen != nil && !d.override && !d.appended {
			return c.entryError(d, "overrides stand at the end of a defaults list: move \"override %s\" below %q", seen.overrideKey(), d.label())
		}
		if !d.override {
			continue
		}
		seen = d
		if interpolated {
			return c.entryError(d, "the defaults of an interpolated choice may not override %q", d.overrideKey())
		}
		if _, ok := c.set[d.overrideKey()]; !ok {
			c.setChoice(d.overrideKey(), &choice{option: d.option, options: d.options, many: d.many, from: node.configPath(), place: d.place})
		}
	}
	return nil
}

func (d *entry) label() string {
	if d.isGroup {
		return d.overrideKey()
	}
	return d.path
}

// child expands one entry and appends what it gives, in reverse order.
func (c *choices) child(root *tree, d *entry, out []*tree, interpolated bool) ([]*tree, error) {
	node := root.node
	if d.isSelf() {
		pkg := ""
		if p := node.ownPackage(true); p != nil {
			pkg = *p
		}
		d.under(node.baseDir, pkg)
		return append(out, &tree{node: d, parent: root}), nil
	}
	if d.override {
		return out, nil
	}
	if d.isGroup {
		if ch := c.set[d.overrideKey()]; ch != nil {
			d.option, d.options, d.many = ch.option, ch.options, ch.many
			if ch.place != nil {
				d.place = ch.place
			}
			ch.used = true
		}
	}
	if d.many {
		for i := len(d.options) - 1; i >= 0; i-- {
			o := d.options[i]
			if strings.Contains(o, "${") {
				return nil, c.entryError(d, "interpolation %q is not possible in a list of options", o)
			}
			e := &entry{path: d.group + "/" + o, pkg: d.pkg, optional: d.optional, place: d.place}
			e.under(node.groupPath(), node.finalPackage(true))
			t := &tree{node: e, parent: root}
			if err := c.expand(t, false, interpolated); err != nil {
				return nil, err
			}
			out = append(out, t)
		}
		return out, nil
	}
	t := &tree{node: d, parent: root}
	if d.interpolated() {
		return append(out, t), nil
	}
	if err := c.expand(t, false, interpolated); err != nil {
		return nil, err
	}
	return append(out, t), nil
}

var legacyInterpolation = regexp.MustCompile(`^\$\{defaults\.\d\.`)

// interpolate resolves entries that name other groups' choices, after all of
// those are known.
func (c *choices) interpolate(root *tree, children []*tree) error {
	for _, t := range children {
		d := t.node
		if d.isSelf() || d.deleted || !d.interpolated() || len(t.children) > 0 {
			continue
		}
		text := d.configPath()
		if d.isGroup {
			if text = *d.option; legacyInterpolation.MatchString(text) {
				return c.entryError(d, "interpolation by position %q is not possible: name the group", text)
			}
		}
		s, err := c.resolveChoice(text)
		if err != nil {
			x := c.entryError(d, "%s", err.Error())
			x.Hint = "the choices are " + strings.Join(c.knownKeys(), ", ")
			return x
		}
		if d.isGroup {
			d.option = &s
		} else {
			d.path = s
		}
		if err := c.expand(t, false, true); err != nil {
			return err
		}
	}
	return nil
}

func (c *choices) knownKeys() []string {
	var out []string
	for _, k := range c.known.keys {
		out = append(out, k.(string))
	}
	return out
}

func (c *choices) resolveChoice(text string) (string, error) {
	root, err := fromPairs(c.known, nil)
	if err != nil {
		return "", err
	}
	n, err := textNode(text, nil)
	if err != nil {
		return "", err
	}
	root.set("_dummy_", n)
	v, err := c.eval.deref(n)
	if err != nil {
		return "", err
	}
	if v.kind != String {
		return "", problem("%s gives %s, not text", text, v.kind)
	}
	return v.value.(string), nil
}

func (c *choices) deleted(d *entry) bool {
	if !d.isGroup {
		return false
	}
	x := c.deletions[d.overrideKey()]
	if x == nil {
		return false
	}
	if name, _ := d.name(); x.option != nil && *x.option != name {
		return false
	}
	x.used, d.deleted = true, true
	return true
}

// note records the choice of a group.
func (c *choices) note(d *entry) error {
	if !d.isGroup {
		return nil
	}
	key := d.overrideKey()
	var v any
	if n, ok := d.name(); ok {
		v = n
	}
	for i, k := range c.known.keys {
		if k == key {
			if c.known.values[i] != v {
				return c.entryError(d, "two values for %s: use \"override %s: %s\" to replace the first", key, key, pyStr(c.known.values[i]))
			}
			return nil
		}
	}
	c.known.set(key, v)
	g := d.groupPath()
	if !slices.Contains(c.byGroup[g], key) {
		c.byGroup[g] = append(c.byGroup[g], key)
	}
	return nil
}

// finish checks that every override and deletion met an entry.
func (c *choices) finish() error {
	for _, key := range c.order {
		ch := c.set[key]
		if ch.used {
			continue
		}
		group, _, _ := strings.Cut(key, "@")
		x := problem("could not override %q: it is not in the defaults list", key)
		if from := ch.from; from != "" {
			x.Message += " at that place"
			x.Hint = fmt.Sprintf("list %q after the entry that brings %s in, which is now expanded first", from, key)
		}
		if near := c.byGroup[group]; len(near) > 0 && !slices.Contains(near, key) {
			x.Hint = "did you mean " + strings.Join(near, " or ") + "?"
		} else if ch.external {
			x.Hint = "to add it use +" + key + "=…"
		}
		x.File, x.Line, x.Column = ch.place.where()
		return x
	}
	for _, key := range c.delOrder {
		if !c.deletions[key].used {
			return problem("could not delete %q: it is not in the defaults list", key)
		}
	}
	return nil
}

func (c *choices) entryError(d *entry, format string, args ...any) *Error {
	x := problem(format, args...)
	x.File, x.Line, x.Column = d.place.where()
	return x
}

func (c *choices) mustChoose(d *entry) error {
	if !d.isGroup {
		return c.entryError(d, "%q must name a file", d.configPath())
	}
	return c.entryError(d, "an option of %s must be chosen: %s", d.overrideKey(), strings.Join(c.repo.list(d.groupPath(), false), ", "))
}

// shownOptions is how many options of a group an error lists beside a near one.
const shownOptions = 24

func (c *choices) notFound(t *tree) error {
	d := t.node
	var x *Error
	if d.primary {
		x = problem("primary config %q not found", d.configPath())
		x.Hint = didYouMean(d.configPath(), c.repo.list("", false))
	} else {
		x = c.entryError(d, "config %q not found", d.configPath())
		options := c.repo.list(d.groupPath(), false)
		name, _ := d.name()
		x.Hint = didYouMean(name, options)
		switch n := len(options); {
		case n > shownOptions && x.Hint != "":
			x.Message += fmt.Sprintf("; %q has %d options", d.groupPath(), n)
		case n > 0:
			x.Message += fmt.Sprintf("; %q has %s", d.groupPath(), strings.Join(options, ", "))
		}
	}
	var dirs []string
	for _, s := range c.repo.sources {
		if s.Provider != "hydra" {
			dirs = append(dirs, s.Path)
		}
	}
	x.Message += "; searched " + strings.Join(dirs, ", ")
	for up := t.parent; up != nil && !up.node.virtual; up = up.parent {
		x.Message += fmt.Sprintf("; listed by %q", up.node.configPath())
	}
	return x
}

// flatten lists the files in the order of merging.
func (c *choices) flatten(t *tree, out []Default) []Default {
	if len(t.children) > 0 {
		for _, child := range t.children {
			out = c.flatten(child, out)
		}
		return out
	}
	d := t.node
	if d.virtual || d.deleted || d.missing() {
		return out
	}
	if _, ok := d.name(); !ok {
		return out
	}
	if !d.isSelf() {
		r := Default{Path: d.configPath(), Package: d.finalPackage(true), primary: d.primary}
		if d.isGroup {
			r.key = d.overrideKey()
		}
		if t.parent != nil && !t.parent.node.virtual {
			r.Parent = t.parent.node.configPath()
		}
		return append(out, r)
	}
	up := t.parent.node
	r := Default{Path: up.configPath(), Package: up.finalPackage(true), Self: true, primary: up.primary}
	if p := t.parent.parent; p != nil && !p.node.virtual {
		r.Parent = p.node.configPath()
	}
	return append(out, r)
}

// unique refuses a group that appears twice in the final list.
func unique(list []Default) error {
	seen := map[string]bool{}
	for _, d := range list {
		if d.Self || d.key == "" {
			continue
		}
		if seen[d.key] {
			return problem("%s appears more than once in the final defaults list", d.key)
		}
		seen[d.key] = true
	}
	return nil
}
