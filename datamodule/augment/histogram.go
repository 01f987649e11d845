package augment

import (
	"math"

	"github.com/wildtrain/sdk/wildtrain"
)

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

// CLAHE levels lightness by parts with a limit (Zuiderveld 1994), as OpenCV does
// on the L of CIELAB. The limit is drawn.
type CLAHE struct {
	MinLimit, MaxLimit float64
	Tiles              int // along each side
}

// Apply implements Transform.
func (t CLAHE) Apply(s *Sample, r *Rand) error {
	limit := r.Uniform(t.MinLimit, t.MaxLimit)
	s.Pixels()
	clahe(s.Image, limit, t.Tiles)
	return nil
}

func clahe(im wildtrain.Image, limit float64, tiles int) {
	n := im.Width * im.Height
	light := make([]uint8, n)
	ab := make([][2]float32, n)
	for i := range light {
		light[i], ab[i] = lightness(im.U8[3*i], im.U8[3*i+1], im.U8[3*i+2])
	}
	tables := tileTables(light, im.Width, im.Height, limit, tiles)
	w, h := (im.Width+tiles-1)/tiles, (im.Height+tiles-1)/tiles
	for y := range im.Height {
		y1, y2, fy := between(y, h, tiles)
		for x := range im.Width {
			x1, x2, fx := between(x, w, tiles)
			i := y*im.Width + x
			v := light[i]
			top := float32(tables[y1*tiles+x1][v])*(1-fx) + float32(tables[y1*tiles+x2][v])*fx
			low := float32(tables[y2*tiles+x1][v])*(1-fx) + float32(tables[y2*tiles+x2][v])*fx
			l := clip(int(math.RoundToEven(float64(top*(1-fy) + low*fy))))
			im.U8[3*i], im.U8[3*i+1], im.U8[3*i+2] = colourOf(l, ab[i])
		}
	}
}

// between finds the tiles whose centres lie around a position, and how far it is
// on the way from one to the other.
func between(at, side, tiles int) (a, b int, f float32) {
	p := float32(at)/float32(side) - 0.5
	low := int(math.Floor(float64(p)))
	return max(low, 0), min(low+1, tiles-1), p - float32(low)
}

// tileTables makes the map of each tile; tiles that stick out see the picture mirrored.
func tileTables(light []uint8, width, height int, limit float64, tiles int) [][256]uint8 {
	w, h := (width+tiles-1)/tiles, (height+tiles-1)/tiles
	out := make([][256]uint8, tiles*tiles)
	most := max(1, int(limit*float64(w*h)/256))
	for t := range out {
		var n [256]int
		for y := t / tiles * h; y < (t/tiles+1)*h; y++ {
			row := reflect(y, height) * width
			for x := t % tiles * w; x < (t%tiles+1)*w; x++ {
				n[light[row+reflect(x, width)]]++
			}
		}
		cut := 0
		for i := range n {
			if n[i] > most {
				cut, n[i] = cut+n[i]-most, most
			}
		}
		batch, rest := cut/256, cut%256
		step := max(256/max(rest, 1), 1)
		for i := range n {
			n[i] += batch
		}
		for i := 0; i < 256 && rest > 0; i, rest = i+step, rest-1 {
			n[i]++
		}
		sum, scale := 0, float32(255)/float32(w*h)
		for i, k := range n {
			sum += k
			out[t][i] = clip(int(math.RoundToEven(float64(float32(sum) * scale))))
		}
	}
	return out
}

// reflect mirrors an index at the picture's outermost pixels.
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	for i < 0 || i >= n {
		if i < 0 {
			i = -i
		}
		if i >= n {
			i = 2*n - 2 - i
		}
	}
	return i
}

// linear is the light of an sRGB value, 0 to 1.
var linear = func() (out [256]float32) {
	for i := range out {
		v := float64(i) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		out[i] = float32(v)
	}
	return out
}()

// The white point D65 that OpenCV's CIELAB has.
const whiteX, whiteZ = 0.950456, 1.088754

// lightness is L in 8 bits, and a and b as they are.
func lightness(r, g, b uint8) (uint8, [2]float32) {
	lr, lg, lb := float64(linear[r]), float64(linear[g]), float64(linear[b])
	y := 0.212671*lr + 0.715160*lg + 0.072169*lb
	fx, fy, fz := cubeRoot((0.412453*lr+0.357580*lg+0.180423*lb)/whiteX), cubeRoot(y), cubeRoot((0.019334*lr+0.119193*lg+0.950227*lb)/whiteZ)
	l := clip(int(math.Round((116*fy - 16) * 2.55)))
	return l, [2]float32{float32(math.Round(500 * (fx - fy))), float32(math.Round(200 * (fy - fz)))}
}

func cubeRoot(t float64) float64 {
	if t > 0.008856 {
		return math.Cbrt(t)
	}
	return 7.787*t + 16./116
}

// colourOf is the way back.
func colourOf(l uint8, ab [2]float32) (r, g, b uint8) {
	fy := (float64(l)/2.55 + 16) / 116
	fx, fz := fy+float64(ab[0])/500, fy-float64(ab[1])/200
	cube := func(f float64) float64 {
		if f > 0.206893 {
			return f * f * f
		}
		return (f - 16./116) / 7.787
	}
	x, y, z := cube(fx)*whiteX, cube(fy), cube(fz)*whiteZ
	return gamma(3.240479*x - 1.537150*y - 0.498535*z), gamma(-0.969256*x + 1.875991*y + 0.041556*z), gamma(0.055648*x - 0.204043*y + 1.057311*z)
}

func gamma(v float64) uint8 {
	if v <= 0.0031308 {
		v *= 12.92
	} else {
		v = 1.055*math.Pow(v, 1/2.4) - 0.055
	}
	return clip(int(math.Round(255 * v)))
}
