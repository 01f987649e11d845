package report

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/wildtrain/sdk/evaluate"
)

// figure is one plot.
type figure struct {
	name, title string
	png         []byte
}

// maxCurves is how many classes one plot shows.
const maxCurves = 12

// plots draws what the input has numbers for.
func plots(in Input) ([]figure, error) {
	var out []figure
	add := func(name, title string, p *plot.Plot, width, height vg.Length) error {
		w, err := p.WriterTo(width, height, "png")
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var b bytes.Buffer
		if _, err := w.WriteTo(&b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, figure{name, title, b.Bytes()})
		return nil
	}
	const w, h = 5 * vg.Inch, 4 * vg.Inch
	for _, d := range []struct {
		name, title string
		wanted      bool
		draw        func(Input) (*plot.Plot, error)
	}{
		{"precision_recall", "Precision over recall", in.Detection != nil, precisionRecall},
		{"confidence", "Precision, recall and F1 over confidence", len(in.Grid) > 0, overConfidence},
		{"grid", "F1 over IoU and confidence", len(in.Grid) > 0 && in.Grid[len(in.Grid)-1].IoU != in.Grid[0].IoU, gridMap},
		{"counting", "Animals found over animals there, per picture", len(in.Counts) > 0, countScatter},
		{"herds", "Mean error of counts by herd size", len(in.Counting) > 0, herdBars},
		{"errors", "AP50 lost by kind of mistake", in.Errors != nil, errorBars},
		{"confusion", "Confusion (rows: truth, shares of the row)", in.Confusion != nil && len(in.Confusion.Classes) <= 40, confusionMap},
		{"roc", "ROC, each class against the rest", hasROC(in.Classification), rocCurves},
		{"reliability", "Reliability", in.Classification != nil && len(in.Classification.Bins) > 0, reliability},
		{"selective", "Accuracy over coverage", in.Classification != nil && len(in.Classification.Selective) > 0, selective},
	} {
		if !d.wanted {
			continue
		}
		p, err := d.draw(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		if err := add(d.name, d.title, p, w, h); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func axes(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Legend.Top = true
	sans(p)
	p.Add(plotter.NewGrid())
	return p
}

// sans sets every text of a plot in the page's kind of letters.
func sans(p *plot.Plot) {
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		f.Variant = "Sans"
	}
	p.Title.TextStyle.Font.Size, p.Legend.TextStyle.Font.Size = vg.Points(11), vg.Points(9)
}

// ink are colours that are told apart on white (Paul Tol's muted set).
var ink = [...]color.RGBA{
	{0x33, 0x22, 0x88, 255}, {0xCC, 0x66, 0x77, 255}, {0x11, 0x77, 0x33, 255}, {0x88, 0xCC, 0xEE, 255},
	{0xAA, 0x44, 0x99, 255}, {0x99, 0x99, 0x33, 255}, {0x88, 0x22, 0x55, 255}, {0x44, 0xAA, 0x99, 255},
	{0xDD, 0xA0, 0x40, 255}, {0x66, 0x66, 0x66, 255},
}

func inkOf(i int) color.RGBA { return ink[i%len(ink)] }

// unit sets both axes to 0…1.
func unit(p *plot.Plot) {
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1.02
}

func line(p *plot.Plot, name string, xy plotter.XYs, c color.Color) error {
	l, err := plotter.NewLine(xy)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, vg.Points(1.6)
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

func precisionRecall(in Input) (*plot.Plot, error) {
	p := axes("", "recall", "precision")
	p.Legend.Top, p.Legend.Left = false, true
	classes := slices.Clone(in.Detection.Classes)
	color := map[string]color.Color{}
	for i, c := range classes {
		color[c.Name] = inkOf(i)
	}
	slices.SortStableFunc(classes, func(a, b evaluate.ClassSummary) int { return b.Truths - a.Truths })
	for _, c := range classes[:min(len(classes), maxCurves)] {
		if c.Curve == nil {
			continue
		}
		xy := make(plotter.XYs, len(c.Curve.Precision))
		for i, v := range c.Curve.Precision {
			xy[i].X, xy[i].Y = float64(i)/100, v
		}
		if err := line(p, fmt.Sprintf("%s  AP50 %s", c.Name, brief(c.AP50)), xy, color[c.Name]); err != nil {
			return nil, err
		}
	}
	unit(p)
	return p, nil
}

// f1s is F1 on the grid of confidences and IoUs.
type f1s struct {
	points []evaluate.GridPoint // by rising IoU
	confs  int
}

// Dims implements plotter.GridXYZ.
func (g f1s) Dims() (int, int) { return g.confs, len(g.points) / g.confs }

// X implements plotter.GridXYZ.
func (g f1s) X(c int) float64 { return g.points[c].Conf }

// Y implements plotter.GridXYZ.
func (g f1s) Y(r int) float64 { return g.points[r*g.confs].IoU }

// Z implements plotter.GridXYZ.
func (g f1s) Z(c, r int) float64 { return max(g.points[r*g.confs+c].F1, 0) }

// gridMap shows F1 over confidence and IoU, darker is better.
func gridMap(in Input) (*plot.Plot, error) {
	g := f1s{points: slices.Clone(in.Grid)}
	slices.SortStableFunc(g.points, func(a, b evaluate.GridPoint) int { return cmp.Compare(a.IoU, b.IoU) })
	for g.confs < len(g.points) && g.points[g.confs].IoU == g.points[0].IoU {
		g.confs++
	}
	best := slices.MaxFunc(g.points, func(a, b evaluate.GridPoint) int { return cmp.Compare(a.F1, b.F1) })
	p := plot.New()
	sans(p)
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = fmt.Sprintf("white 0, darkest %s", brief(max(best.F1, 0))), "confidence", "IoU"
	heat := plotter.NewHeatMap(g, blues{})
	heat.Min, heat.Max = 0, max(best.F1, 0.01)
	p.Add(heat)
	return p, nil
}

func overConfidence(in Input) (*plot.Plot, error) {
	p := axes(fmt.Sprintf("IoU %g, all classes", in.Grid[0].IoU), "confidence", "")
	p.Legend.Top, p.Legend.Left = false, true
	for i, s := range []struct {
		name string
		of   func(evaluate.GridPoint) float64
	}{
		{"precision", func(g evaluate.GridPoint) float64 { return g.Precision }},
		{"recall", func(g evaluate.GridPoint) float64 { return g.Recall }},
		{"F1", func(g evaluate.GridPoint) float64 { return g.F1 }},
	} {
		var xy plotter.XYs
		for _, g := range in.Grid {
			if v := s.of(g); v >= 0 && g.IoU == in.Grid[0].IoU {
				xy = append(xy, plotter.XY{X: g.Conf, Y: v})
			}
		}
		if len(xy) == 0 {
			continue
		}
		if err := line(p, s.name, xy, inkOf(i)); err != nil {
			return nil, err
		}
	}
	unit(p)
	return p, nil
}

func countScatter(in Input) (*plot.Plot, error) {
	p := axes("", "animals there", "animals found")
	p.Legend.Left = true
	most := 1.0
	var xy plotter.XYs
	for i, c := range in.Counts {
		// Pictures with equal counts would hide each other: a golden-ratio jitter spreads them.
		jitter := func(k float64) float64 { return (math.Mod(float64(i)*k, 1) - 0.5) * 0.3 }
		var there, found float64
		for k := range c.Truth {
			there, found = there+float64(c.Truth[k]), found+float64(c.Found[k])
		}
		most = max(most, there, found)
		xy = append(xy, plotter.XY{X: there + jitter(0.618034), Y: found + jitter(0.754878)})
	}
	if err := line(p, "exact", plotter.XYs{{X: 0, Y: 0}, {X: most, Y: most}}, color.Gray{160}); err != nil {
		return nil, err
	}
	s, err := plotter.NewScatter(xy)
	if err != nil {
		return nil, err
	}
	c := inkOf(0)
	c.A = 150
	s.Color, s.Radius = color.NRGBA(c), vg.Points(2.5)
	s.GlyphStyle.Shape = disc{}
	p.Add(s)
	p.X.Min, p.Y.Min = -0.5, -0.5
	p.X.Max, p.Y.Max = most+0.5, most+0.5
	return p, nil
}

func errorBars(in Input) (*plot.Plot, error) {
	p := axes("", "", "AP50 lost")
	var names []string
	var values plotter.Values
	for _, e := range in.Errors.Errors {
		names = append(names, string(e.Type))
		values = append(values, max(e.DeltaAP, 0))
	}
	if err := bars(p, names, values, 0, 0); err != nil {
		return nil, err
	}
	p.X.Tick.Label.Rotation = math.Pi / 7
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = -0.9, -0.6
	p.Y.Max = max(p.Y.Max, 0.01)
	return p, nil
}

// bars adds one bar for each name, in the nth colour and shifted sideways.
func bars(p *plot.Plot, names []string, values plotter.Values, n int, shift vg.Length) error {
	b, err := plotter.NewBarChart(values, vg.Points(24))
	if err != nil {
		return err
	}
	b.Color, b.LineStyle.Width, b.Offset = inkOf(n), 0, shift
	p.Add(b)
	p.NominalX(names...)
	p.Y.Min = min(p.Y.Min, 0)
	return nil
}

// herdBars shows how far counts are off, by the number of animals there.
func herdBars(in Input) (*plot.Plot, error) {
	p := axes("", "animals in the picture", "found minus true, per picture")
	var names []string
	var off, bias plotter.Values
	for _, b := range in.Counting[0].Bins {
		names = append(names, herdName(b))
		if b.Pictures == 0 {
			off, bias = append(off, 0), append(bias, 0)
			continue
		}
		off, bias = append(off, b.MAE), append(bias, b.Bias)
	}
	for i, v := range []plotter.Values{off, bias} {
		if err := bars(p, names, v, i, vg.Points(float64(24*i-12))); err != nil {
			return nil, err
		}
		swatch, err := plotter.NewBarChart(plotter.Values{0}, vg.Points(1))
		if err != nil {
			return nil, err
		}
		swatch.Color, swatch.LineStyle.Width = inkOf(i), 0
		p.Legend.Add([]string{"MAE", "bias"}[i], swatch)
	}
	p.Legend.Left = true
	p.Y.Max = max(p.Y.Max*1.15, 0.1)
	return p, nil
}

func hasROC(s *evaluate.ClassificationSummary) bool {
	return s != nil && slices.ContainsFunc(s.Classes, func(c evaluate.ClassScores) bool { return c.ROC != nil })
}

func rocCurves(in Input) (*plot.Plot, error) {
	p := axes("", "false positive rate", "true positive rate")
	p.Legend.Top = false
	if err := line(p, "", plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, color.Gray{160}); err != nil {
		return nil, err
	}
	classes := slices.Clone(in.Classification.Classes)
	slices.SortStableFunc(classes, func(a, b evaluate.ClassScores) int { return b.Support - a.Support })
	for i, c := range classes[:min(len(classes), maxCurves)] {
		if c.ROC == nil {
			continue
		}
		xy := plotter.XYs{{X: 0, Y: 0}}
		for _, r := range c.ROC {
			xy = append(xy, plotter.XY{X: r.FalsePositiveRate, Y: r.TruePositiveRate})
		}
		if err := line(p, fmt.Sprintf("%s  AUROC %s", c.Name, brief(c.AUROC)), xy, inkOf(i)); err != nil {
			return nil, err
		}
	}
	unit(p)
	return p, nil
}

func reliability(in Input) (*plot.Plot, error) {
	p := axes("", "confidence", "accuracy")
	p.Legend.Left = true
	if err := line(p, "perfect", plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, color.Gray{160}); err != nil {
		return nil, err
	}
	var xy plotter.XYs
	for _, b := range in.Classification.Bins {
		if b.Pictures > 0 {
			xy = append(xy, plotter.XY{X: b.Confidence, Y: b.Accuracy})
		}
	}
	if err := line(p, "measured", xy, inkOf(0)); err != nil {
		return nil, err
	}
	unit(p)
	return p, nil
}

func selective(in Input) (*plot.Plot, error) {
	p := axes("", "share of pictures answered, most confident first", "accuracy")
	var xy plotter.XYs
	for _, s := range in.Classification.Selective {
		xy = append(xy, plotter.XY{X: s.Coverage, Y: s.Accuracy})
	}
	if err := line(p, "", xy, inkOf(0)); err != nil {
		return nil, err
	}
	unit(p)
	return p, nil
}
