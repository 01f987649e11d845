package augment

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"

	"github.com/wildtrain/sdk/internal/imageio"
)

var noises = []maker{
	{"GaussianNoise", 1, func(p *params) Transform {
		if m := p.number("mean", 0, -1, 1); m != 0 {
			p.fail("mean", "is %v: noise here has no mean", m)
		}
		p.flag("clip", true)
		sigma := p.span("sigma", exactly(0.1), 0, 1, exactly)
		return Noise{sigma[0], sigma[1]}
	}},
	{"JPEG", 1, func(p *params) Transform {
		q := p.span("quality", [2]float64{40, 95}, 1, 100, exactly)
		return JPEG{int(q[0]), int(q[1])}
	}},
}

// Noise adds Gaussian noise to every value; its standard deviation is drawn, in
// shares of the whole range.
type Noise struct{ Min, Max float64 }

// Apply implements Transform.
func (t Noise) Apply(s *Sample, r *Rand) error {
	// The sum of eight random bytes is as good as normal: mean 1020, variance
	// 8·(2¹⁶−1)/12.
	const mean = 1020
	scale := r.Uniform(t.Min, t.Max) * 255 / math.Sqrt(8*65535./12)
	factor := int64(math.Round(scale * (1 << 16)))
	pix := s.Pixels()
	for i, v := range pix {
		bits := r.Uint64()
		// Bytes to four words, four words to one sum.
		bits = bits&0x00ff00ff00ff00ff + bits>>8&0x00ff00ff00ff00ff
		sum := int64(bits * 0x0001000100010001 >> 48)
		pix[i] = clip(int(int64(v) + ((sum-mean)*factor+1<<15)>>16))
	}
	return nil
}

// JPEG loses what a JPEG file of a drawn quality loses.
type JPEG struct{ Min, Max int }

// Apply implements Transform.
func (t JPEG) Apply(s *Sample, r *Rand) error {
	quality := t.Min + r.IntN(t.Max-t.Min+1)
	w, h := s.Image.Width, s.Image.Height
	rgba := image.NewRGBA(image.Rect(0, 0, w, h))
	for i, p := 0, s.Image.U8; i < w*h; i++ {
		copy(rgba.Pix[4*i:4*i+3], p[3*i:])
		rgba.Pix[4*i+3] = 255
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, rgba, &jpeg.Options{Quality: quality}); err != nil {
		return fmt.Errorf("augment: compress picture: %w", err)
	}
	im, err := imageio.Decode(file.Bytes(), imageio.Options{})
	if err != nil {
		return fmt.Errorf("augment: compress picture: %w", err)
	}
	copy(s.Pixels(), im.U8)
	return nil
}
