package datamodule

import (
	"cmp"
	"math"
	"slices"

	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// Purposes of random streams.
const (
	streamOrder uint64 = iota + 1
	streamSample
	streamBlend
	streamTransforms
	streamNegatives
	streamRebalance
	streamRepeat
	streamScale
	streamClusters
)

// plan says which pictures an epoch's batches hold, before anything is decoded.
type plan struct {
	order   []int // record index by place in the epoch, all ranks together
	batches []planned
}

// planned is one batch: places in the order, and the size of its pictures.
type planned struct {
	places        []int
	height, width int
}

// trainPlan makes batches of an epoch's samples. Ranks take turns; the first
// samples fill up, so that all ranks have as many. With multi_scale each batch
// has a size of its own, the same on all ranks.
func trainPlan(order []int, c Config, at wildtrain.Position) plan {
	p := plan{order: order}
	n, world := len(order), max(at.World, 1)
	var mine []int
	for i := at.Rank; i < (n+world-1)/world*world; i += world {
		mine = append(mine, i%n)
	}
	for places := range slices.Chunk(mine, c.Batch) {
		if c.DropLast && len(places) < c.Batch {
			break
		}
		side := c.ImageSize
		if ms := c.Augment.MultiScale; ms > 0 {
			r := xrand.New(c.Seed, streamScale, uint64(at.Epoch), uint64(len(p.batches)))
			side = max(int(math.Round(float64(side)*r.Uniform(1-ms, 1+ms)/float64(c.Stride))), 1) * c.Stride
		}
		p.batches = append(p.batches, planned{places, side, side})
	}
	return p
}

// evalPlan keeps the order of the data or, for flat batches, sorts by aspect
// ratio (height over width). Ranks take turns; no picture is evaluated twice.
func evalPlan(n int, ratio func(int) float64, c Config, at wildtrain.Position) plan {
	var p plan
	for i := range n {
		p.order = append(p.order, i)
	}
	if c.Rect {
		slices.SortStableFunc(p.order, func(a, b int) int {
			switch ra, rb := ratio(a), ratio(b); {
			case ra < rb:
				return -1
			case ra > rb:
				return 1
			}
			return 0
		})
	}
	var mine []int
	for i := at.Rank; i < n; i += max(at.World, 1) {
		mine = append(mine, i)
	}
	for places := range slices.Chunk(mine, c.evalBatch()) {
		b := planned{places, c.ImageSize, c.ImageSize}
		if c.Rect {
			first, last := ratio(p.order[places[0]]), ratio(p.order[places[len(places)-1]])
			b.height, b.width = rectShape(first, last, c.ImageSize, c.Stride, c.RectPad)
		}
		p.batches = append(p.batches, b)
	}
	return p
}

// evalBatch is the number of pictures per evaluation batch.
func (c Config) evalBatch() int { return cmp.Or(c.EvalBatch, c.Batch) }

// rectShape is the smallest shape that holds pictures of aspect ratios (height
// over width) between low and high with their long side at size: a multiple of
// the stride, with pad strides to spare (half a one in the field's validation).
func rectShape(low, high float64, size, stride int, pad float64) (height, width int) {
	h, w := 1.0, 1.0
	if high < 1 {
		h = high
	} else if low > 1 {
		w = 1 / low
	}
	side := func(share float64) int {
		return int(math.Ceil(share*float64(size)/float64(stride)+pad-1e-9)) * stride
	}
	return side(h), side(w)
}
