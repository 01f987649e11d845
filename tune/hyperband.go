package tune

import (
	"fmt"
	"hash/crc32"
	"math"
)

// Hyperband (Li et al. 2018) runs successive halving in several brackets that
// begin to prune at different steps. A trial's bracket follows from its number
// and the study's name, and samplers see the trials of the same bracket only.
type Hyperband struct {
	MinResource int64
	MaxResource int64 // steps of a whole trial; 0 takes those of the longest complete one
	Factor      int64
	Bootstrap   int

	brackets []*SuccessiveHalving
	budgets  []int64 // trials of each bracket in a round
	total    int64
}

// NewHyperband has Optuna's defaults.
func NewHyperband() *Hyperband { return &Hyperband{MinResource: 1, Factor: 3} }

// Validate reports what cannot be.
func (p *Hyperband) Validate() error {
	if p.MinResource < 1 || p.MaxResource < 0 || p.Factor < 2 || p.Bootstrap < 0 || p.MaxResource > 0 && p.MaxResource < p.MinResource {
		return fmt.Errorf("tune: hyperband: resources %d to %d, factor %d or bootstrap %d is out of range", p.MinResource, p.MaxResource, p.Factor, p.Bootstrap)
	}
	if p.Bootstrap > 0 && p.MaxResource == 0 {
		return fmt.Errorf("tune: hyperband: bootstrap needs a given largest resource")
	}
	return nil
}

// prepare makes the brackets as soon as the largest resource is known.
func (p *Hyperband) prepare(v *View) {
	if p.MaxResource == 0 {
		last := longest(v)
		if last < 0 {
			return
		}
		p.MaxResource = last + 1
	}
	n := int64(math.Floor(math.Log(float64(p.MaxResource)/float64(p.MinResource))/math.Log(float64(p.Factor)))) + 1
	for b := range max(n, 1) {
		s := n - 1 - b
		budget := int64(math.Ceil(float64(n) * math.Pow(float64(p.Factor), float64(s)) / float64(s+1)))
		p.budgets, p.total = append(p.budgets, budget), p.total+budget
		p.brackets = append(p.brackets, &SuccessiveHalving{MinResource: p.MinResource, Factor: p.Factor, Rate: b, Bootstrap: p.Bootstrap})
	}
}

func (p *Hyperband) bracket(study string, number int) int {
	if len(p.brackets) == 0 {
		return 0
	}
	n := int64(crc32.ChecksumIEEE(fmt.Appendf(nil, "%s_%d", study, number))) % p.total
	b := 0
	for n -= p.budgets[0]; n >= 0; n -= p.budgets[b] {
		b++
	}
	return b
}

// Filter implements Filterer.
func (p *Hyperband) Filter(v *View, t *Trial) *View {
	if len(p.brackets) == 0 {
		return v
	}
	mine := p.bracket(v.Study, t.Number)
	out := &View{Study: v.Study, Directions: v.Directions}
	for _, o := range v.Trials {
		if p.bracket(v.Study, o.Number) == mine {
			out.Trials = append(out.Trials, o)
		}
	}
	return out
}

// Prune implements Pruner.
func (p *Hyperband) Prune(v *View, t *Trial, set func(key, json string)) (bool, error) {
	if err := p.Validate(); err != nil {
		return false, err
	}
	if len(p.brackets) == 0 {
		if p.prepare(v); len(p.brackets) == 0 {
			return false, nil
		}
	}
	return p.brackets[p.bracket(v.Study, t.Number)].Prune(p.Filter(v, t), t, set)
}
