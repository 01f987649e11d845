package datamodule_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

func byBase(records []datamodule.Record) map[string]datamodule.Record {
	out := map[string]datamodule.Record{}
	for _, r := range records {
		out[filepath.Base(r.Path)] = r
	}
	return out
}

// tileAll tiles splits into a new folder and opens it.
func tileAll(t testing.TB, d *datamodule.Detection, splits []datamodule.Split, tc datamodule.TileConfig, format datamodule.Source) (*datamodule.Detection, []datamodule.Split, *datamodule.Tiled) {
	t.Helper()
	c := small()
	c.Root = filepath.Join(t.TempDir(), "tiles")
	out, err := datamodule.Tile(context.Background(), c.Root, format, d.Classes(), splits, tc)
	require.NoError(t, err)
	again := open(t, c)
	return again, pictures(t, again), out
}

// clipped does to boxes what WilData's clipping does: corner and size are each
// rounded down.
func clipped(r datamodule.Record) datamodule.Record {
	r.Objects = slices.Clone(r.Objects)
	for i := range r.Objects {
		b := r.Objects[i].Box.Clip(r.Width, r.Height)
		r.Objects[i].Box = wildtrain.BoxXYWH(math.Floor(b.X1), math.Floor(b.Y1), math.Floor(b.Width()), math.Floor(b.Height()))
	}
	return r
}

// The fixture's tiles were made by WilData itself (see its README). Which empty
// tiles it took was left to chance.
func TestWilDataTiles(t *testing.T) {
	d, source := savanna(t)
	c := small()
	c.Datasets = []string{"savanna-tiles"}
	made := open(t, c)
	want := pictures(t, made)
	require.Len(t, want, 2)
	var splits []datamodule.Split
	for i, s := range want {
		var from []string
		for _, r := range s.Records {
			from = append(from, datamodule.SourceName(r.Path))
		}
		few := datamodule.Split{Name: s.Name}
		for _, r := range source[i].Records {
			if slices.Contains(from, datamodule.SourceName(r.Path)) {
				few.Records = append(few.Records, clipped(r))
			}
		}
		splits = append(splits, few)
	}
	tc := datamodule.WilDataTiles()
	tc.Size, tc.Stride, tc.MinVisibility, tc.NegativeRatio, tc.MaxNegatives, tc.Lossless = 400, 320, 0.3, 0.5, 2, false
	tc.Quality = 100
	again, got, out := tileAll(t, d, splits, tc, datamodule.COCO)
	boxes := 0
	for i, s := range want {
		tiles := byBase(got[i].Records)
		positives := 0
		for _, w := range s.Records {
			if len(w.Objects) == 0 {
				continue
			}
			positives++
			g, there := tiles[filepath.Base(w.Path)]
			require.True(t, there, w.Path)
			require.Equal(t, [3]int{400, 400, len(w.Objects)}, [3]int{g.Width, g.Height, len(g.Objects)}, w.Path)
			boxes += len(g.Objects)
			for k, o := range w.Objects {
				p := g.Objects[k]
				assert.Equal(t, made.Classes()[o.Class].Name, again.Classes()[p.Class].Name)
				for _, v := range []float64{o.Box.X1 - p.Box.X1, o.Box.Y1 - p.Box.Y1, o.Box.X2 - p.Box.X2, o.Box.Y2 - p.Box.Y2} {
					assert.InDelta(t, 0, v, 1e-9, "%s: %v, %v", w.Path, o.Box, p.Box)
				}
			}
		}
		for _, g := range got[i].Records {
			if len(g.Objects) > 0 {
				positives--
			}
		}
		assert.Zero(t, positives, "as many tiles with boxes in %s", s.Name)
	}
	assert.Equal(t, [2]int{41 + 39, out.Boxes}, [2]int{boxes, boxes})
	assert.Equal(t, 3, out.LostBoxes, "beyond column 720, 3 of train")
	assert.Positive(t, out.Dark)
}

