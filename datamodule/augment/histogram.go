package augment

import "math"

var histograms = []maker{
	{"RandomAutocontrast", 0.5, func(*params) Transform { return Autocontrast{} }},
	{"RandomEqualize", 0.5, func(*params) Transform { return Equalize{} }},
	{"CLAHE", 0.5, func(p *params) Transform {
		limit := p.span("clip_limit", [2]float64{1, 4}, 1, 256, func(v float64) [2]float64 { return [2]float64{1, v} })
		tiles := p.list("tile_grid_size", 8, 8)
		if len(tiles) == 0 || tiles[0] != tiles[len(tiles)-1] || tiles[0] < 1 || tiles[0] > 64 || tiles[0] != math.Trunc(tiles[0]) {
			p.fail("tile_grid_size", "is %v, must be one whole number between 1 and 64", tiles)
			return CLAHE{}
		}
		return CLAHE{limit[0], limit[1], int(tiles[0])}
	}},
}

// counts are how often each value of each channel occurs.
func counts(pix []byte) (out [3][256]int) {
	for i := 0; i+2 < len(pix); i += 3 {
		out[0][pix[i]]++
		out[1][pix[i+1]]++
		out[2][pix[i+2]]++
	}
	return out
}

func mapChannels(pix []byte, tables *[3][256]uint8) {
	for i := 0; i+2 < len(pix); i += 3 {
		pix[i], pix[i+1], pix[i+2] = tables[0][pix[i]], tables[1][pix[i+1]], tables[2][pix[i+2]]
	}
}

// Autocontrast stretches each channel to the whole range, as Pillow's ImageOps.
type Autocontrast struct{}

// Apply implements Transform.
func (Autocontrast) Apply(s *Sample, _ *Rand) error {
	pix := s.Pixels()
	var tables [3][256]uint8
	for c, n := range counts(pix) {
		low, high := 0, 255
		for low < 255 && n[low] == 0 {
			low++
		}
		for high > 0 && n[high] == 0 {
			high--
		}
		tables[c] = levels(func(v int) int {
			if high <= low {
				return v
			}
			scale := 255 / float64(high-low)
			return int(float64(v)*scale - float64(low)*scale)
		})
	}
	mapChannels(pix, &tables)
	return nil
}

// Equalize levels the histogram of each channel, as Pillow's ImageOps.
type Equalize struct{}

// Apply implements Transform.
func (Equalize) Apply(s *Sample, _ *Rand) error {
	pix := s.Pixels()
	var tables [3][256]uint8
	for c, n := range counts(pix) {
		sum, used, last := 0, 0, 0
		for _, k := range n {
			if sum += k; k > 0 {
				used, last = used+1, k
			}
		}
		step := (sum - last) / 255
		at := step / 2
		tables[c] = levels(func(v int) int {
			if used <= 1 || step == 0 {
				return v
			}
			out := at / step
			at += n[v]
			return out
		})
	}
	mapChannels(pix, &tables)
	return nil
}
