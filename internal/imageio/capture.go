package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"
)

// Capture is what EXIF tells of when and where a picture was taken.
type Capture struct {
	Time                time.Time // by the camera's clock, as if in UTC; the zero Time where it is not told
	Placed              bool      // Latitude and Longitude are told
	Latitude, Longitude float64   // degrees, north and east positive
}

// EXIF's tags (CIPA DC-008) for directories, times and the position.
const (
	dateTimeTag         = 0x0132
	exifDirectory       = 0x8769
	gpsDirectory        = 0x8825
	dateTimeOriginalTag = 0x9003
)

// ReadCapture reads when and where a picture was taken from the beginning of its
// file. A picture without EXIF has the zero Capture.
func ReadCapture(head []byte) Capture { return capture(exifBlock(head)) }

// ReadCaptureFile reads when and where the picture in a file was taken.
func ReadCaptureFile(path string) (Capture, error) {
	f, err := os.Open(path)
	if err != nil {
		return Capture{}, err
	}
	defer f.Close()
	head := make([]byte, headBytes)
	n, err := f.ReadAt(head, 0)
	if n == 0 && err != nil {
		return Capture{}, fmt.Errorf("%s: %w", path, ErrFormat)
	}
	return ReadCapture(head[:n]), nil
}

// exifBlock finds the TIFF structure that holds a picture's EXIF, nil where
// there is none in the beginning of a file.
func exifBlock(data []byte) []byte {
	switch sniff(data) {
	case "tiff":
		return data
	case "png":
		return pngExif(data)
	case "webp":
		return webpExif(data)
	case "jpeg":
		for at := 2; at+4 <= len(data) && data[at] == 0xff && data[at+1] != 0xda; {
			n := int(binary.BigEndian.Uint16(data[at+2:]))
			if n < 2 || at+2+n > len(data) {
				return nil
			}
			if body, ok := bytes.CutPrefix(data[at+4:at+2+n], []byte("Exif\x00\x00")); ok && data[at+1] == 0xe1 {
				return body
			}
			at += 2 + n
		}
	}
	return nil
}

// exifReader reads directories of a TIFF structure.
type exifReader struct {
	data  []byte
	order binary.ByteOrder
}

// exifEntry is one value of a directory.
type exifEntry struct {
	kind  uint16
	count uint32
	value []byte // as it stands in the file
}

// directory reads the entries of the directory at an offset; what does not lie
// within the data is left out.
func (r exifReader) directory(at uint32) map[uint16]exifEntry {
	out := map[uint16]exifEntry{}
	if uint64(at)+2 > uint64(len(r.data)) {
		return out
	}
	entries := r.data[at+2:]
	for range r.order.Uint16(r.data[at:]) {
		if len(entries) < 12 {
			break
		}
		e := exifEntry{kind: r.order.Uint16(entries[2:]), count: r.order.Uint32(entries[4:]), value: entries[8:12]}
		sizes := [...]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
		if int(e.kind) < len(sizes) {
			if n := sizes[e.kind] * uint64(e.count); n > 4 {
				from := uint64(r.order.Uint32(entries[8:]))
				if from+n <= uint64(len(r.data)) {
					e.value = r.data[from : from+n]
					out[r.order.Uint16(entries)] = e
				}
			} else {
				out[r.order.Uint16(entries)] = e
			}
		}
		entries = entries[12:]
	}
	return out
}

// below reads the directory that an entry of another one points to.
func (r exifReader) below(dir map[uint16]exifEntry, tag uint16) map[uint16]exifEntry {
	if e, ok := dir[tag]; ok && e.kind == 4 && e.count == 1 {
		return r.directory(r.order.Uint32(e.value))
	}
	return nil
}

func capture(data []byte) Capture {
	var c Capture
	if len(data) < 8 {
		return c
	}
	r := exifReader{data, binary.LittleEndian}
	if data[0] == 'M' {
		r.order = binary.BigEndian
	}
	dir := r.directory(r.order.Uint32(data[4:]))
	for _, e := range []exifEntry{r.below(dir, exifDirectory)[dateTimeOriginalTag], dir[dateTimeTag]} {
		t, err := time.Parse("2006:01:02 15:04:05", string(bytes.TrimRight(e.value, "\x00 ")))
		if err == nil {
			c.Time = t
			break
		}
	}
	gps := r.below(dir, gpsDirectory)
	lat, north := r.angle(gps[2], gps[1], 'N', 'S', 90)
	lon, east := r.angle(gps[4], gps[3], 'E', 'W', 180)
	if north && east {
		c.Placed, c.Latitude, c.Longitude = true, lat, lon
	}
	return c
}

// angle reads degrees, minutes and seconds with their side of the globe.
func (r exifReader) angle(e, side exifEntry, positive, negative byte, most float64) (float64, bool) {
	if e.kind != 5 || e.count != 3 || len(side.value) == 0 {
		return 0, false
	}
	sum, unit := 0.0, 1.0
	for p := e.value; len(p) >= 8; p = p[8:] {
		if below := r.order.Uint32(p[4:]); below != 0 {
			sum += float64(r.order.Uint32(p)) / float64(below) / unit
		} else if unit == 1 {
			return 0, false // 0/0: a receiver without a fix
		}
		unit *= 60
	}
	switch side.value[0] {
	case positive:
	case negative:
		sum = -sum
	default:
		return 0, false
	}
	return sum, math.Abs(sum) <= most
}
