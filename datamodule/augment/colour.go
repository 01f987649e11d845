package augment

import "math"

var colours = []maker{
	{"ColorJitter", 1, func(p *params) Transform {
		t := ColourJitter{
			Brightness: p.span("brightness", exactly(1), 0, 1e3, factors), Contrast: p.span("contrast", exactly(1), 0, 1e3, factors),
			Saturation: p.span("saturation", exactly(1), 0, 1e3, factors), Hue: p.span("hue", exactly(0), -0.5, 0.5, around),
		}
		return t
	}},
	{"Grayscale", 1, grey},
	{"RandomGrayscale", 0.1, grey},
	{"ToGray", 0.5, grey},
	{"HSV", 1, func(p *params) Transform {
		return HueSaturationValue{p.share("hue", 0.015), p.share("saturation", 0.7), p.share("value", 0.4)}
	}},
	{"RandomInvert", 0.5, func(*params) Transform { return Levels(invert) }},
	{"RandomPosterize", 0.5, func(p *params) Transform { return Levels(posterize(p.whole("bits", 4, 0, 8))) }},
	{"RandomSolarize", 0.5, func(p *params) Transform { return Levels(solarize(p.number("threshold", 128, 0, 256))) }},
	{"RandomAdjustSharpness", 0.5, func(p *params) Transform { return Sharpness(p.number("sharpness_factor", 2, 0, 100)) }},
}

// grey makes the transform of three names; how many channels come out is not
// asked: pictures have three.
func grey(p *params) Transform {
	p.whole("num_output_channels", 3, 1, 3)
	return Grey{}
}

// ColourJitter changes brightness, contrast, saturation (factors) and hue (a
// share of the circle), in random order, to the values of Pillow's ImageEnhance.
type ColourJitter struct{ Brightness, Contrast, Saturation, Hue [2]float64 }

// Apply implements Transform.
func (t ColourJitter) Apply(s *Sample, r *Rand) error {
	order := r.Perm(4)
	draw := func(span [2]float64) float64 { return r.Uniform(span[0], span[1]) }
	b, c, sat, hue := draw(t.Brightness), draw(t.Contrast), draw(t.Saturation), draw(t.Hue)
	pix := s.Pixels()
	for _, k := range order {
		switch k {
		case 0:
			brightness(pix, b)
		case 1:
			contrast(pix, c)
		case 2:
			saturation(pix, sat)
		default:
			turnHue(pix, hue)
		}
	}
	return nil
}

// Grey takes the colour out: each channel becomes the luma of ITU-R 601.
type Grey struct{}

// Apply implements Transform.
func (Grey) Apply(s *Sample, _ *Rand) error {
	pix := s.Pixels()
	for i := 0; i+2 < len(pix); i += 3 {
		l := luma(pix[i], pix[i+1], pix[i+2])
		pix[i], pix[i+1], pix[i+2] = l, l, l
	}
	return nil
}

// HueSaturationValue turns the hue by ± a share of the circle and multiplies
// saturation and value by 1 ± a share.
type HueSaturationValue struct{ Hue, Saturation, Value float64 }

// Apply implements Transform.
func (t HueSaturationValue) Apply(s *Sample, r *Rand) error {
	h := r.Uniform(-t.Hue, t.Hue)
	sat := 1 + r.Uniform(-t.Saturation, t.Saturation)
	HSV(s.Pixels(), h, sat, 1+r.Uniform(-t.Value, t.Value))
	return nil
}

// Levels maps every value of every channel.
type Levels [256]uint8

// Apply implements Transform.
func (t Levels) Apply(s *Sample, _ *Rand) error {
	pix := s.Pixels()
	for i, v := range pix {
		pix[i] = t[v]
	}
	return nil
}

// invert is the negative.
var invert = levels(func(v int) int { return 255 - v })

// posterize keeps the high bits.
func posterize(bits int) [256]uint8 {
	return levels(func(v int) int { return v &^ (1<<(8-bits) - 1) })
}

// solarize inverts values from a threshold on.
func solarize(threshold float64) [256]uint8 {
	return levels(func(v int) int {
		if float64(v) < threshold {
			return v
		}
		return 255 - v
	})
}

func levels(f func(int) int) (out [256]uint8) {
	for i := range out {
		out[i] = uint8(min(max(f(i), 0), 255))
	}
	return out
}

