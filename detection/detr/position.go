package detr

import (
	"math"

	"github.com/wildtrain/sdk/torch"
)

// temperature is the base of the wavelengths of all position embeddings here.
const temperature = 10000

// size is height and width.
type size = [2]int64

// padded tells of a batch of pictures that were padded to one size; without
// valid sizes nothing was.
type padded struct {
	height, width int64
	valid         []size // of each picture, nil where all fill theirs
}

// at is the valid part of each picture in a feature map of the given shape: a
// cell counts where the pixel counts that nearest sampling picks for it.
func (p padded) at(shape size) []size {
	if p.valid == nil {
		return []size{shape}
	}
	out := make([]size, len(p.valid))
	for i, v := range p.valid {
		out[i] = size{visible(shape[0], p.height, v[0]), visible(shape[1], p.width, v[1])}
	}
	return out
}

// visible counts the cells of length cells whose source among full pixels is
// one of the first valid ones; at least one.
func visible(cells, full, valid int64) int64 {
	scale := float32(full) / float32(cells)
	n := int64(1)
	for n < cells && int64(float32(n)*scale) < valid {
		n++
	}
	return n
}

// mask is what is kept, (N, S) of a feature map of the given shape; nil where all is.
func (p padded) mask(s *torch.Scope, shape size) *torch.Tensor {
	if p.valid == nil {
		return nil
	}
	data := make([]float32, 0, int64(len(p.valid))*shape[0]*shape[1])
	for _, v := range p.at(shape) {
		for y := range shape[0] {
			for x := range shape[1] {
				if y < v[0] && x < v[1] {
					data = append(data, 1)
				} else {
					data = append(data, 0)
				}
			}
		}
	}
	return torch.Of(s, data, int64(len(p.valid)), shape[0]*shape[1])
}

// sines fills dst with an angle's sines and cosines of growing wavelengths, in turn.
func sines(dst []float32, angle float64) {
	for i := 0; i < len(dst); i += 2 {
		sin, cos := math.Sincos(angle / math.Pow(temperature, float64(i)/float64(len(dst))))
		dst[i], dst[i+1] = float32(sin), float32(cos)
	}
}

// position is DETR's embedding of the places of a feature map: (N or 1, S, width),
// sines of y in the first half of the width and of x in the second, each 2π
// across the valid part (arXiv 2005.12872, §A.4). Cells lie at 1, 2, … less shift.
func position(s *torch.Scope, p padded, shape size, width int64, shift float64) *torch.Tensor {
	half := int(width / 2)
	valid := p.at(shape)
	data := make([]float32, 0, int64(len(valid))*shape[0]*shape[1]*width)
	for _, v := range valid {
		axis := func(cells, valid int64) []float32 {
			table := make([]float32, int(cells)*half)
			for i := range int(cells) {
				place := float64(min(int64(i)+1, valid)) - shift
				sines(table[i*half:(i+1)*half], place/(float64(valid)+1e-6)*2*math.Pi)
			}
			return table
		}
		ys, xs := axis(shape[0], v[0]), axis(shape[1], v[1])
		for y := range int(shape[0]) {
			for x := range int(shape[1]) {
				data = append(append(data, ys[y*half:(y+1)*half]...), xs[x*half:(x+1)*half]...)
			}
		}
	}
	return torch.Of(s, data, int64(len(valid)), shape[0]*shape[1], width)
}

// gridPosition is RT-DETR's embedding, (1, S, width): sines of y, cosines of y,
// sines of x, cosines of x, with y and x counted in cells.
func gridPosition(s *torch.Scope, shape size, width int64) *torch.Tensor {
	quarter := int(width / 4)
	axis := func(cells int64) [][]float32 {
		table := make([][]float32, cells)
		for i := range table {
			table[i] = make([]float32, 2*quarter)
			for k := range quarter {
				sin, cos := math.Sincos(float64(i) / math.Pow(temperature, float64(k)/float64(quarter)))
				table[i][k], table[i][quarter+k] = float32(sin), float32(cos)
			}
		}
		return table
	}
	ys, xs := axis(shape[0]), axis(shape[1])
	data := make([]float32, 0, shape[0]*shape[1]*width)
	for _, y := range ys {
		for _, x := range xs {
			data = append(append(data, y...), x...)
		}
	}
	return torch.Of(s, data, 1, shape[0]*shape[1], width)
}

// unreachable is the logit of a proposal that does not count.
const unreachable = math.MaxFloat32

// proposals are one box per cell as logits of centre and size (N or 1, S, 4):
// in the middle of the cell, 0.05 of the picture wide on the first level and
// twice as wide on each next; and 1 where the box counts, (N or 1, S, 1): inside
// of the valid part, and neither too near the border nor too large.
func proposals(s *torch.Scope, p padded, shapes []size) (boxes, counts *torch.Tensor) {
	n := int64(max(len(p.valid), 1))
	var logits, kept []float32
	for i := range int(n) {
		for level, shape := range shapes {
			v := p.at(shape)[i]
			side := 0.05 * math.Pow(2, float64(level))
			for y := range shape[0] {
				for x := range shape[1] {
					box := [4]float64{(float64(x) + 0.5) / float64(v[1]), (float64(y) + 0.5) / float64(v[0]), side, side}
					ok := y < v[0] && x < v[1]
					for _, c := range box {
						ok = ok && float32(c) > 0.01 && float32(c) < 0.99
					}
					for _, c := range box {
						if ok {
							logits = append(logits, float32(math.Log(c/(1-c))))
						} else {
							logits = append(logits, unreachable)
						}
					}
					if ok {
						kept = append(kept, 1)
					} else {
						kept = append(kept, 0)
					}
				}
			}
		}
	}
	return torch.Of(s, logits, n, int64(len(kept))/n, 4), torch.Of(s, kept, n, int64(len(kept))/n, 1)
}

// references are the middles of all cells as x and y, seen from every level:
// (N or 1, S, levels, 2). They are fractions of each level, of which the valid
// part of a padded picture covers less.
func references(s *torch.Scope, p padded, shapes []size) *torch.Tensor {
	n := max(len(p.valid), 1)
	var data []float32
	total := int64(0)
	for i := range n {
		share := make([][2]float64, len(shapes)) // of x and y
		for l, shape := range shapes {
			v := p.at(shape)[i]
			share[l] = [2]float64{float64(v[1]) / float64(shape[1]), float64(v[0]) / float64(shape[0])}
		}
		for l, shape := range shapes {
			if i == 0 {
				total += shape[0] * shape[1]
			}
			for y := range shape[0] {
				for x := range shape[1] {
					px := (float64(x) + 0.5) / (share[l][0] * float64(shape[1]))
					py := (float64(y) + 0.5) / (share[l][1] * float64(shape[0]))
					for k := range shapes {
						data = append(data, float32(px*share[k][0]), float32(py*share[k][1]))
					}
				}
			}
		}
	}
	return torch.Of(s, data, int64(n), total, int64(len(shapes)), 2)
}

// shares is the valid part of each level, (N or 1, levels, 2) as x and y.
func shares(s *torch.Scope, p padded, shapes []size) *torch.Tensor {
	n := max(len(p.valid), 1)
	var data []float32
	for i := range n {
		for _, shape := range shapes {
			v := p.at(shape)[i]
			data = append(data, float32(v[1])/float32(shape[1]), float32(v[0])/float32(shape[0]))
		}
	}
	return torch.Of(s, data, int64(n), int64(len(shapes)), 2)
}
