package datamodule

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/wildtrain/sdk/internal/xrand"
)

// Orders of a training epoch.
const (
	OrderShuffle    = "shuffle"    // every sample once, in random order
	OrderSequential = "sequential" // every sample once, in the order of the data
	OrderBalanced   = "balanced"   // every class as often, its samples in turn; what has no class counts as one
	OrderWeighted   = "weighted"   // drawn with replacement, by the weights of classes
)

// Rebalancing of classes by leaving samples out.
const (
	RebalanceNone = "none"
	RebalanceMean = "mean" // no class has more samples than the mean of all classes
	RebalanceMin  = "min"  // no class has more samples than the rarest
)

// NegativeName stands for pictures without objects among SamplerConfig.Weights.
const NegativeName = "background"

// SamplerConfig says which samples an epoch of training holds and in which
// order. It is applied in the order of the fields, anew in each epoch: what an
// epoch leaves out another one may hold. All of it goes by seed and epoch only.
type SamplerConfig struct {
	Only          string  `yaml:"only"`           // file that lists the pictures to take; "": all
	NegativeRatio float64 `yaml:"negative_ratio"` // pictures without objects for each with; −1: all there are

	Rebalance       string `yaml:"rebalance"`        // RebalanceNone, RebalanceMean or RebalanceMin, by each sample's rarest class
	ExcludeExtremes bool   `yaml:"exclude_extremes"` // the mean is that without the largest and the smallest class, of three or more

	Repeat          int     `yaml:"repeat"`           // times that each sample comes in an epoch
	RepeatThreshold float64 `yaml:"repeat_threshold"` // classes in a smaller share of samples than this come more often, by LVIS's rule; 0: off
	HardNegatives   string  `yaml:"hard_negatives"`   // file that lists pictures which come more often, whatever negative_ratio says
	HardRepeat      int     `yaml:"hard_repeat"`      // times that those come in an epoch

	Order   string             `yaml:"order"`   // OrderShuffle, OrderSequential, OrderBalanced or OrderWeighted
	Samples int                `yaml:"samples"` // that balanced and weighted orders draw; 0: as many as there are
	Weights map[string]float64 `yaml:"weights"` // by class name, for the weighted order; 1 where not named
}

// DefaultSampler shuffles.
func DefaultSampler() SamplerConfig {
	return SamplerConfig{NegativeRatio: -1, Rebalance: RebalanceNone, ExcludeExtremes: true, Repeat: 1, HardRepeat: 3, Order: OrderShuffle}
}

// Validate reports every problem of the configuration at once.
func (c SamplerConfig) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: sampler: "+format, args...))
		}
	}
	bad(c.NegativeRatio == -1 || c.NegativeRatio >= 0 && c.NegativeRatio <= 1e6, "negative_ratio is %v, must be −1 or not negative", c.NegativeRatio)
	bad(slices.Contains([]string{RebalanceNone, RebalanceMean, RebalanceMin}, c.Rebalance), "rebalance is %q, must be none, mean or min", c.Rebalance)
	bad(slices.Contains([]string{OrderShuffle, OrderSequential, OrderBalanced, OrderWeighted}, c.Order), "order is %q, must be shuffle, sequential, balanced or weighted", c.Order)
	bad(c.Repeat >= 1 && c.Repeat <= 1000, "repeat is %d, must be between 1 and 1000", c.Repeat)
	bad(c.RepeatThreshold >= 0 && c.RepeatThreshold <= 1, "repeat_threshold is %v, must lie in 0…1", c.RepeatThreshold)
	bad(c.HardRepeat >= 1 && c.HardRepeat <= 1000, "hard_repeat is %d, must be between 1 and 1000", c.HardRepeat)
	bad(c.Samples >= 0, "samples is %d, must not be negative", c.Samples)
	bad(len(c.Weights) == 0 || c.Order == OrderWeighted, "weights are given, but order is %q: they are for the weighted order", c.Order)
	for name, w := range c.Weights {
		bad(w >= 0 && w <= 1e9, "weight of %q is %v, must be finite and not negative", name, w)
	}
	return errors.Join(errs...)
}