// Our own rule loses no box where tiles overlap by more than the animals' size.
func TestTilesCoverPictures(t *testing.T) {
	d, source := savanna(t)
	few := datamodule.Split{Name: "test"}
	for _, r := range source[2].Records {
		if len(r.Objects) == 0 || len(few.Records) < 3 {
			few.Records = append(few.Records, r)
		}
	}
	splits := []datamodule.Split{few}
	tc := datamodule.DefaultTiles()
	tc.Size, tc.Stride, tc.Seed = 320, 200, 7
	for _, format := range []datamodule.Source{datamodule.COCO, datamodule.VOC} {
		_, got, out := tileAll(t, d, splits, tc, format)
		assert.Zero(t, out.LostBoxes)
		for _, r := range got[0].Records {
			assert.Equal(t, [2]int{320, 320}, [2]int{r.Width, r.Height})
		}
		assert.Equal(t, out.Pictures, len(got[0].Records))
		negatives := map[string]int{}
		for _, r := range got[0].Records {
			if len(r.Objects) == 0 {
				negatives[datamodule.SourceName(r.Path)]++
			}
		}
		for _, r := range splits[0].Records {
			if len(r.Objects) == 0 {
				assert.Equal(t, 3, negatives[datamodule.SourceName(r.Path)], r.ID)
			}
		}
		_, again, _ := tileAll(t, d, splits, tc, format)
		for i := range got[0].Records {
			assert.Equal(t, filepath.Base(got[0].Records[i].Path), filepath.Base(again[0].Records[i].Path), "the same seed")
		}
	}
}

// A picture whose pixels say where they are: tiles show what their names and boxes say.
func TestTilePixels(t *testing.T) {
	const w, h = 130, 70
	im := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			im.SetNRGBA(x, y, color.NRGBA{uint8(x + 20), uint8(y + 20), 99, 255})
		}
	}
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, im))
	rec := datamodule.Record{ID: "p", Width: w, Height: h, Objects: []wildtrain.Object{
		{Box: wildtrain.Box{X1: 40, Y1: 10, X2: 60, Y2: 20}, Area: 100}, {Box: wildtrain.Box{X1: 120, Y1: 60, X2: 140, Y2: 70}, Area: 60, Crowd: true},
	}}
	tr := newTree(t).write("p.png", buf.String())
	rec.Path = tr.path("p.png")
	classes := []wildtrain.Class{{Name: "a"}}
	base := datamodule.TileConfig{Size: 64, Stride: 48, MinVisibility: 0.5, NegativeRatio: 9, DarkThreshold: 1, Lossless: true}
	for _, tt := range []struct {
		edge      string
		want      map[string][]wildtrain.Object
		fragments int
	}{
		{datamodule.ShiftTiles, map[string][]wildtrain.Object{
			"p_tile_0_0_0.png":  {{Box: wildtrain.Box{X1: 40, Y1: 10, X2: 60, Y2: 20}, Area: 100}},
			"p_tile_1_48_0.png": {{Box: wildtrain.Box{X1: 0, Y1: 10, X2: 12, Y2: 20}, Area: 120}}, // cut: its area is the box's
			"p_tile_2_66_0.png": nil,
			"p_tile_3_0_6.png":  {{Box: wildtrain.Box{X1: 40, Y1: 4, X2: 60, Y2: 14}, Area: 100}},
			"p_tile_4_48_6.png": {{Box: wildtrain.Box{X1: 0, Y1: 4, X2: 12, Y2: 14}, Area: 120}},
			"p_tile_5_66_6.png": {{Box: wildtrain.Box{X1: 54, Y1: 54, X2: 64, Y2: 64}, Area: 60, Crowd: true}}, // cut by the picture, not by the tile
		}, 1},
		{datamodule.PadTiles, map[string][]wildtrain.Object{
			"p_tile_0_0_0.png": {{Box: wildtrain.Box{X1: 40, Y1: 10, X2: 60, Y2: 20}, Area: 100}}, "p_tile_1_48_0.png": {{Box: wildtrain.Box{X1: 0, Y1: 10, X2: 12, Y2: 20}, Area: 120}},
			"p_tile_2_96_0.png": nil, "p_tile_3_0_48.png": nil, "p_tile_4_48_48.png": nil,
			"p_tile_5_96_48.png": {{Box: wildtrain.Box{X1: 24, Y1: 12, X2: 34, Y2: 22}, Area: 60, Crowd: true}},
		}, 1},
	} {
		t.Run(tt.edge, func(t *testing.T) {
			tc := base
			tc.Edge = tt.edge
			c := small()
			c.Root = filepath.Join(t.TempDir(), "x")
			out, err := datamodule.Tile(context.Background(), c.Root, datamodule.COCO, classes, []datamodule.Split{{Name: "train", Records: []datamodule.Record{rec}}}, tc)
			require.NoError(t, err)
			assert.Equal(t, [2]int{tt.fragments, 0}, [2]int{out.Fragments, out.LostBoxes})
			got := pictures(t, open(t, c))[0].Records
			require.Len(t, got, len(tt.want))
			for _, r := range got {
				assert.Equal(t, tt.want[filepath.Base(r.Path)], r.Objects, r.Path)
				data, err := os.ReadFile(r.Path)
				require.NoError(t, err)
				tile, err := png.Decode(bytes.NewReader(data))
				require.NoError(t, err)
				at := tilePlace(t, r.Path)
				for y := range 64 {
					for x := range 64 {
						want := color.RGBA{A: 255}
						if px, py := at.X+x, at.Y+y; px < w && py < h {
							want = color.RGBA{uint8(px + 20), uint8(py + 20), 99, 255}
						}
						require.Equal(t, want, color.RGBAModel.Convert(tile.At(x, y)), "%s at %d, %d", r.Path, x, y)
					}
				}
			}
		})
	}
}

