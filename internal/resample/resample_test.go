package resample_test

import (
	"encoding/json"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
)

func picture(t testing.TB, path string) wildtrain.Image {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	src, err := png.Decode(f)
	require.NoError(t, err)
	b := src.Bounds()
	out := wildtrain.Image{Width: b.Dx(), Height: b.Dy(), Channels: 3}
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := color.NRGBAModel.Convert(src.At(x, y)).(color.NRGBA)
			out.U8 = append(out.U8, c.R, c.G, c.B)
		}
	}
	return out
}

func blank(w, h int) wildtrain.Image {
	return wildtrain.Image{Width: w, Height: h, Channels: 3, U8: make([]byte, w*h*3)}
}

func largest(a, b []byte) (worst int, share float64) {
	n := 0
	for i := range a {
		d := int(a[i]) - int(b[i])
		if d = max(d, -d); d > 1 {
			n++
		}
		worst = max(worst, d)
	}
	return worst, float64(n) / float64(len(a))
}

func TestLinearEqualsOpenCV(t *testing.T) {
	for _, name := range []string{"src", "even"} {
		src := picture(t, "testdata/"+name+".png")
		files, err := filepath.Glob("testdata/" + name + "_*.golden.png")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, f := range files {
			t.Run(filepath.Base(f), func(t *testing.T) {
				want := picture(t, f)
				got := blank(want.Width, want.Height)
				require.NoError(t, resample.Linear(got, src))
				worst, _ := largest(got.U8, want.U8)
				assert.LessOrEqual(t, worst, 1)
			})
		}
	}
}

func TestWarpsEqualOpenCV(t *testing.T) {
	data, err := os.ReadFile("testdata/warps.json")
	require.NoError(t, err)
	var cases []struct {
		Name   string
		Matrix [9]float64
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	require.Len(t, cases, 8)
	src := picture(t, "testdata/src.png")
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			want := picture(t, "testdata/warp_"+c.Name+".golden.png")
			got := blank(want.Width, want.Height)
			require.NoError(t, resample.Perspective(got, src, resample.Homography(c.Matrix), 114))
			worst, share := largest(got.U8, want.U8)
			t.Logf("worst %d, share beyond 1: %.4f", worst, share)
			assert.LessOrEqual(t, worst, 1)
		})
	}
}

func TestWrongSizesAreRefused(t *testing.T) {
	assert.Error(t, resample.Linear(wildtrain.Image{Width: 2, Height: 2, Channels: 3}, blank(4, 4)))
	grey := wildtrain.Image{Width: 2, Height: 2, Channels: 1, U8: make([]byte, 4)}
	assert.Error(t, resample.Linear(blank(2, 2), grey))
	assert.Error(t, resample.Affine(grey, grey, wildtrain.Identity, 0))
	assert.Error(t, resample.Affine(blank(2, 2), blank(2, 2), wildtrain.Affine{}, 0))
}

// The quick path with spans must equal a plain bilinear warp in floating point.
func TestAffineEqualsPlainSampling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 12).Draw(t, "w"), rapid.IntRange(1, 12).Draw(t, "h")
		src := blank(w, h)
		copy(src.U8, rapid.SliceOfN(rapid.Byte(), len(src.U8), len(src.U8)).Draw(t, "pixels"))
		num := rapid.Float64Range(-3, 3)
		m := wildtrain.Affine{A: num.Draw(t, "a"), B: num.Draw(t, "b"), C: 4 * num.Draw(t, "c"), D: num.Draw(t, "d"), E: num.Draw(t, "e"), F: 4 * num.Draw(t, "f")}
		inv, err := m.Inverse()
		if err != nil || math.Abs(m.A*m.E-m.B*m.D) < 1e-3 {
			t.Skip("singular")
		}
		dst := blank(9, 7)
		require.NoError(t, resample.Affine(dst, src, m, 114))
		for y := range dst.Height {
			for x := range dst.Width {
				u, v := inv.Apply(float64(x)+0.5, float64(y)+0.5)
				for c := range 3 {
					want := sample(src, u-0.5, v-0.5, c)
					got := float64(dst.U8[(y*9+x)*3+c])
					if math.Abs(want-got) > 1 {
						t.Fatalf("(%d,%d) channel %d: %v, want %.2f", x, y, c, got, want)
					}
				}
			}
		}
	})
}

