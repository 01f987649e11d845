package augment_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// apply runs one named transform on a picture with boxes.
func apply(t testing.TB, n augment.Named, im wildtrain.Image, seed uint64, objects ...wildtrain.Object) *augment.Sample {
	t.Helper()
	chain, err := augment.Parse([]augment.Named{n})
	require.NoError(t, err)
	var s augment.Sample
	s.Load(im, objects, wildtrain.Identity, augment.Limits{})
	require.NoError(t, chain.Apply(&s, xrand.New(seed)))
	return &s
}

// nearEdge tells whether a pixel shows the source's border, where Pillow repeats
// the outermost pixels by half a pixel and OpenCV mixes them with the fill.
func nearEdge(place wildtrain.Affine, x, y int, src wildtrain.Image) bool {
	inv, err := place.Inverse()
	if err != nil {
		return false
	}
	u, v := inv.Apply(float64(x)+0.5, float64(y)+0.5)
	near := func(p, side float64) bool { return math.Abs(p) < 0.6 || math.Abs(p-side) < 0.6 }
	return near(u, float64(src.Width)) || near(v, float64(src.Height))
}

func TestTransformsEqualTheirPeers(t *testing.T) {
	var cases []struct {
		augment.Named
		File  string
		Boxes [][4]float64
		Inner bool // leave a border out
	}
	readJSON(t, "testdata/transforms.json", &cases)
	require.Greater(t, len(cases), 25)
	src := picture(t, "testdata/transforms.png")
	for _, c := range cases {
		t.Run(c.File, func(t *testing.T) {
			objects := []wildtrain.Object{{Box: wildtrain.Box{X1: 8, Y1: 5, X2: 25, Y2: 17}}, {Box: wildtrain.Box{X1: 30, Y1: 25, X2: 52, Y2: 40}}}
			s := apply(t, c.Named, src, 1, objects...)
			want := picture(t, "testdata/"+c.File)
			require.Equal(t, []int{want.Width, want.Height}, []int{s.Image.Width, s.Image.Height})
			off := 0
			for i := range want.U8 {
				if d := int(s.Image.U8[i]) - int(want.U8[i]); (d > 1 || d < -1) && !(c.Inner && nearEdge(s.Place, i/3%want.Width, i/3/want.Width, src)) {
					off++
				}
			}
			few := 0
			if c.Params["interpolation"] == "nearest" || c.Name == "CLAHE" {
				few = 3 // a centre on the line between two pixels; a colour at the edge of what RGB has
			}
			assert.LessOrEqual(t, off, few, "values more than 1 away")
			if c.Boxes == nil {
				return
			}
			require.Len(t, s.Objects, 2)
			for i, b := range c.Boxes {
				got, want := s.Objects[i].Box, wildtrain.Box{X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]}.Clip(s.Image.Width, s.Image.Height)
				for _, d := range []float64{got.X1 - want.X1, got.Y1 - want.Y1, got.X2 - want.X2, got.Y2 - want.Y2} {
					assert.InDelta(t, 0, d, 1e-4, "%v, want %v", got, want)
				}
			}
		})
	}
}

