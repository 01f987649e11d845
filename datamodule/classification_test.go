package datamodule_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"image"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/resample"
	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// rois is a quick configuration over the fixture's ROI export.
func rois() datamodule.ClassificationConfig {
	c := datamodule.DefaultClassification()
	c.Root, c.ImageSize, c.Batch, c.Workers = fixture, 48, 16, 2
	return c
}

func openClasses(t testing.TB, c datamodule.ClassificationConfig, stages ...wildtrain.Stage) *datamodule.Classification {
	t.Helper()
	d, err := datamodule.NewClassification(c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Close()) })
	for _, s := range stages {
		require.NoError(t, d.Setup(context.Background(), s))
	}
	return d
}

// named are counts by class name.
func named(classes []wildtrain.Class, counts []int) map[string]int {
	out := map[string]int{}
	for i, c := range classes {
		out[c.Name] = counts[i]
	}
	return out
}

func TestFixtureCountsThroughROI(t *testing.T) {
	for dataset, want := range readCounts(t) {
		for split, w := range want.Splits {
			c := rois()
			c.Datasets = []string{dataset}
			d := openClasses(t, c, wildtrain.Stage(split))
			assert.Empty(t, d.Report(wildtrain.Stage(split)).Problems)
			assert.Len(t, d.Examples(wildtrain.Stage(split)), w.ROI, "%s %s", dataset, split)
			assert.Equal(t, w.ROIPerClass, named(d.Classes(), d.ClassCounts(wildtrain.Stage(split))), "%s %s", dataset, split)
		}
	}
	d := openClasses(t, rois(), wildtrain.Train)
	assert.Len(t, d.Examples(wildtrain.Train), 435+31, "both datasets")
	assert.Equal(t, "background", d.Classes()[6].Name)
}

// Crops of the boxes of the fixture are as many as WilData's own, by any reader
// of boxes, the crowd among them.
func TestCropsAreThoseOfTheROIExport(t *testing.T) {
	for _, source := range []datamodule.Source{datamodule.WilData, datamodule.WilDataYOLO} {
		c := rois()
		c.Source, c.Datasets, c.Crops.Crowd, c.Crops.MinSide = source, []string{"savanna"}, true, 0
		c.Crops.Positives = 0
		d := openClasses(t, c, wildtrain.Train)
		assert.Equal(t, map[string]int{"impala": 134, "zebra": 85, "giraffe": 30, "elephant": 51, "Waterbuck": 72, "termite mound": 36, "background": 27},
			named(d.Classes(), d.ClassCounts(wildtrain.Train)), source)
	}
}

func TestClassificationConformance(t *testing.T) {
	crops := rois()
	crops.Source, crops.Datasets = datamodule.WilData, []string{"savanna-tiles"}
	for name, c := range map[string]datamodule.ClassificationConfig{"roi": rois(), "crops": crops} {
		t.Run(name, func(t *testing.T) {
			wildtraintest.TestDataModule(t, func() (wildtrain.DataModule, error) { return datamodule.NewClassification(c) }, wildtrain.Train, wildtrain.Val)
		})
	}
}

func TestSingleClassHasABackground(t *testing.T) {
	c := rois()
	c.SingleClass, c.Discard = "wildlife", []string{"termite mound"}
	d := openClasses(t, c, wildtrain.Val)
	assert.Equal(t, []string{"background", "wildlife"}, wildtrain.Names(d.Classes()))
	assert.Equal(t, []int{9 + 2, 136 - 9 - 10 + 32 - 2 - 1}, d.ClassCounts(wildtrain.Val))

	c.Crops.Background = "nothing"
	_, err := datamodule.NewClassification(c)
	assert.ErrorContains(t, err, `no dataset has the class "nothing"`)

	c = rois()
	c.Source, c.Keep = datamodule.WilDataYOLO, []string{"zebra"}
	d = openClasses(t, c, wildtrain.Val)
	assert.Equal(t, []string{"zebra", "background"}, wildtrain.Names(d.Classes()), "keep leaves the background alone")
}

