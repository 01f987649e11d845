package sdk_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The rules below are those of DESIGN §1 and §6. The tests parse the sources
// and never build them, so they run without cgo and libtorch.

const module = "github.com/wildtrain/sdk"

// imports says what each part of the tree may import of this module, by path
// prefix, with the reason. "" stands for the module's root folder. A part may
// always import its own sub-packages.
var imports = []struct {
	part    string
	allowed []string
	reason  string
}{
	{"", nil, "the root is documentation only"},
	{"wildtrain", nil, "contracts and loop stand on the standard library, so that a user's Model needs nothing else"},
	{"evaluate", pure, pureReason},
	{"config", pure, pureReason},
	{"datamodule", pure, pureReason},
	{"checkpoint", pure, pureReason},
	{"mlflow", append([]string{"checkpoint"}, pure...), pureReason},
	{"tune", pure, pureReason},
	{"onnx", pure, pureReason},
	{"internal", pure, pureReason},
	{"wildtraintest", pure, pureReason},
	{"cmd", []string{"internal"}, "the libtorch command must run before anything else can be built"},
	{"torch", pure, "torch knows tensors, not data, tracking or configuration"},
	{"detection", append([]string{"torch", "checkpoint", "onnx"}, pure...), "a detector can be used without the SDK's data and tracking"},
	{"classification", append([]string{"torch", "checkpoint", "onnx"}, pure...), "a classifier can be used without the SDK's data and tracking"},
	{"pipeline", append([]string{"config", "datamodule", "evaluate", "checkpoint", "mlflow", "tune", "onnx", "torch", "detection", "classification"}, pure...),
		"pipeline composes all others; nothing imports examples"},
	{"examples", []string{"wildtrain", "config", "datamodule", "evaluate", "checkpoint", "mlflow", "tune", "onnx", "torch", "detection", "classification", "pipeline"},
		"examples are users: what is internal is out of their reach"},
	{"parity", everything, "parity tests compare any part with its peer"},
	{"bench", everything, "benchmarks measure any part"},
}

var (
	pure       = []string{"wildtrain", "internal"}
	everything = []string{"wildtrain", "internal", "config", "datamodule", "evaluate", "checkpoint", "mlflow", "tune", "onnx", "torch", "detection", "classification", "pipeline", "wildtraintest"}
)

// testTools are what a part's tests may import besides: to read goldens and to
// measure what was learnt.
var testTools = map[string][]string{
	"torch": {"checkpoint"}, "detection": {"evaluate"}, "classification": {"evaluate"},
}

const pureReason = "pure packages build without libtorch and stand alone: of this module they import wildtrain and internal only"

// thirdParty lists the modules that the packages under a path may import
// besides the standard library; the longest path that fits counts.
var thirdParty = map[string][]string{
	"internal/yamlsafe": {"gopkg.in/yaml.v3"},
	"internal/imageio":  {"github.com/gen2brain/jpegn", "golang.org/x/image"},
	"internal/draw":     {"golang.org/x/image"},
	"datamodule":        {"golang.org/x/sync"},
	"evaluate":          {"gonum.org/v1/gonum"},
	"evaluate/report":   {"gonum.org/v1/gonum", "gonum.org/v1/plot", "golang.org/x/image"},
	"checkpoint":        {"golang.org/x/sys"},
	"mlflow":            {"modernc.org/sqlite", "golang.org/x/sync"},
	"tune":              {"gonum.org/v1/gonum"},
	"tune/rdb":          {"modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql"},
	"onnx":              {"google.golang.org/protobuf/encoding/protowire"},
	"torch":             {"github.com/sugarme/gotch"},
	"pipeline":          {"golang.org/x/sync", "golang.org/x/image"},
	"examples":          {"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/vbauerster/mpb", "golang.org/x/image", "golang.org/x/term"},
	"cmd":               {"golang.org/x/sys"},
	"wildtraintest":     testOnly,

	"tune/internal/storagetest": testOnly, // the tests that every storage passes
}

// testOnly are the modules that every test may import.
var testOnly = []string{
	"github.com/google/go-cmp", "github.com/stretchr/testify", "pgregory.net/rapid", "go.uber.org/goleak",
}

// source is one parsed Go file.
type source struct {
	path      string // slash-separated, from the module's root
	dir       string // "" at the root
	test      bool
	ignored   bool // //go:build ignore: a script, no part of its package
	generated bool
	lines     int
	file      *ast.File
}

// report takes a breach of a rule.
type report func(format string, args ...any)