// A rectangle's silhouette and its box go the same way through every change of
// geometry: the box of the moved silhouette is the moved box, within a pixel.
func TestMaskFollowsBox(t *testing.T) {
	list := []augment.Named{
		{Name: "RandomHorizontalFlip", Params: map[string]any{"p": 1}},
		{Name: "RandomVerticalFlip", Params: map[string]any{"p": 1}},
		{Name: "RandomRotate90", Params: map[string]any{"p": 1}},
		{Name: "RandomRotation", Params: map[string]any{"degrees": 180}},
		{Name: "RandomRotation", Params: map[string]any{"degrees": 40, "expand": true, "interpolation": "bilinear"}},
		{Name: "RandomAffine", Params: map[string]any{"degrees": 30, "translate": []any{0.1, 0.1}, "scale": []any{0.7, 1.4}, "shear": 12}},
		{Name: "RandomPerspective", Params: map[string]any{"p": 1, "distortion_scale": 0.4}},
		{Name: "Resize", Params: map[string]any{"size": []any{90, 70}}},
		{Name: "RandomResizedCrop", Params: map[string]any{"size": 64, "scale": []any{0.6, 1}}},
		{Name: "RandomCrop", Params: map[string]any{"size": []any{50, 90}}},
		{Name: "CenterCrop", Params: map[string]any{"size": []any{70, 50}}},
		{Name: "Letterbox", Params: map[string]any{"size": []any{64, 96}}},
		{Name: "TrivialAugmentWide"},
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom(list).Draw(t, "transform")
		w, h := rapid.IntRange(40, 80).Draw(t, "w"), rapid.IntRange(40, 80).Draw(t, "h")
		bw, bh := rapid.IntRange(6, 30).Draw(t, "bw"), rapid.IntRange(6, 30).Draw(t, "bh")
		x, y := rapid.IntRange(0, w-bw).Draw(t, "x"), rapid.IntRange(0, h-bh).Draw(t, "y")
		box := wildtrain.BoxXYWH(float64(x), float64(y), float64(bw), float64(bh))
		mask, err := rle.Rectangle(h, w, box.X1, box.Y1, box.Width(), box.Height())
		require.NoError(t, err)
		chain, err := augment.Parse([]augment.Named{n})
		require.NoError(t, err)
		seed := rapid.Uint64().Draw(t, "seed")
		move := func(o wildtrain.Object) []wildtrain.Object {
			var s augment.Sample
			im := blank(w, h)
			for v := y; v < y+bh; v++ {
				copy(im.U8[(v*w+x)*3:], bytes.Repeat([]byte{255}, 3*bw))
			}
			s.Load(im, []wildtrain.Object{o}, wildtrain.Identity, augment.Limits{MinVisible: 0.999, MinSide: 3}) // wholly visible ones only
			require.NoError(t, chain.Apply(&s, xrand.New(seed)))
			for _, o := range s.Objects {
				if cx, cy := o.Box.Center(); n.Params != nil && s.Image.U8[(int(cy)*s.Image.Width+int(cx))*3] != 255 {
					t.Fatalf("%s: no bright pixel in the middle of %v", n.Name, o.Box)
				}
				if o.Mask != nil && (o.Mask.Width != s.Image.Width || o.Mask.Height != s.Image.Height) {
					t.Fatalf("mask of %d×%d in a picture of %d×%d", o.Mask.Width, o.Mask.Height, s.Image.Width, s.Image.Height)
				}
			}
			return s.Objects
		}
		plain, masked := move(wildtrain.Object{Box: box}), move(wildtrain.Object{Box: box, Area: box.Area(), Mask: (*wildtrain.Mask)(mask)})
		if len(plain) == 0 || len(masked) == 0 {
			return
		}
		mx, my, mw, mh := (*rle.Mask)(masked[0].Mask).Box()
		silhouette := wildtrain.BoxXYWH(float64(mx), float64(my), float64(mw), float64(mh))
		// Where corners become acute no pixel's centre need lie in the last pixel of one.
		within := 1.0
		if n.Params["shear"] != nil || n.Params["distortion_scale"] != nil || n.Params == nil {
			within = 2
		}
		for _, got := range []wildtrain.Box{silhouette, masked[0].Box} {
			for _, d := range []float64{got.X1 - plain[0].Box.X1, got.Y1 - plain[0].Box.Y1, got.X2 - plain[0].Box.X2, got.Y2 - plain[0].Box.Y2} {
				if math.Abs(d) > within+1e-6 {
					t.Fatalf("%s: silhouette %v, box %v, moved box %v", n.Name, silhouette, masked[0].Box, plain[0].Box)
				}
			}
		}
		if masked[0].Area != float64((*rle.Mask)(masked[0].Mask).Area()) {
			t.Fatal("area is not the mask's")
		}
	})
}