// population is what samplers know of the training samples.
type population struct {
	n          int
	classes    []string
	labels     func(i int, into []int) []int // appends the classes of a sample, which may repeat
	negative   func(i int) bool              // a sample without objects, or of the background
	difficulty func(i int) float64           // 0 easy, 1 hard
	names      func(i int) []string          // what lists may call the sample
}

// sampler chooses and orders the samples of each epoch.
type sampler struct {
	population
	config     SamplerConfig
	curriculum CurriculumConfig
	seed       uint64
	pool       []int // samples to choose from
	hard       []int // of HardNegatives
	counts     []int // samples of the pool by class
	weights    []float64
	level      []float64 // difficulty, where a curriculum asks for it
}

func newSampler(p population, c Config) (*sampler, error) {
	s := &sampler{population: p, config: c.Sampler, curriculum: c.Curriculum, seed: c.Seed}
	var err error
	if s.config.Only != "" {
		if s.pool, err = p.find(s.config.Only); err != nil {
			return nil, err
		}
		if len(s.pool) == 0 {
			return nil, fmt.Errorf("datamodule: sampler: only: %s lists no picture", s.config.Only)
		}
	} else {
		s.pool = make([]int, p.n)
		for i := range s.pool {
			s.pool[i] = i
		}
	}
	if s.config.HardNegatives != "" {
		if s.hard, err = p.find(s.config.HardNegatives); err != nil {
			return nil, err
		}
	}
	if s.weights, err = p.weigh(s.config.Weights); err != nil {
		return nil, err
	}
	s.counts = s.count(s.pool)
	if s.curriculum.Enabled && s.curriculum.Strategy != "" {
		s.level = make([]float64, p.n)
		for i := range s.level {
			s.level[i] = p.difficulty(i)
		}
	}
	return s, nil
}

// weigh lists the weights of the classes, at last of samples without.
func (p population) weigh(given map[string]float64) ([]float64, error) {
	out := make([]float64, len(p.classes)+1)
	for i := range out {
		out[i] = 1
	}
	for name, w := range given {
		at := slices.Index(p.classes, name)
		if at < 0 {
			if name != NegativeName {
				return nil, fmt.Errorf("datamodule: sampler: weights: there is no class %q; there are %q", name, p.classes)
			}
			at = len(p.classes)
		}
		out[at] = w
	}
	return out, nil
}

// each calls fn once for each class that a sample has, with len(classes) where it has none.
func (p population) each(i int, scratch *[]int, fn func(class int)) {
	labels := p.labels(i, (*scratch)[:0])
	*scratch = labels
	if len(labels) == 0 {
		fn(len(p.classes))
		return
	}
	for k, c := range labels {
		if !slices.Contains(labels[:k], c) {
			fn(c)
		}
	}
}

// count is the number of samples by class, at last of those without.
func (p population) count(samples []int) []int {
	out := make([]int, len(p.classes)+1)
	var scratch []int
	for _, i := range samples {
		p.each(i, &scratch, func(c int) { out[c]++ })
	}
	return out
}

// stream is what an epoch draws from for one purpose.
func (s *sampler) stream(purpose uint64, epoch int) *xrand.Rand {
	return xrand.New(s.seed, purpose, uint64(epoch))
}

