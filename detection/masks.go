package detection

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// sketch draws masks of prototypes.
type sketch struct {
	values        []float32 // (N, masks, height, width)
	count         int       // masks
	height, width int
	cell          float64 // side of a prototype's pixel in px of the input
}

func newSketch(protos *torch.Tensor, cell int64) *sketch {
	s := protos.Shape()
	return &sketch{protos.Float32s(nil), int(s[1]), int(s[2]), int(s[3]), float64(cell)}
}

// coefficients are those of an image's detections, by detection: decoded holds
// 4+classes+masks rows of as many values as there are anchors.
func (m *YOLO) coefficients(decoded []float32, found []candidate) [][]float32 {
	h := m.net.head
	first := 4 + int(h.Classes)
	anchors := len(decoded) / (first + int(h.Masks))
	out := make([][]float32, len(found))
	for i, c := range found {
		for k := range int(h.Masks) {
			out[i] = append(out[i], decoded[(first+k)*anchors+int(c.anchor)])
		}
	}
	return out
}

// masks gives detections in image i, whose boxes are in batch coordinates, their
// masks in the original picture; where its size is not known, in the batch's.
func (k *sketch) masks(i int, found []wildtrain.Object, coefficients [][]float32, s *wildtrain.Sample) error {
	place, width, height := s.Place, s.Width, s.Height
	if width == 0 || height == 0 {
		place, width, height = wildtrain.Identity, int(k.cell)*k.width, int(k.cell)*k.height
	}
	back, err := place.Inverse()
	if err != nil {
		return fmt.Errorf("detection: masks of %s: %w", s.ID, err)
	}
	if place.B != 0 || place.D != 0 {
		return fmt.Errorf("detection: masks of %s: the picture is turned in the batch", s.ID)
	}
	for n := range found {
		found[n].Mask = k.draw(i, coefficients[n], back.Box(found[n].Box), place, width, height)
	}
	return nil
}

// draw makes the mask of one object of image i: pixels of the original picture
// inside the box whose logit, interpolated between the prototypes' pixels, is above
// 0. Pixels are inside as in maskLoss.
func (k *sketch) draw(i int, coefficients []float32, box wildtrain.Box, place wildtrain.Affine, width, height int) *wildtrain.Mask {
	xs := k.taps(box.X1, box.X2, width, place.A, place.C, k.width)
	ys := k.taps(box.Y1, box.Y2, height, place.E, place.F, k.height)
	var w rle.Writer
	if len(xs.at) > 0 && len(ys.at) > 0 {
		logits := k.logits(i, coefficients, xs, ys)
		column := make([]float32, ys.cells())
		for n, at := range xs.at {
			left := at - xs.first
			right := min(left+1, xs.cells()-1)
			for r := range column {
				row := logits[r*xs.cells():]
				column[r] = row[left]*(1-xs.share[n]) + row[right]*xs.share[n]
			}
			ys.runs(&w, column, (xs.from+n)*height)
		}
	}
	return (*wildtrain.Mask)(w.Mask(height, width))
}

// logits are Σ coefficient·prototype of the cells that the taps read, by rows.
func (k *sketch) logits(i int, coefficients []float32, xs, ys taps) []float32 {
	out := make([]float32, ys.cells()*xs.cells())
	for c, weight := range coefficients {
		proto := k.values[(i*k.count+c)*k.height*k.width:]
		for r := range ys.cells() {
			from := (ys.first+r)*k.width + xs.first
			row := out[r*xs.cells() : (r+1)*xs.cells()]
			for x, v := range proto[from : from+len(row)] {
				row[x] += weight * v
			}
		}
	}
	return out
}

// taps say, for consecutive pixels of a picture along one side, between which cells
// of the prototypes they lie: at and the next one, of which the latter has a share.
type taps struct {
	from        int // the first pixel
	at          []int
	share       []float32
	first, last int // cells that are read
}

// taps covers the pixels inside lo … hi of size in all. A pixel's centre p lies at
// scale·p + shift in the input.
func (k *sketch) taps(lo, hi float64, size int, scale, shift float64, cells int) taps {
	from, to := max(math.Ceil(lo), 0), min(math.Ceil(hi), float64(size))
	if !(to > from) {
		return taps{}
	}
	t := taps{from: int(from), first: cells - 1}
	for p := from; p < to; p++ {
		u := min(max((scale*(p+0.5)+shift)/k.cell-0.5, 0), float64(cells-1))
		at := int(u)
		t.at, t.share = append(t.at, at), append(t.share, float32(u-float64(at)))
		t.first, t.last = min(t.first, at), max(t.last, min(at+1, cells-1))
	}
	return t
}

func (t taps) cells() int { return t.last - t.first + 1 }

// runs writes the pixels above 0 of a column of cells; the first pixel of the
// picture's column has the number top.
func (t taps) runs(w *rle.Writer, cells []float32, top int) {
	for n := 0; n < len(t.at); {
		at, end := t.at[n], n+1
		for end < len(t.at) && t.at[end] == at {
			end++
		}
		a := cells[at-t.first]
		b := cells[min(at+1, t.last)-t.first]
		switch {
		case a > 0 && b > 0:
			w.Add(top+t.from+n, top+t.from+end)
		case a > 0 || b > 0:
			for p := n; p < end; p++ {
				if a*(1-t.share[p])+b*t.share[p] > 0 {
					w.Add(top+t.from+p, top+t.from+p+1)
				}
			}
		}
		n = end
	}
}
