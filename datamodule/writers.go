package datamodule

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// list writes a JSON array with one element a line.
type list struct {
	w     *bufio.Writer
	count int
}

func (l *list) add(v any) error {
	separator := ",\n"
	if l.count++; l.count == 1 {
		separator = "\n"
	}
	data, err := marshal(v)
	if err != nil {
		return err
	}
	if _, err := l.w.WriteString(separator); err != nil {
		return err
	}
	_, err = l.w.Write(data)
	return err
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

type cocoImageOut struct {
	ID       int    `json:"id"`
	FileName string `json:"file_name"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

type cocoAnnotationOut struct {
	ID       int        `json:"id"`
	Image    int        `json:"image_id"`
	Category int        `json:"category_id"`
	Box      [4]float64 `json:"bbox"`
	Area     float64    `json:"area"`
	Crowd    int        `json:"iscrowd"`
	Shape    *runsOut   `json:"segmentation,omitempty"`
}

// runsOut is a mask in COCO's compressed form.
type runsOut struct {
	Size   [2]int `json:"size"` // height, width
	Counts string `json:"counts"`
}

func runsOf(m *wildtrain.Mask) *runsOut {
	if m == nil {
		return nil
	}
	return &runsOut{[2]int{m.Height, m.Width}, (&rle.Mask{Height: m.Height, Width: m.Width, Runs: m.Runs}).String()}
}

type cocoCategoryOut struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// coco writes annotations/<split>.json: categories from 1, file names below
// images/<split>, or in WilData's form below the folder of all datasets.
func (c *conversion) coco(s Split, names []string) error {
	prefix := ""
	if c.format == WilData {
		prefix = c.dataset() + "/images/" + s.Name + "/"
	}
	return c.create(c.home()+"annotations/"+s.Name+".json", func(out io.Writer) error {
		w := bufio.NewWriter(out)
		first := c.image + 1
		array := func(key string, fill func(*list) error) error {
			if _, err := w.WriteString(key); err != nil {
				return err
			}
			if err := fill(&list{w: w}); err != nil {
				return err
			}
			_, err := w.WriteString("\n]")
			return err
		}
		images := func(l *list) error {
			for i, rec := range s.Records {
				c.image++
				if err := l.add(cocoImageOut{c.image, prefix + names[i], rec.Width, rec.Height}); err != nil {
					return err
				}
			}
			return nil
		}
		categories := func(l *list) error {
			for i, class := range c.classes {
				if err := l.add(cocoCategoryOut{i + 1, class.Name}); err != nil {
					return err
				}
			}
			return nil
		}
		annotations := func(l *list) error {
			for i, rec := range s.Records {
				for _, o := range c.objects(rec, "crowd", "area", "mask") {
					c.box++
					a := cocoAnnotationOut{ID: c.box, Image: first + i, Category: o.Class + 1, Area: o.Area, Shape: runsOf(o.Mask)}
					a.Box = [4]float64{o.Box.X1, o.Box.Y1, o.Box.Width(), o.Box.Height()}
					if a.Area == 0 || c.options.Clip && a.Area > o.Box.Area() {
						a.Area = o.Box.Area()
					}
					if o.Crowd {
						a.Crowd = 1
					}
					if err := l.add(a); err != nil {
						return err
					}
				}
			}
			return nil
		}
		for _, part := range []struct {
			key  string
			fill func(*list) error
		}{{`{"images": [`, images}, {`,` + "\n" + `"categories": [`, categories}, {`,` + "\n" + `"annotations": [`, annotations}} {
			if err := array(part.key, part.fill); err != nil {
				return err
			}
		}
		if _, err := w.WriteString("}\n"); err != nil {
			return err
		}
		return w.Flush()
	})
}

// firstYOLO is the number of the first class in label files.
func (c *conversion) firstYOLO() int {
	if c.format == WilDataYOLO {
		return 1 // category ids, as WilData writes them
	}
	return 0
}

// datasetInfo writes WilData's description of a dataset.
func (c *conversion) datasetInfo() error {
	classes := []cocoCategoryOut{}
	for i, class := range c.classes {
		classes = append(classes, cocoCategoryOut{i + 1, class.Name})
	}
	text, err := marshal(object{"name": c.dataset(), "version": "1.0", "schema_version": "1.0", "task_type": "detection", "classes": classes})
	if err != nil {
		return err
	}
	return c.text(c.home()+"dataset_info.json", string(text)+"\n")
}

// yolo writes a label file per picture with boxes: class, centre and size in shares.
func (c *conversion) yolo(s Split, names []string) error {
	for i, rec := range s.Records {
		var b strings.Builder
		for _, o := range c.objects(rec) {
			x, y := o.Box.Center()
			fmt.Fprintf(&b, "%d", o.Class+c.firstYOLO())
			for _, v := range []float64{x / float64(rec.Width), y / float64(rec.Height), o.Box.Width() / float64(rec.Width), o.Box.Height() / float64(rec.Height)} {
				b.WriteString(" " + strconv.FormatFloat(v, 'f', 10, 64))
			}
			b.WriteByte('\n')
		}
		if b.Len() == 0 {
			continue // a picture without boxes has no label file
		}
		if err := c.text(c.home()+"labels/"+s.Name+"/"+stem(names[i])+".txt", b.String()); err != nil {
			return err
		}
	}
	return nil
}

// dataYAML has no path: splits are relative to its own folder, wherever that is moved.
func (c *conversion) dataYAML() error {
	var b strings.Builder
	for _, s := range c.splits {
		fmt.Fprintf(&b, "%s: images/%s\n", s.Name, s.Name)
	}
	fmt.Fprintf(&b, "nc: %d\nnames:\n", len(c.classes))
	for i, class := range c.classes {
		name, err := marshal(class.Name) // a string in JSON is one in YAML
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  %d: %s\n", i+c.firstYOLO(), name)
	}
	return c.text(c.home()+"data.yaml", b.String())
}

func (c *conversion) text(name, text string) error {
	return c.create(name, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

type vocOut struct {
	XMLName  xml.Name       `xml:"annotation"`
	Folder   string         `xml:"folder"`
	FileName string         `xml:"filename"`
	Width    int            `xml:"size>width"`
	Height   int            `xml:"size>height"`
	Depth    int            `xml:"size>depth"`
	Objects  []vocObjectOut `xml:"object"`
}

type vocObjectOut struct {
	Name      string `xml:"name"`
	Pose      string `xml:"pose"`
	Truncated int    `xml:"truncated"`
	Difficult int    `xml:"difficult"`
	Crowd     int    `xml:"iscrowd,omitempty"`
	X1        int    `xml:"bndbox>xmin"`
	Y1        int    `xml:"bndbox>ymin"`
	X2        int    `xml:"bndbox>xmax"`
	Y2        int    `xml:"bndbox>ymax"`
}

// voc writes an XML file per picture and the list of the split's pictures.
func (c *conversion) voc(s Split, names []string) error {
	var ids strings.Builder
	for i, rec := range s.Records {
		doc := vocOut{Folder: "JPEGImages", FileName: names[i], Width: rec.Width, Height: rec.Height, Depth: 3}
		for _, o := range c.objects(rec, "crowd", "difficult") {
			doc.Objects = append(doc.Objects, vocObjectOf(o, c.classes[o.Class].Name))
		}
		text, err := xml.MarshalIndent(doc, "", "  ")
		if err != nil {
			return err
		}
		if err := c.text("Annotations/"+stem(names[i])+".xml", string(text)+"\n"); err != nil {
			return err
		}
		ids.WriteString(stem(names[i]) + "\n")
	}
	return c.text("ImageSets/Main/"+s.Name+".txt", ids.String())
}

// vocObjectOf rounds corners to whole pixels, counted from 1. A box that would
// lose its extent gets that of the pixel under its centre.
func vocObjectOf(o wildtrain.Object, name string) vocObjectOut {
	side := func(low, high float64) (int, int) {
		first, last := int(math.Round(low))+1, int(math.Round(high))
		if last < first {
			first = int(math.Floor((low+high)/2)) + 1
			last = first
		}
		return first, last
	}
	out := vocObjectOut{Name: name, Pose: "Unspecified"}
	out.X1, out.X2 = side(o.Box.X1, o.Box.X2)
	out.Y1, out.Y2 = side(o.Box.Y1, o.Box.Y2)
	if o.Difficult {
		out.Difficult = 1
	}
	if o.Crowd {
		out.Crowd = 1
	}
	return out
}

// csv writes <split>.csv: a row per box, and one per picture without boxes.
func (c *conversion) csv(s Split, names []string) error {
	return c.create(s.Name+".csv", func(out io.Writer) error {
		w := csv.NewWriter(out)
		row := []string{"file", "class", "x1", "y1", "x2", "y2", "width", "height", "difficult", "crowd"}
		if err := w.Write(row); err != nil {
			return err
		}
		bit := map[bool]string{false: "0", true: "1"}
		for i, rec := range s.Records {
			file := c.pictureFolder(s.Name) + "/" + names[i]
			width, height := strconv.Itoa(rec.Width), strconv.Itoa(rec.Height)
			objects := c.objects(rec, "crowd", "difficult")
			if len(objects) == 0 {
				if err := w.Write([]string{file, "", "", "", "", "", width, height, "", ""}); err != nil {
					return err
				}
			}
			for _, o := range objects {
				row := []string{file, c.classes[o.Class].Name}
				for _, v := range []float64{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2} {
					row = append(row, strconv.FormatFloat(v, 'f', -1, 64))
				}
				if err := w.Write(append(row, width, height, bit[o.Difficult], bit[o.Crowd])); err != nil {
					return err
				}
			}
		}
		w.Flush()
		return w.Error()
	})
}

// labelStudio writes tasks with one annotation each, as Label Studio exports and
// imports them; the labelling interface is to call its parts "label" and "image".
func (c *conversion) labelStudio(s Split, names []string) error {
	return c.create(s.Name+".json", func(out io.Writer) error {
		w := bufio.NewWriter(out)
		if _, err := w.WriteString("["); err != nil {
			return err
		}
		l := &list{w: w}
		for i, rec := range s.Records {
			c.image++
			if err := l.add(c.task(rec, c.pictureFolder(s.Name)+"/"+names[i])); err != nil {
				return err
			}
		}
		if _, err := w.WriteString("\n]\n"); err != nil {
			return err
		}
		return w.Flush()
	})
}

// object is a JSON object.
type object = map[string]any

func (c *conversion) task(rec Record, file string) object {
	results := []object{}
	for _, o := range c.objects(rec, "crowd", "difficult") {
		c.box++
		w, h := 100/float64(rec.Width), 100/float64(rec.Height)
		r := object{
			"id": fmt.Sprintf("box%d", c.box), "type": "rectanglelabels", "from_name": "label", "to_name": "image",
			"original_width": rec.Width, "original_height": rec.Height, "image_rotation": 0,
			"value": object{
				"x": o.Box.X1 * w, "y": o.Box.Y1 * h, "width": o.Box.Width() * w, "height": o.Box.Height() * h,
				"rotation": 0, "rectanglelabels": []string{c.classes[o.Class].Name},
			},
		}
		var notes []string
		if o.Crowd {
			notes = append(notes, "crowd")
		}
		if o.Difficult {
			notes = append(notes, "difficult")
		}
		if notes != nil {
			r["meta"] = object{"text": notes}
		}
		results = append(results, r)
	}
	image := "/data/local-files/?d=" + strings.ReplaceAll(url.QueryEscape(file), "%2F", "/")
	return object{
		"id": c.image, "data": object{"image": image},
		"annotations": []object{{"id": c.image, "was_cancelled": false, "ground_truth": false, "result": results}},
	}
}
