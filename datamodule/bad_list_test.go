package datamodule_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// link makes a symbolic link.
func (tr tree) link(target, name string) tree {
	tr.t.Helper()
	require.NoError(tr.t, os.MkdirAll(filepath.Dir(tr.path(name)), 0o755))
	if err := os.Symlink(target, tr.path(name)); err != nil {
		tr.t.Skip("no symbolic links here")
	}
	return tr
}

// pngOf is a PNG whose header says a size, with the pixels of another one.
func pngOf(t testing.TB, width, height uint32) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8))))
	data := b.Bytes()
	binary.BigEndian.PutUint32(data[16:], width)
	binary.BigEndian.PutUint32(data[20:], height)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return string(data)
}

// sized is a JPEG whose header says another height than its pixels have.
func sized(t testing.TB, width, height uint16) string {
	data := encode(t, "", 40, 30)
	frame := bytes.Index(data, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(data[frame+5:], height)
	binary.BigEndian.PutUint16(data[frame+7:], width)
	return string(data)
}

// The whole list of bad inputs: each is told in one line, which names the file
// and, where it has one, the line. $ stands for the root.
func TestTheListOfBadInput(t *testing.T) {
	const voc = `<annotation><filename>a.jpg</filename><size><width>40</width><height>30</height></size>
<object><name>impala</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
<object><name>impala</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>`
	box := func(id, numbers string) string {
		return `{"id":` + id + `,"image_id":10,"category_id":3,"bbox":[` + numbers + `]}`
	}
	table := func(rows string) tree {
		return newTree(t).jpeg("a.jpg", 40, 30).write("train.csv", "file,class,x1,y1,x2,y2\n"+rows)
	}
	tasks := func(text string) tree { return newTree(t).jpeg("a.jpg", 40, 30).write("train.json", text) }
	for _, tt := range []struct {
		name string
		tree tree
		want string
		set  func(*datamodule.Config)
	}{
		// The foundation's.
		{"corrupt JPEG", yolo(t).write("images/train/a.jpg", string(encode(t, "", 40, 30)[:700])), "$/images/train/a.jpg: imageio: damaged picture: jpeg: cut off (its end is missing)", nil},
		{"label line with 4 numbers", yolo(t).write("labels/train/a.txt", "0 0.5 0.5 0.1\n"), "$/labels/train/a.txt:1: label has 4 numbers, must have 5 (class, centre x, centre y, width, height) or an outline of at least 3 points", nil},
		{"box wholly outside", yolo(t).write("labels/train/a.txt", "0 1.5 0.5 0.5 0.5\n"), "$/labels/train/a.txt:1: label: box lies wholly outside the picture of 40×30 (x 50, y 7.5, width 20, height 15)", nil},
		{"missing split", yolo(t), `$ has no split "dry" for stage "train"; there are ["train" "val"]: wildtrain: no such split`, func(c *datamodule.Config) { c.TrainSplit = "dry" }},
		{"class id beyond the list", yolo(t).write("labels/train/a.txt", "5 0.5 0.5 0.1 0.1\n"), `$/labels/train/a.txt:1: class id "5" is not in the names of the data.yaml (2 classes)`, nil},
		{"empty dataset", newTree(t).write("data.yaml", "train: images/train\nnames: [a]\n").write("images/train/x.txt", ""), "has no picture: wildtrain: empty dataset", nil},

		// Pictures.
		{"zero bytes", yolo(t).write("images/train/a.jpg", ""), "$/images/train/a.jpg: imageio: unknown picture format", nil},
		{"zero height", yolo(t).write("images/train/a.jpg", sized(t, 40, 0)), "$/images/train/a.jpg: imageio: damaged picture: size 40×0", nil},
		{"zero size PNG", yolo(t).write("images/train/a.png", pngOf(t, 0, 8)), "$/images/train/a.png: imageio: damaged picture: png header:", nil},
		{"20,000×20,000", yolo(t).write("images/train/a.png", pngOf(t, 20000, 20000)), "$/images/train/a.png: imageio: picture too large: 20000×20000 pixels, the limit is 100000000", func(c *datamodule.Config) { c.MaxPixels = 1e8 }},
		{"decompression bomb", yolo(t).write("images/train/a.png", pngOf(t, 100_000, 100_000)), "$/images/train/a.png: imageio: picture too large: 100000×100000 pixels, the limit is 268435456", nil},
		{"header says more than there is", yolo(t).write("images/train/a.png", pngOf(t, 400, 300)), "$/images/train/a.png: imageio: damaged picture: png: ", func(c *datamodule.Config) { c.OnError = "look" }},
		{"header says less", coco(t, box("5", "1,2,3,4")).write("images/train/a.jpg", sized(t, 16, 16)), "$/annotations/train.json:1: the annotations say 40×30 for $/images/train/a.jpg, the picture is 16×16 (EXIF orientation 1 applied)", nil},

		// Paths.
		{"link to itself", yolo(t).link("z.jpg", "images/train/z.jpg"), "$/images/train/z.jpg: path $/images/train/z.jpg is a link that leads in a circle", nil},
		{"links in a circle", yolo(t).link("y.txt", "images/train/z.jpg").link("z.jpg", "images/train/y.txt"), "$/images/train/z.jpg: path $/images/train/z.jpg is a link that leads in a circle", nil},
		{"folder in itself", yolo(t).link("../train", "images/train/more"), "$/data.yaml:2: train: $/images/train/more is a link to a folder that it lies in, $/images/train", nil},
		{"dangling link", yolo(t).link("gone.jpg", "images/train/z.jpg"), "$/images/train/z.jpg: picture $/images/train/z.jpg is not there", nil},
		{"path outside", coco(t).write("annotations/train.json", `{"images":[{"id":1,"file_name":"../../../x.jpg"}],"categories":[{"id":1,"name":"a"}],"annotations":[]}`), `$/annotations/train.json:1: image 1: path "../../../x.jpg" leaves the root folder $`, nil},
		{"link outside", yolo(t).link("/etc/hostname", "images/train/z.jpg"), "$/images/train/z.jpg: path $/images/train/z.jpg is a link that leaves the root folder $ (allow_links permits it)", nil},

		// Ids.
		{"image id twice", coco(t).write("annotations/train.json", "{\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"},\n{\"id\":1,\"file_name\":\"b.jpg\"}],\"categories\":[{\"id\":1,\"name\":\"a\"}],\"annotations\":[]}"), `$/annotations/train.json:2: image id "1" is missing or given twice`, nil},
		{"annotation id twice", coco(t, box("5", "1,2,3,4"), box("5", "2,2,3,4")), "$/annotations/train.json:5: annotation 5: the id is given twice, first in line 4", nil},
		{"category id twice", coco(t).write("annotations/train.json", `{"images":[],"annotations":[],"categories":[{"id":1,"name":"a"},`+"\n"+`{"id":1,"name":"b"}]}`), "$/annotations/train.json:2: category id 1 is given twice", nil},

		// Numbers.
		{"NaN in YOLO", yolo(t).write("labels/train/a.txt", "0 0.5 0.5 0.1 0.1\n0 NaN 0.5 0.1 0.1\n"), `$/labels/train/a.txt:2: "NaN" is not a finite number`, nil},
		{"NaN in COCO", coco(t, box("5", "NaN,2,3,4")), "$/annotations/train.json:4: not valid COCO JSON: in annotations: invalid character 'N' looking for beginning of value", nil},
		{"huge in COCO", coco(t, box("5", "1e999,2,3,4")), "$/annotations/train.json:4: not valid COCO JSON: in annotations: json: cannot unmarshal number 1e999 into Go struct field cocoAnnotation.bbox of type float64", nil},
		{"NaN in VOC", newTree(t).jpeg("JPEGImages/a.jpg", 40, 30).write("Annotations/a.xml", voc).write("ImageSets/Main/train.txt", "a\n"), `$/Annotations/a.xml:3: object 2: bndbox: "nan" is not a finite number`, nil},
		{"NaN in CSV", table("a.jpg,impala,1,2,9,9\na.jpg,impala,1,2,NaN,4\n"), `$/train.csv:3: "NaN" is not a finite number`, nil},
		{"infinite in CSV", table("a.jpg,impala,1,2,9,9\na.jpg,impala,1,2,Inf,4\n"), `$/train.csv:3: "Inf" is not a finite number`, nil},
		{"NaN in Label Studio", tasks("[{\"id\":1,\"data\":{\"image\":\"a.jpg\"},\"annotations\":[{\"result\":[{\"type\":\"rectanglelabels\",\"value\":{\"x\":1,\"y\":1,\"width\":9,\"height\":9,\"rectanglelabels\":[\"impala\"]}}]}]},\n{\"id\":2,\"data\":{\"image\":\"a.jpg\"},\"annotations\":[{\"result\":[{\"type\":\"rectanglelabels\",\"value\":{\"x\":NaN}}]}]}]"), "$/train.json:2: not a valid Label Studio export: in the export: invalid character 'N' looking for beginning of value", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.tree.config()
			look := false
			if tt.set != nil {
				tt.set(&c)
				if look = c.OnError == "look"; look {
					c.OnError = datamodule.Fail
				}
			}
			d, err := setup(c, wildtrain.Train)
			if look { // only a look at the pixels finds it
				require.NoError(t, err)
				audit, e := d.Audit(context.Background(), datamodule.DefaultLeakOptions())
				require.NoError(t, e)
				require.NotEmpty(t, audit.Problems)
				err = &datamodule.DataError{Problems: []datamodule.Problem{audit.Problems[0].Problem}}
			}
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			got := strings.ReplaceAll(err.Error(), tt.tree.root, "$")
			assert.Contains(t, got, tt.want)
			assert.NotContains(t, got, "\n", "one line")
		})
	}
}

