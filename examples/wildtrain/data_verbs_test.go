package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const wildata = "../../testdata/wildata"

// The verbs of data, one after another, on the fixture.
func TestDataVerbs(t *testing.T) {
	from := []string{"data.root=" + wildata, "data.datasets=[savanna]"}
	on := func(words ...string) []string { return append(append([]string{"data"}, words...), from...) }
	dir := t.TempDir()

	audit := object(t, on("check", "--json")...)
	require.Len(t, audit["splits"], 3)
	require.Len(t, audit["leaks"], 1)
	require.Empty(t, audit["problems"])
	code, out, stderr := command(on("check")...)
	require.Equal(t, done, code, stderr)
	require.Contains(t, out, "0 errors, 0 warnings, 1 leaks")

	stats := object(t, on("stats", "split=test", "--json")...)
	require.EqualValues(t, 10, stats["images"])
	require.EqualValues(t, 10*800*640, stats["pixels"])
	require.Len(t, stats["mean"], 3)

	page := filepath.Join(dir, "page.html")
	require.EqualValues(t, 6, object(t, on("show", "split=val,test", "limit=3", "out="+page, "--json")...)["images"])
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, 6, strings.Count(string(html), "data:image/jpeg;base64,"))

	yolo := filepath.Join(dir, "yolo")
	made := object(t, on("convert", "out="+yolo, "format=yolo", "splits=0.7,0.3", "group=flight,looks", "--json")...)
	require.EqualValues(t, 90, made["images"])
	require.EqualValues(t, 609, made["boxes"])
	again := object(t, "data", "check", "data.root="+yolo, "--json")
	require.Len(t, again["splits"], 2)
	require.Empty(t, again["leaks"], "near duplicates stay together")

	tiles := object(t, on("tile", "split=val", "out="+filepath.Join(dir, "tiles"), "size=400", "overlap=80", "--json")...)
	require.Greater(t, tiles["images"], 40.)
	require.EqualValues(t, 0, tiles["lost_boxes"])
	cut := object(t, "data", "tile", "source="+wildata+"/datasets/savanna/images/test/flight09_0001.jpg", "out="+filepath.Join(dir, "cut"), "size=320", "overlap=0", "--json")
	require.EqualValues(t, 6, cut["images"])

	roi := object(t, "data", "check", "data.root="+wildata, "data.format=roi", "--json")
	require.Len(t, roi["classes"], 7)
}

func TestDataVerbsOnBrokenData(t *testing.T) {
	dir := dataset(t, 2, 1)
	write(t, filepath.Join(dir, "labels/train/flight01_0003_tile_0_0_0.txt"), "1 0.5 0.5 0.1\n")
	code, out, stderr := command("data", "check", "data.root="+dir, "--json")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, "1 errors in the data of "+dir)
	var audit struct {
		Problems []struct {
			File string
			Line int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &audit))
	require.Equal(t, 1, audit.Problems[0].Line)
	require.Contains(t, audit.Problems[0].File, "flight01_0003_tile_0_0_0.txt")
	for words, want := range map[string]string{
		"convert": "out=FOLDER is missing", "convert out=x splits=a": `"a" is not a number`, "convert out=x splits=1,1 group=moon": `unknown grouping: "moon"`,
		"tile out=x size=0": "size is 0", "tile out=x stride=2 overlap=2": "use one of them", "tile out=x rule=mine": "must be default or wildata", "show side=x": "must be a whole number",
	} {
		code, _, stderr := command(append([]string{"data"}, append(strings.Fields(words), "data.root="+wildata)...)...)
		require.Equal(t, usage, code, "%s: %s", words, stderr)
		require.Contains(t, stderr, want)
	}
	code, _, stderr = command("data", "stats", "data.root="+wildata, "split=dry")
	require.Equal(t, failed, code)
	require.Contains(t, stderr, `no split "dry"`)
}
