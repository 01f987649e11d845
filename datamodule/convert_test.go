package datamodule_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

var formats = []datamodule.Source{datamodule.WilData, datamodule.WilDataYOLO, datamodule.COCO, datamodule.YOLO, datamodule.VOC, datamodule.CSV, datamodule.LabelStudio}

// savanna opens one dataset of the fixture with all its pictures.
func savanna(t testing.TB) (*datamodule.Detection, []datamodule.Split) {
	t.Helper()
	c := small()
	c.Datasets = []string{"savanna"}
	d := open(t, c)
	return d, pictures(t, d)
}

func pictures(t testing.TB, d *datamodule.Detection) []datamodule.Split {
	t.Helper()
	splits, err := d.Pictures(context.Background())
	require.NoError(t, err)
	return splits
}

// sameData compares by names of pictures and classes, boxes within half a pixel.
func sameData(t *testing.T, want, got *datamodule.Detection, wantSplits, gotSplits []datamodule.Split) {
	t.Helper()
	require.Equal(t, len(wantSplits), len(gotSplits))
	for i, w := range wantSplits {
		g := gotSplits[i]
		require.Equal(t, w.Name, g.Name)
		require.Equal(t, len(w.Records), len(g.Records), w.Name)
		byName := map[string]datamodule.Record{}
		for _, rec := range g.Records {
			byName[filepath.Base(rec.Path)] = rec
		}
		for _, a := range w.Records {
			b := byName[filepath.Base(a.Path)]
			require.Equal(t, [3]int{a.Width, a.Height, len(a.Objects)}, [3]int{b.Width, b.Height, len(b.Objects)}, a.ID)
			for k, o := range a.Objects {
				p := b.Objects[k]
				require.Equal(t, want.Classes()[o.Class].Name, got.Classes()[p.Class].Name, a.ID)
				for _, v := range []float64{o.Box.X1 - p.Box.X1, o.Box.Y1 - p.Box.Y1, o.Box.X2 - p.Box.X2, o.Box.Y2 - p.Box.Y2} {
					require.InDelta(t, 0, v, 0.5, "%s: %v is %v", a.ID, o.Box, p.Box)
				}
			}
		}
	}
}

func TestEveryFormatSaysTheSame(t *testing.T) {
	d, splits := savanna(t)
	require.Len(t, splits, 3)
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "made", string(format))
			out, err := datamodule.Convert(context.Background(), dst, format, d.Classes(), splits, datamodule.ConvertOptions{})
			require.NoError(t, err)
			assert.Equal(t, [3]int{90, 609, 0}, [3]int{out.Pictures, out.Boxes, out.LostMasks})
			crowd := 2 // see the fixture's README
			if format == datamodule.YOLO || format == datamodule.WilDataYOLO {
				assert.Equal(t, crowd, out.LostCrowd)
				crowd = 0
			} else {
				assert.Zero(t, out.LostCrowd)
			}
			c := small()
			c.Root = dst // the layout is told by itself
			again := open(t, c)
			got := pictures(t, again)
			sameData(t, d, again, splits, got)
			for _, s := range got {
				for _, rec := range s.Records {
					for _, o := range rec.Objects {
						if o.Crowd {
							crowd--
						}
					}
				}
			}
			assert.Zero(t, crowd, "crowd boxes")
			left, err := os.ReadDir(filepath.Dir(dst))
			require.NoError(t, err)
			assert.Len(t, left, 1, "nothing temporary is left")
		})
	}
}

// From each format to the next: half a pixel is lost once, in VOC, and not again.
func TestChainOfFormats(t *testing.T) {
	d, splits := savanna(t)
	root, last, now := t.TempDir(), d, splits
	for i, format := range append(formats, datamodule.VOC, datamodule.COCO) {
		o := datamodule.ConvertOptions{Pictures: datamodule.HardLinkPictures}
		if i == 0 {
			o.Pictures = datamodule.CopyPictures // the fixture may lie on another file system
		}
		c := small()
		c.Root = filepath.Join(root, string(rune('a'+i)))
		_, err := datamodule.Convert(context.Background(), c.Root, format, last.Classes(), now, o)
		require.NoError(t, err)
		last = open(t, c)
		now = pictures(t, last)
	}
	sameData(t, d, last, splits, now)
}

