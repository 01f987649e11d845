package datamodule

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// ClusterConfig says how a varied part of a dataset is chosen: samples are
// grouped by what a model sees in them, and of each group some are kept from its
// middle to its edge.
type ClusterConfig struct {
	Keep       float64 // share of the samples that is kept
	Clusters   []int   // numbers of groups to try: that with the best silhouette is taken
	Starts     int     // k-means runs for each number, of which the tightest counts
	Iterations int     // most rounds of a run
	Silhouette int     // samples that silhouettes are measured on; 0: all
	Seed       uint64
}

// DefaultClusters keeps three tenths.
func DefaultClusters() ClusterConfig {
	return ClusterConfig{Keep: 0.3, Clusters: []int{3, 5, 7, 9}, Starts: 4, Iterations: 300, Silhouette: 2000}
}

// Validate reports every problem of the configuration at once.
func (c ClusterConfig) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: clusters: "+format, args...))
		}
	}
	bad(c.Keep > 0 && c.Keep <= 1, "keep is %v, must lie in 0…1, above 0", c.Keep)
	bad(len(c.Clusters) > 0, "there is no number of clusters to try")
	for _, k := range c.Clusters {
		bad(k >= 1, "cannot make %d clusters", k)
	}
	bad(c.Starts > 0, "starts is %d, must be positive", c.Starts)
	bad(c.Iterations > 0, "iterations is %d, must be positive", c.Iterations)
	bad(c.Silhouette >= 0, "silhouette is %d, must not be negative", c.Silhouette)
	return errors.Join(errs...)
}

// Clustering is what was found and chosen.
type Clustering struct {
	Labels      []int           // group of each sample
	Distances   []float64       // to the middle of its group
	Centres     [][]float64     // middles
	Inertia     float64         // sum of squared distances
	Silhouettes map[int]float64 // mean silhouette (Rousseeuw 1987) by number of groups, of those that could be made
	Kept        []int           // the chosen samples, rising
}

// Cluster groups embeddings, all of one length, and chooses round(Keep·n) of them
// (at least one). Each group keeps its share; its samples are put in the order of
// their distance, cut into as many parts as are to be kept, and of each part one
// is drawn. Where no number of groups fits (there must be more samples than
// groups), all are one group.
func Cluster(embeddings [][]float32, c ClusterConfig) (*Clustering, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := checkEmbeddings(embeddings); err != nil {
		return nil, err
	}
	var best *Clustering
	scores := map[int]float64{}
	for _, k := range c.Clusters {
		if k < 2 || k >= len(embeddings) {
			continue
		}
		found := kMeans(embeddings, k, c)
		scores[k] = silhouette(embeddings, found.Labels, k, c)
		if best == nil || scores[k] > scores[len(best.Centres)] {
			best = found
		}
	}
	if best == nil {
		best = kMeans(embeddings, 1, c)
	}
	best.Silhouettes = scores
	best.Kept = best.choose(c)
	return best, nil
}

func checkEmbeddings(embeddings [][]float32) error {
	if len(embeddings) == 0 {
		return fmt.Errorf("datamodule: cluster samples: there are none: %w", wildtrain.ErrEmpty)
	}
	for i, e := range embeddings {
		if len(e) == 0 || len(e) != len(embeddings[0]) {
			return fmt.Errorf("datamodule: cluster samples: sample %d has an embedding of %d numbers, the first has %d", i, len(e), len(embeddings[0]))
		}
		for _, v := range e {
			if v := float64(v); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("datamodule: cluster samples: the embedding of sample %d is not finite", i)
			}
		}
	}
	return nil
}

// kMeans is the tightest of several runs.
func kMeans(points [][]float32, k int, c ClusterConfig) *Clustering {
	var best *Clustering
	for start := range c.Starts {
		r := xrand.New(c.Seed, streamClusters, uint64(k), uint64(start))
		if found := lloyd(points, spread(points, k, r), c.Iterations); best == nil || found.Inertia < best.Inertia {
			best = found
		}
	}
	return best
}

// spread chooses first middles far from each other: k-means++ (Arthur and
// Vassilvitskii 2007).
func spread(points [][]float32, k int, r *xrand.Rand) [][]float64 {
	centres := [][]float64{widen(points[r.IntN(len(points))])}
	nearest := make([]float64, len(points))
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	for len(centres) < k {
		last := centres[len(centres)-1]
		sums := make([]float64, len(points))
		sum := 0.0
		for i, p := range points {
			nearest[i] = min(nearest[i], squared(p, last))
			sum += nearest[i]
			sums[i] = sum
		}
		at := min(sort.SearchFloat64s(sums, r.Float64()*sum), len(points)-1)
		centres = append(centres, widen(points[at]))
	}
	return centres
}

func widen(p []float32) []float64 {
	out := make([]float64, len(p))
	for i, v := range p {
		out[i] = float64(v)
	}
	return out
}

func squared(p []float32, q []float64) float64 {
	sum := 0.0
	for i, v := range p {
		d := float64(v) - q[i]
		sum += d * d
	}
	return sum
}

// lloyd moves middles to the mean of the samples nearest to them until none
// changes its group. A group that has lost all of its samples takes the one
// farthest from its middle.
func lloyd(points [][]float32, centres [][]float64, rounds int) *Clustering {
	c := &Clustering{Labels: make([]int, len(points)), Distances: make([]float64, len(points)), Centres: centres}
	for i := range c.Labels {
		c.Labels[i] = -1
	}
	for range rounds {
		if !c.assign(points) {
			break
		}
		c.recentre(points)
	}
	c.assign(points)
	for i, d := range c.Distances {
		c.Inertia += d
		c.Distances[i] = math.Sqrt(d)
	}
	return c
}