// Background windows show no animal, also none of a class that is left out, and
// come from pictures with animals, too.
func TestBackgroundWindowsAreEmpty(t *testing.T) {
	c := rois()
	c.Source, c.Datasets, c.Keep = datamodule.WilData, []string{"savanna"}, []string{"giraffe"}
	d := openClasses(t, c, wildtrain.Train)
	all := openClasses(t, func() datamodule.ClassificationConfig { c := c; c.Keep = nil; return c }(), wildtrain.Train)
	boxes := map[string][]wildtrain.Object{}
	for _, e := range all.Examples(wildtrain.Train) {
		boxes[e.Record.ID] = e.Record.Objects
	}
	n, positive := 0, 0
	for _, e := range d.Examples(wildtrain.Train) {
		if !strings.Contains(e.ID, "#background") {
			continue
		}
		n++
		if len(boxes[e.Record.ID]) > 0 {
			positive++
		}
		require.True(t, e.Window.In(image.Rect(0, 0, e.Record.Width, e.Record.Height)))
		for _, o := range boxes[e.Record.ID] {
			w := wildtrain.Box{X1: float64(e.Window.Min.X), Y1: float64(e.Window.Min.Y), X2: float64(e.Window.Max.X), Y2: float64(e.Window.Max.Y)}
			require.Zero(t, w.Intersect(o.Box).Area(), e.ID)
		}
	}
	assert.Equal(t, 9*3+51, n)
	assert.Equal(t, 51, positive)
	again := openClasses(t, c, wildtrain.Train)
	assert.Equal(t, windows(d), windows(again))
	c.Seed = 1
	assert.NotEqual(t, windows(d), windows(openClasses(t, c, wildtrain.Train)))
}

func windows(d *datamodule.Classification) (out []image.Rectangle) {
	for _, e := range d.Examples(wildtrain.Train) {
		out = append(out, e.Window)
	}
	return out
}

// Whatever the window, Place leads from the picture to the batch: the middle of a
// box is in the middle of its crop, unless the picture's edge is in the way.
func TestWindowsKeepTheGeometry(t *testing.T) {
	for _, kind := range []string{datamodule.FixedWindow, datamodule.ContextWindow, datamodule.SquareWindow} {
		c := rois()
		c.Source, c.Datasets, c.Crops.Window, c.Crops.Size, c.Resize = datamodule.WilData, []string{"savanna"}, kind, 64, datamodule.StretchToSize
		d := openClasses(t, c, wildtrain.Val)
		examples := map[string]datamodule.Example{}
		for _, e := range d.Examples(wildtrain.Val) {
			examples[e.ID] = e
		}
		l, err := d.Loader(wildtrain.Val, wildtrain.Position{})
		require.NoError(t, err)
		seen := 0
		for b, err := range l.Batches(context.Background()) {
			require.NoError(t, err)
			for _, s := range b.Samples {
				e := examples[s.ID]
				seen++
				x, y := s.Place.Apply(float64(e.Window.Min.X), float64(e.Window.Min.Y))
				require.InDelta(t, 0, math.Hypot(x, y), 1e-9)
				x, y = s.Place.Apply(float64(e.Window.Max.X), float64(e.Window.Max.Y))
				require.InDelta(t, 0, math.Hypot(x-48, y-48), 1e-9)
				var k int
				if n, _ := fmt.Sscanf(s.ID[strings.LastIndex(s.ID, "#"):], "#%d", &k); n != 1 {
					continue
				}
				o := e.Record.Objects[k]
				require.Equal(t, o.Class, s.Targets[0].Class)
				switch kind {
				case datamodule.FixedWindow:
					require.Equal(t, image.Pt(64, 64), e.Window.Size())
				case datamodule.SquareWindow:
					require.Equal(t, e.Window.Dx(), e.Window.Dy())
					require.InDelta(t, 1.5*max(o.Box.Width(), o.Box.Height()), e.Window.Dx(), 0.51)
				case datamodule.ContextWindow:
					require.InDelta(t, 1.5*o.Box.Width(), e.Window.Dx(), 0.51)
				}
				if in := image.Rect(1, 1, e.Record.Width-1, e.Record.Height-1); e.Window.In(in) {
					cx, cy := o.Box.Center()
					require.InDelta(t, cx, float64(e.Window.Min.X+e.Window.Max.X)/2, 0.51)
					require.InDelta(t, cy, float64(e.Window.Min.Y+e.Window.Max.Y)/2, 0.51)
				}
			}
			b.Release()
		}
		require.Equal(t, len(examples), seen)
	}
}