// Files as Windows and spreadsheets write them are read as they are meant.
func TestByteOrderMarksAndWindowsLines(t *testing.T) {
	windows := func(text string) string { return "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n") }
	for name, tr := range map[string]tree{
		"yolo": yolo(t).write("labels/train/a.txt", windows("0 0.5 0.5 0.25 0.2\n1 0.25 0.25 0.1 0.1\n")).
			write("data.yaml", windows("path: .\ntrain: list.txt\nval: images/val\nnames: [impala, zebra]\n")).write("list.txt", windows("images/train/a.jpg\nimages/train/b.jpg\n")),
		"coco": coco(t).write("annotations/train.json", windows(`{"images":[{"id":10,"file_name":"a.jpg","width":40,"height":30},{"id":11,"file_name":"b.jpg"}],
"categories":[{"id":3,"name":"impala"},{"id":7,"name":"zebra"}], "annotations":[
{"id":1,"image_id":10,"category_id":3,"bbox":[1,2,3,4]},
{"id":2,"image_id":10,"category_id":7,"bbox":[1,2,3,4]}]}`)),
		"csv": newTree(t).jpeg("a.jpg", 40, 30).jpeg("b.jpg", 40, 30).
			write("train.csv", windows("file,class,x1,y1,x2,y2\na.jpg,impala,1,2,3,4\na.jpg,zebra,1,2,3,4\nb.jpg,,,,,\n")),
		"voc": newTree(t).jpeg("JPEGImages/a.jpg", 40, 30).jpeg("JPEGImages/b.jpg", 40, 30).
			write("Annotations/a.xml", windows("<annotation><filename>a.jpg</filename>\n<object><name>impala</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>\n<object><name>zebra</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>\n")).
			write("Annotations/b.xml", windows("<annotation><filename>b.jpg</filename></annotation>\n")).
			write("ImageSets/Main/train.txt", windows("a\nb\n")),
		"label studio": newTree(t).jpeg("a.jpg", 40, 30).jpeg("b.jpg", 40, 30).write("train.json", windows(`[{"id":1,"data":{"image":"a.jpg"},"annotations":[{"result":[
{"type":"rectanglelabels","value":{"x":1,"y":1,"width":9,"height":9,"rectanglelabels":["impala"]}},
{"type":"rectanglelabels","value":{"x":1,"y":1,"width":9,"height":9,"rectanglelabels":["zebra"]}}]}]},
{"id":2,"data":{"image":"b.jpg"},"annotations":[{"result":[]}]}]`)),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := setup(tr.config(), wildtrain.Train)
			require.NoError(t, err)
			r := d.Report(wildtrain.Train)
			assert.Empty(t, r.Problems)
			assert.Equal(t, []int{1, 1}, r.PerClass)
			assert.Equal(t, [2]int{2, 1}, [2]int{r.Images, r.Negatives})
			assert.Equal(t, []string{"impala", "zebra"}, wildtrain.Names(d.Classes()))
		})
	}
}

