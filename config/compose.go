package config

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed configs
var shippedFiles embed.FS

//go:embed builtin
var builtinFiles embed.FS

// Parsed files of the embedded trees, which cannot change.
var shippedCache, hydraCache sync.Map

// Options say what to compose.
type Options struct {
	Name      string   // primary file, without .yaml; "main" where empty
	Dirs      []string // folders searched first, in this order, such as ./configs
	ConfigDir string   // folder searched after Dirs (--config-dir)
	// Foreign leaves the shipped tree out: only Dirs and ConfigDir are searched.
	Foreign   bool
	Sources   []*Source // further sources, searched after ConfigDir
	Overrides []string  // command-line arguments: key=value, +key=value, group=option …
	Multirun  bool      // allow sweeps in Overrides (they are left out here; see Jobs)
	Strict    bool      // Hydra's own grammar only: no a+=[x]

	JobName   string // hydra.job.name; "wildtrain" where empty
	WorkDir   string // hydra.runtime.cwd
	Env       func(string) (string, bool)
	Now       time.Time // for ${now:…}; the present where zero
	Resolvers map[string]Resolver
	Warn      func(string)  // takes warnings; nil drops them
	Composed  func(*Config) // is shown what came out, before anything is decoded; may be nil
}

// Config is a composed configuration.
type Config struct {
	Root      *Node       // the whole configuration without the hydra node, not resolved
	Hydra     *Node       // the hydra node
	Defaults  []Default   // files in the order of merging
	Sources   []*Source   // search path
	Overrides []*Override // as parsed, in order
	full      *Node       // Root and Hydra in one tree
	choices   *pairs      // override key → option
	env       *environment
	repo      *repository
	name      string
	foreign   bool // not of this SDK's schema
}

// Shipped is the configuration tree that comes with the SDK.
func Shipped() fs.FS { return sub(shippedFiles, "configs") }

func sub(tree fs.FS, dir string) fs.FS {
	s, err := fs.Sub(tree, dir)
	if err != nil {
		panic(err) // the folders are embedded above
	}
	return s
}

// builtIn names the tree of Hydra's own settings, as Hydra does.
const builtIn = "pkg://hydra.conf"

func hydraSource() *Source {
	return &Source{Provider: "hydra", Path: builtIn, tree: sub(builtinFiles, "builtin"), shared: &hydraCache}
}

func shippedSource() *Source {
	return &Source{Provider: "shipped", Path: "shipped", tree: Shipped(), shared: &shippedCache}
}

func (o *Options) sources() ([]*Source, error) {
	out := []*Source{hydraSource()}
	for _, d := range o.Dirs {
		s := FolderSource("main", d)
		if !s.available() {
			return nil, problem("config folder %q not found", d)
		}
		out = append(out, s)
	}
	if o.ConfigDir != "" {
		s := FolderSource("command-line", o.ConfigDir)
		if !s.available() {
			return nil, problem("config folder %q not found", o.ConfigDir)
		}
		out = append(out, s)
	}
	out = append(out, o.Sources...)
	if !o.Foreign {
		out = append(out, shippedSource())
	}
	return out, nil
}

// Compose builds the configuration. Errors are *Error or Errors.
func Compose(o Options) (*Config, error) {
	if o.Name == "" {
		o.Name = "main"
	}
	overrides := make([]*Override, len(o.Overrides))
	for i, line := range o.Overrides {
		var err error
		if overrides[i], err = ParseOverride(line); err != nil {
			return nil, err
		}
		if err := overrides[i].legal(&o); err != nil {
			return nil, err
		}
	}
	sources, err := o.sources()
	if err != nil {
		return nil, err
	}
	c := &Config{Sources: sources, Overrides: overrides, env: newEnvironment(&o), name: o.Name, foreign: o.Foreign}
	c.repo = newRepository(sources)
	c.env.hydra = func() *Node {
		if c.full == nil {
			return nil
		}
		return c.full.child("hydra")
	}
	if !o.Foreign {
		if err := c.migratePrimary(); err != nil {
			return nil, err
		}
	}
	if err := c.searchPath(&o); err != nil {
		return nil, err
	}
	if err := c.compose(&o); err != nil {
		return nil, err
	}
	if o.Composed != nil {
		o.Composed(c)
	}
	return c, nil
}

// legal refuses sweeps where they make no sense.
func (o *Override) legal(opt *Options) error {
	fail := func(hint, format string, args ...any) error {
		x := problem(format, args...)
		x.File, x.Hint = "override "+shorten(o.Line), hint
		return x
	}
	if o.Op == Extend && opt.Strict {
		return fail("", "a+=[…] is an extension that Hydra does not know")
	}
	s := o.Sweep()
	switch {
	case s == nil:
		return nil
	case opt.Multirun && o.hydra():
		return fail("", "the hydra node cannot be swept over")
	case opt.Multirun:
		return nil
	case s.Simple && s.Kind == ChoiceSweep:
		return fail("a list is key=[a,b], text is key='a,b', a sweep needs --multirun", "the value is ambiguous")
	}
	return fail("", "a sweep needs --multirun")
}

