package datamodule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
)

// taken is a JPEG with EXIF of when and where, as made by hand: one directory
// each for the time and the position.
func taken(t testing.TB, when string, lat, lon uint32) []byte {
	t.Helper()
	var picture bytes.Buffer
	require.NoError(t, jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8)), nil))
	b := []byte("MM\x00\x2a\x00\x00\x00\x08")
	u16 := func(v uint16) { b = append(b, byte(v>>8), byte(v)) }
	u32 := func(v uint32) { b = append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v)) }
	entry := func(tag, kind uint16, count, value uint32) { u16(tag); u16(kind); u32(count); u32(value) }
	u16(2)
	entry(0x0132, 2, 20, 100) // date and time
	entry(0x8825, 4, 1, 130)  // position
	u32(0)
	b = append(b, make([]byte, 100-len(b))...)
	b = append(b, when...)
	b = append(b, make([]byte, 130-len(b))...)
	u16(4)
	entry(1, 2, 2, 'S'<<24)
	entry(2, 5, 3, 200)
	entry(3, 2, 2, 'E'<<24)
	entry(4, 5, 3, 224)
	u32(0)
	b = append(b, make([]byte, 200-len(b))...)
	for _, v := range []uint32{19, 1, 0, 1, lat, 100, 23, 1, 0, 1, lon, 100} { // degrees, minutes, hundredths of seconds
		u32(v)
	}
	segment := append([]byte("Exif\x00\x00"), b...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1, byte((len(segment) + 2) >> 8), byte(len(segment) + 2)}, segment...)
	return append(out, picture.Bytes()[2:]...)
}

// groups are the pictures' numbers by key of a grouping.
func groups(t testing.TB, name string, records []datamodule.Record) string {
	t.Helper()
	by, err := datamodule.ParseGrouping(context.Background(), name, records)
	require.NoError(t, err)
	var order []string
	members := map[string]string{}
	for i, r := range records {
		key, err := by(r)
		require.NoError(t, err)
		if members[key] == "" {
			order = append(order, key)
		}
		members[key] += fmt.Sprint(i)
	}
	var out []string
	for _, key := range order {
		out = append(out, members[key])
	}
	return strings.Join(out, " ")
}

func TestGroupingsByTimeAndPlace(t *testing.T) {
	tr := newTree(t)
	var records []datamodule.Record
	for i, p := range []struct {
		when     string
		lat, lon uint32
	}{
		{"2024:05:06 07:00:00", 0, 0}, {"2024:05:06 09:00:00", 5000, 0}, // 50 seconds of latitude are 1544 m
		{"2024:05:06 07:20:00", 1000, 1000}, {"2024:05:06 07:40:00", 2000, 2000}, // steps of 424 m
	} {
		name := fmt.Sprintf("Flight-%02d/camp_3/%d.jpg", i%2, i)
		tr.write(name, string(taken(t, p.when, p.lat, p.lon)))
		records = append(records, datamodule.Record{ID: fmt.Sprint(i), Path: tr.path(name)})
	}
	assert.Equal(t, "023 1", groups(t, "time", records), "no pause of more than 30 minutes between them")
	assert.Equal(t, "0 1 2 3", groups(t, "time:10m", records))
	assert.Equal(t, "0123", groups(t, "time:2h", records))
	assert.Equal(t, "023 1", groups(t, "gps", records), "by way of others")
	assert.Equal(t, "0 1 2 3", groups(t, "gps:400", records))
	assert.Equal(t, "0123", groups(t, "gps:1200", records))
	assert.Equal(t, "02 13", groups(t, "flight", records))
	assert.Equal(t, "0123", groups(t, "camp", records))
	assert.Equal(t, "02 13", groups(t, "folder", records))
	assert.Equal(t, "0 1 2 3", groups(t, `name:^(\d)\.`, records))

	bare := tr.jpeg("bare.jpg", 8, 8).path("bare.jpg")
	records = append(records, datamodule.Record{ID: "bare", Path: bare})
	for name, want := range map[string]string{
		"time": "bare.jpg has no time in its EXIF data", "gps": "bare.jpg has no position in its EXIF data", "time:x": "must give a time", "gps:-1": "must give a distance",
		"moon": "there are flight, camp, folder, source, looks, time, gps and name:PATTERN", "name:[": "missing closing ]",
	} {
		_, err := datamodule.ParseGrouping(context.Background(), name, records)
		assert.ErrorContains(t, err, want, name)
	}
	by, err := datamodule.ParseGrouping(context.Background(), "flight", records)
	require.NoError(t, err)
	_, err = by(records[4])
	assert.ErrorContains(t, err, "matches neither its name nor a folder above it")
	byTime, err := datamodule.ByTime(context.Background(), records[:1], time.Minute)
	require.NoError(t, err)
	_, err = byTime(records[1])
	assert.ErrorContains(t, err, "was not looked at")
}

