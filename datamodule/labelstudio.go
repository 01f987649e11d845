package datamodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// taskFiles are the JSON files of a root that hold a list, as Label Studio's do.
func taskFiles(root string) []string {
	return slices.DeleteFunc(glob(root, "*.json"), func(path string) bool {
		if !isFile(path) {
			return true // opening a pipe would wait for ever
		}
		f, err := os.Open(path)
		if err != nil {
			return true
		}
		defer f.Close()
		begin := make([]byte, 512)
		n, err := f.Read(begin)
		return err != nil || !bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(begin[:n], []byte("\ufeff")), " \t\r\n"), []byte("["))
	})
}

// openLabelStudio reads exports of Label Studio in its format JSON, one file per
// split. Of several annotations of a task, the one that is marked as ground
// truth counts, else the newest; cancelled ones don't. Boxes are the results of
// type rectanglelabels, in percent of the displayed picture; polygons count by
// the box around them. A task that was never annotated is not used, and the
// report warns of it; one that was, without boxes, is a picture without boxes.
func openLabelStudio(root string, files []string, links bool) (*namedSource, error) {
	if len(files) == 0 {
		return nil, errors.New("no Label Studio export: no *.json holds a list of tasks")
	}
	s, err := newNamedSource(root, links)
	if err != nil {
		return nil, err
	}
	var names nameIndex
	for _, file := range files {
		t := taskReader{s: s, names: &names, file: file, split: stem(file)}
		t.p = s.part(t.split)
		data, err := readLimited(file, maxAnnotationBytes)
		if err != nil {
			t.p.report.problem(file, 0, "%v", err)
			continue
		}
		t.read(data)
	}
	s.finish(&names)
	return s, nil
}

type studioTask struct {
	ID          identifier                 `json:"id"`
	Data        map[string]json.RawMessage `json:"data"`
	Upload      string                     `json:"file_upload"`
	Storage     string                     `json:"storage_filename"`
	Annotations []studioAnnotation         `json:"annotations"`
	Completions []studioAnnotation         `json:"completions"` // before version 1.0
}

type studioAnnotation struct {
	Cancelled   bool           `json:"was_cancelled"`
	GroundTruth bool           `json:"ground_truth"`
	Created     identifier     `json:"created_at"`
	Results     []studioResult `json:"result"`
}

type studioResult struct {
	ID       identifier      `json:"id"`
	Type     string          `json:"type"`
	Width    float64         `json:"original_width"`
	Height   float64         `json:"original_height"`
	Rotation float64         `json:"image_rotation"`
	Value    json.RawMessage `json:"value"`
	Meta     struct {
		Text []string `json:"text"` // "crowd" and "difficult" are read and written
	} `json:"meta"`
}

type studioValue struct {
	X        *float64     `json:"x"`
	Y        *float64     `json:"y"`
	Width    *float64     `json:"width"`
	Height   *float64     `json:"height"`
	Rotation float64      `json:"rotation"`
	Boxes    []string     `json:"rectanglelabels"`
	Polygons []string     `json:"polygonlabels"`
	Points   [][2]float64 `json:"points"`
}

// taskReader reads one export.
type taskReader struct {
	s           *namedSource
	names       *nameIndex
	file, split string
	p           *namedSplit
	lines       lineCounter
}

func (t *taskReader) read(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	t.lines = lineCounter{data: data}
	dec := json.NewDecoder(bytes.NewReader(data))
	err := eachElement(dec, "the export", &t.lines, t.task)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the list of tasks")
		}
	}
	if err == nil {
		return
	}
	line := t.lines.line1(dec.InputOffset())
	if at := (*lineError)(nil); errors.As(err, &at) {
		line = at.line
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends in the middle")
	}
	t.p.report.problem(t.file, line, "not a valid Label Studio export: %v", err)
}

func (t *taskReader) task(task studioTask, line int) {
	bad := func(format string, args ...any) {
		t.p.report.problem(t.file, line, "task %s: "+format, append([]any{task.ID}, args...)...)
	}
	if len(task.Data) == 0 {
		bad("it has no data; of Label Studio's formats, JSON is read")
		return
	}
	all := slices.DeleteFunc(slices.Concat(task.Annotations, task.Completions), func(a studioAnnotation) bool { return a.Cancelled })
	if len(all) == 0 {
		t.p.report.warn(t.file, line, "task %s is not annotated; it is not used", task.ID)
		return
	}
	path, err := t.locate(task)
	if err != nil {
		bad("%v", err)
		return
	}
	im, isNew := t.s.picture(t.p, path, t.file, line)
	if !isNew {
		bad("picture %s has a task already, in line %d", path, im.line)
		return
	}
	im.sourceID = string(task.ID)
	if len(all) > 1 {
		t.p.report.warn(t.file, line, "task %s has %d annotations; one counts (ground truth, else the newest)", task.ID, len(all))
	}
	for i, r := range newest(all).Results {
		what := fmt.Sprintf("task %s: result %s", task.ID, r.ID)
		if r.ID == "" {
			what = fmt.Sprintf("task %s: result %d", task.ID, i+1)
		}
		b, class, err := r.box()
		switch {
		case err != nil:
			t.p.report.problem(t.file, line, "%s: %v", what, err)
			continue
		case class == "":
			continue
		}
		if r.Width > 0 && r.Height > 0 && r.Width < 1<<30 && r.Height < 1<<30 {
			im.width, im.height = int(r.Width), int(r.Height)
		}
		b.class, b.line, b.what = t.names.of(class), line, what
		im.boxes = append(im.boxes, b)
	}
}

