package datamodule_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
)

// tree is a folder that a test fills.
type tree struct {
	t    testing.TB
	root string
}

func newTree(t testing.TB) tree { return tree{t, t.TempDir()} }

func (tr tree) path(name string) string { return filepath.Join(tr.root, filepath.FromSlash(name)) }

func (tr tree) write(name, text string) tree {
	tr.t.Helper()
	require.NoError(tr.t, os.MkdirAll(filepath.Dir(tr.path(name)), 0o755))
	require.NoError(tr.t, os.WriteFile(tr.path(name), []byte(text), 0o644))
	return tr
}

// copy takes the one file of the fixture that a pattern names.
func (tr tree) copy(name, pattern string) tree {
	tr.t.Helper()
	found, err := filepath.Glob(filepath.Join(fixture, filepath.FromSlash(pattern)))
	require.NoError(tr.t, err)
	require.Len(tr.t, found, 1)
	data, err := os.ReadFile(found[0])
	require.NoError(tr.t, err)
	return tr.write(name, string(data))
}

// jpeg writes a picture with a colour that depends on its name.
func (tr tree) jpeg(name string, w, h int) tree {
	tr.t.Helper()
	return tr.write(name, string(encode(tr.t, name, w, h)))
}

func encode(t testing.TB, name string, w, h int) []byte {
	t.Helper()
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			im.Set(x, y, color.RGBA{uint8(len(name) * 9), uint8(x * 5), uint8(y * 7), 255})
		}
	}
	var buf bytes.Buffer
	require.NoError(t, jpeg.Encode(&buf, im, nil))
	return buf.Bytes()
}

// yolo makes a small YOLO folder: two training pictures of 40×30, one labelled, and one for validation.
func yolo(t testing.TB) tree {
	return newTree(t).
		write("data.yaml", "path: .\ntrain: images/train\nval: images/val\nnames: [impala, zebra]\n").
		jpeg("images/train/a.jpg", 40, 30).jpeg("images/train/b.jpg", 40, 30).jpeg("images/val/c.jpg", 40, 30).
		write("labels/train/a.txt", "0 0.5 0.5 0.25 0.2\n1 0.25 0.25 0.1 0.1\n").
		write("labels/val/c.txt", "1 0.5 0.5 0.5 0.5\n")
}

// coco makes a small COCO folder with the given annotation objects, one a line from line 4 on.
func coco(t testing.TB, annotations ...string) tree {
	return newTree(t).
		jpeg("images/train/a.jpg", 40, 30).jpeg("images/train/b.jpg", 40, 30).
		write("annotations/train.json", fmt.Sprintf(`{"images":[{"id":10,"file_name":"a.jpg","width":40,"height":30},
{"id":"eleven","file_name":"b.jpg","width":40,"height":30}],
"categories":[{"id":3,"name":"impala"},{"id":7,"name":"zebra"}], "annotations":[
%s
]}`, strings.Join(annotations, ",\n")))
}

// config is for a tree of tiny pictures.
func (tr tree) config() datamodule.Config {
	c := datamodule.DefaultConfig()
	c.Root, c.ImageSize, c.Batch, c.Workers = tr.root, 64, 2, 1
	return c
}
