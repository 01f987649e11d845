package datamodule_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

func TestYOLOVariants(t *testing.T) {
	for name, yaml := range map[string]string{
		"names as mapping":        "train: images/train\nval: images/val\nnames: {0: impala, 1: zebra}\n",
		"path does not resolve":   "path: /no/such/place\ntrain: images/train\nval: images/val\nnames: [impala, zebra]\n",
		"relative path elsewhere": "path: else/where\ntrain: images/train\nval: images/val\nnames: [impala, zebra]\n",
		"list of folders":         "train: [images/train]\nval: [images/val]\nnames: [impala, zebra]\n",
		"list of pictures":        "train: [images/train/a.jpg, images/train/b.jpg]\nval: images/val\nnames: [impala, zebra]\n",
		"text file":               "train: train.txt\nval: images/val\nnames: [impala, zebra]\n",
		"other keys":              "train: images/train\nval: images/val\ntest:\nnames: [impala, zebra]\ndownload: echo\nkpt_shape: [1, 2]\n",
		"trailing slash":          "train: ./images/train/\nval: images/val\nnames: [impala, zebra]\n",
	} {
		t.Run(name, func(t *testing.T) {
			tr := yolo(t).write("data.yaml", yaml).write("train.txt", "./images/train/a.jpg\n# a remark\n\nimages/train/b.jpg\n")
			for _, root := range []string{tr.root, tr.path("data.yaml")} {
				c := tr.config()
				c.Root = root
				d, err := setup(c, wildtrain.Train)
				require.NoError(t, err)
				records := d.Records(wildtrain.Train)
				require.Len(t, records, 2)
				assert.Equal(t, filepath.Base(tr.root)+"/images/train/a.jpg", records[0].ID)
				require.Len(t, records[0].Objects, 2)
				assert.Equal(t, wildtrain.Box{X1: 15, Y1: 12, X2: 25, Y2: 18}, records[0].Objects[0].Box)
				assert.Empty(t, records[1].Objects)
			}
		})
	}
}

func TestOutlinesAndDuplicates(t *testing.T) {
	tr := yolo(t).write("labels/train/a.txt", "1 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.6\n0 0.5 0.5 0.25 0.2\r\n0 0.5 0.5 0.25 0.2\n")
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	objects := d.Records(wildtrain.Train)[0].Objects
	require.Len(t, objects, 2)
	assert.Equal(t, 1, objects[0].Class)
	assert.InDelta(t, 4, objects[0].Box.X1, 1e-9)
	assert.InDelta(t, 24, objects[0].Box.Y2, 1e-9)
	r := d.Report(wildtrain.Train)
	require.Len(t, r.Problems, 1)
	assert.True(t, r.Problems[0].Warning)
	assert.Equal(t, 3, r.Problems[0].Line)
}

func TestLabelsWithoutPictures(t *testing.T) {
	tr := yolo(t).write("labels/train/lost.txt", "0 0.5 0.5 0.25 0.2\n").write("labels/train/classes.txt", "impala\n")
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	r := d.Report(wildtrain.Train)
	require.Len(t, r.Problems, 1)
	assert.True(t, r.Problems[0].Warning)
	assert.Equal(t, tr.path("labels/train/lost.txt"), r.Problems[0].File)
}

func TestCOCOQuirks(t *testing.T) {
	tr := coco(t,
		`{"id":"10_ab","image_id":10,"category_id":7,"bbox":[1,2,10,10],"segmentation":[[1,2,3,4,5,6]],"extra":{"x":[1]}}`,
		`{"id":2,"image_id":"eleven","category_id":"3","bbox":[30.5,2,20,10],"area":80,"iscrowd":1}`,
		`{"id":3,"image_id":"10","category_id":3,"bbox":[3,3,4,4],"area":9000,"iscrowd":0}`)
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	assert.Equal(t, []wildtrain.Class{{Name: "impala", ID: 3}, {Name: "zebra", ID: 7}}, d.Classes())
	records := d.Records(wildtrain.Train)
	require.Len(t, records, 2)
	assert.Equal(t, "10", records[0].SourceID)
	assert.Equal(t, []wildtrain.Object{
		{Box: wildtrain.Box{X1: 1, Y1: 2, X2: 11, Y2: 12}, Class: 1},
		{Box: wildtrain.Box{X1: 3, Y1: 3, X2: 7, Y2: 7}}, // the stale area is gone
	}, records[0].Objects)
	assert.Equal(t, []wildtrain.Object{{Box: wildtrain.Box{X1: 30.5, Y1: 2, X2: 50.5, Y2: 12}, Area: 80, Crowd: true}}, records[1].Objects)
	r := d.Report(wildtrain.Train)
	require.Len(t, r.Problems, 1)
	assert.Contains(t, r.Problems[0].String(), "annotations/train.json:6: annotation 3: area 9000 is larger than its box (16)")
}

func names(d *datamodule.Detection) []string {
	var out []string
	for _, c := range d.Classes() {
		out = append(out, c.Name)
	}
	return out
}

