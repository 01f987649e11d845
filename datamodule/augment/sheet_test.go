package augment_test

import (
	"image"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// TestSheet writes a picture of what every transform makes, four draws of each in
// a row, for eyes (boxes as they are moved, masks darkened):
//
//	WILDTRAIN_SHEET=sheet.png WILDTRAIN_PICTURE=picture.jpg go test -run Sheet ./datamodule/augment
func TestSheet(t *testing.T) {
	out, from := os.Getenv("WILDTRAIN_SHEET"), os.Getenv("WILDTRAIN_PICTURE")
	if out == "" || from == "" {
		t.Skip("WILDTRAIN_SHEET or WILDTRAIN_PICTURE names no file")
	}
	whole, err := imageio.DecodeFile(from, imageio.Options{})
	require.NoError(t, err)
	var start augment.Sample
	start.Load(whole, nil, wildtrain.Identity, augment.Limits{})
	require.NoError(t, augment.Fitted{Height: 150, Width: 200, Fill: augment.Pad}.Apply(&start, nil))
	triangle, err := rle.Polygon(150, 200, []float64{120, 110, 180, 110, 150, 40})
	require.NoError(t, err)
	objects := []wildtrain.Object{
		{Box: wildtrain.Box{X1: 20, Y1: 30, X2: 90, Y2: 80}},
		{Class: 1, Box: wildtrain.Box{X1: 120, Y1: 40, X2: 180, Y2: 110}, Mask: (*wildtrain.Mask)(triangle)},
	}
	sizes := map[string]map[string]any{"Resize": {"size": 90}, "CenterCrop": {"size": 100}, "RandomCrop": {"size": 100}, "RandomResizedCrop": {"size": []any{150, 200}}, "Letterbox": {"size": 180}, "RandomRotation": {"degrees": 30}}
	changes := map[string]map[string]any{
		"ColorJitter":  {"brightness": 0.4, "contrast": 0.4, "saturation": 0.6, "hue": 0.1},
		"RandomAffine": {"degrees": 20, "translate": []any{0.1, 0.1}, "scale": []any{0.7, 1.3}, "shear": 10},
	}
	const across, width, height = 3, 4 * 205, 190
	names := augment.Names()
	rows := (len(names) + across - 1) / across
	sheet := image.NewRGBA(image.Rect(0, 0, across*width, rows*height))
	for i, name := range names {
		n := augment.Named{Name: name, Params: map[string]any{"p": 1}}
		for _, more := range []map[string]any{sizes[name], changes[name]} {
			for k, v := range more {
				n.Params[k] = v
			}
		}
		chain, err := augment.Parse([]augment.Named{n})
		require.NoError(t, err)
		for k := range 4 {
			var s augment.Sample
			s.Load(start.Image, objects, wildtrain.Identity, augment.Limits{})
			require.NoError(t, chain.Apply(&s, xrand.New(5, uint64(k))))
			darken(&s)
			canvas := draw.Canvas(s.Image)
			draw.Objects(canvas, s.Objects, []string{"box", "mask"})
			draw.Label(canvas, 0, 12, name, draw.Color(2), 1)
			at := image.Pt(i%across*width+k*205, i/across*height)
			for y := range min(s.Image.Height, height) {
				copy(sheet.Pix[sheet.PixOffset(at.X, at.Y+y):][:4*min(s.Image.Width, 202)], canvas.Pix[y*canvas.Stride:])
			}
		}
	}
	f, err := os.Create(out)
	require.NoError(t, err)
	require.NoError(t, draw.WritePNG(f, sheet))
	require.NoError(t, f.Close())
}

// darken shows masks.
func darken(s *augment.Sample) {
	pix := s.Pixels()
	for _, o := range s.Objects {
		if o.Mask == nil {
			continue
		}
		for i, set := range (*rle.Mask)(o.Mask).Decode() {
			if set != 0 {
				pix[3*i], pix[3*i+1], pix[3*i+2] = pix[3*i]/2, pix[3*i+1]/2, pix[3*i+2]/2
			}
		}
	}
}
