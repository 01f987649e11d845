package augment

import (
	"image"
	"math"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

var resizes = []maker{
	{"Resize", 1, func(p *params) Transform {
		h, w, shorter := p.size("size")
		t := Resize{h, w, shorter, p.interpolation(resample.Bilinear)}
		if !p.flag("antialias", true) {
			p.fail("antialias", "is false: pictures are scaled as Pillow does, which is with it")
		}
		return t
	}},
	{"CenterCrop", 1, func(p *params) Transform {
		h, w, _ := p.size("size")
		return CenterCrop{h, w, p.grey(0)}
	}},
	{"RandomCrop", 1, func(p *params) Transform {
		h, w, _ := p.size("size")
		return RandomCrop{h, w, p.grey(0)}
	}},
	{"RandomResizedCrop", 1, func(p *params) Transform {
		h, w, _ := p.size("size")
		scale := p.span("scale", [2]float64{0.08, 1}, 1e-6, 1, exactly)
		ratio := p.span("ratio", [2]float64{3. / 4, 4. / 3}, 1e-3, 1e3, exactly)
		if !p.flag("antialias", true) {
			p.fail("antialias", "is false: pictures are scaled as Pillow does, which is with it")
		}
		return RandomResizedCrop{h, w, scale, ratio, p.interpolation(resample.Bilinear)}
	}},
	{"Letterbox", 1, func(p *params) Transform {
		h, w, _ := p.size("size")
		return Fitted{h, w, p.grey(Pad)}
	}},
}

// Resize scales a picture as Pillow does.
type Resize struct {
	Height, Width int
	Shorter       bool // Height is the length of the shorter side, the other keeps the proportions
	Filter        resample.Filter
}

// Apply implements Transform.
func (t Resize) Apply(s *Sample, _ *Rand) error {
	w, h := t.Width, t.Height
	if t.Shorter {
		w, h = ShorterSide(s.Image.Width, s.Image.Height, t.Height)
	}
	return s.resize(image.Rect(0, 0, s.Image.Width, s.Image.Height), w, h, t.Filter)
}

// ShorterSide is the size of a picture whose shorter side is scaled to a length,
// by torchvision's rule: fractions of the longer one are cut off.
func ShorterSide(width, height, length int) (w, h int) {
	if width <= height {
		return length, max(1, length*height/width)
	}
	return max(1, length*width/height), length
}

// resize scales a part of the picture to the whole new one.
func (s *Sample) resize(part image.Rectangle, width, height int, f resample.Filter) error {
	w, h := s.Image.Width, s.Image.Height
	dst := s.Canvas(width, height)
	if err := resample.FilteredCrop(dst, s.Image, part, f); err != nil {
		return err
	}
	s.Replace(dst)
	m := wildtrain.Translation(-float64(part.Min.X), -float64(part.Min.Y)).Then(wildtrain.Scaling(float64(width)/float64(part.Dx()), float64(height)/float64(part.Dy())))
	s.move(resample.FromAffine(m), w, h)
	return nil
}

// crop cuts a window out; what lies outside the picture is grey.
func (s *Sample) crop(x, y, width, height int, grey byte) error {
	w, h := s.Image.Width, s.Image.Height
	dst := s.Canvas(width, height)
	fill(dst.U8, grey)
	paste(dst, s.Image, -x, -y)
	s.Replace(dst)
	s.move(resample.FromAffine(wildtrain.Translation(-float64(x), -float64(y))), w, h)
	return nil
}

// CenterCrop cuts the middle out; smaller pictures get a border.
type CenterCrop struct {
	Height, Width int
	Fill          byte
}

// Apply implements Transform.
func (t CenterCrop) Apply(s *Sample, _ *Rand) error {
	// torchvision pads with the odd pixel right and below, and cuts half to even.
	offset := func(whole, part int) int {
		if whole < part {
			return -((part - whole) / 2)
		}
		return int(math.RoundToEven(float64(whole-part) / 2))
	}
	return s.crop(offset(s.Image.Width, t.Width), offset(s.Image.Height, t.Height), t.Width, t.Height, t.Fill)
}

// RandomCrop cuts a window out anywhere; smaller pictures get a border.
type RandomCrop struct {
	Height, Width int
	Fill          byte
}

// Apply implements Transform.
func (t RandomCrop) Apply(s *Sample, r *Rand) error {
	offset := func(whole, part int) int {
		n := r.IntN(max(whole, part) - min(whole, part) + 1)
		if whole < part {
			return -n
		}
		return n
	}
	x := offset(s.Image.Width, t.Width)
	return s.crop(x, offset(s.Image.Height, t.Height), t.Width, t.Height, t.Fill)
}

// RandomResizedCrop scales a random part of the picture (Szegedy et al. 2015).
type RandomResizedCrop struct {
	Height, Width int
	Scale, Ratio  [2]float64 // share of the area; width over height
	Filter        resample.Filter
}

// Apply implements Transform.
func (t RandomResizedCrop) Apply(s *Sample, r *Rand) error {
	return s.resize(DrawCrop(r, s.Image.Width, s.Image.Height, t.Scale, t.Ratio), t.Width, t.Height, t.Filter)
}

// DrawCrop draws a part of a width×height picture by torchvision's rule: ten
// times an area and a logarithmically uniform ratio of width to height are tried;
// if none fits, the largest part in the middle with an allowed ratio is taken.
func DrawCrop(r *Rand, width, height int, scale, ratio [2]float64) image.Rectangle {
	area := float64(width * height)
	low, high := math.Log(ratio[0]), math.Log(ratio[1])
	for range 10 {
		target := area * r.Uniform(scale[0], scale[1])
		aspect := math.Exp(r.Uniform(low, high))
		w, h := int(math.RoundToEven(math.Sqrt(target*aspect))), int(math.RoundToEven(math.Sqrt(target/aspect)))
		if w > 0 && w <= width && h > 0 && h <= height {
			y := r.IntN(height - h + 1)
			x := r.IntN(width - w + 1)
			return image.Rect(x, y, x+w, y+h)
		}
	}
	w, h := width, height
	switch is := float64(width) / float64(height); {
	case is < ratio[0]:
		h = int(math.RoundToEven(float64(w) / ratio[0]))
	case is > ratio[1]:
		w = int(math.RoundToEven(float64(h) * ratio[1]))
	}
	x, y := (width-w)/2, (height-h)/2
	return image.Rect(x, y, x+w, y+h)
}

// Fitted scales a picture into a frame with its proportions kept, as OpenCV
// interpolates, and puts it in the middle: the letterbox of detectors.
type Fitted struct {
	Height, Width int
	Fill          byte
}

// Apply implements Transform.
func (t Fitted) Apply(s *Sample, _ *Rand) error {
	w, h := Fit(s.Image.Width, s.Image.Height, t.Width, t.Height)
	if w != s.Image.Width || h != s.Image.Height {
		oldW, oldH := s.Image.Width, s.Image.Height
		dst := s.Canvas(w, h)
		if err := resample.Linear(dst, s.Image); err != nil {
			return err
		}
		s.Replace(dst)
		s.move(resample.FromAffine(wildtrain.Scaling(float64(w)/float64(oldW), float64(h)/float64(oldH))), oldW, oldH)
	}
	if w == t.Width && h == t.Height {
		return nil
	}
	return s.crop(-((t.Width - w) / 2), -((t.Height - h) / 2), t.Width, t.Height, t.Fill)
}
