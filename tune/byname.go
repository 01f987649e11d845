package tune

import (
	"fmt"
	"slices"
	"strings"
)

// SamplerNames lists what NewSampler knows.
func SamplerNames() []string {
	return []string{"tpe", "tpe4", "random", "grid", "bruteforce", "qmc", "cmaes", "nsga2", "gp"}
}

// NewSampler returns a sampler by name, with its defaults and with streams per
// trial: suggestions then depend on the seed, the trial's number and the history
// alone. The grid is that of the space.
func NewSampler(name string, seed uint64, space Space) (Sampler, error) {
	seed &= 1<<32 - 1
	switch strings.ToLower(name) {
	case "tpe":
		return perTrial(NewTPE(seed)), nil
	case "tpe4":
		return perTrial(NewTPE4(seed)), nil
	case "random":
		return perTrial(NewRandom(seed)), nil
	case "bruteforce":
		return perTrial(NewBruteForce(seed)), nil
	case "grid":
		return GridOf(space, seed)
	case "qmc":
		return NewQMC(seed), nil
	case "cmaes":
		return perTrial(NewCMAES(seed)), nil
	case "nsga2":
		return perTrial(NewNSGA2(seed)), nil
	case "gp":
		return perTrial(NewGP(seed)), nil
	}
	return nil, fmt.Errorf("tune: %q is no sampler; known are %s", name, strings.Join(SamplerNames(), ", "))
}

func perTrial[S interface {
	Sampler
	PerTrial()
}](s S) S {
	s.PerTrial()
	return s
}

// PrunerNames lists what NewPruner knows.
func PrunerNames() []string {
	return []string{"none", "median", "percentile", "halving", "hyperband", "wilcoxon", "patient"}
}

// NewPruner returns a pruner by name with its defaults, for trials of so many
// steps; nil for "none". "percentile" keeps the best quarter, "patient" waits
// three steps and then asks the median.
func NewPruner(name string, steps int64) (Pruner, error) {
	switch strings.ToLower(name) {
	case "none", "":
		return nil, nil
	case "median":
		return NewMedian(), nil
	case "percentile":
		return &Percentile{Percentile: 25, Startup: 5, MinTrials: 1}, nil
	case "halving":
		return &SuccessiveHalving{MinResource: 1, Factor: 4}, nil
	case "hyperband":
		return &Hyperband{MinResource: 1, MaxResource: max(steps, 1), Factor: 3}, nil
	case "wilcoxon":
		return NewWilcoxon(), nil
	case "patient":
		return &Patient{Wrapped: NewMedian(), Patience: 3}, nil
	}
	names := PrunerNames()
	slices.Sort(names)
	return nil, fmt.Errorf("tune: %q is no pruner; known are %s", name, strings.Join(names, ", "))
}
