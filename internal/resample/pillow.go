package resample

import (
	"fmt"
	"image"
	"math"
	"sync"

	"github.com/wildtrain/sdk/wildtrain"
)

// Filter is an interpolation kernel of Pillow's Image.resize.
type Filter uint8

// The kernels, with Pillow's names and supports.
const (
	Nearest  Filter = iota // the pixel under the centre, no antialiasing
	Box                    // mean of what a pixel covers
	Bilinear               // triangle, support 1
	Hamming                // support 1
	Bicubic                // Keys' kernel with a = −0.5, support 2
	Lanczos                // windowed sinc, support 3
)

var filterNames = [...]string{"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"}

// ParseFilter finds a kernel by its name in lower case.
func ParseFilter(name string) (Filter, error) {
	for i, n := range filterNames {
		if n == name {
			return Filter(i), nil
		}
	}
	return 0, fmt.Errorf("resample: no interpolation %q; there are %q", name, filterNames)
}

// String is the kernel's name.
func (f Filter) String() string {
	if int(f) < len(filterNames) {
		return filterNames[f]
	}
	return fmt.Sprintf("filter(%d)", uint8(f))
}

// Filtered scales src to the size of dst as Pillow's Image.resize does, to the
// same bytes: where the picture shrinks the kernel widens (antialiasing), and
// both passes, rows first, work in 8 bits with coefficients of 22.
func Filtered(dst, src wildtrain.Image, f Filter) error {
	return FilteredCrop(dst, src, image.Rect(0, 0, src.Width, src.Height), f)
}

// FilteredCrop is Filtered of a part of src, as if cut out before.
func FilteredCrop(dst, src wildtrain.Image, part image.Rectangle, f Filter) error {
	if err := check(dst, src); err != nil {
		return err
	}
	if part.Empty() || !part.In(image.Rect(0, 0, src.Width, src.Height)) {
		return fmt.Errorf("resample: %v is no part of a picture of %d×%d", part, src.Width, src.Height)
	}
	if f == Nearest || part.Dx() == dst.Width && part.Dy() == dst.Height {
		nearest(dst, src, part)
		return nil
	}
	columns, err := kernels(f, part.Dx(), dst.Width)
	if err != nil {
		return err
	}
	rows, err := kernels(f, part.Dy(), dst.Height)
	if err != nil {
		return err
	}
	c, row := src.Channels, dst.Width*src.Channels
	line := func(y int) []byte {
		return src.U8[((part.Min.Y+y)*src.Width+part.Min.X)*c:][:part.Dx()*c]
	}
	if part.Dx() != dst.Width {
		first, last := rows.reach()
		temp := temporary[byte](&tempBytes, (last-first)*row)
		defer tempBytes.Put(temp)
		for y := first; y < last; y++ {
			columns.across((*temp)[(y-first)*row:][:row], line(y), c)
		}
		line = func(y int) []byte { return (*temp)[(y-first)*row:][:row] }
	}
	if part.Dy() == dst.Height {
		for y := range dst.Height {
			copy(dst.U8[y*row:][:row], line(y))
		}
		return nil
	}
	sums := temporary[int32](&tempSums, row)
	defer tempSums.Put(sums)
	for y := range dst.Height {
		rows.down(dst.U8[y*row:][:row], *sums, y, line)
	}
	return nil
}

// Buffers of one call, reused by the next.
var (
	tempBytes = sync.Pool{New: func() any { return new([]byte) }}
	tempSums  = sync.Pool{New: func() any { return new([]int32) }}
)

func temporary[T any](pool *sync.Pool, n int) *[]T {
	p := pool.Get().(*[]T)
	if cap(*p) < n {
		*p = make([]T, n)
	}
	*p = (*p)[:n]
	return p
}

// kernelBits are the fractional bits of Pillow's 8-bit coefficients.
const kernelBits = 32 - 8 - 2

// kernel holds, for each output, where its inputs begin and their weights.
type kernel struct {
	from   []int
	weight [][]int32
}

