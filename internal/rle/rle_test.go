package rle

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func randomMask(t *rapid.T, h, w int, name string) (*Mask, []byte) {
	pixels := rapid.SliceOfN(rapid.ByteMax(1), h*w, h*w).Draw(t, name)
	m, err := Encode(h, w, pixels)
	require.NoError(t, err)
	return m, pixels
}

func TestMasksAsPixels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, w := rapid.IntRange(1, 9).Draw(t, "h"), rapid.IntRange(1, 9).Draw(t, "w")
		a, pa := randomMask(t, h, w, "a")
		b, pb := randomMask(t, h, w, "b")
		require.Equal(t, pa, a.Decode())
		back, err := Parse(h, w, a.String())
		require.NoError(t, err)
		require.Equal(t, a, back)

		var inter, union, area int
		both := make([]byte, h*w)
		for i := range pa {
			inter += int(pa[i] & pb[i])
			both[i] = pa[i] | pb[i]
			union += int(both[i])
			area += int(pa[i])
		}
		require.Equal(t, area, a.Area())
		want, crowd := 0.0, 0.0
		if inter > 0 {
			want, crowd = float64(inter)/float64(union), float64(inter)/float64(area)
		}
		require.InDelta(t, want, IoU(a, b, false), 0)
		require.InDelta(t, crowd, IoU(a, b, true), 0)
		joined, err := Merge([]*Mask{a, b})
		require.NoError(t, err)
		require.Equal(t, both, joined.Decode())

		x, y, bw, bh := a.Box()
		for i, p := range pa {
			if p == 1 {
				require.True(t, i%w >= x && i%w < x+bw && i/w >= y && i/w < y+bh)
			}
		}
	})
}

func TestPolygonOfWholePixelsIsItsRectangle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := rapid.IntRange(0, 10).Draw(t, "x"), rapid.IntRange(0, 10).Draw(t, "y")
		w, h := rapid.IntRange(1, 10).Draw(t, "w"), rapid.IntRange(1, 10).Draw(t, "h")
		m, err := Rectangle(21, 22, float64(x), float64(y), float64(w), float64(h))
		require.NoError(t, err)
		require.Equal(t, w*h, m.Area())
		gx, gy, gw, gh := m.Box()
		require.Equal(t, []int{x, y, w, h}, []int{gx, gy, gw, gh})
	})
}

func TestBadMasks(t *testing.T) {
	_, err := New(2, 2, []uint32{1, 2})
	require.ErrorContains(t, err, "cover 3 pixels, want 4")
	_, err = New(0, 2, nil)
	require.ErrorContains(t, err, "0×2")
	_, err = New(1<<20, 1<<20, nil)
	require.ErrorContains(t, err, "at most")
	_, err = Parse(2, 2, "o")
	require.ErrorContains(t, err, "does not end")
	_, err = Parse(2, 2, "!")
	require.ErrorContains(t, err, "alphabet")
	_, err = Polygon(2, 2, []float64{1, 1, 2, 2})
	require.ErrorContains(t, err, "4 numbers")
	_, err = Polygon(2, 2, []float64{1, 1, 2, 2, 3, 1e9})
	require.ErrorContains(t, err, "finite")
	a, _ := New(2, 2, []uint32{0, 4})
	b, _ := New(2, 3, []uint32{0, 6})
	require.InDelta(t, -1, IoU(a, b, false), 0)
	_, err = Merge([]*Mask{a, b})
	require.ErrorContains(t, err, "differ")
}

func FuzzParse(f *testing.F) {
	f.Add(4, 5, "PSl0")
	f.Add(2, 2, "04")
	f.Fuzz(func(t *testing.T, h, w int, s string) {
		m, err := Parse(h, w, s)
		if err != nil {
			return
		}
		back, err := Parse(h, w, m.String())
		require.NoError(t, err)
		require.Equal(t, m, back)
		if h < 100 && w < 100 {
			n := bytes.Count(m.Decode(), []byte{1})
			require.Equal(t, n, m.Area())
		}
	})
}

func FuzzPolygon(f *testing.F) {
	f.Add(1.0, 1.0, 9.0, 1.5, 4.0, 8.0)
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g float64) {
		m, err := Polygon(10, 12, []float64{a, b, c, d, e, g})
		if err != nil {
			return
		}
		_, err = New(10, 12, m.Runs)
		require.NoError(t, err)
	})
}

func TestWrittenRunsAreTheMask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, w := rapid.IntRange(1, 9).Draw(t, "h"), rapid.IntRange(1, 9).Draw(t, "w")
		want, pixels := randomMask(t, h, w, "mask")
		var out Writer
		for at := range h * w {
			if pixels[at%h*w+at/h] == 1 {
				out.Add(at, at+1)
			} else {
				out.Add(at, at) // nothing
			}
		}
		require.Equal(t, want.Area() == 0, out.Empty())
		got, err := New(h, w, out.Mask(h, w).Runs)
		require.NoError(t, err)
		require.Equal(t, pixels, got.Decode())
	})
}