// rules are the checks, by name.
var rules = map[string]func(tree, report){
	"import graph":                  importGraph,
	"packages are documented":       packagesAreDocumented,
	"exported names are documented": exportedNamesAreDocumented,
	"files are short":               filesAreShort,
	"forbidden calls":               forbiddenCalls,
	"the context comes first":       contextComesFirst,
	"names say what is inside":      namesSayWhatIsInside,
	"texts are clean":               textsAreClean,
}

func TestStructure(t *testing.T) {
	all := readTree(t, ".")
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { rule(all, t.Errorf) })
	}
}

func importGraph(all tree, fail report) {
	for _, s := range all.sources {
		if s.ignored {
			continue
		}
		for _, im := range s.file.Imports {
			name := strings.Trim(im.Path.Value, `"`)
			switch {
			case name == "C":
				if part(s.dir) != "torch" {
					fail("%s: cgo is used in torch only", s.path)
				}
			case name == module || strings.HasPrefix(name, module+"/"):
				checkOwn(fail, s, strings.TrimPrefix(strings.TrimPrefix(name, module), "/"))
			case strings.Contains(strings.SplitN(name, "/", 2)[0], "."):
				checkThirdParty(fail, s, name)
			}
		}
	}
}

func checkOwn(fail report, s source, target string) {
	from := part(s.dir)
	if target == from || under(target, from) && from != "" {
		return
	}
	if s.test && (target == s.dir || slices.ContainsFunc(testTools[from], func(p string) bool { return under(target, p) })) {
		return
	}
	if s.test && target == "wildtraintest" {
		return
	}
	for _, rule := range imports {
		if rule.part != from {
			continue
		}
		if !slices.ContainsFunc(rule.allowed, func(p string) bool { return under(target, p) }) {
			fail("%s must not import %s: %s", s.path, target, rule.reason)
		}
		return
	}
	fail("%s: the folder %q has no rule in structure_test.go: say what it may import", s.path, from)
}

func checkThirdParty(fail report, s source, name string) {
	allowed := thirdParty[longestPrefix(s.dir)]
	if s.test {
		allowed = append(slices.Clone(testOnly), allowed...)
	}
	if !slices.ContainsFunc(allowed, func(m string) bool { return under(name, m) }) {
		fail("%s must not import %s: it is not in the allow-list of %q (a new dependency needs a line in docs/decisions)", s.path, name, s.dir)
	}
}

// longestPrefix is the most specific entry of thirdParty for a folder.
func longestPrefix(dir string) string {
	for ; dir != "." && dir != ""; dir = path.Dir(dir) {
		if _, ok := thirdParty[dir]; ok {
			return dir
		}
	}
	return ""
}

// part is the top folder.
func part(dir string) string { return strings.SplitN(dir, "/", 2)[0] }

// under tells whether a slash-separated path is p or lies below it.
func under(name, p string) bool { return name == p || strings.HasPrefix(name, p+"/") }

func packagesAreDocumented(all tree, fail report) {
	docs := map[string]bool{}
	for _, s := range all.sources {
		if s.test || s.ignored {
			continue
		}
		want := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			want = ""
		}
		if s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), want) {
			docs[s.dir] = true
		} else if _, ok := docs[s.dir]; !ok {
			docs[s.dir] = false
		}
	}
	for dir, ok := range docs {
		if !ok {
			fail("%s: no file has a package comment", dir)
		}
	}
}

func exportedNamesAreDocumented(all tree, fail report) {
	for _, s := range all.sources {
		if s.test || s.ignored || s.generated || s.file.Name.Name == "main" {
			continue
		}
		for _, d := range s.file.Decls {
			for _, name := range undocumented(d) {
				fail("%s: %s has no doc comment", s.path, name)
			}
		}
	}
}

// undocumented lists the exported names of a declaration that lack a comment.
func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
			names = append(names, strings.TrimPrefix(receiver(d)+"."+d.Name.Name, "."))
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func filesAreShort(all tree, fail report) {
	const most, mostExample = 600, 100
	for _, s := range all.sources {
		if s.lines > most && !s.generated {
			fail("%s has %d lines, more than %d", s.path, s.lines, most)
		}
		if part(s.dir) == "examples" && !under(s.dir, "examples/wildtrain") && s.lines >= mostExample {
			fail("%s has %d lines: an example has under %d", s.path, s.lines, mostExample)
		}
	}
}

// A library returns errors. It does not end the process, leave freeing to the
// garbage collector, or do things because it was imported.
func forbiddenCalls(all tree, fail report) {
	for _, s := range all.sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					fail("%s: func init: effects at import", s.path)
				}
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok {
					return true
				}
				call := x.Name + "." + n.Sel.Name
				switch {
				case (strings.HasPrefix(call, "log.Fatal") || strings.HasPrefix(call, "log.Panic") || call == "os.Exit") &&
					s.file.Name.Name != "main" && !s.test:
					fail("%s: %s outside a main package: return an error", s.path, call)
				case call == "runtime.SetFinalizer" && !s.test:
					fail("%s: %s: close by hand or by scope", s.path, call)
				}
			}
			return true
		})
	}
}

