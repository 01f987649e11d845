package datamodule

import (
	"os"
	"path/filepath"
	"testing"
)

// fuzzRoot has one picture, which a fuzzed file may name.
func fuzzRoot(f *testing.F) *namedSource {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.jpg"), []byte("x"), 0o644); err != nil {
		f.Fatal(err)
	}
	s, err := newNamedSource(dir, false)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// checkNamed looks at what was read: inside the root, lines and classes in range.
func checkNamed(t *testing.T, s *namedSource, n *nameIndex, unbounded bool) {
	s.finish(n)
	for _, split := range s.splits() {
		var r Report
		raw := s.load(split, &r)
		for _, im := range raw.images {
			if !within(s.fence.root, im.path) {
				t.Fatalf("%s is outside", im.path)
			}
			for _, b := range im.boxes {
				if b.class < 0 || b.class >= len(raw.classes) || b.line < 1 || raw.classes[b.class].name == "" || !b.box.Finite() && !unbounded {
					t.Fatalf("%+v", b)
				}
			}
		}
		for _, p := range r.Problems {
			if p.Line < 1 || p.Message == "" {
				t.Fatalf("%+v", p)
			}
		}
	}
}

func FuzzVOC(f *testing.F) {
	for _, s := range []string{
		"<annotation><filename>a.jpg</filename><size><width>4</width><height>3</height></size><object><name>x</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></object></annotation>",
		"<annotation><object/><size><width>x</width></size>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>", "\ufeff<?xml version='1.0' encoding='gbk'?><annotation/>",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Report
		doc, err := parseVOC("f.xml", data, &r)
		if err != nil {
			if len(r.Problems) == 0 {
				t.Fatal("an error that is not reported")
			}
			return
		}
		for _, o := range doc.objects {
			if o.name == "" || o.box.line < 1 {
				t.Fatalf("%+v", o)
			}
		}
	})
}

func FuzzTable(f *testing.F) {
	for _, s := range []string{
		"file,class,x1,y1,x2,y2\na.jpg,x,1,2,3,4\n", "\ufefffile,class,x,y,w,h,split\r\n\"a.jpg\",x,1,2,3,1e9,t\r\n", "file\n", "file,class,x,y,w,h,width,height\na.jpg,,,,,,1,2\n\"",
	} {
		f.Add([]byte(s))
	}
	base := fuzzRoot(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &namedSource{dataset: "d", fence: base.fence, parts: map[string]*namedSplit{}}
		var n nameIndex
		r := tableReader{s: s, names: &n, file: filepath.Join(s.fence.root, "f.csv"), split: "train"}
		r.read(data)
		checkNamed(t, s, &n, true) // sums of large numbers may pass the range; records are checked once more
	})
}

func FuzzTasks(f *testing.F) {
	for _, s := range []string{
		`[{"id":1,"data":{"image":"/data/upload/1/01234567-a.jpg"},"annotations":[{"result":[{"type":"rectanglelabels","value":{"x":1,"y":2,"width":3,"height":4,"rectanglelabels":["x"]}}]}]}]`,
		`[{"id":{}}]`, `[{"data":{"image":"http://h/%zz?d=a.jpg"},"completions":[{"result":[{"type":"polygonlabels","value":{"points":[[1,2],[3],[5,6,7]],"polygonlabels":["x"]}}]}]}`, `[]x`,
	} {
		f.Add([]byte(s))
	}
	base := fuzzRoot(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &namedSource{dataset: "d", fence: base.fence, parts: map[string]*namedSplit{}}
		var n nameIndex
		r := taskReader{s: s, names: &n, file: filepath.Join(s.fence.root, "f.json"), split: "train", p: s.part("train")}
		r.read(data)
		checkNamed(t, s, &n, false)
	})
}
