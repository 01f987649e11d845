package datamodule

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

func FuzzCOCO(f *testing.F) {
	for _, s := range []string{
		`{"images":[{"id":1,"file_name":"a.jpg","width":4,"height":3}],"categories":[{"id":1,"name":"x"}],"annotations":[{"id":"a","image_id":1,"category_id":1,"bbox":[0,0,1,1],"iscrowd":0}]}`,
		`{"images":[],"annotations":null}`, `{"info":{"a":[[[1]]]},"categories":[{"id":"7","name":3}],`, `[]`, `{"images":[{"id":{}}]}`,
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "images"), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "images", "a.jpg"), []byte("x"), 0o644); err != nil {
		f.Fatal(err)
	}
	s, err := openCOCO(dir, "d", filepath.Join(dir, "annotations"), nil, Config{Masks: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Report
		out := &rawSplit{}
		s.parser("train", "f.json", out, &r).parse(data)
		for _, im := range out.images {
			if !within(dir, im.path) {
				t.Fatalf("%s is outside", im.path)
			}
			for _, b := range im.boxes {
				if b.class < 0 || b.class >= len(out.classes) || b.line < 1 {
					t.Fatalf("%+v", b)
				}
			}
		}
		for _, problem := range r.Problems {
			if problem.Line < 1 || problem.Message == "" {
				t.Fatalf("%+v", problem)
			}
		}
	})
}

func FuzzLabels(f *testing.F) {
	for _, s := range []string{"0 .5 .5 .1 .1\n", "1 0 0 1 0 1 1\r\n", "\ufeff0 1e-3 .5 .1 NaN", "0.0 .5 .5 .1 .1 \n\n 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Report
		for _, b := range parseLabels("f.txt", data, map[string]int{"0": 0, "1": 1}, &r) {
			if !b.box.Finite() || b.class > 1 || b.line < 1 || b.box.X1 < -1 || b.box.X2 > 2 {
				t.Fatalf("%+v", b)
			}
		}
	})
}

func FuzzDataYAML(f *testing.F) {
	for _, s := range []string{
		"path: .\ntrain: images\nval: [a, b.txt]\nnames: {1: a, 3: b}\nnc: 2\n", "names: [a]\ntrain: ../x\n", "train: &a [*a]\n", "names: {a: {b: c}}\n", "nc: 3\ntrain: /\n",
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := yamlsafe.Parse("data.yaml", data, yamlsafe.Limits{Bytes: 1 << 16, Depth: 20, Nodes: 1 << 12})
		if err != nil {
			return
		}
		s := &yoloSource{file: filepath.Join(dir, "data.yaml"), entries: map[string][]yoloEntry{}}
		if s.read(tree) != nil || s.place(tree.Get("path")) != nil {
			return
		}
		for _, class := range s.classes {
			if class.name == "" || class.id == "" {
				t.Fatalf("%+v", class)
			}
		}
	})
}
