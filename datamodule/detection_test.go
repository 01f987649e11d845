package datamodule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

const fixture = "../testdata/wildata"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a quick configuration over the fixture.
func small() datamodule.Config {
	c := datamodule.DefaultConfig()
	c.Root, c.ImageSize, c.Batch, c.Workers = fixture, 160, 8, 2
	return c
}

func open(t testing.TB, c datamodule.Config, stages ...wildtrain.Stage) *datamodule.Detection {
	t.Helper()
	d, err := datamodule.NewDetection(c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Close()) })
	for _, s := range stages {
		require.NoError(t, d.Setup(context.Background(), s))
	}
	return d
}

// counts is what testdata/wildata/counts.json says (made by the fixture's author).
type counts map[string]struct {
	Splits map[string]struct {
		Images, Negatives, Boxes, Crowd int
		PerClass                        map[string]int `json:"boxes_per_class"`
		Sizes                           map[string]int
		StaleAreas                      int `json:"stale_areas"`
		ROI                             int
		ROIPerClass                     map[string]int `json:"roi_per_class"`
	}
}

func readCounts(t *testing.T) counts {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixture, "counts.json"))
	require.NoError(t, err)
	var c counts
	require.NoError(t, json.Unmarshal(data, &c))
	return c
}

func TestFixtureCountsThroughBothReaders(t *testing.T) {
	for dataset, want := range readCounts(t) {
		for split, w := range want.Splits {
			for _, source := range []datamodule.Source{datamodule.WilData, datamodule.WilDataYOLO} {
				t.Run(fmt.Sprint(dataset, "/", split, "/", source), func(t *testing.T) {
					c := small()
					c.Source, c.Datasets = source, []string{dataset}
					stage := wildtrain.Stage(split)
					d := open(t, c, stage)
					r := d.Report(stage)
					assert.Empty(t, r.Errors())
					assert.Equal(t, [3]int{w.Images, w.Negatives, w.Boxes}, [3]int{r.Images, r.Negatives, r.Boxes})
					got := map[string]int{}
					for i, class := range d.Classes() {
						got[class.Name] = r.PerClass[i]
					}
					assert.Equal(t, w.PerClass, got)
					if source == datamodule.WilData {
						assert.Equal(t, w.Crowd, r.Crowd)
						assert.Equal(t, w.StaleAreas, len(r.Problems), "stale areas are the only warnings")
					}
					sizes := map[string]int{}
					for _, rec := range d.Records(stage) {
						sizes[fmt.Sprintf("%dx%d", rec.Width, rec.Height)]++
					}
					assert.Equal(t, w.Sizes, sizes)
				})
			}
		}
	}
}

func TestBothReadersSeeTheSameBoxes(t *testing.T) {
	for _, stage := range []wildtrain.Stage{wildtrain.Train, wildtrain.Val, wildtrain.Test} {
		c := small()
		c.Source = datamodule.WilData
		coco := open(t, c, stage)
		c.Source = datamodule.WilDataYOLO
		yolo := open(t, c, stage)
		assert.Equal(t, coco.Classes(), yolo.Classes())
		want := byID(coco.Records(stage))
		got := byID(yolo.Records(stage))
		require.Len(t, got, len(want))
		for id, w := range want {
			g, ok := got[id]
			require.True(t, ok, id)
			require.Len(t, g.Objects, len(w.Objects), id)
			sortBoxes(w.Objects)
			sortBoxes(g.Objects)
			for i := range w.Objects {
				a, b := w.Objects[i], g.Objects[i]
				assert.Equal(t, a.Class, b.Class, id)
				for _, d := range []float64{a.Box.X1 - b.Box.X1, a.Box.Y1 - b.Box.Y1, a.Box.X2 - b.Box.X2, a.Box.Y2 - b.Box.Y2} {
					assert.InDelta(t, 0, d, 0.5, id)
				}
			}
		}
	}
}

func byID(records []datamodule.Record) map[string]datamodule.Record {
	out := map[string]datamodule.Record{}
	for _, r := range records {
		out[r.ID] = r
	}
	return out
}

func sortBoxes(objects []wildtrain.Object) {
	key := func(o wildtrain.Object) string {
		x, y := o.Box.Center()
		return fmt.Sprintf("%d %05.0f %05.0f %05.0f", o.Class, x, y, o.Box.Width())
	}
	sort.Slice(objects, func(i, j int) bool { return key(objects[i]) < key(objects[j]) })
}

func TestConformance(t *testing.T) {
	tiles := small()
	tiles.Datasets, tiles.ImageSize, tiles.Batch = []string{"savanna-tiles"}, 64, 6
	tiles.TestSplit = "val" // the tiles have no test split
	wildtraintest.TestDataModule(t, func() (wildtrain.DataModule, error) { return datamodule.NewDetection(tiles) },
		wildtrain.Train, wildtrain.Val, wildtrain.Test)

	tr := yolo(t)
	for i := range 11 {
		name := fmt.Sprintf("n%02d", i)
		tr.jpeg("images/train/"+name+".jpg", 40+i, 50-i).write("labels/train/"+name+".txt", "1 0.4 0.5 0.3 0.4\n")
	}
	for _, cache := range []string{datamodule.CacheNone, datamodule.CacheRAM} {
		t.Run("cache "+cache, func(t *testing.T) {
			c := tr.config()
			c.Batch, c.Cache = 3, cache
			c.Augment.MixUp, c.Augment.Degrees, c.Augment.Mosaic = 0.3, 10, 0.7
			wildtraintest.TestLoader(t, func(at wildtrain.Position, workers int) (wildtrain.Loader, error) {
				c.Workers = workers
				d, err := datamodule.NewDetection(c)
				if err != nil {
					return nil, err
				}
				if err := d.Setup(context.Background(), wildtrain.Train); err != nil {
					return nil, err
				}
				return d.Loader(wildtrain.Train, at)
			})
		})
	}
}