// digest tells the batches of an epoch in a word.
func digest(t testing.TB, d *datamodule.Classification, stage wildtrain.Stage, epoch int) string {
	t.Helper()
	l, err := d.Loader(stage, wildtrain.Position{Epoch: epoch})
	require.NoError(t, err)
	h := fnv.New64a()
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		h.Write(b.Pixels.U8)
		for _, s := range b.Samples {
			fmt.Fprintln(h, s)
		}
		b.Release()
	}
	return fmt.Sprint(h.Sum64())
}

// What comes out depends on neither the workers nor the cache, and crops are the
// pixels of their pictures.
func TestExamplesDoNotDependOnWorkers(t *testing.T) {
	for _, source := range []datamodule.Source{datamodule.ROI, datamodule.WilData} {
		for _, stage := range []wildtrain.Stage{wildtrain.Train, wildtrain.Val} {
			want, disk := map[int]string{}, t.TempDir()
			for i, set := range []func(*datamodule.ClassificationConfig){
				func(c *datamodule.ClassificationConfig) { c.Workers = 0 },
				func(c *datamodule.ClassificationConfig) { c.Workers = 3 },
				func(c *datamodule.ClassificationConfig) { c.Workers, c.Cache = 2, datamodule.CacheRAM },
				func(c *datamodule.ClassificationConfig) {
					c.Cache, c.CacheBytes = datamodule.CacheRAM, 100_000
				},
				func(c *datamodule.ClassificationConfig) { c.Cache, c.CacheDir = datamodule.CacheDisk, disk }, // the second epoch finds the first's
			} {
				c := rois()
				c.Source, c.Datasets = source, []string{"savanna-tiles"}
				set(&c)
				d := openClasses(t, c, stage)
				for epoch := range 2 {
					got := digest(t, d, stage, epoch)
					if i == 0 {
						want[epoch] = got
					}
					assert.Equal(t, want[epoch], got, "%s %s %d", source, stage, i)
				}
			}
			kept, err := filepath.Glob(filepath.Join(disk, "*.rgb"))
			require.NoError(t, err)
			assert.NotEmpty(t, kept)
			if stage == wildtrain.Train {
				assert.NotEqual(t, want[0], want[1], "epochs differ")
			} else {
				assert.Equal(t, want[0], want[1])
			}
		}
	}
}

// Evaluation pictures are those of Pillow's resize and torchvision's crop, whose
// parts are compared with the peers elsewhere.
func TestEvaluationPicture(t *testing.T) {
	c := rois()
	c.Datasets, c.ImageSize, c.ResizeTo, c.EvalBatch = []string{"savanna"}, 64, 80, 1
	d := openClasses(t, c, wildtrain.Test)
	l, err := d.Loader(wildtrain.Test, wildtrain.Position{})
	require.NoError(t, err)
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		im, err := imageio.DecodeFile(d.Examples(wildtrain.Test)[0].Record.Path, imageio.Options{})
		require.NoError(t, err)
		big := wildtrain.Image{Width: 80, Height: 80, Channels: 3, U8: make([]byte, 80*80*3)}
		require.NoError(t, resample.Filtered(big, im, resample.Bilinear))
		for y := range 64 {
			require.Equal(t, big.U8[((y+8)*80+8)*3:][:64*3], b.Pixels.U8[y*64*3:][:64*3])
		}
		b.Release()
		break
	}
}

