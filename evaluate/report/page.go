package report

import (
	"bytes"
	_ "embed" // the page's template
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"

	xdraw "golang.org/x/image/draw"

	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/wildtrain"
)

//go:embed page.html
var source string

// maxSide is the longest side of pictures on the page, in pixels.
const maxSide = 900

// view is what the template shows.
type view struct {
	Title    string
	Facts    []Fact
	Headline []tile
	Warnings []string
	Tables   []section
	Figures  []shown
	Pictures []pair
}

type tile struct{ Name, Value string }

type section struct {
	Title, Note string
	Head        []string
	Rows        [][]string
}

type shown struct {
	Title string
	Data  template.URL
}

type pair struct {
	ID, Note     string
	Truth, Found template.URL
}

func (g grid) section(title, note string) section {
	s := section{Title: title, Note: note}
	if len(g) > 0 {
		s.Head, s.Rows = g[0], g[1:]
	}
	return s
}

// page makes the HTML with everything inside.
func page(in Input, figures []figure) ([]byte, error) {
	t, err := template.New("page").Parse(source)
	if err != nil {
		return nil, err
	}
	v := view{Title: in.Title, Facts: in.Facts}
	for _, n := range headline(in) {
		v.Headline = append(v.Headline, tile{n.Name, brief(n.Value)})
	}
	if in.Detection != nil {
		v.Warnings = in.Detection.Warnings
	}
	v.Tables = sections(in)
	for _, f := range figures {
		v.Figures = append(v.Figures, shown{f.title, dataURL("image/png", f.png)})
	}
	for _, p := range in.Pictures {
		truth, err := painted(p.Image, p.Truth, in.Classes)
		if err != nil {
			return nil, fmt.Errorf("picture %s: %w", p.ID, err)
		}
		found, err := painted(p.Image, p.Found, in.Classes)
		if err != nil {
			return nil, fmt.Errorf("picture %s: %w", p.ID, err)
		}
		v.Pictures = append(v.Pictures, pair{p.ID, p.Note, truth, found})
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// sections are the tables of the report.
func sections(in Input) []section {
	var out []section
	add := func(g grid, title, note string) {
		if len(g) > 1 {
			out = append(out, g.section(title, note))
		}
	}
	drawn := fmt.Sprintf("Intervals are %g %%, drawn by bootstrap over groups of pictures.", 100*in.Level)
	add(intervalTable(in.Intervals), "Intervals", drawn)
	note := ""
	if in.Detection != nil {
		note = "Precision, recall and F1 at the configured IoU and confidence; best confidence by F1. – means undefined."
	}
	add(table(in).short(), "Classes", note)
	if len(in.Counting) > 0 {
		add(countingTable(in.Counting), "Counting, per picture", "Errors are found minus true. "+drawn)
		add(binTable(in.Counting[0]), "Counting by herd size", "All classes together.")
		add(presenceTable(in.Counting), "Presence and absence", "Of pictures.")
	}
	add(bestTable(in.Grid), "Best confidence", "Over all objects, by IoU.")
	if in.Errors != nil {
		add(errorTable(in.Errors), "Mistakes", "How often each kind happens at any confidence, and the AP50 that repairing it would gain (TIDE).")
	}
	if in.Confusion != nil {
		add(confusionTable(in.Confusion), "Confusion", "Rows are true classes, columns what was said.")
	}
	return out
}

func dataURL(kind string, data []byte) template.URL {
	//nolint:gosec // base64 of our own pictures holds no markup
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data))
}

// painted scales a picture down and draws the objects on it, so that lines and
// letters keep their size.
func painted(im wildtrain.Image, objects []wildtrain.Object, classes []string) (template.URL, error) {
	if len(im.U8) == 0 && len(im.U16) == 0 || im.Width <= 0 || im.Height <= 0 {
		return "", fmt.Errorf("it has no pixels")
	}
	canvas := draw.Canvas(im)
	if side := max(im.Width, im.Height); side > maxSide {
		f := maxSide / float64(side)
		small := image.NewRGBA(image.Rect(0, 0, max(1, int(float64(im.Width)*f)), max(1, int(float64(im.Height)*f))))
		xdraw.ApproxBiLinear.Scale(small, small.Bounds(), canvas, canvas.Bounds(), xdraw.Src, nil)
		canvas = small
	}
	to := wildtrain.Scaling(float64(canvas.Bounds().Dx())/float64(im.Width), float64(canvas.Bounds().Dy())/float64(im.Height))
	scaled := make([]wildtrain.Object, len(objects))
	for i, o := range objects {
		scaled[i] = o
		scaled[i].Box = to.Box(o.Box)
	}
	draw.Objects(canvas, scaled, classes)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, canvas, &jpeg.Options{Quality: 88}); err != nil {
		return "", err
	}
	return dataURL("image/jpeg", b.Bytes()), nil
}