// kernels lays out n outputs over m inputs.
func kernels(f Filter, m, n int) (kernel, error) {
	support, value := f.kernel()
	if value == nil {
		return kernel{}, fmt.Errorf("resample: unknown interpolation %v", f)
	}
	scale := float64(m) / float64(n)
	wide := max(scale, 1)
	support *= wide
	k := kernel{make([]int, n), make([][]int32, n)}
	real := make([]float64, 0, 2*int(math.Ceil(support))+1)
	for i := range n {
		centre := (float64(i) + 0.5) * scale
		from := max(int(centre-support+0.5), 0)
		to := min(int(centre+support+0.5), m)
		real = real[:0]
		sum := 0.0
		for x := from; x < to; x++ {
			// Bit by bit what the peer computes: its compiler does not fuse these either.
			w := value((float64(x) - centre + 0.5) * (1 / wide))
			real = append(real, w)
			sum += w
		}
		k.from[i], k.weight[i] = from, make([]int32, len(real))
		for j, w := range real {
			if sum != 0 {
				w /= sum
			}
			k.weight[i][j] = int32(math.Trunc(w*(1<<kernelBits) + math.Copysign(0.5, w)))
		}
	}
	return k, nil
}

// kernel is the support and the function of a filter.
func (f Filter) kernel() (support float64, value func(float64) float64) {
	switch f {
	case Box:
		return 0.5, func(x float64) float64 {
			if x > -0.5 && x <= 0.5 {
				return 1
			}
			return 0
		}
	case Bilinear:
		return 1, func(x float64) float64 { return max(1-math.Abs(x), 0) }
	case Hamming:
		return 1, func(x float64) float64 {
			if x = math.Abs(x); x >= 1 {
				return 0
			}
			return sinc(x) * (0.54 + 0.46*math.Cos(math.Pi*x))
		}
	case Bicubic:
		return 2, keys
	case Lanczos:
		return 3, func(x float64) float64 {
			if x < -3 || x >= 3 {
				return 0
			}
			return sinc(x) * sinc(x/3)
		}
	}
	return 0, nil
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// keys is the cubic convolution kernel (Keys 1981) with a = −0.5.
func keys(x float64) float64 {
	const a = -0.5
	switch x = math.Abs(x); {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

// reach is the range of inputs that any output needs.
func (k kernel) reach() (first, last int) {
	n := len(k.from) - 1
	return k.from[0], k.from[n] + len(k.weight[n])
}

// across filters one row.
func (k kernel) across(dst, src []byte, channels int) {
	if channels != 3 {
		for i, from := range k.from {
			for c := range channels {
				sum := int32(1 << (kernelBits - 1))
				for j, w := range k.weight[i] {
					sum += int32(src[(from+j)*channels+c]) * w
				}
				dst[i*channels+c] = clip8(sum)
			}
		}
		return
	}
	for i, from := range k.from {
		r, g, b := int32(1<<(kernelBits-1)), int32(1<<(kernelBits-1)), int32(1<<(kernelBits-1))
		weights := k.weight[i]
		s := src[3*from:][:3*len(weights)]
		for _, w := range weights {
			p := s[:3:3]
			r += int32(p[0]) * w
			g += int32(p[1]) * w
			b += int32(p[2]) * w
			s = s[3:]
		}
		d := dst[3*i : 3*i+3 : 3*i+3]
		d[0], d[1], d[2] = clip8(r), clip8(g), clip8(b)
	}
}

// down makes output row i of whole input rows.
func (k kernel) down(dst []byte, sums []int32, i int, line func(int) []byte) {
	for x := range sums {
		sums[x] = 1 << (kernelBits - 1)
	}
	for j, w := range k.weight[i] {
		src := line(k.from[i] + j)[:len(sums)]
		for x, v := range src {
			sums[x] += int32(v) * w
		}
	}
	dst = dst[:len(sums)]
	for x, v := range sums {
		dst[x] = clip8(v)
	}
}

func clip8(sum int32) uint8 { return uint8(min(max(sum>>kernelBits, 0), 255)) }

// nearest takes the pixel that the centre of each output falls on.
func nearest(dst, src wildtrain.Image, part image.Rectangle) {
	c := src.Channels
	sx, sy := float64(part.Dx())/float64(dst.Width), float64(part.Dy())/float64(dst.Height)
	for y := range dst.Height {
		row := src.U8[((part.Min.Y+int((float64(y)+0.5)*sy))*src.Width+part.Min.X)*c:]
		d := dst.U8[y*dst.Width*c:][:dst.Width*c]
		if part.Dx() == dst.Width {
			copy(d, row)
			continue
		}
		for x := range dst.Width {
			copy(d[x*c:][:c], row[int((float64(x)+0.5)*sx)*c:])
		}
	}
}