func TestImageFolders(t *testing.T) {
	tr := newTree(t).jpeg("train/cat/a.jpg", 40, 30).jpeg("train/cat/deep/b.png.jpg", 40, 30).jpeg("train/dog/a.jpg", 20, 30).
		jpeg("validation/dog/c.jpg", 40, 30).write("train/cat/notes.txt", "x").write("README.md", "x")
	c := rois()
	c.Root = tr.root
	d := openClasses(t, c, wildtrain.Train, wildtrain.Val)
	assert.Equal(t, []string{"cat", "dog"}, wildtrain.Names(d.Classes()))
	assert.Equal(t, []int{2, 1}, d.ClassCounts(wildtrain.Train))
	assert.Equal(t, []int{0, 1}, d.ClassCounts(wildtrain.Val))
	assert.Equal(t, filepath.Base(tr.root)+"/validation/dog/c.jpg", d.Examples(wildtrain.Val)[0].ID)
	assert.ErrorIs(t, d.Setup(context.Background(), wildtrain.Test), wildtrain.ErrNoSplit)

	c.Root = tr.path("train")
	d = openClasses(t, c, wildtrain.Train)
	assert.Equal(t, []int{2, 1}, d.ClassCounts(wildtrain.Train), "folders of classes alone are the training")
	c.Root = tr.path("train/dog")
	_, err := datamodule.NewClassification(c)
	assert.ErrorContains(t, err, "no known layout")
}

func TestTableOfClasses(t *testing.T) {
	tr := newTree(t).jpeg("a.jpg", 40, 30).jpeg("b.jpg", 40, 30).
		write("labels.csv", "file,class,split\na.jpg,cat,train\na.jpg,furry,train\nb.jpg,dog,val\nb.jpg,dog,val\n")
	c := rois()
	c.Root = tr.root
	d := openClasses(t, c, wildtrain.Train, wildtrain.Val)
	require.Len(t, d.Examples(wildtrain.Train), 1)
	assert.Equal(t, []wildtrain.Target{{Class: 0, Weight: 1}, {Class: 2, Weight: 1}}, d.Examples(wildtrain.Train)[0].Targets, "several classes of one picture")
	assert.Len(t, d.Report(wildtrain.Val).Problems, 1, "the same row twice is told")

	tr.write("labels.csv", "file,class,x1,y1,x2,y2,split\na.jpg,cat,0,0,8,8,train\n")
	d = openClasses(t, c, wildtrain.Train)
	assert.Equal(t, map[string]int{"cat": 1, "background": 1}, named(d.Classes(), d.ClassCounts(wildtrain.Train)), "boxes are cut out")
}

