package rle

import (
	"fmt"
	"math"
)

// Parse reads COCO's compressed form: every run in characters of five bits plus
// 48, low bits first, from the third run on as the difference to the run before
// the last one.
func Parse(height, width int, s string) (*Mask, error) {
	if err := checkSize(height, width); err != nil {
		return nil, err
	}
	runs := make([]uint32, 0, len(s))
	for p := 0; p < len(s); {
		x, shift, more := int64(0), 0, true
		for more {
			if p >= len(s) || shift > 35 {
				return nil, fmt.Errorf("rle: parse counts: run %d does not end", len(runs))
			}
			c := int64(s[p]) - 48
			if c < 0 || c > 63 {
				return nil, fmt.Errorf("rle: parse counts: character %q at %d is not in the alphabet", s[p], p)
			}
			x |= (c & 31) << shift
			more = c&32 != 0
			p++
			shift += 5
			if !more && c&16 != 0 {
				x |= -1 << shift
			}
		}
		if n := len(runs); n > 2 {
			x += int64(runs[n-2])
		}
		if x < 0 || x > math.MaxUint32 {
			return nil, fmt.Errorf("rle: parse counts: run %d has length %d", len(runs), x)
		}
		runs = append(runs, uint32(x))
	}
	return New(height, width, runs)
}

// String writes the compressed form that Parse reads.
func (m *Mask) String() string {
	var out []byte
	for i, r := range m.Runs {
		x := int64(r)
		if i > 2 {
			x -= int64(m.Runs[i-2])
		}
		for more := true; more; {
			c := x & 31
			x >>= 5
			if c&16 != 0 {
				more = x != -1
			} else {
				more = x != 0
			}
			if more {
				c |= 32
			}
			out = append(out, byte(c+48))
		}
	}
	return string(out)
}
