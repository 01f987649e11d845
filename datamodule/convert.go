package datamodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// Split is the pictures of one split.
type Split struct {
	Name    string
	Records []Record
}

// How Convert brings pictures into a new dataset.
const (
	CopyPictures     = "copy"     // as they are, byte by byte
	LinkPictures     = "link"     // relative links to the originals; reading them wants AllowLinks
	HardLinkPictures = "hardlink" // a second name for the same file, on the same file system
)

// ConvertOptions says how Convert writes. The zero value copies pictures and
// writes boxes as they are.
type ConvertOptions struct {
	Pictures string // CopyPictures (also for ""), LinkPictures or HardLinkPictures
	Clip     bool   // cut boxes at the picture's edge
}

// Converted is what Convert wrote, and what the format has no place for.
type Converted struct {
	Pictures, Boxes int
	LostCrowd       int // boxes around groups that now are boxes around one animal
	LostDifficult   int // boxes that no longer are marked as difficult
	LostAreas       int // annotated areas that now are the boxes'
	LostMasks       int // segmentations
}

// Pictures returns the pictures of all stages that exist, checked as Setup
// does: what is wrong is a *DataError (policy Fail) or left out (policy Skip).
func (d *Detection) Pictures(ctx context.Context) ([]Split, error) {
	var out []Split
	for _, stage := range []wildtrain.Stage{wildtrain.Train, wildtrain.Val, wildtrain.Test} {
		records, report, err := d.examine(ctx, stage, d.config.OnError == Skip)
		if errors.Is(err, wildtrain.ErrNoSplit) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if d.config.OnError == Fail {
			if err := report.Err(); err != nil {
				return nil, err
			}
		}
		out = append(out, Split{report.Split, records})
	}
	return out, nil
}

// Convert writes splits as a new dataset, which NewDetection reads: WilData (a
// root with one dataset, called as dst), WilDataYOLO (its YOLO export), COCO
// (annotations/<split>.json), YOLO (data.yaml), VOC (the devkit's folders;
// corners are whole pixels), CSV (<split>.csv) or LabelStudio (<split>.json, to
// be served as local files from dst). Pictures keep their names; of two with
// the same one (or, in VOC and YOLO files, the same but for the ending), the later
// gets a number. dst must not be there; it appears when all is written.
func Convert(ctx context.Context, dst string, format Source, classes []wildtrain.Class, splits []Split, o ConvertOptions) (*Converted, error) {
	c := &conversion{ctx: ctx, format: format, classes: classes, splits: splits, options: o}
	err := c.run(dst, func(s Split) (Split, []string, error) {
		names, err := c.pictures(s)
		return s, names, err
	})
	if err != nil {
		return nil, fmt.Errorf("datamodule: convert to %s: %w", format, err)
	}
	return &c.out, nil
}

// run writes a new dataset. pictures brings those of a split into it and
// returns what to write of them, and their names.
func (c *conversion) run(dst string, pictures func(Split) (Split, []string, error)) error {
	write, known := map[Source]func(Split, []string) error{
		WilData: c.coco, WilDataYOLO: c.yolo, COCO: c.coco, YOLO: c.yolo, VOC: c.voc, CSV: c.csv, LabelStudio: c.labelStudio,
	}[c.format]
	if !known {
		return fmt.Errorf("format %q must be wildata, wildata_yolo, coco, yolo, voc, csv or label_studio", c.format)
	}
	if err := c.check(); err != nil {
		return err
	}
	return newFolder(dst, func(tmp, final string) error {
		c.dir, c.final = tmp, final
		for _, s := range c.splits {
			if err := os.MkdirAll(filepath.Join(c.dir, c.pictureFolder(s.Name)), 0o755); err != nil {
				return err
			}
			s, names, err := pictures(s)
			if err != nil {
				return err
			}
			if err := write(s, names); err != nil {
				return err
			}
		}
		switch c.format {
		case YOLO, WilDataYOLO:
			return c.dataYAML()
		case WilData:
			return c.datasetInfo()
		}
		return nil
	})
}

// newFolder fills a temporary folder beside dst and gives it its name when fill
// is done; nothing of it stays where fill fails.
func newFolder(dst string, fill func(tmp, final string) error) error {
	if _, err := os.Lstat(dst); err == nil {
		return fmt.Errorf("%s: %w", dst, fs.ErrExist)
	}
	parent := filepath.Dir(mustAbs(dst))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	parent, err := filepath.EvalSymlinks(parent) // relative links start from the real folder
	if err != nil {
		return err
	}
	final := filepath.Join(parent, filepath.Base(mustAbs(dst)))
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(final)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // not there any more where all went well
	if err := fill(tmp, final); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, final) // refuses a folder that has come and is not empty
}

// conversion is one run of Convert.
type conversion struct {
	ctx        context.Context
	dir, final string // where files are written, and where they will be
	format     Source
	classes    []wildtrain.Class
	splits     []Split
	options    ConvertOptions
	out        Converted
	taken      map[string]bool // names of pictures in a folder
	image, box int             // last numbers given
}

var splitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]*$`)

// check refuses what the format cannot say.
func (c *conversion) check() error {
	if !slices.Contains([]string{"", CopyPictures, LinkPictures, HardLinkPictures}, c.options.Pictures) {
		return fmt.Errorf("pictures is %q, must be copy, link or hardlink", c.options.Pictures)
	}
	seen := map[string]bool{}
	for _, s := range c.splits {
		switch {
		case !splitName.MatchString(s.Name) || seen[s.Name]:
			return fmt.Errorf("split %q: a name must be letters and digits, and occur once", s.Name)
		case (c.format == YOLO || c.format == WilDataYOLO) && !slices.Contains([]string{"train", "val", "test"}, s.Name):
			return fmt.Errorf("split %q: a data.yaml has train, val and test only", s.Name)
		}
		seen[s.Name] = true
	}
	names := map[string]bool{}
	for i, class := range c.classes {
		if name := class.Name; name == "" || name != strings.TrimSpace(name) || hasControl(name) || names[name] {
			return fmt.Errorf("class %d: name %q is empty, has space around it or is there twice", i, name)
		}
		names[class.Name] = true
	}
	for _, s := range c.splits {
		for _, rec := range s.Records {
			for _, o := range rec.Objects {
				if o.Class < 0 || o.Class >= len(c.classes) {
					return fmt.Errorf("picture %s: class %d is not in the list of %d", rec.ID, o.Class, len(c.classes))
				}
			}
		}
	}
	return nil
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// dataset is the name of a WilData dataset: that of the new folder.
func (c *conversion) dataset() string { return filepath.Base(c.final) }

// home is the folder of a dataset below the new folder, with a slash after it.
func (c *conversion) home() string {
	switch c.format {
	case WilData:
		return "datasets/" + c.dataset() + "/"
	case WilDataYOLO:
		return "framework_formats/yolo/" + c.dataset() + "/"
	}
	return ""
}

// pictureFolder is where a split's pictures go.
func (c *conversion) pictureFolder(split string) string {
	if c.format == VOC {
		return "JPEGImages"
	}
	return c.home() + "images/" + split
}

// pictures brings a split's pictures into the dataset and returns their names.
func (c *conversion) pictures(s Split) ([]string, error) {
	folder := c.pictureFolder(s.Name)
	if c.taken == nil || c.format != VOC { // VOC has one folder for all
		c.taken = map[string]bool{}
	}
	names := make([]string, len(s.Records))
	for i, rec := range s.Records {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		name := c.free(filepath.Base(rec.Path))
		if hasControl(name) {
			return nil, fmt.Errorf("picture %q: control characters in its name", rec.Path)
		}
		if err := c.place(rec, filepath.Join(folder, name)); err != nil {
			return nil, fmt.Errorf("picture %s: %w", rec.Path, err)
		}
		names[i] = name
		c.out.Pictures++
	}
	return names, nil
}

// free returns a name that no picture of the folder has, in any case of letters.
func (c *conversion) free(name string) string {
	ending := filepath.Ext(name)
	base := strings.TrimSuffix(name, ending)
	for n := 1; ; n++ {
		try := base
		if n > 1 {
			try = fmt.Sprintf("%s_%d", base, n)
		}
		key := try + ending
		if c.format == VOC || c.format == YOLO || c.format == WilDataYOLO { // whose label files have the picture's name without ending
			key = try
		}
		if key = strings.ToLower(key); !c.taken[key] {
			c.taken[key] = true
			return try + ending
		}
	}
}

// place copies or links one picture.
func (c *conversion) place(rec Record, name string) error {
	from, to := rec.source(), filepath.Join(c.dir, name)
	switch c.options.Pictures {
	case HardLinkPictures:
		return os.Link(from, to)
	case LinkPictures:
		target, err := filepath.Rel(filepath.Dir(filepath.Join(c.final, name)), mustAbs(from))
		if err != nil {
			target = mustAbs(from) // another drive
		}
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return c.create(name, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// create writes a new file of the dataset.
func (c *conversion) create(name string, fill func(io.Writer) error) error {
	path := filepath.Join(c.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = fill(f)
	return errors.Join(err, f.Close())
}

// objects are a picture's boxes as they are to be written. keeps says which of
// crowd, difficult, area and mask the format has a place for.
func (c *conversion) objects(rec Record, keeps ...string) []wildtrain.Object {
	out := slices.Clone(rec.Objects)
	for i := range out {
		o := &out[i]
		if c.options.Clip {
			o.Box = o.Box.Clip(rec.Width, rec.Height)
		}
		c.out.Boxes++
		if o.Crowd && !slices.Contains(keeps, "crowd") {
			c.out.LostCrowd++
		}
		if o.Difficult && !slices.Contains(keeps, "difficult") {
			c.out.LostDifficult++
		}
		if o.Area > 0 && !slices.Contains(keeps, "area") {
			c.out.LostAreas++
		}
		if o.Mask != nil && !slices.Contains(keeps, "mask") {
			c.out.LostMasks++
		}
	}
	return out
}
