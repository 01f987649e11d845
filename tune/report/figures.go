package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/wildtrain/sdk/tune"
)

// drawer makes the figures of one study.
type drawer struct {
	view           *tune.View
	metrics, names []string
}

var stateColours = map[tune.State]string{
	tune.Complete: "#2b6cb0", tune.Pruned: "#c53030", tune.Failed: "#718096", tune.Running: "#b7791f", tune.Waiting: "#cbd5e0",
}

// finite are complete trials whose value of an objective is a number.
func (d *drawer) finite(objective int) []*tune.Trial {
	return slices.DeleteFunc(d.view.In(tune.Complete), func(t *tune.Trial) bool {
		return len(t.Values) <= objective || math.IsNaN(t.Values[objective]) || math.IsInf(t.Values[objective], 0)
	})
}

// shade is dark for 0 and light for 1.
func shade(u float64) string {
	u = min(max(u, 0), 1)
	mix := func(dark, light float64) int { return int(dark + (light-dark)*u) }
	return fmt.Sprintf("#%02x%02x%02x", mix(8, 222), mix(48, 235), mix(107, 247))
}

// badness places values between 0, the best, and 1.
func (d *drawer) badness(trials []*tune.Trial, objective int) map[int]float64 {
	out := map[int]float64{}
	low, high := math.Inf(1), math.Inf(-1)
	for _, t := range trials {
		low, high = min(low, t.Values[objective]), max(high, t.Values[objective])
	}
	for _, t := range trials {
		u := 0.5
		if high > low {
			u = (t.Values[objective] - low) / (high - low)
		}
		if d.view.Directions[objective] == tune.Maximize {
			u = 1 - u
		}
		out[t.Number] = u
	}
	return out
}

func (d *drawer) history(objective int) template.HTML {
	trials := d.finite(objective)
	if len(trials) == 0 {
		return ""
	}
	c := newChart(620, 300, "trial", d.metrics[objective])
	best := math.NaN()
	var line [][2]float64
	for _, t := range trials {
		x, y := float64(t.Number), t.Values[objective]
		c.x.cover(x)
		c.y.cover(y)
		maximise := d.view.Directions[objective] == tune.Maximize
		if t.Violation() <= 0 && (math.IsNaN(best) || maximise && y > best || !maximise && y < best) {
			best = y
		}
		if !math.IsNaN(best) {
			line = append(line, [2]float64{x, best})
		}
	}
	c.frame()
	for _, t := range trials {
		c.dot(float64(t.Number), t.Values[objective], 3.5, "#2b6cb0", d.label(t))
	}
	c.steps(line, "#c05621")
	return c.done()
}

func (d *drawer) label(t *tune.Trial) string {
	out := fmt.Sprintf("trial %d", t.Number)
	for i, v := range t.Values {
		out += fmt.Sprintf(", %s %s", d.metrics[i], text(v))
	}
	return out
}

// axisOf is the axis of a parameter: logarithmic, or with a tick for each choice.
func (d *drawer) axisOf(name string) axis {
	for _, t := range d.view.Trials {
		p, ok := t.Params[name]
		if !ok {
			continue
		}
		switch x := p.Dist.(type) {
		case tune.Categorical:
			a := newAxis()
			for _, c := range x.Choices {
				a.names = append(a.names, text(c))
			}
			a.cover(-0.5)
			a.cover(float64(len(x.Choices)) - 0.5)
			return a
		case tune.Float:
			a := newAxis()
			a.log = x.Log
			a.cover(x.Low)
			a.cover(x.High)
			return a
		case tune.Int:
			a := newAxis()
			a.log = x.Log
			a.cover(float64(x.Low))
			a.cover(float64(x.High))
			return a
		}
	}
	return newAxis()
}

func (d *drawer) slice(name string, objective int) template.HTML {
	trials := slices.DeleteFunc(d.finite(objective), func(t *tune.Trial) bool { _, ok := t.Params[name]; return !ok })
	if len(trials) == 0 {
		return ""
	}
	c := newChart(330, 240, name, d.metrics[objective])
	c.x = d.axisOf(name)
	for _, t := range trials {
		c.y.cover(t.Values[objective])
	}
	c.frame()
	for i, t := range trials {
		c.dot(t.Params[name].Value, t.Values[objective], 3.5, shade(0.8-0.8*float64(i)/float64(len(trials))), d.label(t))
	}
	return c.done()
}

func (d *drawer) contour(a, b string) template.HTML {
	trials := slices.DeleteFunc(d.finite(0), func(t *tune.Trial) bool {
		_, hasA := t.Params[a]
		_, hasB := t.Params[b]
		return !hasA || !hasB
	})
	if len(trials) < 3 {
		return ""
	}
	c := newChart(360, 300, a, b)
	c.x, c.y = d.axisOf(a), d.axisOf(b)
	bad := d.badness(trials, 0)
	c.frame()
	const cells = 24 // inverse distance weighting between the trials
	for i := range cells {
		for j := range cells {
			u, v := (float64(i)+0.5)/cells, (float64(j)+0.5)/cells
			sum, weight := 0.0, 0.0
			for _, t := range trials {
				du, dv := c.x.unit(t.Params[a].Value)-u, c.y.unit(t.Params[b].Value)-v
				w := 1 / math.Pow(du*du+dv*dv+1e-4, 1.5)
				sum, weight = sum+w*bad[t.Number], weight+w
			}
			c.cell(float64(i)/cells, float64(j)/cells, 1.0/cells, shade(0.25+0.7*sum/weight))
		}
	}
	for _, t := range trials {
		c.dot(t.Params[a].Value, t.Params[b].Value, 3.5, shade(bad[t.Number]), d.label(t))
	}
	return c.done()
}

