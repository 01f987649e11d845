package datamodule_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// setup opens a tree and sets up training; the error is of either.
func setup(c datamodule.Config, stage wildtrain.Stage) (*datamodule.Detection, error) {
	d, err := datamodule.NewDetection(c)
	if err != nil {
		return nil, err
	}
	return d, d.Setup(context.Background(), stage)
}

func TestBadInputIsNamed(t *testing.T) {
	const box = `{"id":5,"image_id":10,"category_id":3,"bbox":[1,2,10,10],"area":80,"iscrowd":0}`
	tests := []struct {
		name string
		tree tree
		want []string
	}{
		{"label with four numbers", yolo(t).write("labels/train/a.txt", "0 0.5 0.5 0.25 0.2\n\n0 0.5 0.5 0.25\n"),
			[]string{"labels/train/a.txt:3: label has 4 numbers, must have 5"}},
		{"class beyond the list", yolo(t).write("labels/train/a.txt", "2 0.5 0.5 0.25 0.2\n"), []string{"a.txt:1: class id \"2\" is not in the names"}},
		{"not a number", yolo(t).write("labels/train/a.txt", "0 0.5 x 0.25 0.2\n"), []string{`a.txt:1: "x" is not a finite number`}},
		{"NaN", yolo(t).write("labels/train/a.txt", "0 0.5 nan 0.25 0.2\n"), []string{`a.txt:1: "nan" is not a finite number`}},
		{"pixels for shares", yolo(t).write("labels/train/a.txt", "0 120 80 25 20\n"), []string{"a.txt:1: coordinates", "shares of the picture's sides"}},
		{"box outside", yolo(t).write("labels/train/a.txt", "0 1.4 0.5 0.25 0.2\n"), []string{"a.txt:1: label: box lies wholly outside the picture of 40×30"}},
		{"empty box", yolo(t).write("labels/train/a.txt", "0 0.5 0.5 0 0.2\n"), []string{"a.txt:1: label: box is empty"}},
		{"binary label", yolo(t).write("labels/train/a.txt", "\x00\x01\x02"), []string{"a.txt:1: label has 1 numbers"}},
		{"no picture", yolo(t).write("images/train/a.jpg", ""), []string{"images/train/a.jpg: ", "unknown picture format"}},
		{"text as picture", yolo(t).write("images/train/a.jpg", "hello"), []string{"images/train/a.jpg: ", "unknown picture format"}},
		{"header cut off", yolo(t).write("images/train/a.jpg", string(encode(t, "", 40, 30)[:40])), []string{"a.jpg: ", "cut off in the header"}},
		{"picture cut off", yolo(t).write("images/train/a.jpg", string(encode(t, "", 40, 30)[:500])), []string{"a.jpg: ", "cut off"}},
		{"two things at once", yolo(t).write("labels/train/a.txt", "0 1\n").write("labels/train/b.txt", "9 0.5 0.5 0.1 0.1\n"),
			[]string{"2 problems", "a.txt:1", "b.txt:1"}},
		{"yaml syntax", yolo(t).write("data.yaml", "names: [a\ntrain: x\n"), []string{"data.yaml:"}},
		{"yaml without names", yolo(t).write("data.yaml", "train: images/train\n"), []string{"data.yaml:1:1: names is missing"}},
		{"nc against names", yolo(t).write("data.yaml", "train: images/train\nnc: 3\nnames: [a, b]\n"), []string{"data.yaml:2:5: nc is 3, but names has 2"}},
		{"names not a list", yolo(t).write("data.yaml", "train: images/train\nnames: {one: a}\n"), []string{"data.yaml:2", `"one" must be a class id`}},
		{"split outside", yolo(t).write("data.yaml", "train: ../../x\nnames: [impala, zebra]\n"), []string{"data.yaml:1: train: ", "leaves the root folder"}},
		{"list names a file outside", yolo(t).write("data.yaml", "train: list.txt\nnames: [impala, zebra]\n").write("list.txt", "images/train/a.jpg\n/etc/passwd\n"),
			[]string{"list.txt:2: ", "leaves the root folder"}},
		{"list names a missing file", yolo(t).write("data.yaml", "train: list.txt\nnames: [impala, zebra]\n").write("list.txt", "images/train/z.jpg\n"),
			[]string{"list.txt:1: picture \"images/train/z.jpg\" is not there"}},

		{"coco cut off", coco(t, box).write("annotations/train.json", `{"images":[{"id":1,`), []string{"annotations/train.json:1: not valid COCO JSON", "ends in the middle"}},
		{"coco NaN", coco(t, strings.Replace(box, "[1,2,", "[NaN,2,", 1)), []string{"train.json:4: not valid COCO JSON", "'N'"}},
		{"coco three numbers", coco(t, box, strings.Replace(box, `"id":5,"image_id":10,"category_id":3,"bbox":[1,2,10,10]`, `"id":6,"image_id":10,"category_id":3,"bbox":[1,2,10]`, 1)), []string{"train.json:5: annotation 6: bbox has 3 numbers"}},
		{"coco outside", coco(t, strings.Replace(box, "[1,2,", "[41,2,", 1)), []string{"train.json:4: annotation 5: box lies wholly outside"}},
		{"coco category", coco(t, strings.Replace(box, `"category_id":3`, `"category_id":4`, 1)), []string{`train.json:4: annotation 5: category_id "4" is not in categories`}},
		{"coco image", coco(t, strings.Replace(box, `"image_id":10`, `"image_id":12`, 1)), []string{`train.json:4: annotation 5: image_id "12" is not in images`}},
		{"coco bbox of strings", coco(t, strings.Replace(box, "[1,2,", `["1",2,`, 1)), []string{"train.json:4: not valid COCO JSON", "bbox"}},
		{"coco list", coco(t, box).write("annotations/train.json", "[]"), []string{"train.json:1: not valid COCO JSON: the file must hold an object"}},
		{"coco without categories", coco(t, box).write("annotations/train.json", `{"images":[],"annotations":[]}`), []string{`key "categories" is missing`}},
		{"header lies", coco(t, box).jpeg("images/train/a.jpg", 30, 40), []string{"train.json:1: the annotations say 40×30", "the picture is 30×40"}},
		{"picture missing", coco(t, box).write("annotations/train.json", `{"categories":[{"id":1,"name":"a"}],"annotations":[],"images":[{"id":1,"file_name":"no.jpg"}]}`),
			[]string{`train.json:1: image 1: picture "no.jpg" is not there`}},
		{"path outside", coco(t, box).write("annotations/train.json", `{"categories":[{"id":1,"name":"a"}],"annotations":[],"images":[{"id":1,"file_name":"../../../../etc/passwd"}]}`),
			[]string{"train.json:1: image 1: path", "leaves the root folder"}},
		{"bomb", coco(t, box), []string{"a.jpg: ", "too large: 40×30 pixels, the limit is 1000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.tree.config()
			if tt.name == "bomb" {
				c.MaxPixels = 1000
			}
			_, err := setup(c, wildtrain.Train)
			require.Error(t, err)
			for _, w := range tt.want {
				assert.ErrorContains(t, err, w)
			}
			assert.Equal(t, 1, strings.Count(err.Error(), "datamodule: "), err.Error())
		})
	}
}

