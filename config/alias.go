package config

import (
	"fmt"
	"strings"
)

// foreignNames are the names that other programs have for keys below model and
// training: Ultralytics' arguments and the Python WildTrain's. A name that the
// schema has itself is not among them.
var foreignNames = func() []migrationRule {
	rules := append(below("training.", ultralyticsArgs), below("model.", ultralyticsArgs)...)
	for _, r := range classifierRules {
		if name, ok := strings.CutPrefix(r.from, "train."); ok && name != "lr" { // lr0 or lrf may be meant
			r.from = "training." + name
			rules = append(rules, r)
		} else if strings.HasPrefix(r.from, "model.") {
			rules = append(rules, r)
		}
	}
	return append(rules, migrationRule{from: "model.architecture_file", to: "model.architecture"})
}()

// foreignName finds the rule of a name that another program has for a key.
func foreignName(key string) *migrationRule {
	if inSchema(key) {
		return nil
	}
	for i := range foreignNames {
		if foreignNames[i].from == key {
			return &foreignNames[i]
		}
	}
	return nil
}

// predictionGroup is what some call the group predict.
const predictionGroup = "prediction"

// adopts reports whether a key that the schema lacks is another program's name.
func adopts(key string) bool {
	group, _, _ := strings.Cut(key, ".")
	return foreignName(key) != nil || group == predictionGroup
}

// adopt gives keys with other programs' names their own, and warns of each.
func (c *Config) adopt() {
	w := &migrator{m: &Migration{}, old: c.full, out: c.full}
	for _, group := range []string{"model", "training", predictionGroup} {
		n := c.full.child(group)
		if n == nil || n.kind != Dict {
			continue
		}
		for _, k := range append([]any(nil), n.keys...) {
			name, ok := k.(string)
			if !ok {
				continue
			}
			item, key := n.child(name), joinKey(group, name)
			rule := foreignName(key)
			if group == predictionGroup {
				rule = &migrationRule{to: "predict." + name}
			}
			if rule == nil {
				continue
			}
			n.remove(name)
			moved := Moved{From: key}
			if rule.to == "" && rule.spread == nil || item.kind == Null {
				w.m.Dropped = append(w.m.Dropped, Moved{From: key, Note: rule.note})
				continue
			}
			w.move(item, rule, moved)
		}
		if group == predictionGroup {
			c.full.remove(group)
		}
	}
	c.nameFrozen()
	w.m.warn(c.env.warn)
}

// nameFrozen lets model.freeze be a number of parts or their numbers.
func (c *Config) nameFrozen() {
	model := c.full.child("model")
	if model == nil || model.kind != Dict {
		return
	}
	if n := model.child("freeze"); n != nil && (n.kind == Int || n.kind == List) {
		if names, _ := frozenParts(n); names != nil {
			model.set("freeze", names)
		}
	}
}

// warn tells of every key that was renamed or left out.
func (m *Migration) warn(say func(string)) {
	for _, x := range m.Mapped {
		if x.From != x.To {
			say(strings.TrimSuffix(fmt.Sprintf("%s is called %s here: %s", x.From, x.To, x.Note), ": "))
		}
	}
	for _, x := range m.Dropped {
		say(strings.TrimSuffix(fmt.Sprintf("%s has no counterpart here: %s", x.From, x.Note), ": "))
	}
}

// summarise tells the same of a whole file in two lines.
func (m *Migration) summarise(file string, say func(string)) {
	var renamed, dropped []string
	for _, x := range m.Mapped {
		if x.From != x.To {
			renamed = append(renamed, x.From+" is "+x.To)
		}
	}
	for _, x := range m.Dropped {
		dropped = append(dropped, x.From)
	}
	say(fmt.Sprintf("%s has other names (%s; config migrate writes it with those of here): %s", file, m.Kind, strings.Join(renamed, ", ")))
	if len(dropped) > 0 {
		say(fmt.Sprintf("%s: without effect here (config migrate tells why): %s", file, strings.Join(dropped, ", ")))
	}
}

// migratePrimary takes another program's file in the place of the primary file.
func (c *Config) migratePrimary() error {
	f, err := c.repo.load(c.name)
	if err != nil || f == nil || f.defaults != nil || f.root.kind != Dict || f.source.shared != nil || kindOf(f.root) == "" {
		return err
	}
	m, err := migrate(f.root)
	if err != nil {
		return err
	}
	full := f.source.Path + "/" + fileName(c.name)
	own, err := parseFile(full, c.name, []byte(m.YAML), c.repo.limits)
	if err != nil {
		return err
	}
	m.summarise(full, c.env.warn)
	own.source = f.source
	c.repo.files[c.name] = own
	return nil
}