// newest picks the annotation that counts.
func newest(all []studioAnnotation) studioAnnotation {
	best := all[0]
	for _, a := range all[1:] {
		if a.GroundTruth != best.GroundTruth {
			if a.GroundTruth {
				best = a
			}
		} else if a.Created >= best.Created { // ISO 8601 sorts by time
			best = a
		}
	}
	return best
}

// box reads a result; class is "" where it is no box.
func (r studioResult) box() (b rawBox, class string, err error) {
	switch r.Type {
	case "rectanglelabels", "polygonlabels":
	case "rectangle", "polygon", "brushlabels", "ellipselabels", "brush", "ellipse":
		return b, "", fmt.Errorf("of type %s; rectanglelabels and polygonlabels are read", r.Type)
	default:
		return b, "", nil // choices, text and the like
	}
	var v studioValue
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return b, "", fmt.Errorf("value: %w", err)
	}
	labels := slices.Concat(v.Boxes, v.Polygons)
	if len(labels) != 1 || strings.TrimSpace(labels[0]) == "" {
		return b, "", fmt.Errorf("it has %d labels, must have 1", len(labels))
	}
	if v.Rotation != 0 || r.Rotation != 0 {
		return b, "", fmt.Errorf("it is turned by %g°, its picture by %g°; only upright boxes are read", v.Rotation, r.Rotation)
	}
	b.normalised = true
	switch {
	case r.Type == "polygonlabels" && len(v.Points) >= 3:
		b.box, b.shape = around(v.Points), &outline{normalised: true, polygons: [][]float64{nil}}
		for _, p := range v.Points {
			b.shape.polygons[0] = append(b.shape.polygons[0], p[0]/100, p[1]/100)
		}
	case r.Type == "rectanglelabels" && v.X != nil && v.Y != nil && v.Width != nil && v.Height != nil:
		b.box = wildtrain.BoxXYWH(*v.X/100, *v.Y/100, *v.Width/100, *v.Height/100)
	default:
		return b, "", errors.New("x, y, width, height or points are missing")
	}
	if b.box.X1 < -1 || b.box.Y1 < -1 || b.box.X2 > 2 || b.box.Y2 > 2 {
		return b, "", errors.New("coordinates are far outside 0…100: they must be percent of the picture's sides")
	}
	b.crowd, b.difficult = slices.Contains(r.Meta.Text, "crowd"), slices.Contains(r.Meta.Text, "difficult")
	return b, strings.TrimSpace(labels[0]), nil
}

// around is the box of points in percent.
func around(points [][2]float64) wildtrain.Box {
	b := wildtrain.Box{X1: math.Inf(1), Y1: math.Inf(1), X2: math.Inf(-1), Y2: math.Inf(-1)}
	for _, p := range points {
		x, y := p[0]/100, p[1]/100
		b = wildtrain.Box{X1: min(b.X1, x), Y1: min(b.Y1, y), X2: max(b.X2, x), Y2: max(b.Y2, y)}
	}
	return b
}

// uploaded is what Label Studio puts before the name of an uploaded file.
var uploaded = regexp.MustCompile(`^[0-9a-f]{8}-(.+)$`)

// maxFolders bounds how many folders of a task's path are tried.
const maxFolders = 16

// locate finds a task's picture: by storage_filename and data.image (or the one
// other entry of data that names a picture). Of a URL or a path on another
// machine, ever shorter ends are looked for below the root; the prefix of
// uploads may be there or not.
func (t *taskReader) locate(task studioTask) (string, error) {
	names := slices.DeleteFunc([]string{task.Storage, task.image(), task.Upload}, func(n string) bool { return n == "" })
	if len(names) == 0 {
		return "", errors.New("data names no picture (data.image)")
	}
	var first error
	for _, name := range names {
		parts := strings.Split(strings.Trim(picturePath(name), "/"), "/")
		parts = parts[max(0, len(parts)-maxFolders):]
		for i := range parts {
			end := strings.Join(parts[i:], "/")
			tries := []string{end}
			if m := uploaded.FindStringSubmatch(end); m != nil {
				tries = append(tries, m[1])
			}
			for _, try := range tries {
				path, err := t.s.locate(filepath.Dir(t.file), t.split, try)
				if err == nil {
					return path, nil
				}
				if first == nil {
					first = err
				}
			}
		}
	}
	return "", first
}

// image is data.image, else the only entry of data that names a picture.
func (t studioTask) image() string {
	var found []string
	for _, key := range slices.Sorted(maps.Keys(t.Data)) {
		var text string
		if json.Unmarshal(t.Data[key], &text) != nil {
			continue
		}
		if key == "image" {
			return text
		}
		if imageio.IsPicture(picturePath(text)) {
			found = append(found, text)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return ""
}

// picturePath is the path in a task's picture: of a URL without its query, of a
// local file the parameter d.
func picturePath(name string) string {
	name = strings.ReplaceAll(name, `\`, "/")
	isURL := strings.Contains(name, "://") || strings.HasPrefix(name, "/data/")
	if !isURL {
		return name
	}
	u, err := url.Parse(name)
	if err != nil {
		return name
	}
	if d := u.Query().Get("d"); d != "" && strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "local-files") {
		return d
	}
	return u.Path
}
