package imageio

import (
	"bytes"
	"encoding/binary"
)

// orientationTag is EXIF's, in the first directory of a TIFF structure.
const orientationTag = 0x0112

// tiffOrientation finds the orientation in a TIFF structure (a TIFF file or the
// body of an EXIF block), 1 where there is none.
func tiffOrientation(data []byte) int {
	if len(data) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	at := uint64(order.Uint32(data[4:]))
	if at+2 > uint64(len(data)) {
		return 1
	}
	entries := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == orientationTag {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// exifOrientation reads the payload of a JPEG APP1 segment.
func exifOrientation(payload []byte) int {
	if body, ok := bytes.CutPrefix(payload, []byte("Exif\x00\x00")); ok {
		return tiffOrientation(body)
	}
	return 1
}

// pngOrientation reads the eXIf chunk where it stands before the pixels.
func pngOrientation(data []byte) int { return tiffOrientation(pngExif(data)) }

// pngExif is the content of the eXIf chunk, where it stands before the pixels.
func pngExif(data []byte) []byte {
	for at := 8; at+12 <= len(data); {
		n := uint64(binary.BigEndian.Uint32(data[at:]))
		kind := string(data[at+4 : at+8])
		if kind == "IDAT" || n > uint64(len(data)-at-12) {
			return nil
		}
		if kind == "eXIf" {
			return data[at+8 : at+8+int(n)]
		}
		at += 12 + int(n)
	}
	return nil
}

// webpOrientation reads the EXIF chunk of an extended WebP file.
func webpOrientation(data []byte) int { return tiffOrientation(webpExif(data)) }

// webpExif is the content of the EXIF chunk of an extended WebP file.
func webpExif(data []byte) []byte {
	for at := 12; at+8 <= len(data); {
		n := uint64(binary.LittleEndian.Uint32(data[at+4:]))
		if n > uint64(len(data)-at-8) {
			return nil
		}
		if string(data[at:at+4]) == "EXIF" {
			body := data[at+8 : at+8+int(n)]
			if inner, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok {
				body = inner
			}
			return body
		}
		at += 8 + int(n+n&1)
	}
	return nil
}
