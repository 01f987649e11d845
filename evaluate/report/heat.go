package report

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"

	"github.com/wildtrain/sdk/evaluate"
)

// disc is a glyph without outline.
type disc struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (disc) DrawGlyph(c *vgdraw.Canvas, sty vgdraw.GlyphStyle, pt vg.Point) {
	var p vg.Path
	p.Move(vg.Point{X: pt.X + sty.Radius, Y: pt.Y})
	p.Arc(pt, sty.Radius, 0, 2*math.Pi)
	p.Close()
	c.SetColor(sty.Color)
	c.Fill(p)
}

// shares is a confusion matrix in shares of its rows, the first row on top.
type shares struct{ c *evaluate.Confusion }

// Dims implements plotter.GridXYZ.
func (s shares) Dims() (int, int) { n := len(s.c.Classes); return n, n }

// X implements plotter.GridXYZ.
func (s shares) X(c int) float64 { return float64(c) }

// Y implements plotter.GridXYZ.
func (s shares) Y(r int) float64 { return float64(r) }

// Z implements plotter.GridXYZ.
func (s shares) Z(c, r int) float64 {
	row := s.c.Counts[len(s.c.Classes)-1-r]
	total := 0
	for _, n := range row {
		total += n
	}
	if total == 0 {
		return 0
	}
	return float64(row[c]) / float64(total)
}

// blues is a palette from white to dark blue.
type blues struct{}

// Colors implements palette.Palette.
func (blues) Colors() []color.Color {
	out := make([]color.Color, 64)
	for i := range out {
		out[i] = shade(float64(i) / 63)
	}
	return out
}

// shade is white at 0, dark blue at 1.
func shade(v float64) color.RGBA {
	mix := func(from, to float64) uint8 { return uint8(from + (to-from)*v) }
	return color.RGBA{mix(250, 23), mix(251, 78), mix(253, 134), 255}
}

// confusionMap draws the matrix; up to 12 classes with numbers.
func confusionMap(in Input) (*plot.Plot, error) {
	p := plot.New()
	sans(p)
	p.X.Label.Text, p.Y.Label.Text = "said", "truth"
	s := shares{in.Confusion}
	heat := plotter.NewHeatMap(s, blues{})
	heat.Min, heat.Max = 0, 1
	p.Add(heat)
	n := len(in.Confusion.Classes)
	upside := make([]string, n)
	for i, name := range in.Confusion.Classes {
		upside[n-1-i] = name
	}
	p.NominalX(in.Confusion.Classes...)
	p.NominalY(upside...)
	if n > 5 {
		p.X.Tick.Label.Rotation = math.Pi / 3
		p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = vgdraw.XRight, vgdraw.YCenter
	}
	if n <= 12 {
		return p, numbers(p, in.Confusion, s)
	}
	return p, nil
}

func numbers(p *plot.Plot, c *evaluate.Confusion, s shares) error {
	n := len(c.Classes)
	var at plotter.XYLabels
	var styles []text.Style
	for i, row := range c.Counts {
		for k, v := range row {
			at.XYs = append(at.XYs, plotter.XY{X: float64(k), Y: float64(n - 1 - i)})
			at.Labels = append(at.Labels, strconv.Itoa(v))
			letters := color.Color(color.Black)
			if s.Z(k, n-1-i) > 0.5 {
				letters = color.White
			}
			styles = append(styles, text.Style{
				Color: letters, Font: font.From(font.Font{Typeface: plot.DefaultFont.Typeface, Variant: "Sans"}, 10), Handler: plot.DefaultTextHandler,
				XAlign: vgdraw.XCenter, YAlign: vgdraw.YCenter,
			})
		}
	}
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return err
	}
	labels.TextStyle = styles
	p.Add(labels)
	return nil
}
