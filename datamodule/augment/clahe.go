package augment

import (
	"math"

	"github.com/wildtrain/sdk/wildtrain"
)

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
	ab := make([][2]int32, n)
	for i := range light {
		light[i], ab[i] = lightness(im.U8[3*i], im.U8[3*i+1], im.U8[3*i+2])
	}
	tables := tileTables(light, im.Width, im.Height, limit, tiles)
	w, h := tileSize(im.Width, im.Height, tiles)
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

// tileSize is the size of a tile. Where one side does not divide OpenCV extends
// both, a side that does by as many pixels as there are tiles.
func tileSize(width, height, tiles int) (w, h int) {
	if width%tiles == 0 && height%tiles == 0 {
		return width / tiles, height / tiles
	}
	return width/tiles + 1, height/tiles + 1
}

// tileTables makes the map of each tile; tiles that stick out see the picture mirrored.
func tileTables(light []uint8, width, height int, limit float64, tiles int) [][256]uint8 {
	w, h := tileSize(width, height, tiles)
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

// OpenCV's 8-bit CIELAB works in fixed point: linear light has 3 fractional bits,
// the weights 12, the cube roots 15.
const lightBits, weightBits, rootBits = 3, 12, 15

// labTables are linear light by sRGB value, and cube roots by linear light.
type labTables struct {
	light [256]int32
	root  [256 * 3 / 2 << lightBits]int32
}

var lab = newLabTables()

func newLabTables() *labTables {
	t := &labTables{}
	for i := range t.light {
		v := float64(i) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		t.light[i] = int32(math.RoundToEven(255 * v * (1 << lightBits)))
	}
	for i := range t.root {
		v := float64(i) / (255 << lightBits)
		if v < 0.008856 {
			v = v*7.787 + 16./116
		} else {
			v = math.Cbrt(v)
		}
		t.root[i] = int32(math.RoundToEven(v * (1 << rootBits)))
	}
	return t
}

// lightness is L in 8 bits, and a and b.
func lightness(r, g, b uint8) (l uint8, ab [2]int32) {
	lr, lg, lb := lab.light[r], lab.light[g], lab.light[b]
	// XYZ by the white of D65.
	const half = 1 << (weightBits - 1)
	x := lab.root[(lr*1777+lg*1541+lb*778+half)>>weightBits]
	y := lab.root[(lr*871+lg*2929+lb*296+half)>>weightBits]
	z := lab.root[(lr*73+lg*448+lb*3575+half)>>weightBits]
	const scale, shift = (116*255 + 50) / 100, -((16*255*(1<<rootBits) + 50) / 100)
	round := func(v int32) int32 { return (v + 1<<(rootBits-1)) >> rootBits }
	return clip(int(round(scale*y + shift))), [2]int32{round(500 * (x - y)), round(200 * (y - z))}
}

// colourOf is the way back.
func colourOf(l uint8, ab [2]int32) (r, g, b uint8) {
	const whiteX, whiteZ = 0.950456, 1.088754
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
