package evaluate

import (
	"fmt"
	"slices"
)

// hierarchy adds hierarchical precision, recall and F1 over the sets of a class
// with all groups above it (Kiritchenko et al., "Functional annotation of genes
// using hierarchical text categorization", 2005), and the accuracy at each level,
// level1 being the groups straight above the classes.
func (c *Classification) hierarchy(s *ClassificationSummary, answers []answer) {
	if len(c.cfg.Parents) == 0 || c.cfg.MultiLabel {
		return
	}
	chains := make([][]string, len(c.cfg.Classes))
	deepest := 0
	for k, name := range c.cfg.Classes {
		for at := name; at != ""; at = c.cfg.Parents[at] {
			chains[k] = append(chains[k], at)
		}
		deepest = max(deepest, len(chains[k]))
	}
	var n Counts
	right, asked := make([]int, deepest), make([]int, deepest)
	for _, a := range answers {
		truth, said := chains[a.Truth[0]], chains[a.Said]
		common := 0
		for _, name := range said {
			if slices.Contains(truth, name) {
				common++
			}
		}
		n = n.plus(Counts{common, len(said) - common, len(truth) - common})
		for level := range truth {
			asked[level]++
			if level < len(said) && said[level] == truth[level] {
				right[level]++
			}
		}
	}
	s.add("hierarchical_precision", n.Precision())
	s.add("hierarchical_recall", n.Recall())
	s.add("hierarchical_F1", n.F1())
	for level := 1; level < deepest; level++ {
		s.add(fmt.Sprintf("level%d_accuracy", level), ratio(right[level], asked[level]))
	}
}
