package datamodule

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"slices"
	"sync"

	"github.com/wildtrain/sdk/wildtrain"
)

// PixelStatistics are the mean and standard deviation of each channel over
// all pixels of pictures, as shares of 255.
type PixelStatistics struct {
	Pictures int        `json:"images"`
	Pixels   int64      `json:"pixels"`
	Mean     [3]float64 `json:"mean"` // red, green, blue
	Std      [3]float64 `json:"std"`
}

// channelSums are exact: up to 2⁴⁸ pixels they stay below 2⁶⁴.
type channelSums struct {
	pixels      int64
	sum, square [3]uint64
}

// MeasurePixels decodes every picture once and returns the statistics of their
// pixels. Sums are of integers, so the numbers are exact (but for the last
// rounding) and the same in any order. Larger pictures than maxPixels are
// refused; 0 is the default limit.
func MeasurePixels(ctx context.Context, splits []Split, maxPixels int64) (PixelStatistics, error) {
	var mu sync.Mutex
	var all channelSums
	err := eachPicture(ctx, splits, maxPixels, everyPicture, func(_, _ int, im wildtrain.Image) {
		one := sumChannels(im)
		mu.Lock()
		defer mu.Unlock()
		all.pixels += one.pixels
		for c := range 3 {
			all.sum[c] += one.sum[c]
			all.square[c] += one.square[c]
		}
	})
	out := PixelStatistics{Pixels: all.pixels}
	for _, s := range splits {
		out.Pictures += len(s.Records)
	}
	if err != nil || all.pixels == 0 {
		return out, err
	}
	for c := range 3 {
		out.Mean[c] = float64(all.sum[c]) / float64(all.pixels) / 255
		out.Std[c] = deviation(all.sum[c], all.square[c], all.pixels) / 255
	}
	return out, nil
}

// sumChannels counts how often each value occurs, which is quicker than two sums a pixel.
func sumChannels(im wildtrain.Image) channelSums {
	var counts [3][256]uint64
	for p := im.U8; len(p) >= 3; p = p[3:] {
		counts[0][p[0]]++
		counts[1][p[1]]++
		counts[2][p[2]]++
	}
	s := channelSums{pixels: int64(len(im.U8) / 3)}
	for c := range 3 {
		for v, n := range counts[c] {
			s.sum[c] += n * uint64(v)
			s.square[c] += n * uint64(v) * uint64(v)
		}
	}
	return s
}

// deviation is √(n·Σv² − (Σv)²) / n, without loss before the root.
func deviation(sum, square uint64, n int64) float64 {
	count := big.NewInt(n)
	s := new(big.Int).SetUint64(sum)
	v := new(big.Int).Mul(count, new(big.Int).SetUint64(square))
	v.Sub(v, s.Mul(s, s))
	f, _ := new(big.Float).SetInt(v).Float64()
	return math.Sqrt(f) / float64(n)
}

// Summary is what a split holds.
type Summary struct {
	Split        string       `json:"split"`
	Images       int          `json:"images"`
	Negatives    int          `json:"negatives"` // images without boxes
	Boxes        int          `json:"boxes"`
	Crowd        int          `json:"crowd"`
	Difficult    int          `json:"difficult"`
	Classes      []ClassCount `json:"classes"` // in the order of class indices
	BoxSizes     []SizeBin    `json:"box_sizes"`
	ImageSizes   []ImageSize  `json:"image_sizes"`  // the most frequent first
	MostBoxes    int          `json:"most_boxes"`   // in one picture
	SmallestBox  float64      `json:"smallest_box"` // side of a square of the same area, in pixels
	LargestBox   float64      `json:"largest_box"`
	NarrowestBox float64      `json:"narrowest_box"` // width over height
	FlattestBox  float64      `json:"flattest_box"`
	BoxesOutside int          `json:"boxes_outside"`  // that leave the picture by more than a pixel
	BoxesCutInto int          `json:"boxes_cut_into"` // of them by more than half of their area
}

// ClassCount is how often a class occurs.
type ClassCount struct {
	Name   string `json:"name"`
	Boxes  int    `json:"boxes"`
	Images int    `json:"images"`
}

// SizeBin counts boxes whose side (of a square of the same area) is at least
// From and below To pixels. COCO's small, medium and large begin at 0, 32 and 96.
type SizeBin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Boxes int     `json:"boxes"`
}

// MarshalJSON implements json.Marshaler: the last bin has no end, null.
func (b SizeBin) MarshalJSON() ([]byte, error) {
	end := any(b.To)
	if math.IsInf(b.To, 1) {
		end = nil
	}
	return json.Marshal(map[string]any{"from": b.From, "to": end, "boxes": b.Boxes})
}

// ImageSize is how many pictures have a size.
type ImageSize struct {
	Width  int `json:"width"`
	Height int `json:"height"`
	Images int `json:"images"`
}

// sizeEdges are the borders of the bins of box sizes, in pixels.
var sizeEdges = []float64{0, 4, 8, 16, 32, 64, 96, 128, 256, 512, math.Inf(1)}

// Summarize counts what a split holds.
func Summarize(classes []wildtrain.Class, s Split) Summary {
	out := Summary{Split: s.Name, Images: len(s.Records)}
	for _, c := range classes {
		out.Classes = append(out.Classes, ClassCount{Name: c.Name})
	}
	for i := range len(sizeEdges) - 1 {
		out.BoxSizes = append(out.BoxSizes, SizeBin{From: sizeEdges[i], To: sizeEdges[i+1]})
	}
	sizes := map[ImageSize]int{}
	for _, rec := range s.Records {
		sizes[ImageSize{Width: rec.Width, Height: rec.Height}]++
		out.addPicture(rec)
	}
	for size, n := range sizes {
		size.Images = n
		out.ImageSizes = append(out.ImageSizes, size)
	}
	slices.SortFunc(out.ImageSizes, func(a, b ImageSize) int {
		return cmp.Or(b.Images-a.Images, a.Width-b.Width, a.Height-b.Height)
	})
	return out
}

func (s *Summary) addPicture(rec Record) {
	if len(rec.Objects) == 0 {
		s.Negatives++
	}
	s.MostBoxes = max(s.MostBoxes, len(rec.Objects))
	seen := map[int]bool{}
	for _, o := range rec.Objects {
		side, ratio := math.Sqrt(o.Box.Area()), o.Box.Width()/o.Box.Height()
		if s.Boxes == 0 {
			s.SmallestBox, s.LargestBox, s.NarrowestBox, s.FlattestBox = side, side, ratio, ratio
		}
		s.SmallestBox, s.LargestBox = min(s.SmallestBox, side), max(s.LargestBox, side)
		s.NarrowestBox, s.FlattestBox = min(s.NarrowestBox, ratio), max(s.FlattestBox, ratio)
		s.Boxes++
		if o.Crowd {
			s.Crowd++
		}
		if o.Difficult {
			s.Difficult++
		}
		if b := o.Box; b.X1 < -1 || b.Y1 < -1 || b.X2 > float64(rec.Width)+1 || b.Y2 > float64(rec.Height)+1 {
			s.BoxesOutside++
			if b.Clip(rec.Width, rec.Height).Area() < b.Area()/2 {
				s.BoxesCutInto++
			}
		}
		s.Classes[o.Class].Boxes++
		seen[o.Class] = true
		bin, exact := slices.BinarySearch(sizeEdges, side)
		if !exact {
			bin-- // a side on a border belongs to the bin that begins there
		}
		s.BoxSizes[min(bin, len(s.BoxSizes)-1)].Boxes++
	}
	for class := range maps.Keys(seen) {
		s.Classes[class].Images++
	}
}