// What other programs expect of the files, beyond what our own reader needs.
func TestFilesForOtherPrograms(t *testing.T) {
	tr := coco(t, `{"id":1,"image_id":10,"category_id":7,"bbox":[9.6,2,10,10.5],"area":50}`)
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	written := func(format datamodule.Source) tree {
		out := newTree(t)
		_, err := datamodule.Convert(context.Background(), out.path("x"), format, d.Classes(), pictures(t, d), datamodule.ConvertOptions{})
		require.NoError(t, err)
		return tree{t, out.path("x")}
	}
	read := func(tr tree, name string) string {
		data, err := os.ReadFile(tr.path(name))
		require.NoError(t, err)
		return string(data)
	}
	assert.Equal(t, "train: images/train\nnc: 2\nnames:\n  0: \"impala\"\n  1: \"zebra\"\n", read(written(datamodule.YOLO), "data.yaml"))
	assert.Equal(t, "1 0.3650000000 0.2416666667 0.2500000000 0.3500000000\n", read(written(datamodule.YOLO), "labels/train/a.txt"))
	assert.NoFileExists(t, written(datamodule.YOLO).path("labels/train/b.txt"), "no file for a negative")
	assert.Equal(t, "file,class,x1,y1,x2,y2,width,height,difficult,crowd\nimages/train/a.jpg,zebra,9.6,2,19.6,12.5,40,30,0,0\nimages/train/b.jpg,,,,,,40,30,,\n",
		read(written(datamodule.CSV), "train.csv"))
	var voc struct {
		Object struct {
			Box struct {
				X1 int `xml:"xmin"`
				Y1 int `xml:"ymin"`
				X2 int `xml:"xmax"`
				Y2 int `xml:"ymax"`
			} `xml:"bndbox"`
		} `xml:"object"`
	}
	require.NoError(t, xml.Unmarshal([]byte(read(written(datamodule.VOC), "Annotations/a.xml")), &voc))
	assert.Equal(t, [4]int{11, 3, 20, 13}, [4]int{voc.Object.Box.X1, voc.Object.Box.Y1, voc.Object.Box.X2, voc.Object.Box.Y2}, "from 1, last pixel included")
	var c struct {
		Annotations []struct {
			ImageID    int `json:"image_id"`
			CategoryID int `json:"category_id"`
			Area       float64
			Box        []float64 `json:"bbox"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(written(datamodule.COCO), "annotations/train.json")), &c))
	require.Len(t, c.Annotations, 1)
	assert.Equal(t, 50.0, c.Annotations[0].Area)
	assert.InDeltaSlice(t, []float64{9.6, 2, 10, 10.5}, c.Annotations[0].Box, 1e-9)
	assert.Equal(t, [2]int{1, 2}, [2]int{c.Annotations[0].ImageID, c.Annotations[0].CategoryID})
}

func TestConvertNeverOverwritesNorLeavesHalves(t *testing.T) {
	tr := yolo(t)
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	splits := pictures(t, d)
	convert := func(ctx context.Context, dst string, splits []datamodule.Split, o datamodule.ConvertOptions) error {
		_, err := datamodule.Convert(ctx, dst, datamodule.COCO, d.Classes(), splits, o)
		return err
	}
	out := newTree(t).write("there/kept.txt", "x")
	assert.ErrorIs(t, convert(context.Background(), out.path("there"), splits, datamodule.ConvertOptions{}), fs.ErrExist)
	assert.FileExists(t, out.path("there/kept.txt"))

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, convert(ctx, out.path("new"), splits, datamodule.ConvertOptions{}), context.Canceled)
	require.NoError(t, os.Remove(tr.path("images/val/c.jpg")))
	assert.ErrorIs(t, convert(context.Background(), out.path("new"), splits, datamodule.ConvertOptions{}), fs.ErrNotExist)
	left, err := os.ReadDir(out.root)
	require.NoError(t, err)
	assert.Len(t, left, 1, "no part of a dataset stays")

	for _, bad := range []struct {
		splits []datamodule.Split
		o      datamodule.ConvertOptions
		want   string
	}{
		{[]datamodule.Split{{Name: "../x"}}, datamodule.ConvertOptions{}, `split "../x"`},
		{[]datamodule.Split{{Name: "a"}, {Name: "a"}}, datamodule.ConvertOptions{}, `split "a"`},
		{splits, datamodule.ConvertOptions{Pictures: "move"}, `pictures is "move"`},
		{[]datamodule.Split{{Name: "a", Records: []datamodule.Record{{ID: "r", Objects: []wildtrain.Object{{Class: 2}}}}}}, datamodule.ConvertOptions{}, "class 2 is not in the list"},
	} {
		assert.ErrorContains(t, convert(context.Background(), out.path("new"), bad.splits, bad.o), bad.want)
	}
	_, err = datamodule.Convert(context.Background(), out.path("new"), datamodule.YOLO, d.Classes(), []datamodule.Split{{Name: "holdout"}}, datamodule.ConvertOptions{})
	assert.ErrorContains(t, err, "train, val and test only")
	_, err = datamodule.Convert(context.Background(), out.path("new"), datamodule.ROI, d.Classes(), splits, datamodule.ConvertOptions{})
	assert.ErrorContains(t, err, `format "roi" must be`)
}

// Two datasets with pictures of the same name, linked, boxes cut at the edge.
func TestConvertMerges(t *testing.T) {
	a, b := yolo(t), yolo(t).write("labels/train/a.txt", "1 0.95 0.5 0.2 0.5\n")
	c := a.config()
	c.Roots = []string{b.root}
	d, err := setup(c, wildtrain.Train)
	require.NoError(t, err)
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "x")
			_, err := datamodule.Convert(context.Background(), dst, format, d.Classes(), pictures(t, d), datamodule.ConvertOptions{Pictures: datamodule.LinkPictures, Clip: true})
			require.NoError(t, err)
			c := a.config()
			c.Root = dst
			_, err = setup(c, wildtrain.Train)
			assert.ErrorContains(t, err, "is a link that leaves the root folder")
			c.AllowLinks = true
			again, err := setup(c, wildtrain.Train)
			require.NoError(t, err)
			found := map[string]datamodule.Record{}
			for _, rec := range again.Records(wildtrain.Train) {
				found[filepath.Base(rec.Path)] = rec
			}
			require.Len(t, found, 4)
			require.Len(t, found["a_2.jpg"].Objects, 1)
			assert.InDelta(t, 34, found["a_2.jpg"].Objects[0].Box.X1, 0.5)
			assert.InDelta(t, 40, found["a_2.jpg"].Objects[0].Box.X2, 1e-6)
			assert.Len(t, found["a.jpg"].Objects, 2)
		})
	}
}