func TestMergeByName(t *testing.T) {
	a := yolo(t)
	b := coco(t, `{"id":1,"image_id":10,"category_id":3,"bbox":[1,2,10,10]}`, `{"id":2,"image_id":10,"category_id":7,"bbox":[1,2,11,10]}`)
	b.write("annotations/val.json", `{"categories":[{"id":1,"name":"Zebra"},{"id":2,"name":"kudu"}],"annotations":[],"images":[]}`)
	c := a.config()
	c.Roots = []string{b.root}
	d, err := setup(c, wildtrain.Train)
	require.NoError(t, err)
	assert.Equal(t, []string{"impala", "zebra", "Zebra", "kudu"}, names(d), "classes of all splits, case as written")
	records := d.Records(wildtrain.Train)
	require.Len(t, records, 4)
	assert.Equal(t, []int{0, 1}, []int{records[2].Objects[0].Class, records[2].Objects[1].Class})

	c.FoldCase = true
	d, err = setup(c, wildtrain.Train)
	require.NoError(t, err)
	assert.Equal(t, []string{"impala", "zebra", "kudu"}, names(d))

	c.Classes = []string{"kudu", "zebra", "impala"}
	d, err = setup(c, wildtrain.Train)
	require.NoError(t, err)
	assert.Equal(t, c.Classes, names(d))
	assert.Equal(t, 2, d.Records(wildtrain.Train)[2].Objects[0].Class)
	c.Classes = c.Classes[:2]
	_, err = setup(c, wildtrain.Train)
	assert.ErrorContains(t, err, `class "impala" is not in classes`)
}

func TestClassFiltersActOnBoxes(t *testing.T) {
	base := small()
	base.Datasets = []string{"savanna"}
	tests := []struct {
		name          string
		change        func(*datamodule.Config)
		classes       []string
		boxes, images int
	}{
		{"discard", func(c *datamodule.Config) { c.Discard = []string{"termite mound", "Waterbuck"} }, []string{"impala", "zebra", "giraffe", "elephant"}, 134 + 85 + 30 + 51, 60},
		{"keep", func(c *datamodule.Config) { c.Keep = []string{"giraffe"} }, []string{"giraffe"}, 30, 60},
		{"rename and merge", func(c *datamodule.Config) {
			c.Rename = map[string]string{"impala": "antelope", "Waterbuck": "antelope"}
		},
			[]string{"antelope", "zebra", "giraffe", "elephant", "termite mound"}, 408, 60},
		{"rename, then keep", func(c *datamodule.Config) {
			c.Rename = map[string]string{"impala": "antelope", "Waterbuck": "antelope"}
			c.Keep = []string{"antelope"}
		}, []string{"antelope"}, 134 + 72, 60},
		{"single class", func(c *datamodule.Config) { c.SingleClass, c.Discard = "wildlife", []string{"termite mound"} }, []string{"wildlife"}, 408 - 36, 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := base
			tt.change(&c)
			d := open(t, c, wildtrain.Train)
			assert.Equal(t, tt.classes, names(d))
			r := d.Report(wildtrain.Train)
			assert.Equal(t, [2]int{tt.boxes, tt.images}, [2]int{r.Boxes, r.Images}, "boxes go, pictures stay")
		})
	}
	for key, change := range map[string]func(*datamodule.Config){
		"discard": func(c *datamodule.Config) { c.Discard = []string{"zebras"} },
		"keep":    func(c *datamodule.Config) { c.Keep = []string{"zebras"} },
		"rename":  func(c *datamodule.Config) { c.Rename = map[string]string{"zebras": "z"} },
	} {
		c := base
		change(&c)
		_, err := datamodule.NewDetection(c)
		assert.ErrorContains(t, err, key+` names class "zebras", which no dataset has`)
	}
}

// A copy of the fixture without its surroundings: neither path in the two
// data.yaml resolves, and links made on another machine are text.
func TestCopiedExport(t *testing.T) {
	tr := newTree(t)
	require.NoError(t, os.CopyFS(tr.path("copy/datasets"), os.DirFS(filepath.Join(fixture, "datasets"))))
	require.NoError(t, filepath.WalkDir(filepath.Join(fixture, "framework_formats"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(fixture, path)
		require.NoError(t, err)
		if e.Type()&os.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			require.NoError(t, err)
			tr.write("copy/"+rel, target)
			return nil
		}
		data, err := os.ReadFile(path)
		tr.write("copy/"+rel, string(data))
		return err
	}))
	c := small()
	c.Root, c.Source = tr.path("copy"), datamodule.WilDataYOLO
	d := open(t, c, wildtrain.Train, wildtrain.Val)
	assert.Equal(t, 408+41, d.Report(wildtrain.Train).Boxes)
	assert.Len(t, d.Records(wildtrain.Val), 32)
	c.Root = tr.path("copy/framework_formats/yolo/savanna/data.yaml")
	d = open(t, c, wildtrain.Test)
	assert.Equal(t, 74, d.Report(wildtrain.Test).Boxes)
}

// The folder of one WilData dataset is a root, too.
func TestOneDatasetAsRoot(t *testing.T) {
	c := small()
	c.Root = filepath.Join(fixture, "datasets", "savanna")
	d := open(t, c, wildtrain.Val)
	assert.Equal(t, 127, d.Report(wildtrain.Val).Boxes)
	c.Root = fixture
	c.Datasets = []string{"savanna"}
	assert.Equal(t, byID(open(t, c, wildtrain.Val).Records(wildtrain.Val))["savanna/images/val/flight07_0001.jpg"].Objects,
		byID(d.Records(wildtrain.Val))["savanna/images/val/flight07_0001.jpg"].Objects)
}

func TestUnknownDataset(t *testing.T) {
	c := small()
	c.Datasets = []string{"kruger"}
	_, err := datamodule.NewDetection(c)
	assert.ErrorContains(t, err, `no dataset "kruger"`)
	assert.ErrorContains(t, err, `["savanna" "savanna-tiles"]`)
}
