package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// axis maps values to 0 … 1.
type axis struct {
	low, high float64
	log       bool
	names     []string // of the values 0, 1, … of a categorical axis
}

func newAxis() axis { return axis{low: math.Inf(1), high: math.Inf(-1)} }

func (a *axis) cover(v float64) { a.low, a.high = min(a.low, v), max(a.high, v) }

func (a *axis) unit(v float64) float64 {
	low, high := a.low, a.high
	if a.log && low > 0 {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	if !(high > low) {
		return 0.5
	}
	return (v - low) / (high - low)
}

// ticks are round values, or the choices.
func (a *axis) ticks() (at []float64, labels []string) {
	if len(a.names) > 0 {
		for i, n := range a.names {
			at, labels = append(at, float64(i)), append(labels, n)
		}
		return at, labels
	}
	if a.log && a.low > 0 {
		for e := math.Ceil(math.Log10(a.low) - 1e-9); e <= math.Log10(a.high)+1e-9; e++ {
			at = append(at, math.Pow(10, e))
		}
	}
	if len(at) < 2 {
		at = nil
		step := niceStep((a.high - a.low) / 5)
		for v := math.Ceil(a.low/step) * step; v <= a.high+step*1e-9 && len(at) < 20; v += step {
			at = append(at, v)
		}
	}
	for _, v := range at {
		if math.Abs(v) < 1e-12 {
			v = 0
		}
		labels = append(labels, fmt.Sprintf("%.4g", v))
	}
	return at, labels
}

func niceStep(raw float64) float64 {
	if !(raw > 0) || math.IsInf(raw, 0) {
		return 1
	}
	scale := math.Pow(10, math.Floor(math.Log10(raw)))
	i := slices.IndexFunc([]float64{1, 2, 5}, func(m float64) bool { return m*scale >= raw })
	if i < 0 {
		return 10 * scale
	}
	return []float64{1, 2, 5}[i] * scale
}

// chart is an SVG with two axes under construction.
type chart struct {
	b             strings.Builder
	width, height int
	left          float64
	xName, yName  string
	x, y          axis
}

const (
	right, top, bottom = 14.0, 12.0, 42.0
)

func newChart(width, height int, xName, yName string) *chart {
	return &chart{width: width, height: height, left: 62, xName: xName, yName: yName, x: newAxis(), y: newAxis()}
}

func esc(s string) string { return template.HTMLEscapeString(s) }

func (c *chart) px(v float64) float64 { return c.left + c.x.unit(v)*(float64(c.width)-c.left-right) }
func (c *chart) py(v float64) float64 {
	return float64(c.height) - bottom - c.y.unit(v)*(float64(c.height)-bottom-top)
}

// frame draws axes, ticks and names; the axes do not change any more.
func (c *chart) frame() {
	w, h := float64(c.width), float64(c.height)
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="11" fill="#4a5568">`, c.width, c.height, c.width, c.height)
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#f7fafc" stroke="#cbd5e0"/>`, c.left, top, w-c.left-right, h-top-bottom)
	at, labels := c.x.ticks()
	for i, v := range at {
		fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, c.px(v), h-bottom+15, esc(clip(labels[i], 14)))
	}
	at, labels = c.y.ticks()
	for i, v := range at {
		fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`, c.left-5, c.py(v)+4, esc(clip(labels[i], 22)))
		if len(c.y.names) == 0 {
			fmt.Fprintf(&c.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#e2e8f0"/>`, c.left, w-right, c.py(v), c.py(v))
		}
	}
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="12">%s</text>`, c.left+(w-c.left-right)/2, h-8, esc(c.xName))
	fmt.Fprintf(&c.b, `<text transform="translate(12 %.1f) rotate(-90)" text-anchor="middle" font-size="12">%s</text>`, top+(h-top-bottom)/2, esc(c.yName))
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func (c *chart) dot(x, y, r float64, colour, title string) {
	fmt.Fprintf(&c.b, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s" stroke="#fff" stroke-width=".6"><title>%s</title></circle>`, c.px(x), c.py(y), r, colour, esc(title))
}

// cell fills a square of side s at shares u and v of the axes.
func (c *chart) cell(u, v, s float64, colour string) {
	w, h := float64(c.width)-c.left-right, float64(c.height)-top-bottom
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, c.left+u*w, top+(1-v-s)*h, s*w+0.5, s*h+0.5, colour)
}

func (c *chart) line(points [][2]float64, colour, title string) {
	if len(points) == 0 {
		return
	}
	if len(points) == 1 {
		c.dot(points[0][0], points[0][1], 2.5, colour, title)
		return
	}
	c.b.WriteString(`<polyline fill="none" stroke-opacity=".7" stroke-width="1.4" stroke="` + colour + `" points="`)
	for _, p := range points {
		fmt.Fprintf(&c.b, "%.1f,%.1f ", c.px(p[0]), c.py(p[1]))
	}
	fmt.Fprintf(&c.b, `"><title>%s</title></polyline>`, esc(title))
}

// steps draws a line that holds each value until the next.
func (c *chart) steps(points [][2]float64, colour string) {
	var out [][2]float64
	for i, p := range points {
		if i > 0 {
			out = append(out, [2]float64{p[0], points[i-1][1]})
		}
		out = append(out, p)
	}
	c.line(out, colour, "best so far")
}

func (c *chart) bar(from, to, y float64, colour, title string) {
	h := max(math.Abs(c.py(y+0.35)-c.py(y-0.35)), 1)
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`, c.px(from), c.py(y)-h/2, max(c.px(to)-c.px(from), 1), h, colour, esc(title))
}

func (c *chart) done() template.HTML {
	c.b.WriteString("</svg>")
	return template.HTML(c.b.String()) // made of numbers and escaped names alone
}

// parallel is a chart with one vertical axis for each name.
type parallel struct {
	b             strings.Builder
	width, height int
	axes          []axis
}

func newParallel(width, height int, names []string, axes []axis) *parallel {
	p := &parallel{width: width, height: height, axes: axes}
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="11" fill="#4a5568">`, width, height, width, height)
	for i, name := range names {
		x := p.px(i)
		fmt.Fprintf(&p.b, `<line x1="%.1f" x2="%.1f" y1="20" y2="%d" stroke="#718096"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x, x, height-34, x, height-14, esc(clip(name, 20)))
		at, labels := axes[i].ticks()
		for k, v := range at {
			fmt.Fprintf(&p.b, `<text x="%.1f" y="%.1f">%s</text>`, x+4, p.py(i, v)+4, esc(clip(labels[k], 12)))
		}
	}
	return p
}

func (p *parallel) px(i int) float64 {
	return 50 + float64(i)*float64(p.width-120)/float64(max(len(p.axes)-1, 1))
}

func (p *parallel) py(i int, v float64) float64 {
	return float64(p.height-34) - p.axes[i].unit(v)*float64(p.height-54)
}

func (p *parallel) add(values []float64, colour, title string) {
	p.b.WriteString(`<polyline fill="none" stroke-opacity=".75" stroke="` + colour + `" points="`)
	for i, v := range values {
		fmt.Fprintf(&p.b, "%.1f,%.1f ", p.px(i), p.py(i, v))
	}
	fmt.Fprintf(&p.b, `"><title>%s</title></polyline>`, esc(title))
}

func (p *parallel) done() template.HTML {
	p.b.WriteString("</svg>")
	return template.HTML(p.b.String()) // made of numbers and escaped names alone
}
