package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/wildtrain/sdk/internal/rle"
)

// Limits bounds what is read of a file that nobody vouches for.
type Limits struct {
	Bytes   int64 // of one file
	Entries int   // images, annotations or detections, each
}

// DefaultLimits is generous: 4 GiB and 50 million entries.
func DefaultLimits() Limits { return Limits{4 << 30, 50_000_000} }

// ident is an id that files write as a whole number or as a string.
type ident string

// UnmarshalJSON implements json.Unmarshaler.
func (i *ident) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*i = ident(s)
		return nil
	}
	if _, err := strconv.ParseInt(string(b), 10, 64); err != nil {
		return fmt.Errorf("id %s is neither a whole number nor a string", clip(b))
	}
	*i = ident(b)
	return nil
}

// flag is 0, 1, false or true.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "0", "false", "0.0", "null":
		*f = false
	case "1", "true", "1.0":
		*f = true
	default:
		return fmt.Errorf("iscrowd or ignore is %s, want 0 or 1", clip(b))
	}
	return nil
}

// clip shortens what an error quotes.
func clip(b []byte) string {
	if len(b) > 40 {
		return string(b[:40]) + "…"
	}
	return string(b)
}

// cocoImage, cocoClass and cocoObject are entries of COCO files. Other keys are
// left alone: COCO has many.
type cocoImage struct {
	ID            *ident `json:"id"`
	FileName      string `json:"file_name"`
	Width, Height int
	Negative      []ident `json:"neg_category_ids"`            // of LVIS
	Partial       []ident `json:"not_exhaustive_category_ids"` // of LVIS

	groupBy, group string
}

// UnmarshalJSON implements json.Unmarshaler: it reads the group under the key
// that groupBy names, too.
func (e *cocoImage) UnmarshalJSON(b []byte) error {
	type plain cocoImage
	if err := json.Unmarshal(b, (*plain)(e)); err != nil {
		return err
	}
	if e.groupBy == "" {
		return nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	raw, ok := all[e.groupBy]
	if !ok {
		return fmt.Errorf("it has no key %q to group by", e.groupBy)
	}
	var name ident
	if err := name.UnmarshalJSON(raw); err != nil {
		return fmt.Errorf("%s: %w", e.groupBy, err)
	}
	e.group = string(name)
	return nil
}

type cocoClass struct {
	ID        *ident `json:"id"`
	Name      string `json:"name"`
	Frequency string `json:"frequency"` // of LVIS
}

type cocoObject struct {
	ID           *ident          `json:"id"`
	ImageID      *ident          `json:"image_id"`
	CategoryID   *ident          `json:"category_id"`
	BBox         []float64       `json:"bbox"`
	Area         *float64        `json:"area"`
	IsCrowd      flag            `json:"iscrowd"`
	Ignore       flag            `json:"ignore"` // of LVIS; COCO's tools put iscrowd in its place
	Score        *float64        `json:"score"`
	Segmentation json.RawMessage `json:"segmentation"`
}

// reset keeps the memory of the box for the next entry.
func (o *cocoObject) reset() { *o = cocoObject{BBox: o.BBox[:0]} }

// errLimit tells that a file is larger than allowed.
var errLimit = errors.New("the file is larger than the limit")

// limited is a reader that fails, rather than ends, at its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLimit
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}

func newDecoder(r io.Reader, lim Limits) *json.Decoder {
	return json.NewDecoder(&limited{r, lim.Bytes + 1})
}

// list reads an array, calling fn after each entry was decoded into entry.
func list(d *json.Decoder, name string, lim Limits, entry any, reset func(), fn func(i int) error) error {
	if err := delim(d, '['); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	i := 0
	for ; d.More(); i++ {
		if i >= lim.Entries {
			return fmt.Errorf("%s: more than %d entries", name, lim.Entries)
		}
		reset()
		if err := d.Decode(entry); err != nil {
			return fmt.Errorf("%s[%d]: %w", name, i, err)
		}
		if err := fn(i); err != nil {
			return fmt.Errorf("%s[%d]: %w", name, i, err)
		}
	}
	if err := delim(d, ']'); err != nil {
		return fmt.Errorf("%s[%d]: %w", name, i, err)
	}
	return nil
}

func delim(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == io.EOF {
		return fmt.Errorf("the file ends where %q should stand", want)
	}
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("found %v, want %q", t, want)
	}
	return nil
}

// ending checks that nothing follows the document.
func ending(d *json.Decoder) error {
	if t, err := d.Token(); err != io.EOF {
		if err != nil {
			return err
		}
		return fmt.Errorf("found %v after the end of the document", t)
	}
	return nil
}

// box checks a COCO bbox: x, y, width, height.
func (o *cocoObject) box() (item, error) {
	if len(o.BBox) != 4 {
		return item{}, fmt.Errorf("bbox has %d numbers, want 4", len(o.BBox))
	}
	if !finite(o.BBox...) {
		return item{}, fmt.Errorf("bbox %v is not finite", o.BBox)
	}
	return boxItem(o.BBox[0], o.BBox[1], o.BBox[2], o.BBox[3]), nil
}

// parseMask reads a segmentation: polygons, or runs as a list or a string. A
// size that is stated beside runs must be there; polygons take the image's.
func parseMask(raw json.RawMessage, height, width int) (*rle.Mask, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" || string(raw) == "[]" {
		return nil, errors.New("it has no segmentation")
	}
	if raw[0] == '[' {
		var polygons [][]float64
		if err := json.Unmarshal(raw, &polygons); err != nil {
			return nil, fmt.Errorf("segmentation: %w", err)
		}
		masks := make([]*rle.Mask, len(polygons))
		for i, p := range polygons {
			m, err := rle.Polygon(height, width, p)
			if err != nil {
				return nil, fmt.Errorf("segmentation[%d]: %w", i, err)
			}
			masks[i] = m
		}
		return rle.Merge(masks)
	}
	var runs struct {
		Size   []int
		Counts json.RawMessage
	}
	if err := json.Unmarshal(raw, &runs); err != nil {
		return nil, fmt.Errorf("segmentation: %w", err)
	}
	if len(runs.Size) != 2 {
		return nil, fmt.Errorf("segmentation: size has %d numbers, want 2", len(runs.Size))
	}
	if c := bytes.TrimSpace(runs.Counts); len(c) > 0 && c[0] == '"' {
		var s string
		if err := json.Unmarshal(c, &s); err != nil {
			return nil, fmt.Errorf("segmentation: %w", err)
		}
		return rle.Parse(runs.Size[0], runs.Size[1], s)
	}
	var counts []uint32
	if err := json.Unmarshal(runs.Counts, &counts); err != nil {
		return nil, fmt.Errorf("segmentation: counts: %w", err)
	}
	return rle.New(runs.Size[0], runs.Size[1], counts)
}
