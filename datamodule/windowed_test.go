package datamodule_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// seen is one window as the loader made it.
type seen struct {
	sample wildtrain.Sample
	pixels []byte
}

// windowsOf loads all windows of a stage.
func windowsOf(t testing.TB, d *datamodule.Detection, stage wildtrain.Stage, at wildtrain.Position) (out []seen) {
	l, err := d.Loader(stage, at)
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		size := b.Pixels.Height * b.Pixels.Width * 3
		for i, s := range b.Samples {
			out = append(out, seen{s, append([]byte(nil), b.Pixels.U8[i*size:(i+1)*size]...)})
		}
		b.Release()
	}
	return out
}

// Each window shows the pixels of its place in the picture, whatever the number
// of workers, also where the picture is too large to be decoded whole.
func TestWindowsShowTheirPartOfThePicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.tif")
	ortho{1500, 1100, 256, func(x, y int) bool { return x > 0 }, func(x, y int) bool { return y > 0 }}.write(t, path)
	jpeg := newTree(t).jpeg("b.jpg", 900, 700).path("b.jpg")
	for name, limit := range map[string]int64{path: 1 << 20, jpeg: imageio.DefaultMaxPixels} {
		whole, err := imageio.DecodeFile(name, imageio.Options{})
		require.NoError(t, err)
		var first []seen
		for _, workers := range []int{0, 3} {
			c := datamodule.DefaultConfig()
			c.ImageSize, c.EvalBatch, c.Workers, c.MaxPixels = 320, 4, workers, limit
			c.Windows = datamodule.WindowConfig{Size: 320, Overlap: 0.2}
			d, err := datamodule.Images(c, name)
			require.NoError(t, err)
			defer d.Close()
			require.NoError(t, d.Setup(context.Background(), wildtrain.Test))
			got := windowsOf(t, d, wildtrain.Test, wildtrain.Position{})
			require.Greater(t, len(got), 8)
			for _, w := range got {
				s := w.sample
				require.Equal(t, filepath.ToSlash(name), s.ID)
				require.Equal(t, [2]int{whole.Width, whole.Height}, [2]int{s.Width, s.Height})
				x, y := int(-s.Place.C), int(-s.Place.F)
				require.Equal(t, wildtrain.Translation(float64(-x), float64(-y)), s.Place, "a window of the model's size is not scaled")
				for row := range 320 {
					from := ((y+row)*whole.Width + x) * 3
					require.Equal(t, whole.U8[from:from+960], w.pixels[row*960:row*960+960])
				}
			}
			if first == nil {
				first = got
			}
			require.Equal(t, first, got)
			rest := windowsOf(t, d, wildtrain.Test, wildtrain.Position{Batch: 2})
			require.Equal(t, first[8:], rest)
		}
	}
}

// The windows of a picture lie in it, cover it and overlap as was asked for; with
// Whole the picture itself comes last.
func TestWindowsCoverThePicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := datamodule.WindowConfig{Size: rapid.IntRange(16, 400).Draw(t, "size"), Overlap: rapid.Float64Range(0, 0.9).Draw(t, "overlap"), Whole: rapid.Bool().Draw(t, "whole")}
		w, h := rapid.IntRange(1, 1500).Draw(t, "width"), rapid.IntRange(1, 1500).Draw(t, "height")
		boxes := datamodule.WindowBoxes(c, w, h)
		if c.Whole && (w > c.Size || h > c.Size) {
			last := boxes[len(boxes)-1]
			require.Equal(t, wildtrain.Box{X2: float64(w), Y2: float64(h)}, last)
			boxes = boxes[:len(boxes)-1]
		}
		covered := wildtrain.Box{}
		for i, b := range boxes {
			require.Equal(t, b, b.Clip(w, h))
			require.Equal(t, float64(min(c.Size, w)), b.Width())
			if b.Y1 > 0 {
				break // the first row tells of all columns
			}
			if i > 0 {
				require.GreaterOrEqual(t, covered.X2-b.X1, c.Overlap*float64(c.Size)-1e-9)
			}
			covered.X2 = b.X2
		}
		require.Equal(t, float64(w), covered.X2)
		require.Equal(t, float64(h), boxes[len(boxes)-1].Y2)
	})
}

// Annotations of the whole picture come with every window, those in the window
// in its coordinates; what is larger than the model's size is scaled.
func TestWindowsCarryTheAnnotations(t *testing.T) {
	c := small()
	c.ImageSize, c.Windows = 128, datamodule.WindowConfig{Size: 256, Overlap: 0.25, Whole: true}
	d := open(t, c, wildtrain.Val)
	records := byID(d.Records(wildtrain.Val))
	order := []string{}
	for _, w := range windowsOf(t, d, wildtrain.Val, wildtrain.Position{}) {
		s := w.sample
		rec := records[s.ID]
		require.Equal(t, rec.Objects, s.Truth)
		if len(order) == 0 || order[len(order)-1] != s.ID {
			order = append(order, s.ID)
		}
		back, err := s.Place.Inverse()
		require.NoError(t, err)
		part := back.Box(wildtrain.Box{X2: 128, Y2: 128})
		n := 0
		for _, o := range rec.Objects {
			if o.Box.Intersect(part).Width() > 0 && o.Box.Intersect(part).Height() > 0 {
				n++
			}
		}
		require.Len(t, s.Objects, n)
		if part.Width() < 300 && part.Height() < 300 {
			require.InDelta(t, 0.5, s.Place.A, 1e-9)
		}
	}
	require.Len(t, order, len(records), "all windows of a picture come one after the other")
}

// A reader that turns away leaves nothing open, and may come back.
func TestWindowsCanBeLeft(t *testing.T) {
	c := small()
	c.ImageSize, c.Windows = 128, datamodule.WindowConfig{Size: 128}
	d := open(t, c, wildtrain.Val)
	l, err := d.Loader(wildtrain.Val, wildtrain.Position{})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		b.Release()
		break
	}
	n := 0
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		n += b.Len()
		b.Release()
	}
	require.Greater(t, n, len(d.Records(wildtrain.Val)))
}

func TestWindowSettingsAreChecked(t *testing.T) {
	c := small()
	c.Windows = datamodule.WindowConfig{Size: 5, Overlap: 1}
	err := c.Validate()
	require.ErrorContains(t, err, "windows: size is 5")
	require.ErrorContains(t, err, "windows: overlap is 1")
}
