package datamodule

import (
	"bytes"
	"context"
	_ "embed" // the page of the gallery
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"image/jpeg"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// streamGallery is the random stream that chooses pictures to show.
const streamGallery uint64 = 103

// GalleryConfig says what WriteGallery shows. Take DefaultGallery and change it.
type GalleryConfig struct {
	Title     string
	Limit     int    // most pictures of a split, drawn by Seed; 0: all
	Side      int    // longest side of a picture as shown, in pixels
	Quality   int    // of JPEG, 1 to 100
	Seed      uint64 // of the choice
	MaxPixels int64  // larger pictures are refused; 0: the default limit
}

// DefaultGallery shows up to 200 pictures a split, 640 pixels long: about 10 MB.
func DefaultGallery() GalleryConfig {
	return GalleryConfig{Title: "Pictures", Limit: 200, Side: 640, Quality: 80}
}

// Validate reports every problem of the configuration at once.
func (c GalleryConfig) Validate() error {
	var errs []error
	if c.Limit < 0 {
		errs = append(errs, fmt.Errorf("datamodule: gallery: limit is %d, must not be negative", c.Limit))
	}
	if c.Side < 16 || c.Side > 8192 {
		errs = append(errs, fmt.Errorf("datamodule: gallery: side is %d, must be between 16 and 8192", c.Side))
	}
	if c.Quality < 1 || c.Quality > 100 {
		errs = append(errs, fmt.Errorf("datamodule: gallery: quality is %d, must be between 1 and 100", c.Quality))
	}
	return errors.Join(errs...)
}

//go:embed gallery.html
var galleryPage string

// shown is one picture of the page.
type shown struct {
	ID      string     `json:"id"`
	Split   string     `json:"split"`
	Width   int        `json:"w"`
	Height  int        `json:"h"`
	Src     string     `json:"src"`
	Objects []shownBox `json:"boxes"`
}

type shownBox struct {
	Class int        `json:"c"`
	Box   [4]float64 `json:"b"` // x, y, width, height in the original's pixels
	Notes string     `json:"n,omitempty"`
}

// WriteGallery writes one HTML page that needs no other file: pictures with
// their boxes, to be filtered by split and class, and by whether they have boxes
// at all. It returns how many pictures it shows.
func WriteGallery(ctx context.Context, w io.Writer, classes []wildtrain.Class, splits []Split, c GalleryConfig) (int, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	var all []shown
	for _, s := range splits {
		chosen, err := c.show(ctx, s)
		if err != nil {
			return 0, fmt.Errorf("datamodule: write gallery: %w", err)
		}
		all = append(all, chosen...)
	}
	colors := make([]string, len(classes))
	for i := range classes {
		k := draw.Color(i)
		colors[i] = fmt.Sprintf("#%02x%02x%02x", k.R, k.G, k.B)
	}
	total := 0
	for _, s := range splits {
		total += len(s.Records)
	}
	data := map[string]any{"images": all, "classes": wildtrain.Names(classes), "colors": colors, "total": total}
	text, err := json.Marshal(data) // escapes <, > and &: the page's end cannot be faked
	if err != nil {
		return 0, fmt.Errorf("datamodule: write gallery: %w", err)
	}
	page := template.Must(template.New("gallery").Parse(galleryPage))
	if err := page.Execute(w, map[string]any{"Title": c.Title, "Data": template.JS(text)}); err != nil {
		return 0, fmt.Errorf("datamodule: write gallery: %w", err)
	}
	return len(all), nil
}

// show draws the pictures of a split and scales them.
func (c GalleryConfig) show(ctx context.Context, s Split) ([]shown, error) {
	index := xrand.New(c.Seed, streamGallery).Perm(len(s.Records))
	if c.Limit > 0 && c.Limit < len(index) {
		index = index[:c.Limit]
	}
	slices.Sort(index)
	out := make([]shown, len(index))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	var buffers imageio.Buffers
	for k, i := range index {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			src, err := c.thumbnail(s.Records[i], &buffers)
			if err != nil {
				return fmt.Errorf("picture %s: %w", s.Records[i].Path, err)
			}
			out[k] = newShown(s, i, src)
			return nil
		})
	}
	return out, g.Wait()
}

func newShown(s Split, i int, src string) shown {
	rec := s.Records[i]
	out := shown{ID: rec.ID, Split: s.Name, Width: rec.Width, Height: rec.Height, Src: src, Objects: []shownBox{}}
	for _, o := range rec.Objects {
		b := shownBox{Class: o.Class, Box: [4]float64{o.Box.X1, o.Box.Y1, o.Box.Width(), o.Box.Height()}}
		switch {
		case o.Crowd:
			b.Notes = "crowd"
		case o.Difficult:
			b.Notes = "difficult"
		}
		out.Objects = append(out.Objects, b)
	}
	return out
}

// thumbnail is a picture as a data address.
func (c GalleryConfig) thumbnail(rec Record, buffers *imageio.Buffers) (string, error) {
	im, err := imageio.DecodeFile(rec.source(), imageio.Options{MaxPixels: c.MaxPixels, Alloc: buffers.Get})
	if err != nil {
		return "", unwrapName(err)
	}
	defer buffers.Put(im.U8)
	if long := max(im.Width, im.Height); long > c.Side {
		small := wildtrain.Image{Width: max(im.Width*c.Side/long, 1), Height: max(im.Height*c.Side/long, 1), Channels: 3}
		small.U8 = make([]byte, small.Width*small.Height*3)
		if err := resample.Filtered(small, im, resample.Box); err != nil {
			return "", err
		}
		im.Width, im.Height, im.U8 = small.Width, small.Height, small.U8
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, draw.Canvas(im), &jpeg.Options{Quality: c.Quality}); err != nil {
		return "", err
	}
	return "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), nil
}
