package datamodule

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// streamSplit is the random stream of MakeSplits.
const streamSplit uint64 = 101

// SplitConfig says how MakeSplits divides pictures.
type SplitConfig struct {
	Train, Val, Test float64    // shares, of any sum; 0: there is no such split
	Group            []Grouping // pictures that agree in any of them stay together; none: each picture by itself
	Seed             uint64
}

// Validate reports what is wrong with a configuration.
func (c SplitConfig) Validate() error {
	sum := 0.0
	for _, v := range []float64{c.Train, c.Val, c.Test} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("datamodule: make splits: a share is %v, must not be negative", v)
		}
		sum += v
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return fmt.Errorf("datamodule: make splits: the shares are %v, %v and %v: one must be positive", c.Train, c.Val, c.Test)
	}
	return nil
}

// MakeSplits divides pictures into train, val and test, whole groups at a time,
// so that each split gets its share of the pictures, of those without boxes and
// of the boxes of every class, as nearly as groups allow. The same pictures,
// configuration and seed give the same splits, whatever the order of the
// pictures; each split keeps that order. Fewer groups than splits are an error.
func MakeSplits(records []Record, classes []wildtrain.Class, c SplitConfig) ([]Split, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	groups, err := groupRecords(records, c.Group)
	if err != nil {
		return nil, err
	}
	var splits []Split
	var shares []float64
	for _, s := range []struct {
		name  string
		share float64
	}{{"train", c.Train}, {"val", c.Val}, {"test", c.Test}} {
		if s.share > 0 {
			splits, shares = append(splits, Split{Name: s.name}), append(shares, s.share/(c.Train+c.Val+c.Test))
		}
	}
	if len(groups) < len(splits) {
		return nil, fmt.Errorf("datamodule: make splits: %d groups for %d splits: %w", len(groups), len(splits), wildtrain.ErrEmpty)
	}
	s := newStratifier(records, groups, len(classes), shares)
	s.assign(c.Seed)
	of := make([]int, len(records))
	for g, members := range groups {
		for _, i := range members {
			of[i] = s.of[g]
		}
	}
	for i, rec := range records {
		splits[of[i]].Records = append(splits[of[i]].Records, rec)
	}
	return splits, nil
}

// groupRecords returns the indices of each group's records. Groups that share a
// picture by any of the groupings are one. Groups and members are in the order
// of the records' IDs and paths.
func groupRecords(records []Record, by []Grouping) ([][]int, error) {
	order := make([]int, len(records))
	parent := make([]int, len(records))
	for i := range records {
		order[i], parent[i] = i, i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(records[a].ID, records[b].ID), cmp.Compare(records[a].Path, records[b].Path))
	})
	for _, key := range by {
		first := map[string]int{}
		for _, i := range order {
			k, err := key(records[i])
			if err != nil {
				return nil, fmt.Errorf("datamodule: make splits: group picture %s: %w", records[i].ID, err)
			}
			if j, known := first[k]; known {
				parent[rootOf(parent, i)] = rootOf(parent, j)
			} else {
				first[k] = i
			}
		}
	}
	place := map[int]int{}
	var groups [][]int
	for _, i := range order {
		r := rootOf(parent, i)
		if _, known := place[r]; !known {
			place[r] = len(groups)
			groups = append(groups, nil)
		}
		groups[place[r]] = append(groups[place[r]], i)
	}
	return groups, nil
}

// stratifier gives groups to splits. What is counted are pictures, pictures
// without boxes and boxes of each class, all as shares of their total.
type stratifier struct {
	counts [][]float64 // of each group
	shares []float64   // of each split, wanted
	of     []int       // split of each group
	have   [][]float64 // of each split
	groups []int       // how many each split has
}

func newStratifier(records []Record, groups [][]int, classes int, shares []float64) *stratifier {
	s := &stratifier{shares: shares, of: make([]int, len(groups)), groups: make([]int, len(shares))}
	total := make([]float64, classes+2)
	for _, members := range groups {
		count := make([]float64, classes+2)
		for _, i := range members {
			count[0]++
			if len(records[i].Objects) == 0 {
				count[1]++
			}
			for _, o := range records[i].Objects {
				count[2+o.Class]++
			}
		}
		for k, v := range count {
			total[k] += v
		}
		s.counts = append(s.counts, count)
	}
	for _, count := range s.counts {
		for k := range count {
			if total[k] > 0 {
				count[k] /= total[k]
			}
		}
	}
	for range shares {
		s.have = append(s.have, make([]float64, classes+2))
	}
	return s
}

