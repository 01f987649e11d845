package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// Moved is one key of a migrated file.
type Moved struct {
	From string // key in the old file
	To   string // key here; "" where there is none
	Note string // why there is none, or what changed
	Line int
}

// Migration is another program's configuration file in the form of this SDK.
type Migration struct {
	Kind    string // what the file was: detection, classification, ultralytics, …
	YAML    string // to be used as a primary configuration
	Mapped  []Moved
	Dropped []Moved
}

// String reports what was mapped and what was not, one key a line.
func (m *Migration) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s configuration: %d keys mapped, %d without counterpart\n", m.Kind, len(m.Mapped), len(m.Dropped))
	for _, x := range m.Mapped {
		fmt.Fprintf(&b, "  %-40s -> %s", x.From, x.To)
		if x.Note != "" {
			fmt.Fprintf(&b, "  (%s)", x.Note)
		}
		b.WriteByte('\n')
	}
	for _, x := range m.Dropped {
		fmt.Fprintf(&b, "  %-40s    %s\n", x.From, x.Note)
	}
	return b.String()
}

// Migrate reads a YAML file of the Python WildTrain, or one of Ultralytics'
// arguments (args.yaml), and writes the configuration that means the same here. name is for errors. Every key is mapped or dropped
// with a reason; keys that the reference's schemas do not know are reported too
// (the reference dropped them without a word).
func Migrate(name string, data []byte) (*Migration, error) {
	root, err := parseYAML(name, data, yamlsafe.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return migrate(root)
}

func migrate(root *Node) (*Migration, error) {
	if root.kind != Dict {
		return nil, errorAt(root, "a configuration must be a mapping")
	}
	resolved, err := newEvaluator(newEnvironment(&Options{})).resolveTree(root)
	if err != nil {
		return nil, err
	}
	m := &Migration{Kind: kindOf(root)}
	if m.Kind == "" {
		return nil, errorAt(root, "this is none of the reference's or Ultralytics' configurations (known: %s)", strings.Join(migrationKinds(), ", "))
	}
	out := newDict(nil)
	defaults := newList(nil)
	defaults.push(newNode(String, "main", nil))
	defaults.push(newNode(String, "_self_", nil))
	out.set("defaults", defaults)
	w := &migrator{m: m, old: resolved, rules: slices.Concat(migrationRules[m.Kind], migrationRules["any"]), out: out}
	if m.Kind == "ultralytics" && resolved.child("mode") != nil && resolved.child("mode").Text() == "predict" {
		w.looking()
	}
	w.walk(resolved, "")
	for _, c := range migrationConstants[m.Kind] {
		v, err := fromValue(c.value, nil)
		if err != nil {
			return nil, err
		}
		w.put(strings.Split(c.key, "."), v)
	}
	m.YAML = out.YAML()
	return m, nil
}

func migrationKinds() []string {
	var out []string
	for _, k := range kindMarks {
		out = append(out, k.kind)
	}
	return slices.Compact(out)
}

// kindMarks tell the kinds of files by keys that only they have; the first fit counts.
var kindMarks = []struct {
	kind string
	keys []string
}{
	{"pipeline", []string{"disable_train"}}, {"pipeline", []string{"disable_eval"}}, {"pipeline", []string{"train.config"}},
	{"sweep", []string{"n_trials"}}, {"sweep", []string{"sweep"}},
	{"visualization", []string{"fiftyone"}}, {"visualization", []string{"label_studio"}}, {"visualization", []string{"prediction_field"}},
	{"registration", []string{"processing"}},
	{"inference", []string{"mlflow_registry_name"}}, {"inference", []string{"workers_per_device"}},
	{"detection evaluation", []string{"weights.localizer"}}, {"detection evaluation", []string{"eval", "metrics"}},
	{"classification evaluation", []string{"classifier"}},
	{"detection", []string{"use_custom_yolo"}}, {"detection", []string{"train", "dataset.data_cfg"}}, {"detection", []string{"train", "model.architecture_file"}}, {"detection", []string{"train.imgsz"}}, {"detection", []string{"train.lr0"}},
	{"classification", []string{"model.backbone"}}, {"classification", []string{"dataset.dataset_type"}},
	{"ultralytics", []string{"imgsz"}}, {"ultralytics", []string{"lr0"}}, {"ultralytics", []string{"epochs", "data"}}, {"ultralytics", []string{"task", "mode"}},
}

func kindOf(root *Node) string {
	for _, k := range kindMarks {
		if !slices.ContainsFunc(k.keys, func(key string) bool { return follow(root, key) == nil }) {
			return k.kind
		}
	}
	return ""
}

// follow follows plain keys.
func follow(n *Node, key string) *Node {
	for _, k := range strings.Split(key, ".") {
		if n = selectOne(n, k); n == nil {
			return nil
		}
	}
	return n
}

// migrationRule maps a key. A "from" ending in ".*" takes all keys below it. An
// empty "to" drops the key with the note as the reason, unless param makes it a
// parameter of a search. A rule with a switch ("when") does not hold where that
// key is false.
type migrationRule struct {
	from, to, note string
	param          string
	when           string
	change         func(*Node) (*Node, string)
	spread         func(*Node) ([]setting, string) // in the place of "to": several keys
}

type migrator struct {
	m     *Migration
	old   *Node
	rules []migrationRule
	out   *Node
}

func (w *migrator) walk(n *Node, head string) {
	for i, k := range n.keys {
		key, item := joinKey(head, k), n.items[i]
		r := w.rule(key)
		if item.kind == Dict && len(item.items) > 0 && (r == nil || w.deeper(key)) {
			w.walk(item, key)
			continue
		}
		moved := Moved{From: key}
		if item.place != nil {
			moved.Line = item.place.line
		}
		switch {
		case r == nil:
			moved.Note = "unknown: the reference's schema has no such key and dropped it without a word"
			w.m.Dropped = append(w.m.Dropped, moved)
		case r.when != "" && w.off(r.when):
			moved.Note = "switched off by " + r.when
			w.m.Dropped = append(w.m.Dropped, moved)
		case r.to == "" && r.param == "" && r.spread == nil:
			moved.Note = r.note
			w.m.Dropped = append(w.m.Dropped, moved)
		case item.kind == Null:
			moved.Note = "null: the default stays"
			w.m.Dropped = append(w.m.Dropped, moved)
		default:
			w.move(item, r, moved)
		}
	}
}

func (w *migrator) move(item *Node, r *migrationRule, moved Moved) {
	v := item.clone()
	if r.spread != nil {
		w.spread(v, r, moved)
		return
	}
	moved.To, moved.Note = r.to, r.note
	if r.change != nil {
		changed, note := r.change(v)
		if changed == nil {
			moved.To, moved.Note = "", note
			w.m.Dropped = append(w.m.Dropped, moved)
			return
		}
		v = changed
		if note != "" {
			moved.Note = note
		}
	}
	if r.param != "" {
		moved.To = "tune.params." + r.param
		w.put([]string{"tune", "params", r.param}, v)
	} else {
		w.put(strings.Split(r.to, "."), v)
	}
	w.m.Mapped = append(w.m.Mapped, moved)
}

// looking makes the arguments of evaluation those of prediction.
func (w *migrator) looking() {
	for i, r := range w.rules {
		if name, ok := strings.CutPrefix(r.to, "evaluation."); ok && name != "split" {
			w.rules[i].to = "predict." + name
		}
	}
}

// spread sets the keys that one old key stands for.
func (w *migrator) spread(v *Node, r *migrationRule, moved Moved) {
	list, note := r.spread(v)
	moved.Note = note
	var names []string
	for _, s := range list {
		node, err := fromValue(s.value, v.place)
		if err != nil || follow(w.out, s.key) != nil {
			continue // values are those of scalars; what has a key of its own counts
		}
		w.put(strings.Split(s.key, "."), node)
		names = append(names, s.key)
	}
	if moved.To = strings.Join(names, ", "); moved.To == "" {
		w.m.Dropped = append(w.m.Dropped, moved)
		return
	}
	w.m.Mapped = append(w.m.Mapped, moved)
}

// put sets a value of the new configuration.
func (w *migrator) put(keys []string, v *Node) {
	at := w.out
	for _, k := range keys[:len(keys)-1] {
		if at.child(k) == nil {
			at.set(k, newDict(nil))
		}
		at = at.child(k)
	}
	at.set(keys[len(keys)-1], v)
}

// off reports whether a switch of the old configuration is there and false.
func (w *migrator) off(key string) bool {
	n := follow(w.old, key)
	if n == nil {
		return false
	}
	on, ok := toBool(n.value)
	return ok && !on
}

// deeper reports whether single keys below this one have rules.
func (w *migrator) deeper(key string) bool {
	return slices.ContainsFunc(w.rules, func(r migrationRule) bool {
		return strings.HasPrefix(r.from, key+".") && r.from != key+".*"
	})
}

func (w *migrator) rule(key string) *migrationRule {
	for i := range w.rules {
		from := w.rules[i].from
		if from == key || strings.HasSuffix(from, ".*") && strings.HasPrefix(key+".", from[:len(from)-1]) {
			return &w.rules[i]
		}
	}
	return nil
}