// One report holds everything, as text and as JSON.
func TestAuditTellsEverything(t *testing.T) {
	d := open(t, small())
	a, err := d.Audit(context.Background(), datamodule.DefaultLeakOptions())
	require.NoError(t, err)
	assert.Zero(t, a.Errors())
	var text bytes.Buffer
	require.NoError(t, a.WriteText(&text))
	for _, want := range []string{
		"0 errors, 21 warnings, 1 leaks", "train: warning: ", "annotations/train.json:297: annotation 1_", "leak: ", "(0 of 63 bits differ)",
		"train      81         12    449      1", "156 (34.7%) in 36", "800×640: 48",
	} {
		assert.Contains(t, text.String(), want)
	}
	data, err := json.Marshal(a)
	require.NoError(t, err)
	var back struct {
		Classes []string
		Splits  []struct {
			Split                    string
			Images, Negatives, Boxes int
			BoxSizes                 []struct{ Boxes int } `json:"box_sizes"`
		}
		Problems []struct {
			Split, File, Message string
			Line                 int
			Warning              bool
		}
		Leaks []struct{ Kind string }
	}
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Len(t, back.Classes, 6)
	require.Len(t, back.Splits, 3)
	assert.Equal(t, [3]int{10, 2, 74}, [3]int{back.Splits[2].Images, back.Splits[2].Negatives, back.Splits[2].Boxes})
	sum := 0
	for _, bin := range back.Splits[2].BoxSizes {
		sum += bin.Boxes
	}
	assert.Equal(t, 74, sum)
	assert.Len(t, back.Problems, 21)
	assert.True(t, back.Problems[0].Warning)
	assert.Equal(t, "near duplicate", back.Leaks[0].Kind)
}

// The page holds its pictures and boxes, and nothing that a name could break.
func TestGallery(t *testing.T) {
	tr := coco(t, `{"id":1,"image_id":10,"category_id":3,"bbox":[1,2,10,20]}`)
	evil := `</script><script>alert(1)</script>.jpg`
	require.NoError(t, os.Rename(tr.path("images/train/b.jpg"), filepath.Join(tr.root, "images/train", "x.jpg")))
	tr.write("annotations/train.json", strings.ReplaceAll(read(t, tr.path("annotations/train.json")), "b.jpg", "x.jpg"))
	tr.write("annotations/train.json", strings.ReplaceAll(read(t, tr.path("annotations/train.json")), `"zebra"`, `"`+evil+`"`))
	d := open(t, tr.config())
	var page bytes.Buffer
	c := datamodule.DefaultGallery()
	c.Side = 20
	n, err := datamodule.WriteGallery(context.Background(), &page, d.Classes(), pictures(t, d), c)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	text := page.String()
	assert.NotContains(t, text, evil)
	assert.Equal(t, 2, strings.Count(text, "data:image/jpeg;base64,"))
	m := regexp.MustCompile(`const data = (\{.*\});`).FindStringSubmatch(text)
	require.NotNil(t, m)
	var data struct {
		Classes []string
		Total   int
		Images  []struct {
			W, H  int
			Boxes []struct {
				C int
				B [4]float64
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(m[1]), &data))
	assert.Equal(t, []string{"impala", evil}, data.Classes)
	assert.Equal(t, [2]int{40, 30}, [2]int{data.Images[0].W, data.Images[0].H}, "coordinates are the picture's own")
	assert.Equal(t, [4]float64{1, 2, 10, 20}, data.Images[0].Boxes[0].B)
	c.Limit = 1
	n, err = datamodule.WriteGallery(context.Background(), &page, d.Classes(), pictures(t, d), c)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	_, err = datamodule.WriteGallery(context.Background(), &page, nil, nil, datamodule.GalleryConfig{Limit: -1})
	assert.ErrorContains(t, err, "limit is -1")
	assert.ErrorContains(t, err, "side is 0")
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}