// order lists the samples of an epoch of a training that long.
func (s *sampler) order(epoch, epochs int) []int {
	chosen := s.curriculum.choose(s.pool, s.level, epoch, epochs)
	chosen = s.thinNegatives(chosen, epoch)
	chosen = s.rebalance(chosen, epoch)
	chosen = s.repeat(chosen, epoch)
	n := s.config.Samples
	if n == 0 {
		n = len(chosen)
	}
	r := s.stream(streamOrder, epoch)
	switch s.config.Order {
	case OrderSequential:
		return chosen
	case OrderBalanced:
		return s.balanced(chosen, n, r)
	case OrderWeighted:
		return s.weighted(chosen, n, r)
	}
	out := make([]int, len(chosen))
	for i, k := range r.Perm(len(chosen)) {
		out[i] = chosen[k]
	}
	return out
}

// thinNegatives keeps the positives and a random part of the negatives.
func (s *sampler) thinNegatives(chosen []int, epoch int) []int {
	ratio, ok := s.curriculum.ratio(epoch)
	if !ok {
		ratio = s.config.NegativeRatio
	}
	if ratio < 0 {
		return chosen
	}
	negatives := filter(chosen, s.negative)
	most := int(ratio * float64(len(chosen)-len(negatives)))
	if most >= len(negatives) {
		return chosen
	}
	kept := pick(negatives, most, s.stream(streamNegatives, epoch))
	return filter(chosen, func(i int) bool { return kept[i] || !s.negative(i) })
}

// pick draws so many of a list.
func pick(list []int, n int, r *xrand.Rand) map[int]bool {
	kept := make(map[int]bool, n)
	for _, k := range r.Perm(len(list))[:n] {
		kept[list[k]] = true
	}
	return kept
}

func filter(list []int, keep func(int) bool) []int {
	out := make([]int, 0, len(list))
	for _, i := range list {
		if keep(i) {
			out = append(out, i)
		}
	}
	return out
}

// rebalance leaves out samples of classes that have too many. A sample counts
// for the rarest of its classes; what has no class stays.
func (s *sampler) rebalance(chosen []int, epoch int) []int {
	if s.config.Rebalance == RebalanceNone {
		return chosen
	}
	counts := s.count(chosen)
	of := make([][]int, len(s.classes))
	var scratch []int
	for _, i := range chosen {
		rarest := -1
		s.each(i, &scratch, func(c int) {
			if c < len(s.classes) && (rarest < 0 || counts[c] < counts[rarest]) {
				rarest = c
			}
		})
		if rarest >= 0 {
			of[rarest] = append(of[rarest], i)
		}
	}
	most := s.config.limit(of)
	r := s.stream(streamRebalance, epoch)
	dropped := map[int]bool{}
	for _, samples := range of {
		if len(samples) <= most {
			continue
		}
		kept := pick(samples, most, r)
		for _, i := range samples {
			if !kept[i] {
				dropped[i] = true
			}
		}
	}
	return filter(chosen, func(i int) bool { return !dropped[i] })
}

// limit is the most samples that a class may have: classes without any do not count.
func (c SamplerConfig) limit(of [][]int) int {
	var sizes []int
	for _, samples := range of {
		if len(samples) > 0 {
			sizes = append(sizes, len(samples))
		}
	}
	if len(sizes) == 0 {
		return 0
	}
	slices.Sort(sizes)
	if c.Rebalance == RebalanceMin {
		return sizes[0]
	}
	if c.ExcludeExtremes && len(sizes) >= 3 {
		sizes = sizes[1 : len(sizes)-1]
	}
	sum := 0
	for _, n := range sizes {
		sum += n
	}
	return sum / len(sizes)
}

// repeat lists samples as often as they are to come, the repetitions behind all others.
func (s *sampler) repeat(chosen []int, epoch int) []int {
	out := chosen
	if s.config.RepeatThreshold > 0 {
		out = s.repeatRare(out, epoch)
	}
	for range s.config.Repeat - 1 {
		out = append(out[:len(out):len(out)], chosen...)
	}
	if len(s.hard) == 0 {
		return out
	}
	there := make(map[int]int, len(out))
	for _, i := range out {
		there[i]++
	}
	out = out[:len(out):len(out)]
	for _, i := range s.hard {
		for range s.config.HardRepeat - there[i] {
			out = append(out, i)
		}
	}
	return out
}