func (d *drawer) pareto() template.HTML {
	trials := slices.DeleteFunc(d.finite(0), func(t *tune.Trial) bool { return len(t.Values) < 2 || math.IsInf(t.Values[1], 0) })
	if len(trials) == 0 {
		return ""
	}
	c := newChart(480, 360, d.metrics[0], d.metrics[1])
	for _, t := range trials {
		c.x.cover(t.Values[0])
		c.y.cover(t.Values[1])
	}
	c.frame()
	onFront := map[int]bool{}
	for _, t := range front(d.view) {
		onFront[t.Number] = true
	}
	for _, t := range trials {
		colour := "#cbd5e0"
		if onFront[t.Number] {
			colour = "#2b6cb0"
		}
		c.dot(t.Values[0], t.Values[1], 4, colour, d.label(t))
	}
	return c.done()
}

func (d *drawer) intermediate() template.HTML {
	c := newChart(620, 300, "step", d.metrics[0])
	any := false
	for _, t := range d.view.Trials {
		for step, v := range t.Reports {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				c.x.cover(float64(step))
				c.y.cover(v)
				any = true
			}
		}
	}
	if !any {
		return ""
	}
	c.frame()
	for _, t := range d.view.Trials {
		var points [][2]float64
		for _, step := range t.Steps() {
			if v := t.Reports[step]; !math.IsNaN(v) && !math.IsInf(v, 0) {
				points = append(points, [2]float64{float64(step), v})
			}
		}
		c.line(points, stateColours[t.State], d.label(t))
	}
	return c.done()
}

func (d *drawer) parallel() template.HTML {
	trials := d.finite(0)
	names := slices.DeleteFunc(slices.Clone(d.names), func(n string) bool {
		return slices.ContainsFunc(trials, func(t *tune.Trial) bool { _, ok := t.Params[n]; return !ok })
	})
	if len(trials) < 2 || len(names) == 0 {
		return ""
	}
	axes := []axis{newAxis()}
	for _, t := range trials {
		axes[0].cover(t.Values[0])
	}
	for _, n := range names {
		axes = append(axes, d.axisOf(n))
	}
	p := newParallel(max(420, 130*len(axes)), 320, append([]string{d.metrics[0]}, names...), axes)
	bad := d.badness(trials, 0)
	slices.SortStableFunc(trials, func(a, b *tune.Trial) int { // the best on top
		if bad[a.Number] > bad[b.Number] {
			return -1
		}
		return 1
	})
	for _, t := range trials {
		values := []float64{t.Values[0]}
		for _, n := range names {
			values = append(values, t.Params[n].Value)
		}
		p.add(values, shade(bad[t.Number]), d.label(t))
	}
	return p.done()
}

func (d *drawer) bars(title string, list []tune.Importance) template.HTML {
	if len(list) == 0 {
		return ""
	}
	c := newChart(430, 60+24*len(list), title, "")
	c.x.cover(0)
	c.x.cover(1)
	c.y = newAxis()
	c.left = 150
	for i := range list {
		c.y.names = append([]string{list[i].Name}, c.y.names...)
	}
	c.y.cover(-0.5)
	c.y.cover(float64(len(list)) - 0.5)
	c.frame()
	for i, im := range list {
		c.bar(0, im.Share, float64(len(list)-1-i), "#2b6cb0", fmt.Sprintf("%s %.3f", im.Name, im.Share))
	}
	return c.done()
}

func (d *drawer) timeline() template.HTML {
	var first, last time.Time
	var trials []*tune.Trial
	for _, t := range d.view.Trials {
		if t.Start.IsZero() {
			continue
		}
		trials = append(trials, t)
		if first.IsZero() || t.Start.Before(first) {
			first = t.Start
		}
		for _, at := range []time.Time{t.Start, t.End} {
			if at.After(last) {
				last = at
			}
		}
	}
	if len(trials) == 0 {
		return ""
	}
	c := newChart(700, min(90+10*len(trials), 600), "seconds since "+first.UTC().Format("2006-01-02 15:04:05 UTC"), "trial")
	c.x.cover(0)
	c.x.cover(last.Sub(first).Seconds())
	c.y.cover(-0.5)
	c.y.cover(float64(trials[len(trials)-1].Number) + 0.5)
	c.frame()
	for _, t := range trials {
		end := t.End
		if end.IsZero() {
			end = last
		}
		c.bar(t.Start.Sub(first).Seconds(), end.Sub(first).Seconds(), float64(t.Number), stateColours[t.State], d.label(t)+", "+t.State.String())
	}
	return c.done()
}
