package classification

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/wildtrain"
)

// Picture lays the heat map over the picture that it is of, blue where nothing
// matters and red where most does, with the class's name and, where prob is above
// 0, its probability.
func (h Heat) Picture(im wildtrain.Image, class string, prob float64) (*image.RGBA, error) {
	if im.Height != h.Height || im.Width != h.Width {
		return nil, fmt.Errorf("classification: a heat map of %d×%d px does not fit a picture of %d×%d px", h.Width, h.Height, im.Width, im.Height)
	}
	out := draw.Canvas(im)
	for i, v := range h.Values {
		x, y := i%h.Width, i/h.Width
		p, heat := out.RGBAAt(x, y), rainbow(float64(v))
		mix := func(a, b uint8) uint8 { return uint8((11*int(a) + 9*int(b)) / 20) }
		out.SetRGBA(x, y, color.RGBA{mix(p.R, heat.R), mix(p.G, heat.G), mix(p.B, heat.B), 255})
	}
	if prob > 0 {
		class = fmt.Sprintf("%s %.2f", class, prob)
	}
	draw.Label(out, 0, h.Height, class, draw.Color(h.Class), 1)
	return out, nil
}

// rainbow runs from blue over green to red, as the "jet" of plotting programs.
func rainbow(v float64) color.RGBA {
	part := func(centre float64) uint8 {
		return uint8(255 * min(max(1.5-math.Abs(4*v-centre), 0), 1))
	}
	return color.RGBA{part(3), part(2), part(1), 255}
}