// repeatRare is the repeat factor sampling of LVIS (Gupta et al. 2019): a class
// in a share f of the samples wants its samples √(t/f) times; fractions are drawn.
func (s *sampler) repeatRare(chosen []int, epoch int) []int {
	r := s.stream(streamRepeat, epoch)
	out := slices.Clone(chosen)
	var scratch []int
	for _, i := range chosen {
		factor := 1.0
		s.each(i, &scratch, func(c int) {
			if c < len(s.classes) {
				f := float64(s.counts[c]) / float64(len(s.pool))
				factor = max(factor, math.Sqrt(s.config.RepeatThreshold/f))
			}
		})
		times := int(factor)
		if r.Bernoulli(factor - float64(times)) {
			times++
		}
		for range times - 1 {
			out = append(out, i)
		}
	}
	return out
}

// balanced takes the classes in random order, round after round, and of each
// class its samples in random order.
func (s *sampler) balanced(chosen []int, n int, r *xrand.Rand) []int {
	of := make([][]int, len(s.classes)+1)
	var scratch []int
	for _, i := range chosen {
		s.each(i, &scratch, func(c int) { of[c] = append(of[c], i) })
	}
	of = slices.DeleteFunc(of, func(samples []int) bool { return len(samples) == 0 })
	turns := make([][]int, len(of))
	out := make([]int, 0, n)
	for len(out) < n && len(of) > 0 {
		for _, c := range r.Perm(len(of)) {
			if len(turns[c]) == 0 {
				turns[c] = r.Perm(len(of[c]))
			}
			if len(out) < n {
				out = append(out, of[c][turns[c][0]])
			}
			turns[c] = turns[c][1:]
		}
	}
	return out
}

// weighted draws by the largest weight among the classes of each sample.
func (s *sampler) weighted(chosen []int, n int, r *xrand.Rand) []int {
	sums := make([]float64, len(chosen))
	sum := 0.0
	var scratch []int
	for k, i := range chosen {
		w := 0.0
		s.each(i, &scratch, func(c int) { w = max(w, s.weights[c]) })
		sum += w
		sums[k] = sum
	}
	if sum == 0 {
		return nil
	}
	out := make([]int, n)
	for k := range out {
		at := sort.SearchFloat64s(sums, r.Float64()*sum)
		for at < len(sums)-1 && sums[at] == 0 { // a draw of 0 falls on samples without weight
			at++
		}
		out[k] = chosen[min(at, len(chosen)-1)]
	}
	return out
}

// longestLine bounds a line of a list of pictures.
const longestLine = 1 << 16

// find reads a list of pictures, one a line by id or path; empty lines and those
// that begin with # are left out. Each picture is found once.
func (p population) find(file string) ([]int, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("datamodule: sampler: read list of pictures: %w", err)
	}
	defer f.Close()
	at := make(map[string]int, p.n)
	for i := range p.n {
		for _, name := range p.names(i) {
			at[filepath.ToSlash(name)] = i
		}
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, longestLine)
	var out []int
	var errs []error
	seen := map[int]bool{}
	for n := 1; lines.Scan(); n++ {
		name := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if name == "" || name[0] == '#' {
			continue
		}
		i, ok := at[filepath.ToSlash(name)]
		if !ok {
			i, ok = at[filepath.ToSlash(mustAbs(name))]
		}
		switch {
		case !ok && len(errs) < 10:
			errs = append(errs, fmt.Errorf("%s:%d: there is no picture %q among those for training", file, n, name))
		case ok && !seen[i]:
			seen[i] = true
			out = append(out, i)
		}
	}
	if err := errors.Join(append(errs, lines.Err())...); err != nil {
		return nil, fmt.Errorf("datamodule: sampler: read list of pictures: %w", err)
	}
	slices.Sort(out)
	return out, nil
}