// searchPath adds hydra.searchpath of the primary file or the command line.
func (c *Config) searchPath(o *Options) error {
	primary, err := c.repo.load(c.name)
	if err != nil || primary == nil {
		return err // an absent primary file is reported with the defaults list
	}
	if primary.root.kind != Dict {
		return errorAt(primary.root, "the primary config must be a mapping")
	}
	eval := newEvaluator(c.env)
	list, err := c.searchList(primary, eval)
	if err != nil {
		return err
	}
	if list == nil || list.kind == Null || list.Missing() {
		return nil
	}
	if list.kind != List {
		return errorAt(list, "hydra.searchpath must be a list of folders")
	}
	var added []*Source
	for _, item := range list.items {
		v, err := eval.deref(item)
		if err != nil {
			return err
		}
		if v.kind != String {
			return errorAt(item, "hydra.searchpath must be a list of folders")
		}
		dir := strings.TrimPrefix(v.value.(string), "file://")
		if strings.Contains(dir, "://") {
			return errorAt(item, "only folders can be searched, not %s", dir)
		}
		s := FolderSource("hydra.searchpath", dir)
		if !s.available() {
			c.env.warn("config folder " + dir + " of hydra.searchpath is not available")
		}
		added = append(added, s)
	}
	end := len(c.Sources)
	if !o.Foreign {
		end-- // the shipped tree stays last
	}
	c.Sources = slices.Insert(slices.Clone(c.Sources), end, added...)
	files := c.repo.files
	c.repo = newRepository(c.Sources)
	c.repo.files = files
	return nil
}

// searchList is hydra.searchpath as the command line or else the primary file has it.
func (c *Config) searchList(primary *file, eval *evaluator) (*Node, error) {
	for _, x := range c.Overrides {
		if x.name() == "hydra.searchpath" {
			return fromValue(x.value, &place{file: x.Line, override: true})
		}
	}
	list, err := eval.selectNode(primary.root, "hydra.searchpath", false)
	if err != nil {
		return nil, at(err, primary.root)
	}
	return list, nil
}

func (c *Config) compose(o *Options) error {
	eval := newEvaluator(c.env)
	groups, err := newChoices(c.repo, c.Overrides, eval)
	if err != nil {
		return err
	}
	groups.loose, groups.ours = o.Multirun, !o.Foreign
	if err := c.defaultsList(groups); err != nil {
		return err
	}
	if err := c.mergeFiles(eval); err != nil {
		return err
	}
	if !c.foreign {
		c.adopt()
	}
	for _, x := range groups.values {
		if err := c.apply(x, eval); err != nil {
			return err
		}
	}
	c.choices = groups.known
	if err := c.fillHydra(o); err != nil {
		return err
	}
	c.Hydra = c.full.child("hydra")
	c.Root = c.full.clone()
	c.Root.remove("hydra")
	return nil
}

// defaultsList expands the defaults of the hydra node, then of the primary file.
func (c *Config) defaultsList(groups *choices) error {
	root := &tree{node: &entry{virtual: true}}
	hydra := &tree{node: &entry{path: "hydra/config"}, parent: root}
	primary := &tree{node: &entry{path: c.name, primary: true}, parent: root}
	// The primary file first: its overrides count for the hydra node, too.
	for _, t := range []*tree{primary, hydra} {
		if err := groups.expand(t, t.node.primary, false); err != nil {
			return err
		}
	}
	root.children = []*tree{hydra, primary}
	c.Defaults = groups.flatten(root, nil)
	if err := unique(c.Defaults); err != nil {
		return err
	}
	return groups.finish()
}

// mergeFiles merges the files of the defaults list in order.
func (c *Config) mergeFiles(eval *evaluator) error {
	c.full = newDict(nil)
	for _, d := range c.Defaults {
		f, err := c.repo.load(d.Path)
		if err != nil {
			return err
		}
		content := f.root.clone()
		if err := checkSearchPath(content, &d); err != nil {
			return err
		}
		for i, keys := 0, packageKeys(d.Package); i < len(keys); i++ {
			outer := newDict(nil)
			outer.set(keys[len(keys)-1-i], content)
			content = outer
		}
		if content.kind != Dict {
			return errorAt(content, "%q holds a list, which cannot be merged into the root: give it a package", d.Path)
		}
		if err := eval.merge(c.full, content, false); err != nil {
			return err
		}
		if d.Path == "hydra/config" {
			closeHydra(c.full.child("hydra"))
		}
	}
	return nil
}

func packageKeys(pkg string) []string {
	if pkg == "" {
		return nil
	}
	return splitKey(pkg)
}

func checkSearchPath(content *Node, d *Default) error {
	if d.primary || d.Path == "hydra/config" || content.kind != Dict {
		return nil
	}
	hydra := content
	if d.Package != "hydra" {
		if d.Package != "" {
			return nil
		}
		if hydra = content.child("hydra"); hydra == nil || hydra.kind != Dict {
			return nil
		}
	}
	if s := hydra.child("searchpath"); s != nil && s.kind != Null {
		return errorAt(s, "hydra.searchpath can be set in the primary config only")
	}
	return nil
}

