package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/wildtrain/sdk/wildtrain"
)

// maxHeader is the largest header that the safetensors format allows, in bytes.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// parseSafetensors reads the header and checks it against the file: every
// tensor's length is that of its type and shape, and together they tile the
// data without holes or overlaps (github.com/huggingface/safetensors, "Format").
func (f *File) parseSafetensors(data []byte) error {
	if len(data) < 8 {
		return errors.New("neither safetensors nor a PyTorch file: too short")
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return fmt.Errorf("neither safetensors nor a PyTorch file, or its header is damaged: header of %d bytes, at most %d are allowed", n, maxHeader)
	}
	if n > uint64(len(data)-8) {
		return fmt.Errorf("the file is cut short: its header has %d bytes, of which %d are there", n, len(data)-8)
	}
	header, body := data[8:8+n], data[8+n:]
	if n == 0 || header[0] != '{' || !utf8.Valid(header) {
		return errors.New("neither safetensors nor a PyTorch file, or its header is damaged")
	}
	spans, err := f.parseHeader(header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	return f.placeSpans(spans, body)
}

// span is where the header says a tensor's data is.
type span struct {
	name       string
	info       wildtrain.Info
	begin, end int64
}

// placeSpans checks that the spans tile the body and makes entries of them.
func (f *File) placeSpans(spans []span, body []byte) error {
	slices.SortFunc(spans, func(a, b span) int {
		if a.begin != b.begin {
			return cmpInt(a.begin, b.begin)
		}
		return cmpInt(a.end, b.end)
	})
	at := int64(0)
	for _, s := range spans {
		switch {
		case s.begin < at:
			return fmt.Errorf("tensor %q begins at %d, inside the one before it, which ends at %d", s.name, s.begin, at)
		case s.begin > at:
			return fmt.Errorf("tensor %q begins at %d, but the one before it ends at %d: bytes that belong to no tensor", s.name, s.begin, at)
		case s.end > int64(len(body)):
			return fmt.Errorf("the file is cut short: tensor %q ends at byte %d of the data, of which %d are there", s.name, s.end, len(body))
		}
		at = s.end
		f.entries[s.name] = &entry{info: s.info, storage: &storage{data: body[s.begin:s.end:s.end]}}
	}
	if at != int64(len(body)) {
		return fmt.Errorf("%d bytes after the last tensor belong to none", int64(len(body))-at)
	}
	return nil
}

func cmpInt(a, b int64) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

// parseHeader walks the JSON by token, because a name that comes twice must be seen.
func (f *File) parseHeader(header []byte) ([]span, error) {
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	if _, err := d.Token(); err != nil { // the brace
		return nil, err
	}
	var spans []span
	seen := map[string]bool{}
	for d.More() {
		name, err := stringToken(d)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("tensor %q occurs twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := f.parseMetadata(d); err != nil {
				return nil, fmt.Errorf("%s: %w", metadataKey, err)
			}
			continue
		}
		s, err := parseSpan(d, name)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		spans = append(spans, s)
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the closing brace")
	}
	return spans, nil
}

func (f *File) parseMetadata(d *json.Decoder) error {
	return object(d, func(key string) error {
		value, err := stringToken(d)
		f.metadata[key] = value
		return err
	})
}

// parseSpan reads one {"dtype": …, "shape": […], "data_offsets": […]}.
func parseSpan(d *json.Decoder, name string) (span, error) {
	s := span{name: name}
	var dtype string
	var shape, offsets []int64
	err := object(d, func(key string) (err error) {
		switch key {
		case "dtype":
			dtype, err = stringToken(d)
		case "shape":
			shape, err = intsToken(d)
		case "data_offsets":
			offsets, err = intsToken(d)
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	var ok bool
	if s.info.DType, ok = dtypeOfSafetensors(dtype); !ok {
		return s, fmt.Errorf("data type %q is not supported", dtype)
	}
	if shape == nil || len(offsets) != 2 {
		return s, errors.New("shape or data_offsets is missing or has the wrong length")
	}
	s.info.Shape, s.begin, s.end = shape, offsets[0], offsets[1]
	size, err := byteSize(s.info)
	if err != nil {
		return s, err
	}
	if s.end < s.begin || s.end-s.begin != size {
		return s, fmt.Errorf("%s of shape %v has %d bytes, but its offsets are %d to %d", s.info.DType, shape, size, s.begin, s.end)
	}
	return s, nil
}

// object calls field for every key of a JSON object; field must consume the value.
func object(d *json.Decoder, field func(key string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(fmt.Errorf("got %v where an object was expected", t), err)
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := stringToken(d)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %q occurs twice", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func stringToken(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("got %v where a string was expected", t)
	}
	return s, nil
}

// intsToken reads an array of integers from 0 to 2⁶³−1; never nil without an error.
func intsToken(d *json.Decoder) ([]int64, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.Join(fmt.Errorf("got %v where an array was expected", t), err)
	}
	out := []int64{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		number, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("got %v where a number was expected", t)
		}
		v, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil || v > math.MaxInt64 {
			return nil, fmt.Errorf("number %s is not an integer from 0 to %d", number, int64(math.MaxInt64))
		}
		out = append(out, int64(v))
	}
	_, err := d.Token()
	return out, err
}