func contextComesFirst(all tree, fail report) {
	for _, s := range all.sources {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test {
				continue
			}
			for i, p := range f.Type.Params.List {
				if sel, ok := p.Type.(*ast.SelectorExpr); ok && i > 0 && sel.Sel.Name == "Context" && fmt.Sprint(sel.X) == "context" {
					fail("%s: %s takes its context after other parameters", s.path, f.Name.Name)
				}
			}
		}
	}
}

// A package is named by what it holds.
func namesSayWhatIsInside(all tree, fail report) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "misc", "stuff", "lib", "tools"}
	for _, s := range all.sources {
		name := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.path), ".go"), "_test")
		if slices.Contains(vague, s.file.Name.Name) || slices.Contains(vague, path.Base(s.dir)) || slices.Contains(vague, name) {
			fail("%s: a name that says nothing", s.path)
		}
	}
}

// No text of the tree names a package registry's host (they are reached through
// their clients), a path of the machine it was written on, or unfinished work.
func textsAreClean(all tree, fail report) {
	dot := "." // so that this file does not contain what it looks for
	hosts := []string{
		"pypi" + dot + "org", "pythonhosted" + dot + "org", "maven" + dot + "org", "maven.apache" + dot + "org",
		"npmjs" + dot + "org", "proxy.golang" + dot + "org", "sum.golang" + dot + "org", "crates" + dot + "io",
		"anaconda" + dot + "org", "rubygems" + dot + "org",
	}
	var markers []string
	for _, m := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"} {
		markers = append(markers, m+":", m+"(", "// "+m, "# "+m)
	}
	machine := []string{"/ro" + "ot/"}
	for _, before := range []string{" ", "\"", "'", "`", "=", "(", ":", "\n"} { // "framework/" is no such path
		machine = append(machine, before+"/wo"+"rk/")
	}
	for name, text := range all.texts {
		for kind, words := range map[string][]string{"a registry's host": hosts, "unfinished work": markers, "a path of one machine": machine} {
			for _, w := range words {
				if i := strings.Index(text, w); i >= 0 {
					fail("%s:%d names %s: %q", name, 1+strings.Count(text[:i], "\n"), kind, w)
				}
			}
		}
	}
}

// tree is a checkout, read.
type tree struct {
	sources []source          // all Go files outside testdata
	texts   map[string]string // content of all text files of a sensible size
}

// readTree reads every file of a module: nested modules, hidden folders (but
// for .ci) and what runs and builds leave behind are left out.
func readTree(t *testing.T, root string) tree {
	t.Helper()
	leavings := []string{"runs", "bin", "build", "mlruns", "node_modules"}
	rapid := "testdata/rapid" // failing cases
	all := tree{texts: map[string]string{}}
	fset := token.NewFileSet()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a temporary file that has gone again
		case err != nil:
			return err
		case d.Type().IsRegular():
			return all.add(fset, root, name)
		case !d.IsDir() || name == ".":
			return nil
		}
		_, nested := os.Stat(filepath.Join(root, name, "go.mod"))
		if strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" || slices.Contains(leavings, name) || strings.HasSuffix(name, rapid) || nested == nil {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.sources) == 0 {
		t.Fatal("no sources were found")
	}
	return all
}