// apply carries out an override of a value.
func (c *Config) apply(o *Override, eval *evaluator) error {
	p := &place{file: o.Line, override: true}
	fail := func(err error) error {
		x, ok := err.(*Error)
		if !ok {
			x = problem("%s", err.Error())
		}
		if x.File == "" {
			x.File = "override " + shorten(o.Line)
		}
		if x.Key == "" {
			x.Key = o.Key
		}
		return x
	}
	if o.HasPackage {
		x := problem("%q looks like a group, but there is no such group", o.Key)
		x.Hint = didYouMean(o.Key, c.repo.list("", true))
		return fail(x)
	}
	switch o.Op {
	case Delete:
		if err := c.delete(o, eval); err != nil {
			return fail(err)
		}
		return nil
	case Extend:
		if err := c.extend(o, p, eval); err != nil {
			return fail(err)
		}
		return nil
	case Add:
		have, err := c.selectLoose(o.Key, eval)
		if err != nil {
			return fail(err)
		}
		_, list := o.value.([]any)
		_, dict := o.value.(*pairs)
		if have != nil && !list && !dict {
			x := problem("there is a value already, from %s", have.place)
			x.Hint = "use " + strings.TrimPrefix(o.Line, "+") + " to change it, ++ to do either"
			return fail(x)
		}
	}
	return c.set(o, p, eval, fail)
}

// set sets a value. In trees of this SDK's schema a key needs no "+" where the
// schema knows it, even if no file writes it.
func (c *Config) set(o *Override, p *place, eval *evaluator, fail func(error) error) error {
	ours := !c.foreign && !o.hydra()
	foreign := ours && !inSchema(o.Key) && adopts(o.Key)
	force := o.Op == Add || o.Op == ForceAdd || foreign || ours && inSchema(o.Key)
	err := eval.update(c.full, o.Key, o.value, p, force)
	if err == nil {
		if foreign || ours && o.Key == "model.freeze" {
			c.adopt()
		}
		return nil
	}
	x := fail(err).(*Error)
	if x.Message != "unknown key" {
		return x
	}
	x.File, x.Line, x.Column = "override "+shorten(o.Line), 0, 0
	if ours {
		if key, hint := misspelled(o.Key); hint != "" {
			x.Key, x.Hint = key, hint
		}
	}
	if x.Hint == "" {
		x.Hint = "to add a key use +" + o.Line
	}
	return x
}

// selectLoose returns the resolved value at key, nil where it is absent, null or
// missing.
func (c *Config) selectLoose(key string, eval *evaluator) (*Node, error) {
	v, err := eval.selectNode(c.full, key, false)
	if _, plain := err.(*notContainer); plain {
		return nil, nil
	}
	if err != nil || v == nil || v.kind == Null || v.Missing() {
		return nil, err
	}
	return v, nil
}

func (c *Config) delete(o *Override, eval *evaluator) error {
	v, err := c.selectLoose(o.Key, eval)
	if err != nil {
		return err
	}
	if v == nil {
		return problem("could not delete: there is no value")
	}
	if o.HasValue && o.value != nil {
		want, err := fromValue(o.value, nil)
		if err != nil {
			return err
		}
		if !equal(want, v) {
			return problem("could not delete: the value is %s", v.Text())
		}
	}
	head, last := "", o.Key
	if i := strings.LastIndexByte(o.Key, '.'); i >= 0 {
		head, last = o.Key[:i], o.Key[i+1:]
	}
	parent, err := eval.selectNode(c.full, head, false)
	if err != nil {
		return err
	}
	if parent == nil || parent.kind != Dict || parent.child(last) == nil {
		return problem("could not delete: entries of lists cannot be deleted")
	}
	parent.remove(last)
	return nil
}

// extend appends to a list: an extension over Hydra.
func (c *Config) extend(o *Override, p *place, eval *evaluator) error {
	v, err := c.selectLoose(o.Key, eval)
	if err != nil {
		return err
	}
	if v == nil || v.kind != List {
		return problem("+= needs a list to append to")
	}
	more, err := fromValue(o.value, p)
	if err != nil {
		return err
	}
	list := v.clone()
	list.place = p
	if more.kind == List {
		for _, item := range more.items {
			list.push(item)
		}
	} else {
		list.push(more)
	}
	keys := splitKey(o.Key)
	parent, err := eval.selectNode(c.full, strings.Join(keys[:len(keys)-1], "."), true)
	if err != nil {
		return err
	}
	return eval.assign(parent, keys[len(keys)-1], list, false)
}

// equal compares values as Python does: 1 == 1.0 == True.
func equal(a, b *Node) bool {
	if a.container() || b.container() {
		if a.kind != b.kind || len(a.items) != len(b.items) {
			return false
		}
		for i, item := range a.items {
			other := b.items[i]
			if a.kind == Dict {
				if other = b.child(a.keys[i]); other == nil {
					return false
				}
			}
			if !equal(item, other) {
				return false
			}
		}
		return true
	}
	if isNumber(a.value) && isNumber(b.value) {
		return compareNumbers(numberOf(a.value), numberOf(b.value)) == 0
	}
	return a.kind == b.kind && a.value == b.value
}