// tilePlace reads the corner from a tile's name.
func tilePlace(t testing.TB, path string) (at image.Point) {
	t.Helper()
	var index int
	_, err := fmt.Sscanf(filepath.Base(path), "p_tile_%d_%d_%d.png", &index, &at.X, &at.Y)
	require.NoError(t, err)
	return at
}

// Whatever the sizes: shifted tiles cover every pixel and stay inside.
func TestTilesOfAnySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 50).Draw(t, "size")
		tc := datamodule.TileConfig{Size: size, Stride: rapid.IntRange(1, size).Draw(t, "stride"), Edge: datamodule.ShiftTiles}
		w, h := rapid.IntRange(1, 120).Draw(t, "w"), rapid.IntRange(1, 120).Draw(t, "h")
		if err := (datamodule.TileConfig{Size: tc.Size, Stride: tc.Stride, Edge: tc.Edge, Quality: 1}).Validate(); err != nil {
			t.Fatal(err)
		}
		for _, side := range []int{w, h} {
			covered := 0
			for _, at := range datamodule.TileStarts(tc, side) {
				if at > covered || at < 0 || at+min(size, side) > side {
					t.Fatalf("tile at %d of %d after %d", at, side, covered)
				}
				covered = at + min(size, side)
			}
			if covered != side {
				t.Fatalf("%d of %d covered", covered, side)
			}
		}
	})
}

func TestTileConfigErrorsComeTogether(t *testing.T) {
	require.NoError(t, datamodule.DefaultTiles().Validate())
	require.NoError(t, datamodule.WilDataTiles().Validate())
	err := datamodule.TileConfig{Stride: 1, MinVisibility: 1, NegativeRatio: -1, MaxNegatives: -1, DarkThreshold: 2}.Validate()
	for _, w := range []string{"size is 0", "stride is 1", `edge is ""`, "min_visibility is 1", "negative_ratio is -1", "max_negatives is -1", "dark_threshold is 2", "quality is 0"} {
		assert.ErrorContains(t, err, w)
	}
	_, err = datamodule.Tile(context.Background(), "x", datamodule.COCO, nil, nil, datamodule.TileConfig{})
	assert.ErrorContains(t, err, "size is 0")
	assert.NoDirExists(t, "x")
}
