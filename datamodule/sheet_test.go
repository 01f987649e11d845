package datamodule_test

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// TestContactSheet writes pictures of what loaders make, with boxes, for eyes:
// WILDTRAIN_SHEET=sheet.png go test -run ContactSheet ./datamodule
func TestContactSheet(t *testing.T) {
	out := os.Getenv("WILDTRAIN_SHEET")
	if out == "" {
		t.Skip("WILDTRAIN_SHEET names no file")
	}
	c := datamodule.DefaultConfig()
	c.Root, c.ImageSize, c.Batch, c.Datasets = fixture, 320, 8, []string{"savanna"}
	c.Augment.Degrees, c.Augment.Perspective, c.Augment.FlipUD = 10, 0.0003, 0.2
	d := open(t, c, wildtrain.Train, wildtrain.Val)
	var rows []*wildtrain.Batch
	for _, at := range []struct {
		stage wildtrain.Stage
		epoch int
	}{{wildtrain.Train, 0}, {wildtrain.Train, 1}, {wildtrain.Val, 0}} {
		l, err := d.Loader(at.stage, wildtrain.Position{Epoch: at.epoch, World: 1})
		require.NoError(t, err)
		for b, err := range l.Batches(context.Background()) {
			require.NoError(t, err)
			rows = append(rows, b)
			break
		}
	}
	d.SetEpochs(5) // the last epochs go without mosaic
	l, err := d.Loader(wildtrain.Train, wildtrain.Position{Epoch: 4, World: 1})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		rows = append(rows, b)
		break
	}
	sheet := image.NewRGBA(image.Rect(0, 0, 8*360, len(rows)*360))
	for y, b := range rows {
		for x, s := range b.Samples {
			draw(sheet, b, x, s, image.Pt(x*360, y*360))
		}
	}
	f, err := os.Create(out)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, sheet))
	require.NoError(t, f.Close())
}

func draw(sheet *image.RGBA, b *wildtrain.Batch, n int, s wildtrain.Sample, at image.Point) {
	p := b.Pixels
	for y := range p.Height {
		for x := range p.Width {
			v := p.U8[((n*p.Height+y)*p.Width+x)*3:]
			sheet.SetRGBA(at.X+x, at.Y+y, color.RGBA{v[0], v[1], v[2], 255})
		}
	}
	colours := []color.RGBA{{255, 0, 0, 255}, {255, 255, 0, 255}, {0, 255, 255, 255}, {255, 0, 255, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}}
	for _, o := range s.Objects {
		c := colours[o.Class%len(colours)]
		x1, y1, x2, y2 := int(o.Box.X1), int(o.Box.Y1), int(o.Box.X2), int(o.Box.Y2)
		for x := x1; x < x2; x++ {
			sheet.SetRGBA(at.X+x, at.Y+y1, c)
			sheet.SetRGBA(at.X+x, at.Y+y2-1, c)
		}
		for y := y1; y < y2; y++ {
			sheet.SetRGBA(at.X+x1, at.Y+y, c)
			sheet.SetRGBA(at.X+x2-1, at.Y+y, c)
		}
	}
}
