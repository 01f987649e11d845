package datamodule

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
)

func FuzzROI(f *testing.F) {
	for _, s := range []string{
		`[{"roi_id":0,"class_id":1,"class_name":"x","file_name":"a.jpg"}]`, `[{"roi_id":{}}]`, `[{"class_id":"2","file_name":"../../../a.jpg"},`, "\ufeff[]x",
	} {
		f.Add([]byte(`{"1":"x","2":"background"}`), []byte(s))
	}
	f.Add([]byte(`{"a":1}`), []byte(`[]`))
	f.Add([]byte(`null`), []byte(``))
	dir := f.TempDir()
	fence, err := newFence(dir)
	if err != nil {
		f.Fatal(err)
	}
	mapping := filepath.Join(dir, "class_mapping.json")
	f.Fuzz(func(t *testing.T, classes, labels []byte) {
		if err := os.WriteFile(mapping, classes, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &roiSource{"d", filepath.Join(dir, "framework_formats", "roi", "d"), fence}
		var r Report
		out := &rawSplit{}
		index, ok := s.classes(mapping, out, &r)
		if !ok {
			if len(r.Problems) == 0 {
				t.Fatal("an error that is not reported")
			}
			return
		}
		s.read("f.json", "train", labels, index, out, &r)
		for _, im := range out.images {
			if !within(dir, im.path) || len(im.boxes) != 1 || im.boxes[0].class >= len(out.classes) || im.line < 1 {
				t.Fatalf("%+v", im)
			}
		}
		for _, p := range r.Problems {
			if p.Message == "" || p.Line < 1 {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	x := &headerIndex{file: filepath.Join(f.TempDir(), "x.headers"), fresh: map[string]indexedFile{"/a/b.jpg": {headerEntry{Size: 5, Time: 6, Width: 7, Height: 8, Orientation: 1}, "/d"}, "/c": {}}}
	if err := x.write(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(x.file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimPrefix(data[:len(data)-sha256.Size], []byte(indexMagic)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(indexMagic), body...)
		sum := sha256.Sum256(data)
		x := &headerIndex{known: map[string]indexedFile{}}
		if err := x.parse(append(data, sum[:]...)); err == nil && len(body) > 0 && len(x.known) == 0 {
			t.Fatal("bytes without an entry")
		}
		if x.parse(data) == nil {
			t.Fatal("no hash at the end")
		}
	})
}