// pictureWeight makes the number of pictures count as much as everything else together.
func pictureWeight(k, n int) float64 {
	if k == 0 {
		return float64(n - 1)
	}
	return 1
}

// change is how much farther from its shares a split is with a group added (or,
// sign −1, taken away), relative to how large the split is to be.
func (s *stratifier) change(split, group int, sign float64) float64 {
	var sum float64
	for k, v := range s.counts[group] {
		before := s.have[split][k] - s.shares[split]
		after := before + sign*v
		sum += pictureWeight(k, len(s.counts[group])) * (after*after - before*before)
	}
	return sum / s.shares[split]
}

func (s *stratifier) put(split, group int, sign float64) {
	for k, v := range s.counts[group] {
		s.have[split][k] += sign * v
	}
	s.groups[split] += int(sign)
	s.of[group] = split
}

// mostPasses bounds how often all groups are looked at again.
const mostPasses = 50

// assign gives out the groups, those with the largest share of anything first,
// each to where it helps most; then it moves and exchanges groups while that helps.
func (s *stratifier) assign(seed uint64) {
	order := xrand.New(seed, streamSplit).Perm(len(s.counts))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(slices.Max(s.counts[b]), slices.Max(s.counts[a])) })
	for n, g := range order {
		empty := slices.Index(s.groups, 0)
		best := -1
		for split := range s.shares {
			if empty >= 0 && len(order)-n <= s.empties() && s.groups[split] > 0 {
				continue // the last groups are for splits that have none
			}
			if best < 0 || s.change(split, g, 1) < s.change(best, g, 1) {
				best = split
			}
		}
		s.put(best, g, 1)
	}
	for range mostPasses {
		if !s.improve(order) {
			return
		}
	}
}

func (s *stratifier) empties() (n int) {
	for _, g := range s.groups {
		if g == 0 {
			n++
		}
	}
	return n
}

// mostExchanges is up to how many groups exchanging pairs is tried.
const mostExchanges = 300

// improve moves single groups, and exchanges pairs where there are not many.
func (s *stratifier) improve(order []int) (better bool) {
	const least = 1e-9
	for _, g := range order {
		from := s.of[g]
		for to := range s.shares {
			if to == from || s.groups[from] == 1 {
				continue
			}
			if s.change(from, g, -1)+s.change(to, g, 1) < -least {
				s.put(from, g, -1)
				s.put(to, g, 1)
				from, better = to, true
			}
		}
	}
	if len(order) > mostExchanges {
		return better
	}
	for i, g := range order {
		for _, h := range order[:i] {
			a, b := s.of[g], s.of[h]
			if a == b {
				continue
			}
			gain := s.change(a, g, -1) + s.change(b, h, -1)
			s.put(a, g, -1)
			s.put(b, h, -1)
			if gain += s.change(b, g, 1) + s.change(a, h, 1); gain < -least {
				s.put(b, g, 1)
				s.put(a, h, 1)
				better = true
			} else {
				s.put(a, g, 1)
				s.put(b, h, 1)
			}
		}
	}
	return better
}

// WithSplits returns a data module with d's classes and configuration over
// other splits, such as MakeSplits makes of d.Pictures. Pictures and boxes are
// taken as they are: Pictures has checked them.
func (d *Detection) WithSplits(splits []Split) (*Detection, error) {
	out := newDetection(d.config, nil, d.classes)
	out.made = map[string][]Record{}
	for _, s := range splits {
		if _, twice := out.made[s.Name]; twice || s.Name == "" {
			return nil, fmt.Errorf("datamodule: take splits: name %q is empty or there twice", s.Name)
		}
		for _, r := range s.Records {
			for _, o := range r.Objects {
				if o.Class < 0 || o.Class >= len(d.classes.classes) {
					return nil, fmt.Errorf("datamodule: take splits: picture %s: class %d is not in the list of %d", r.ID, o.Class, len(d.classes.classes))
				}
			}
		}
		out.made[s.Name] = s.Records
	}
	return out, nil
}