func TestMissingSplitAndEmptyData(t *testing.T) {
	c := yolo(t).config()
	_, err := setup(c, wildtrain.Test)
	require.ErrorIs(t, err, wildtrain.ErrNoSplit)
	assert.ErrorContains(t, err, c.Root)
	assert.ErrorContains(t, err, `["train" "val"]`)

	tr := yolo(t)
	require.NoError(t, os.Remove(tr.path("images/val/c.jpg")))
	_, err = setup(tr.config(), wildtrain.Val)
	assert.ErrorIs(t, err, wildtrain.ErrEmpty)

	tr = yolo(t).write("labels/train/a.txt", "")
	_, err = setup(tr.config(), wildtrain.Train)
	assert.ErrorIs(t, err, wildtrain.ErrEmpty, "nothing to learn")
	assert.ErrorContains(t, err, "2 pictures and no box")

	c.Root = t.TempDir()
	_, err = setup(c, wildtrain.Train)
	assert.ErrorContains(t, err, "no known layout")
	c.Root = tr.path("no-such-folder")
	_, err = setup(c, wildtrain.Train)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestLinksMayNotLeaveTheRoot(t *testing.T) {
	tr, outside := yolo(t), newTree(t).jpeg("x.jpg", 40, 30)
	require.NoError(t, os.Symlink(outside.path("x.jpg"), tr.path("images/train/x.jpg")))
	_, err := setup(tr.config(), wildtrain.Train)
	assert.ErrorContains(t, err, "is a link that leaves the root folder")
	c := tr.config()
	c.AllowLinks = true
	d, err := setup(c, wildtrain.Train)
	require.NoError(t, err)
	assert.Len(t, d.Records(wildtrain.Train), 3)

	tr = yolo(t)
	require.NoError(t, os.Rename(tr.path("images/train/b.jpg"), tr.path("b.jpg")))
	require.NoError(t, os.Symlink("../../b.jpg", tr.path("images/train/b.jpg")))
	_, err = setup(tr.config(), wildtrain.Train)
	assert.NoError(t, err, "inside is fine")

	require.NoError(t, os.Remove(tr.path("images/train/b.jpg")))
	tr.write("images/train/b.jpg", "../../b.jpg") // a link in a checkout without links
	d, err = setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	assert.Len(t, d.Records(wildtrain.Train), 2)
	tr.write("images/train/b.jpg", "../../../x.jpg")
	_, err = setup(tr.config(), wildtrain.Train)
	assert.Error(t, err)
}

// damaged is a JPEG with a sound header and end, and a scan that is not.
func damaged(t *testing.T) string {
	data := encode(t, "", 40, 30)
	scan := bytes.Index(data, []byte{0xff, 0xda}) + 40
	for i := range 20 {
		data[scan+2*i], data[scan+2*i+1] = 0xff, 0x00 // a run of ones is no Huffman code
	}
	return string(data)
}

func TestDamagedPixels(t *testing.T) {
	tr := yolo(t).write("images/train/a.jpg", damaged(t))
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err, "headers are sound, so Setup is")
	l, err := d.Loader(wildtrain.Train, wildtrain.Position{World: 1})
	require.NoError(t, err)
	var last error
	for b, err := range l.Batches(context.Background()) {
		if last = err; err == nil {
			b.Release()
		}
	}
	require.ErrorContains(t, last, "images/train/a.jpg")
	assert.ErrorContains(t, last, "damaged picture")

	audit, err := d.Audit(context.Background(), datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	require.Equal(t, 1, audit.Errors())
	assert.Equal(t, "train", audit.Problems[0].Split)
	assert.Equal(t, tr.path("images/train/a.jpg"), audit.Problems[0].File)
	require.Len(t, audit.Splits, 2)
	assert.Equal(t, 1, audit.Splits[0].Images)
}

func TestSkipLeavesOutWhatIsWrong(t *testing.T) {
	tr := yolo(t).write("images/train/bad.jpg", damaged(t)).write("labels/train/bad.txt", "0 0.5 0.5 0.1 0.1\n").
		write("labels/train/a.txt", "0 0.5 0.5 0.25 0.2\n1 0.5 0.5\n")
	c := tr.config()
	c.OnError = datamodule.Skip
	c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	d, err := setup(c, wildtrain.Train)
	require.NoError(t, err)
	r := d.Report(wildtrain.Train)
	assert.Equal(t, [3]int{2, 1, 1}, [3]int{r.Images, r.Negatives, r.Boxes})
	assert.Len(t, r.Errors(), 2)
	l, err := d.Loader(wildtrain.Train, wildtrain.Position{World: 1})
	require.NoError(t, err)
	n := 0
	for b, err := range l.Batches(context.Background()) {
		require.NoError(t, err)
		n += b.Len()
		b.Release()
	}
	assert.Equal(t, 2, n)
}

func TestConfigurationErrorsComeTogether(t *testing.T) {
	c := datamodule.DefaultConfig()
	c.ImageSize, c.Batch, c.Cache, c.OnError, c.Keep, c.Discard = 100, 0, "tape", "ignore", []string{"a"}, []string{"b"}
	c.Augment.Mosaic = 2
	err := c.Validate()
	for _, w := range []string{"root is empty", "imgsz is 100", "batch is 0", `cache is "tape"`, `on_error is "ignore"`, "keep and discard", "mosaic is 2"} {
		assert.ErrorContains(t, err, w)
	}
}