// luma is Pillow's conversion to "L".
func luma(r, g, b uint8) uint8 {
	return uint8((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 0x8000) >> 16)
}

// mix is Pillow's Image.blend of one value: from a to b and beyond, in float32.
func mix(a, b uint8, t float32) uint8 {
	v := float32(a) + t*float32(int(b)-int(a))
	return uint8(min(max(v, 0), 255))
}

// brightness blends with black, as ImageEnhance.Brightness.
func brightness(pix []byte, factor float64) {
	if factor == 1 {
		return
	}
	var table [256]uint8
	for i := range table {
		table[i] = mix(0, uint8(i), float32(factor))
	}
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// contrast blends with the mean grey, as ImageEnhance.Contrast.
func contrast(pix []byte, factor float64) {
	if factor == 1 || len(pix) < 3 {
		return
	}
	sum := 0
	for i := 0; i+2 < len(pix); i += 3 {
		sum += int(luma(pix[i], pix[i+1], pix[i+2]))
	}
	mean := uint8(float64(sum)/float64(len(pix)/3) + 0.5)
	var table [256]uint8
	for i := range table {
		table[i] = mix(mean, uint8(i), float32(factor))
	}
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// saturation blends with the grey picture, as ImageEnhance.Color.
func saturation(pix []byte, factor float64) {
	if factor == 1 {
		return
	}
	f := float32(factor)
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = mix(l, p[0], f), mix(l, p[1], f), mix(l, p[2], f)
	}
}

// turnHue turns the hue by a share of the circle in Pillow's 8-bit HSV.
func turnHue(pix []byte, share float64) {
	if share == 0 {
		return
	}
	by := uint8(int(share * 255))
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		h, s, v := toHSV(p[0], p[1], p[2])
		p[0], p[1], p[2] = fromHSV(h+by, s, v)
	}
}

// toHSV is Pillow's conversion, with its float32 steps.
func toHSV(r, g, b uint8) (h, s, v uint8) {
	high, low := max(r, g, b), min(r, g, b)
	if high == low {
		return 0, 0, high
	}
	span := float32(high - low)
	rc, gc, bc := float32(high-r)/span, float32(high-g)/span, float32(high-b)/span
	var hue float32
	switch high {
	case r:
		hue = bc - gc
	case g:
		hue = float32(2 + float64(rc) - float64(bc))
	default:
		hue = float32(4 + float64(gc) - float64(rc))
	}
	turn := float32(math.Mod(float64(hue)/6+1, 1))
	return clip(int(float64(turn) * 255)), clip(int(float64(span/float32(high)) * 255)), high
}

// fromHSV is the way back.
func fromHSV(h, s, v uint8) (r, g, b uint8) {
	if s == 0 {
		return v, v, v
	}
	turn := float64(h) * 6 / 255
	sixth := int(turn)
	f := float32(turn - float64(sixth))
	fs, fv := float32(float64(s)/255), float64(v)
	p := clip(int(math.Round(fv * (1 - float64(fs)))))
	q := clip(int(math.Round(fv * (1 - float64(fs*f)))))
	t := clip(int(math.Round(fv * (1 - float64(fs)*(1-float64(f))))))
	switch sixth % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}

func clip(v int) uint8 { return uint8(min(max(v, 0), 255)) }

// Sharpness blends with a smoothed picture, as ImageEnhance.Sharpness: 0 is
// smooth, 1 leaves the picture, above sharpens.
type Sharpness float64

// Apply implements Transform.
func (t Sharpness) Apply(s *Sample, _ *Rand) error {
	w, h := s.Image.Width, s.Image.Height
	if t == 1 || w < 3 || h < 3 {
		return nil
	}
	dst, src := s.Canvas(w, h), s.Image
	copy(dst.U8, src.U8) // the border stays
	stride := 3 * w
	for y := 1; y < h-1; y++ {
		for i := y*stride + 3; i < (y+1)*stride-3; i++ {
			sum := 5 * int(src.U8[i])
			for _, row := range [3]int{i - stride, i, i + stride} {
				sum += int(src.U8[row-3]) + int(src.U8[row+3])
			}
			sum += int(src.U8[i-stride]) + int(src.U8[i+stride])
			dst.U8[i] = mix(uint8((2*sum+13)/26), src.U8[i], float32(t))
		}
	}
	s.Replace(dst)
	return nil
}