func TestBadROIIsNamed(t *testing.T) {
	base := func() tree {
		return newTree(t).jpeg("framework_formats/roi/d/images/train/a.jpg", 32, 32).
			write("framework_formats/roi/d/labels/train/class_mapping.json", `{"1":"impala","2":"background"}`).
			write("framework_formats/roi/d/labels/train/roi_labels.json", "[{\"roi_id\":0,\"class_id\":1,\"class_name\":\"impala\",\"file_name\":\"a.jpg\"}]")
	}
	const labels = "framework_formats/roi/d/labels/train/roi_labels.json"
	for name, tt := range map[string]struct{ file, text, want string }{
		"class id":    {labels, "[\n{\"roi_id\":0,\"class_id\":7,\"file_name\":\"a.jpg\"}]", `roi_labels.json:2: roi 0: class_id "7" is not in class_mapping.json`},
		"class name":  {labels, "[{\"roi_id\":0,\"class_id\":1,\"class_name\":\"zebra\",\"file_name\":\"a.jpg\"}]", `roi_labels.json:1: roi 0: class_name "zebra", but class_mapping.json calls 1 "impala"`},
		"twice":       {labels, "[{\"roi_id\":0,\"class_id\":1,\"file_name\":\"a.jpg\"},\n{\"roi_id\":1,\"class_id\":1,\"file_name\":\"a.jpg\"}]", `roi_labels.json:2: roi 1: picture "a.jpg" has a class already, in line 1`},
		"outside":     {labels, "[{\"roi_id\":0,\"class_id\":1,\"file_name\":\"../../../../../../x.jpg\"}]", `roi_labels.json:1: roi 0: path "../../../../../../x.jpg" leaves the root folder`},
		"missing":     {labels, "[{\"roi_id\":0,\"class_id\":1,\"file_name\":\"b.jpg\"}]", `roi_labels.json:1: picture`},
		"cut off":     {labels, "[{\"roi_id\":0,", "roi_labels.json:1: not valid ROI labels: the file ends in the middle"},
		"no mapping":  {strings.Replace(labels, "roi_labels", "class_mapping", 1), "[]", "class_mapping.json: not a valid mapping of class ids to names"},
		"id no digit": {strings.Replace(labels, "roi_labels", "class_mapping", 1), `{"a":"b"}`, `class_mapping.json: "a": "b" must be a class id with a name`},
	} {
		t.Run(name, func(t *testing.T) {
			c := rois()
			c.Root = base().write(tt.file, tt.text).root
			d, err := datamodule.NewClassification(c)
			if err == nil {
				err = d.Setup(context.Background(), wildtrain.Train)
			}
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

// Every window lies inside the picture or around all of it, and holds its box if it can.
func TestWindowsHoldTheirBoxes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, height := rapid.IntRange(1, 300).Draw(t, "width"), rapid.IntRange(1, 300).Draw(t, "height")
		c := datamodule.DefaultCrops()
		c.Context = rapid.Float64Range(1, 4).Draw(t, "context")
		x, y := rapid.Float64Range(0, float64(width)).Draw(t, "x"), rapid.Float64Range(0, float64(height)).Draw(t, "y")
		b := wildtrain.Box{X1: x, Y1: y, X2: rapid.Float64Range(x, float64(width)).Draw(t, "x2"), Y2: rapid.Float64Range(y, float64(height)).Draw(t, "y2")}
		at := datamodule.Around(c, b, width, height)
		if at.Dx() <= width && (at.Min.X < 0 || at.Max.X > width) || at.Dy() <= height && (at.Min.Y < 0 || at.Max.Y > height) {
			t.Fatalf("%v sticks out of %d×%d", at, width, height)
		}
		const slack = 1 // whole pixels
		if float64(at.Min.X) > b.X1+slack || float64(at.Max.X) < b.X2-slack || float64(at.Min.Y) > b.Y1+slack || float64(at.Max.Y) < b.Y2-slack {
			t.Fatalf("%v does not hold %v", at, b)
		}
	})
}

func TestClassificationConfigurationErrorsComeTogether(t *testing.T) {
	c := rois()
	c.Crops.Window, c.Resize, c.Interpolation, c.CropScale, c.FlipLR, c.ResizeTo = "round", "bend", "best", [2]float64{0, 2}, 3, 7
	c.Transforms = []augment.Named{{Name: "Unicorn"}}
	err := c.Validate()
	for _, w := range []string{`window is "round"`, `resize is "bend"`, `interpolation: resample: no interpolation "best"`, "crop_scale is [0 2]", "fliplr is 3", "resize_to is 7", "Unicorn"} {
		assert.ErrorContains(t, err, w)
	}
}

// The sampler decides which crops an epoch of training holds, and in what order.
func TestClassificationGoesByTheSampler(t *testing.T) {
	c := rois()
	c.Sampler.Order, c.Batch, c.Workers = datamodule.OrderSequential, 4, 0
	m := openClasses(t, c, wildtrain.Train)
	l, err := m.Loader(wildtrain.Train, wildtrain.Position{World: 1})
	require.NoError(t, err)
	var got []string
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		for _, s := range b.Samples {
			got = append(got, s.ID)
		}
		b.Release()
	}
	var want []string
	for _, e := range m.Examples(wildtrain.Train) {
		want = append(want, e.ID)
	}
	require.Equal(t, want, got)
}
