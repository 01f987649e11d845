package datamodule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// classMap brings the class names of all datasets to one contiguous list.
type classMap struct {
	config  Config
	classes []wildtrain.Class
	index   map[string]int // by folded name; −1: boxes of it are left out
}

// fold brings a name to the form in which names are compared.
func (m *classMap) fold(name string) string {
	name = strings.TrimSpace(name)
	if m.config.FoldCase {
		name = strings.ToLower(name)
	}
	return name
}

// newClassMap goes over the classes of all splits of all datasets, in order.
func newClassMap(c Config, lists [][]rawClass) (*classMap, error) {
	m := &classMap{config: c, index: map[string]int{}}
	if err := m.known(lists); err != nil {
		return nil, err
	}
	if c.SingleClass != "" {
		m.classes = []wildtrain.Class{{Name: c.SingleClass}}
		if c.background != "" { // which stays a class of its own, the first
			m.classes = []wildtrain.Class{{Name: c.background}, {Name: c.SingleClass, ID: 1}}
		}
	}
	for i, name := range c.Classes {
		m.add(name, strconv.Itoa(i))
	}
	for _, list := range lists {
		for _, raw := range list {
			name := m.renamed(raw.name)
			if _, done := m.index[m.fold(name)]; done {
				continue
			}
			switch {
			case !m.wanted(name):
				m.index[m.fold(name)] = -1
			case len(c.Classes) > 0:
				return nil, fmt.Errorf("datamodule: class %q is not in classes, %q: add it there or discard it", name, c.Classes)
			default:
				m.add(name, raw.id)
			}
		}
	}
	if _, known := m.index[m.fold(c.background)]; c.background != "" && !known {
		m.add(c.background, strconv.Itoa(len(m.classes)))
	}
	if len(m.classes) == 0 {
		return nil, fmt.Errorf("datamodule: no class is left: %w", wildtrain.ErrEmpty)
	}
	return m, nil
}

func (m *classMap) add(name, id string) {
	if m.config.SingleClass != "" {
		m.index[m.fold(name)] = len(m.classes) - 1
		if m.isBackground(name) {
			m.index[m.fold(name)] = 0
		}
		return
	}
	number, err := strconv.Atoi(id)
	if err != nil {
		number = len(m.classes) // an id that is no number: exports number classes by their place
	}
	m.index[m.fold(name)] = len(m.classes)
	m.classes = append(m.classes, wildtrain.Class{Name: name, ID: number})
}

func (m *classMap) renamed(name string) string {
	for from, to := range m.config.Rename {
		if m.fold(from) == m.fold(name) {
			return to
		}
	}
	return strings.TrimSpace(name)
}

func (m *classMap) listed(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return m.fold(n) == m.fold(name) })
}

// isBackground tells whether a name is that of pictures without an animal.
func (m *classMap) isBackground(name string) bool {
	return m.config.background != "" && m.fold(name) == m.fold(m.config.background)
}

func (m *classMap) wanted(name string) bool {
	if len(m.config.Keep) > 0 && !m.isBackground(name) {
		return m.listed(m.config.Keep, name)
	}
	return !m.listed(m.config.Discard, name)
}

// known refuses names in Keep, Discard and Rename that no dataset has: a typing
// error there would change the data without a word.
func (m *classMap) known(lists [][]rawClass) error {
	var before, after []string
	for _, list := range lists {
		for _, raw := range list {
			before = append(before, raw.name)
			after = append(after, m.renamed(raw.name))
		}
	}
	check := func(key string, names, among []string) error {
		for _, n := range names {
			if !m.listed(among, n) {
				among = slices.Compact(slices.Sorted(slices.Values(among)))
				return fmt.Errorf("datamodule: %s names class %q, which no dataset has; there are %q", key, n, among)
			}
		}
		return nil
	}
	var from []string
	for name := range m.config.Rename {
		from = append(from, name)
	}
	slices.Sort(from)
	if err := check("rename", from, before); err != nil {
		return err
	}
	if err := check("keep", m.config.Keep, after); err != nil {
		return err
	}
	return check("discard", m.config.Discard, after)
}

// of returns the index of a raw class name, −1 where its boxes are left out.
func (m *classMap) of(name string) int {
	if i, ok := m.index[m.fold(m.renamed(name))]; ok {
		return i
	}
	return -1
}
