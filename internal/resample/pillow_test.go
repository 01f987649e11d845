package resample_test

import (
	"encoding/json"
	"image"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/resample"
)

func TestFilteredEqualsPillow(t *testing.T) {
	var cases []struct {
		Filter, File  string
		Part          [4]int
		Width, Height int
	}
	data, err := os.ReadFile("testdata/pillow.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &cases))
	require.Len(t, cases, 6*7)
	src := picture(t, "testdata/pillow.png")
	for _, c := range cases {
		t.Run(c.File, func(t *testing.T) {
			f, err := resample.ParseFilter(c.Filter)
			require.NoError(t, err)
			got := blank(c.Width, c.Height)
			require.NoError(t, resample.FilteredCrop(got, src, image.Rect(c.Part[0], c.Part[1], c.Part[2], c.Part[3]), f))
			assert.Equal(t, picture(t, "testdata/"+c.File).U8, got.U8, "to the bit")
		})
	}
}

func TestFilteredRefuses(t *testing.T) {
	_, err := resample.ParseFilter("cubic")
	assert.ErrorContains(t, err, `no interpolation "cubic"`)
	assert.Error(t, resample.Filtered(blank(2, 2), blank(3, 3), 99))
	assert.Error(t, resample.FilteredCrop(blank(2, 2), blank(3, 3), image.Rect(1, 1, 4, 3), resample.Box))
	assert.Error(t, resample.FilteredCrop(blank(2, 2), blank(3, 3), image.Rect(1, 1, 1, 3), resample.Box))
}

func BenchmarkFiltered(b *testing.B) {
	src, dst := blank(1280, 960), blank(224, 224)
	for _, f := range []resample.Filter{resample.Bilinear, resample.Bicubic} {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := resample.Filtered(dst, src, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
