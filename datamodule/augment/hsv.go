package augment

import "math"

// hsvTables are OpenCV's for 8-bit RGB to HSV: hue in [0, 180), saturation and
// value in [0, 255], 12-bit fixed-point reciprocals.
type hsvTables struct{ saturation, hue [256]int32 }

const hsvBits = 12

var reciprocals = newHSVTables()

func newHSVTables() *hsvTables {
	t := &hsvTables{}
	for i := 1; i < 256; i++ {
		t.saturation[i] = int32(math.RoundToEven(255 << hsvBits / float64(i)))
		t.hue[i] = int32(math.RoundToEven(180 << hsvBits / (6 * float64(i))))
	}
	return t
}

// sector tells how a hue is put together again: which sixth of the circle it
// lies in, and how far, in thirtieths.
type sector struct{ sixth, part uint32 }

// HSV turns the hue by a share of the circle and multiplies saturation and
// value, on interleaved RGB, with the 8-bit steps that cv2.cvtColor and cv2.LUT
// take. (0, 1, 1) leaves the pixels as they are.
func HSV(pix []byte, hue, saturation, value float64) {
	if hue == 0 && saturation == 1 && value == 1 {
		return
	}
	var turn [181]sector
	for i := range turn {
		h := ((int(math.RoundToEven(float64(i)+hue*180)) % 180) + 180) % 180
		turn[i] = sector{uint32(h / 30), uint32(h % 30)}
	}
	var sat, val [256]uint32
	for i := range sat {
		sat[i] = uint32(min(max(math.Floor(float64(i)*saturation), 0), 255))
		val[i] = uint32(min(max(math.Floor(float64(i)*value), 0), 255))
	}
	t := reciprocals
	for i := 0; i+2 < len(pix); i += 3 {
		p := pix[i : i+3 : i+3]
		r, g, b := int32(p[0]), int32(p[1]), int32(p[2])
		top := max(r, g, b)
		diff := top - min(r, g, b)
		var h int32
		switch top {
		case r:
			h = g - b
		case g:
			h = b - r + 2*diff
		default:
			h = r - g + 4*diff
		}
		h = (h*t.hue[uint8(diff)] + 1<<(hsvBits-1)) >> hsvBits
		if h < 0 {
			h += 180
		}
		s := sat[uint8((diff*t.saturation[uint8(top)]+1<<(hsvBits-1))>>hsvBits)]
		v := val[uint8(top)]
		sec := turn[uint8(h)]
		// v·s/255, v·s·part/(255·30): how much darker the other two channels are.
		vs := v * s
		low := uint8(v - (vs*257+32896)>>16)
		var mid uint8
		if sec.sixth&1 == 0 {
			mid = uint8(v - div7650(vs*(30-sec.part)))
		} else {
			mid = uint8(v - div7650(vs*sec.part))
		}
		hi := uint8(v)
		switch sec.sixth {
		case 0:
			p[0], p[1], p[2] = hi, mid, low
		case 1:
			p[0], p[1], p[2] = mid, hi, low
		case 2:
			p[0], p[1], p[2] = low, hi, mid
		case 3:
			p[0], p[1], p[2] = low, mid, hi
		case 4:
			p[0], p[1], p[2] = mid, low, hi
		default:
			p[0], p[1], p[2] = hi, low, mid
		}
	}
}

// div7650 is x/7650 to the nearest, for x up to 255·255·30.
func div7650(x uint32) uint32 { return uint32((uint64(x) + 3825) * 561431 >> 32) }
