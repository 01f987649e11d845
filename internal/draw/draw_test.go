package draw

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

func TestObjects(t *testing.T) {
	im := wildtrain.Image{Height: 60, Width: 80, Channels: 3, U8: make([]uint8, 60*80*3)}
	c := Canvas(im)
	Objects(c, []wildtrain.Object{
		{Box: wildtrain.BoxXYWH(10, 20, 30, 25), Class: 1, Score: 0.5},
		{Box: wildtrain.BoxXYWH(-20, -20, 300, 300), Class: 99}, // leaves the picture
	}, []string{"kudu", "zebra"})
	require.Equal(t, Color(1), c.RGBAAt(10, 40))
	require.Equal(t, Color(1), c.RGBAAt(39, 44))
	require.Zero(t, c.RGBAAt(25, 35).R, "the inside stays as it was")
	var b bytes.Buffer
	require.NoError(t, WritePNG(&b, c))
	back, err := png.Decode(&b)
	require.NoError(t, err)
	require.Equal(t, c.Bounds(), back.Bounds())
}