func sample(im wildtrain.Image, u, v float64, c int) float64 {
	x, y := math.Floor(u), math.Floor(v)
	sum := 0.0
	for k := range 4 {
		xx, yy := x+float64(k&1), y+float64(k>>1)
		weight := (1 - math.Abs(u-xx)) * (1 - math.Abs(v-yy))
		value := 114.0
		if xx >= 0 && yy >= 0 && xx < float64(im.Width) && yy < float64(im.Height) {
			value = float64(im.U8[(int(yy)*im.Width+int(xx))*3+c])
		}
		sum += weight * value
	}
	return sum
}

// The vector code must give what the plain code gives, bit by bit, and touch
// nothing beside its row.
func TestVectorsEqualPlainCode(t *testing.T) {
	if !resample.Vectors() {
		t.Skip("no vector code for this processor")
	}
	rapid.Check(t, func(t *rapid.T) {
		src := blank(rapid.IntRange(1, 60).Draw(t, "w"), rapid.IntRange(1, 40).Draw(t, "h"))
		seed := rapid.Uint32().Draw(t, "seed")
		for i := range src.U8 {
			seed = seed*1664525 + 1013904223
			src.U8[i] = byte(seed >> 24)
		}
		num := rapid.Float64Range(-2, 2)
		m := wildtrain.Affine{A: num.Draw(t, "a"), B: num.Draw(t, "b"), C: 20 * num.Draw(t, "c"), D: num.Draw(t, "d"), E: num.Draw(t, "e"), F: 20 * num.Draw(t, "f")}
		if math.Abs(m.A*m.E-m.B*m.D) < 1e-3 {
			t.Skip("singular")
		}
		got, want := blank(50, 30), blank(50, 30)
		require.NoError(t, resample.Affine(got, src, m, 114))
		restore := resample.SetVectors(false)
		defer restore()
		require.NoError(t, resample.Affine(want, src, m, 114))
		if !assert.ObjectsAreEqual(want.U8, got.U8) {
			t.Fatal("the vector code differs")
		}
	})
}

func TestHalvingVectorsEqualPlainCode(t *testing.T) {
	if !resample.Vectors() {
		t.Skip("no vector code for this processor")
	}
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 70).Draw(t, "w"), rapid.IntRange(1, 5).Draw(t, "h")
		src := blank(2*w, 2*h)
		seed := rapid.Uint32().Draw(t, "seed")
		for i := range src.U8 {
			seed = seed*1664525 + 1013904223
			src.U8[i] = byte(seed >> 24)
		}
		got, want := blank(w, h), blank(w, h)
		require.NoError(t, resample.Linear(got, src))
		restore := resample.SetVectors(false)
		defer restore()
		require.NoError(t, resample.Linear(want, src))
		for i := range want.U8 {
			x, y, c := i/3%w, i/3/w, i%3
			at := func(dx, dy int) int { return int(src.U8[((2*y+dy)*2*w+2*x+dx)*3+c]) }
			if mean := (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4; int(want.U8[i]) != mean || got.U8[i] != want.U8[i] {
				t.Fatalf("(%d,%d) channel %d: %d and %d, want %d", x, y, c, got.U8[i], want.U8[i], mean)
			}
		}
	})
}

func TestHomographyInverse(t *testing.T) {
	h := resample.Homography{1.1, 0.2, 5, -0.1, 0.9, 3, 0.001, -0.002, 1}
	inv, err := h.Inverse()
	require.NoError(t, err)
	x, y, ok := h.Apply(12, 34)
	require.True(t, ok)
	x, y, ok = inv.Apply(x, y)
	require.True(t, ok)
	assert.InDelta(t, 12, x, 1e-9)
	assert.InDelta(t, 34, y, 1e-9)
	_, _, ok = h.Apply(0, 1000)
	assert.False(t, ok, "behind the horizon")
	_, err = resample.Homography{}.Inverse()
	assert.Error(t, err)
}

func BenchmarkLinear(b *testing.B) {
	for _, n := range []int{320, 640} {
		b.Run(fmt.Sprint("1280x960to", n), func(b *testing.B) {
			src, dst := blank(1280, 960), blank(n, n*3/4)
			if n == 640 {
				dst = blank(641, 480)
			}
			for b.Loop() {
				if err := resample.Linear(dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAffine(b *testing.B) {
	src, dst := blank(1280, 1280), blank(640, 640)
	m := wildtrain.Affine{A: 0.9, B: 0.1, C: -250, D: -0.1, E: 0.9, F: -200}
	for b.Loop() {
		if err := resample.Affine(dst, src, m, 114); err != nil {
			b.Fatal(err)
		}
	}
}
