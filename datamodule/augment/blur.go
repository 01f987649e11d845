package augment

import (
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

var blurs = []maker{
	{"GaussianBlur", 1, func(p *params) Transform {
		size := p.whole("kernel_size", 5, 1, 99)
		if size%2 == 0 {
			p.fail("kernel_size", "is %d, must be odd", size)
		}
		return GaussianBlur{size, p.span("sigma", [2]float64{0.1, 2}, 1e-3, 100, exactly)}
	}},
	{"Blur", 0.5, func(p *params) Transform {
		limit := p.span("blur_limit", [2]float64{3, 7}, 1, 99, func(v float64) [2]float64 { return [2]float64{min(3, v), v} })
		return BoxBlur{int(limit[0]), int(limit[1])}
	}},
	{"MedianBlur", 0.5, func(p *params) Transform {
		limit := p.span("blur_limit", [2]float64{3, 7}, 1, 31, func(v float64) [2]float64 { return [2]float64{min(3, v), v} })
		return MedianBlur{int(limit[0]), int(limit[1])}
	}},
}

// odd draws an odd number from low to high.
func odd(r *Rand, low, high int) int {
	low |= 1
	return low + 2*r.IntN(max((high-low)/2, 0)+1)
}

// GaussianBlur smooths with a Gaussian of a drawn width; borders are mirrored.
type GaussianBlur struct {
	Size  int // of the kernel, odd
	Sigma [2]float64
}

// Apply implements Transform.
func (t GaussianBlur) Apply(s *Sample, r *Rand) error {
	sigma := r.Uniform(t.Sigma[0], t.Sigma[1])
	kernel := make([]float32, t.Size)
	sum := 0.0
	for i := range kernel {
		x := float64(i - t.Size/2)
		w := math.Exp(-x * x / (2 * sigma * sigma))
		kernel[i] = float32(w)
		sum += w
	}
	for i := range kernel {
		kernel[i] /= float32(sum)
	}
	s.convolve(kernel)
	return nil
}

// BoxBlur takes the mean over a square of a drawn, odd side; borders are mirrored.
type BoxBlur struct{ Min, Max int }

// Apply implements Transform.
func (t BoxBlur) Apply(s *Sample, r *Rand) error {
	kernel := make([]float32, odd(r, t.Min, t.Max))
	for i := range kernel {
		kernel[i] = 1 / float32(len(kernel))
	}
	s.convolve(kernel)
	return nil
}

// convolve filters rows, then columns.
func (s *Sample) convolve(kernel []float32) {
	if len(kernel) == 1 {
		return
	}
	src := s.Image
	dst := s.Canvas(src.Width, src.Height)
	half, row := len(kernel)/2, 3*src.Width
	// A ring of filtered rows: each is used by as many outputs as the kernel is long.
	ring := make([][]float32, len(kernel))
	for i := range ring {
		ring[i] = make([]float32, row)
	}
	wide := make([]byte, row+6*half)
	line := func(y int) []float32 { return ring[(y+half)%len(ring)] }
	for y := -half; y < src.Height+half; y++ {
		filterRow(line(y), wide, src, reflect(y, src.Height), kernel)
		if y < half {
			continue
		}
		out := dst.U8[(y-half)*row:][:row]
		sums := make([]float32, row)
		for k, w := range kernel {
			for x, v := range line(y - 2*half + k)[:row] {
				sums[x] += w * v
			}
		}
		for x, v := range sums {
			out[x] = clip(int(v + 0.5))
		}
	}
	s.Replace(dst)
}

func filterRow(out []float32, wide []byte, src wildtrain.Image, y int, kernel []float32) {
	half := len(kernel) / 2
	in := src.U8[y*3*src.Width:][:3*src.Width]
	copy(wide[3*half:], in)
	for x := range half {
		copy(wide[3*(half-1-x):][:3], in[3*reflect(-1-x, src.Width):])
		copy(wide[3*(half+src.Width+x):][:3], in[3*reflect(src.Width+x, src.Width):])
	}
	clear(out)
	for k, w := range kernel {
		for x, v := range wide[3*k:][:len(out)] {
			out[x] += w * float32(v)
		}
	}
}

// MedianBlur takes the median over a square of a drawn, odd side; the outermost
// pixels repeat beyond the border.
type MedianBlur struct{ Min, Max int }

// Apply implements Transform.
func (t MedianBlur) Apply(s *Sample, r *Rand) error {
	side := odd(r, t.Min, t.Max)
	if side == 1 {
		return nil
	}
	src := s.Image
	dst := s.Canvas(src.Width, src.Height)
	half := side / 2
	window := make([]uint8, 0, side*side)
	for y := range src.Height {
		for x := range src.Width {
			for c := range 3 {
				window = window[:0]
				for v := y - half; v <= y+half; v++ {
					row := min(max(v, 0), src.Height-1) * src.Width
					for u := x - half; u <= x+half; u++ {
						window = append(window, src.U8[(row+min(max(u, 0), src.Width-1))*3+c])
					}
				}
				slices.Sort(window)
				dst.U8[(y*src.Width+x)*3+c] = window[len(window)/2]
			}
		}
	}
	s.Replace(dst)
	return nil
}
