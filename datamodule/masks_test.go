package datamodule_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

func area(m *wildtrain.Mask) int {
	return (&rle.Mask{Height: m.Height, Width: m.Width, Runs: m.Runs}).Area()
}

// masked opens a root with its outlines.
func masked(t testing.TB, root string, datasets ...string) *datamodule.Detection {
	t.Helper()
	c := datamodule.DefaultConfig()
	c.Root, c.Datasets, c.Masks, c.ImageSize = root, datasets, true, 160
	return open(t, c)
}

// The fixture's outlines cover what their annotations say; three boxes have none.
func TestOutlinesOfTheFixture(t *testing.T) {
	d := masked(t, fixture, "savanna")
	splits := pictures(t, d)
	without, boxes := 0, 0
	for _, rec := range splits[0].Records {
		for _, o := range rec.Objects {
			boxes++
			if o.Mask == nil {
				without++
				continue
			}
			require.Equal(t, [2]int{rec.Height, rec.Width}, [2]int{o.Mask.Height, o.Mask.Width})
			if o.Area > 200 && !o.Crowd {
				assert.InEpsilon(t, o.Area, area(o.Mask), 0.15, rec.ID)
			}
		}
	}
	assert.Equal(t, [2]int{408, 3}, [2]int{boxes, without})

	// Those of the tiles are the uncut pictures': they are told, and not used.
	d = masked(t, fixture, "savanna-tiles")
	audit, err := d.Audit(context.Background(), datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	assert.Zero(t, audit.Errors())
	moved := 0
	for _, p := range audit.Problems {
		if p.Message[len(p.Message)-len("it is not where the box is"):] == "it is not where the box is" {
			moved++
		}
	}
	assert.Greater(t, moved, 10, "tiles at the upper left corner have right ones")
}

// Outlines go through tiles and COCO files, and through a loader.
func TestOutlinesAreKept(t *testing.T) {
	d := masked(t, fixture, "savanna")
	splits := pictures(t, d)[1:2]
	ctx := context.Background()
	coco, tiles := filepath.Join(t.TempDir(), "coco"), filepath.Join(t.TempDir(), "tiles")
	out, err := datamodule.Convert(ctx, coco, datamodule.COCO, d.Classes(), splits, datamodule.ConvertOptions{})
	require.NoError(t, err)
	assert.Zero(t, out.LostMasks)
	again := pictures(t, masked(t, coco))[0]
	for i, rec := range splits[0].Records {
		for k, o := range rec.Objects {
			require.Equal(t, o.Mask, again.Records[i].Objects[k].Mask)
		}
	}
	out, err = datamodule.Convert(ctx, filepath.Join(t.TempDir(), "csv"), datamodule.CSV, d.Classes(), splits, datamodule.ConvertOptions{})
	require.NoError(t, err)
	assert.Equal(t, 127, out.LostMasks)

	c := datamodule.DefaultTiles()
	c.Size, c.Stride, c.Lossless = 400, 400, true
	_, err = datamodule.Tile(ctx, tiles, datamodule.COCO, d.Classes(), splits, c)
	require.NoError(t, err)
	n := 0
	for _, rec := range pictures(t, masked(t, tiles))[0].Records {
		for _, o := range rec.Objects {
			if o.Mask != nil {
				n++
				require.Equal(t, [2]int{400, 400}, [2]int{o.Mask.Height, o.Mask.Width})
			}
		}
	}
	assert.Greater(t, n, 100)

	require.NoError(t, d.Setup(ctx, wildtrain.Train))
	l, err := d.Loader(wildtrain.Train, wildtrain.Position{})
	require.NoError(t, err)
	n = 0
	for b, err := range l.Batches(ctx) {
		require.NoError(t, err)
		for _, s := range b.Samples {
			for _, o := range s.Objects {
				if o.Mask != nil {
					n++
					require.Equal(t, [2]int{160, 160}, [2]int{o.Mask.Height, o.Mask.Width})
				}
			}
		}
		b.Release()
		if n > 100 {
			break
		}
	}
	assert.Positive(t, n)
}

// Runs, compressed and not, and outlines that are wrong.
func TestRunsAndWrongOutlines(t *testing.T) {
	note := func(id, segmentation string) string {
		return `{"id":` + id + `,"image_id":10,"category_id":3,"iscrowd":1,"bbox":[0,0,2,30],"segmentation":` + segmentation + `}`
	}
	tr := coco(t, note("1", `{"size":[30,40],"counts":[0,60,1140]}`), note("2", `{"size":[30,40],"counts":"`+(&rle.Mask{Height: 30, Width: 40, Runs: []uint32{0, 60, 1140}}).String()+`"}`),
		note("3", `[[0,0,2,0,2,30,0,30]]`), note("4", `null`), note("5", `[]`),
		note("6", `{"size":[30,40],"counts":[0,61,1140]}`), note("7", `[[0,0,2]]`), note("8", `"x"`), note("9", `{"size":[40,30],"counts":[0,60,1140]}`), note("10", `[[20,0,40,0,40,30]]`))
	d := masked(t, tr.root)
	require.NoError(t, d.Setup(context.Background(), wildtrain.Train))
	objects := d.Records(wildtrain.Train)[0].Objects
	require.Len(t, objects, 10)
	for i, o := range objects[:3] {
		require.NotNil(t, o.Mask, i)
		assert.Equal(t, []uint32{0, 60, 1140}, o.Mask.Runs, i)
	}
	for _, o := range objects[3:] {
		assert.Nil(t, o.Mask)
	}
	problems := d.Report(wildtrain.Train).Problems
	require.Len(t, problems, 5)
	for i, want := range []string{
		"annotation 6: the outline is not used: rle: check runs: they cover 1201 pixels, want 1200 (30×40)",
		"annotation 7: the outline is not used: rle: fill polygon: 3 numbers, want an even number of at least 6",
		"annotation 8: the outline is not used: json: cannot unmarshal string",
		"annotation 9: the outline is not used: its runs are for 30×40, the picture is 40×30",
		"annotation 10: the outline is not used: it is not where the box is",
	} {
		assert.Contains(t, problems[i].Message, want)
		assert.True(t, problems[i].Warning)
		assert.Equal(t, 9+i, problems[i].Line)
	}
}