// The smallest picture there is goes through everything.
func TestOnePixel(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 1, 1)), nil))
	tr := yolo(t).write("images/train/a.jpg", b.String()).write("labels/train/a.txt", "0 0.5 0.5 1 1\n")
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	defer d.Close()
	for epoch := range 3 {
		l, err := d.Loader(wildtrain.Train, wildtrain.Position{Epoch: epoch})
		require.NoError(t, err)
		for b, err := range l.Batches(context.Background()) {
			require.NoError(t, err)
			b.Release()
		}
	}
	audit, err := d.Audit(context.Background(), datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	assert.Empty(t, audit.Problems)
	splits, err := d.Pictures(context.Background())
	require.NoError(t, err)
	_, err = datamodule.Tile(context.Background(), filepath.Join(t.TempDir(), "tiles"), datamodule.COCO, d.Classes(), splits, datamodule.DefaultTiles())
	assert.NoError(t, err)
	_, err = datamodule.WriteGallery(context.Background(), &b, d.Classes(), splits, datamodule.DefaultGallery())
	assert.NoError(t, err)
}

// Nothing is written into the data: a folder that cannot be written to is as good.
func TestReadOnlyFolder(t *testing.T) {
	tr := yolo(t)
	before := listing(t, tr.root)
	require.NoError(t, filepath.WalkDir(tr.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			t.Cleanup(func() { _ = os.Chmod(path, 0o755) })
			return os.Chmod(path, 0o555)
		}
		return err
	}))
	d, err := setup(tr.config(), wildtrain.Train)
	require.NoError(t, err)
	_, err = d.Audit(context.Background(), datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	assert.Equal(t, before, listing(t, tr.root), "root may write all the same: it did not")
}

func listing(t *testing.T, root string) (out []string) {
	require.NoError(t, filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		out = append(out, path)
		return err
	}))
	return out
}