func (all *tree) add(fset *token.FileSet, root, name string) error {
	const most = 4 << 20 // bytes: larger ones are data
	full := filepath.Join(root, filepath.FromSlash(name))
	if info, err := os.Stat(full); err != nil || info.Size() > most {
		return nil
	}
	b, err := os.ReadFile(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || slices.Contains(b[:min(len(b), 8000)], 0) {
		return err
	}
	all.texts[name] = string(b)
	if !strings.HasSuffix(name, ".go") || slices.Contains(strings.Split(name, "/"), "testdata") {
		return nil
	}
	f, err := parser.ParseFile(fset, full, b, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s := source{
		path: name, dir: strings.TrimPrefix(path.Dir(name), "."), test: strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(f), lines: strings.Count(string(b), "\n"), file: f,
	}
	for _, c := range f.Comments {
		s.ignored = s.ignored || c.Pos() < f.Package && strings.HasPrefix(c.List[0].Text, "//go:build ignore")
	}
	all.sources = append(all.sources, s)
	return nil
}

// Every rule finds its breach, and only that, in a small tree that is otherwise sound.
func TestRulesFindBreaches(t *testing.T) {
	sound := map[string]string{
		"doc.go":           "// Package sdk is documentation.\npackage sdk\n",
		"wildtrain/doc.go": "// Package wildtrain holds contracts.\npackage wildtrain\n\nimport _ \"context\"\n",
	}
	file := func(pkg, body string) string {
		return "// Package " + pkg + " is a test.\npackage " + pkg + "\n\n" + body
	}
	uses := func(pkg, name string) string { return file(pkg, "import _ \""+name+"\"\n") }
	for _, c := range []struct{ rule, path, content string }{
		{"", "datamodule/a.go", uses("datamodule", module+"/wildtrain")},
		{"", "torch/nn/a.go", uses("nn", module+"/torch")},
		{"", "wildtrain/a_test.go", uses("wildtrain", module+"/wildtraintest")},
		{"", "mlflow/a.go", uses("mlflow", module+"/checkpoint")},
		{"", "examples/a/main.go", "// Command a exits.\npackage main\n\nimport \"os\"\n\nfunc main() { os.Exit(1) }\n"},
		{"import graph", "wildtrain/a.go", uses("wildtrain", module+"/internal/geom")},
		{"import graph", "wildtrain/a.go", uses("wildtrain", "golang.org/x/sync/errgroup")},
		{"import graph", "datamodule/a.go", uses("datamodule", module+"/torch")},
		{"import graph", "datamodule/a_test.go", uses("datamodule", module+"/torch")},
		{"import graph", "evaluate/a.go", uses("evaluate", module+"/datamodule")},
		{"import graph", "evaluate/a.go", uses("evaluate", module+"/wildtraintest")},
		{"import graph", "torch/a.go", uses("torch", module+"/checkpoint")},
		{"import graph", "evaluate/a.go", uses("evaluate", "gonum.org/v1/plot")},
		{"import graph", "config/a.go", uses("config", "gopkg.in/yaml.v3")},
		{"import graph", "detection/a.go", uses("detection", "github.com/sugarme/gotch/ts")},
		{"import graph", "detection/a.go", uses("detection", module+"/classification")},
		{"import graph", "detection/a.go", uses("detection", module+"/mlflow")},
		{"import graph", "detection/a.go", uses("detection", "C")},
		{"import graph", "pipeline/a.go", uses("pipeline", module+"/examples/wildtrain")},
		{"import graph", "examples/a/a.go", uses("a", module+"/internal/geom")},
		{"import graph", "newpart/a.go", uses("newpart", module+"/wildtrain")},
		{"packages are documented", "tune/a.go", "package tune\n"},
		{"exported names are documented", "tune/a.go", file("tune", "func Exported() {}\n")},
		{"exported names are documented", "tune/a.go", file("tune", "// T is.\ntype T[K any] struct{}\n\nfunc (*T[K]) Do() {}\n")},
		{"exported names are documented", "tune/a.go", file("tune", "var A, B = 1, 2\n")},
		{"files are short", "tune/a.go", file("tune", strings.Repeat("\n", 600))},
		{"files are short", "examples/a/main.go", "// Command a is long.\npackage main\n" + strings.Repeat("\n", 99)},
		{"forbidden calls", "tune/a.go", file("tune", "func init() {}\n")},
		{"forbidden calls", "tune/a.go", file("tune", "import \"log\"\n\nfunc f() { log.Fatalf(\"x\") }\n")},
		{"forbidden calls", "tune/a.go", file("tune", "import \"os\"\n\nfunc f() { os.Exit(1) }\n")},
		{"forbidden calls", "tune/a.go", file("tune", "import \"runtime\"\n\nfunc f() { runtime.SetFinalizer(nil, nil) }\n")},
		{"the context comes first", "tune/a.go", file("tune", "import \"context\"\n\nfunc f(n int, ctx context.Context) {}\n")},
		{"names say what is inside", "internal/util/a.go", file("util", "")},
		{"names say what is inside", "tune/helpers.go", file("tune", "")},
		{"texts are clean", "tune/a.go", file("tune", "// TO"+"DO: later\n")},
		{"texts are clean", "docs/a.md", "from https://py" + "pi.org/simple"},
		{"texts are clean", "bench/a.py", "open('/ro" + "ot/x')"},
	} {
		t.Run(c.rule+" "+c.path, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range sound {
				write(t, filepath.Join(root, name), content)
			}
			write(t, filepath.Join(root, c.path), c.content)
			all := readTree(t, root)
			for name, rule := range rules {
				var found []string
				rule(all, func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
				if (len(found) > 0) != (name == c.rule) {
					t.Errorf("rule %q found %q", name, found)
				}
			}
		})
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