// assign finds the nearest middle of each sample and its squared distance, and
// reports whether any sample has changed its group.
func (c *Clustering) assign(points [][]float32) (changed bool) {
	for i, p := range points {
		best, at := math.Inf(1), 0
		for k, centre := range c.Centres {
			if d := squared(p, centre); d < best {
				best, at = d, k
			}
		}
		changed = changed || c.Labels[i] != at
		c.Labels[i], c.Distances[i] = at, best
	}
	return changed
}

func (c *Clustering) recentre(points [][]float32) {
	counts := make([]int, len(c.Centres))
	for _, k := range c.Labels {
		counts[k]++
	}
	for k := range counts {
		if counts[k] > 0 {
			continue
		}
		far := 0
		for i, d := range c.Distances {
			if d > c.Distances[far] {
				far = i
			}
		}
		counts[c.Labels[far]]--
		c.Labels[far], c.Distances[far] = k, 0
		counts[k] = 1
	}
	for k := range c.Centres {
		clear(c.Centres[k])
	}
	for i, p := range points {
		centre := c.Centres[c.Labels[i]]
		for j, v := range p {
			centre[j] += float64(v)
		}
	}
	for k, n := range counts {
		for j := range c.Centres[k] {
			c.Centres[k][j] /= float64(max(n, 1))
		}
	}
}

// silhouette is the mean over the samples, or a random part of them, of
// (b − a)/max(a, b): a is the mean distance to the others of the group, b that to
// the nearest other group. A sample alone in its group counts 0.
func silhouette(points [][]float32, labels []int, k int, c ClusterConfig) float64 {
	chosen := make([]int, len(points))
	for i := range chosen {
		chosen[i] = i
	}
	if c.Silhouette > 0 && c.Silhouette < len(points) {
		chosen = xrand.New(c.Seed, streamClusters).Perm(len(points))[:c.Silhouette]
	}
	sums := make([][]float64, len(chosen)) // of distances, by group
	counts := make([]float64, k)
	for a, i := range chosen {
		sums[a] = make([]float64, k)
		counts[labels[i]]++
	}
	for a, i := range chosen {
		for b, j := range chosen[:a] {
			d := euclidean(points[i], points[j])
			sums[a][labels[j]] += d
			sums[b][labels[i]] += d
		}
	}
	total := 0.0
	for a, i := range chosen {
		own := labels[i]
		if counts[own] < 2 {
			continue
		}
		inside, outside := sums[a][own]/(counts[own]-1), math.Inf(1)
		for g, n := range counts {
			if g != own && n > 0 {
				outside = min(outside, sums[a][g]/n)
			}
		}
		if most := max(inside, outside); most > 0 && !math.IsInf(outside, 1) {
			total += (outside - inside) / most
		}
	}
	return total / float64(len(chosen))
}

func euclidean(p, q []float32) float64 {
	sum := 0.0
	for i, v := range p {
		d := float64(v - q[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// choose draws what is kept.
func (c *Clustering) choose(cfg ClusterConfig) []int {
	n := max(int(math.Round(cfg.Keep*float64(len(c.Labels)))), 1)
	members := make([][]int, len(c.Centres))
	for i, k := range c.Labels {
		members[k] = append(members[k], i)
	}
	r := xrand.New(cfg.Seed, streamClusters, uint64(len(c.Centres)))
	var kept []int
	for k, share := range shares(members, n) {
		list := members[k]
		slices.SortStableFunc(list, func(a, b int) int {
			switch {
			case c.Distances[a] < c.Distances[b]:
				return -1
			case c.Distances[a] > c.Distances[b]:
				return 1
			}
			return 0
		})
		for part := range share {
			from, to := part*len(list)/share, (part+1)*len(list)/share
			kept = append(kept, list[from+r.IntN(to-from)])
		}
	}
	slices.Sort(kept)
	return kept
}

// shares divides n among groups by their sizes; what rounding leaves goes to the
// largest remainders.
func shares(members [][]int, n int) []int {
	total := 0
	for _, m := range members {
		total += len(m)
	}
	out := make([]int, len(members))
	order := make([]int, len(members))
	left := n
	for k, m := range members {
		out[k], order[k] = n*len(m)/total, k
		left -= out[k]
	}
	slices.SortStableFunc(order, func(a, b int) int { return n*len(members[b])%total - n*len(members[a])%total })
	for _, k := range order[:left] {
		out[k]++
	}
	return out
}

// Embeddings lets a model look at all samples of a loader, which should be one
// for evaluation, and returns what it sees in each, by the samples' ids.
func Embeddings(ctx context.Context, l wildtrain.Loader, e wildtrain.Embedder) (ids []string, embeddings [][]float32, err error) {
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return nil, nil, err
		}
		predictions, err := e.Embed(ctx, b)
		b.Release()
		if err != nil {
			return nil, nil, fmt.Errorf("datamodule: embed samples: %w", err)
		}
		for _, p := range predictions {
			ids, embeddings = append(ids, p.ID), append(embeddings, p.Embedding)
		}
	}
	return ids, embeddings, nil
}
