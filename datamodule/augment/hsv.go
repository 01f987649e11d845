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

// gainBits are the fractional bits of factors.
const gainBits = 16

// hsvChange is a change of colour in the units of OpenCV's 8-bit HSV.
type hsvChange struct {
	turn              int32 // added to the hue, 0 to 179
	saturation, value int32 // factors
}

// HSV turns the hue by a share of the circle and multiplies saturation and
// value, on interleaved RGB, with the 8-bit steps that cv2.cvtColor and cv2.LUT
// take. Factors go up to 100. (0, 1, 1) leaves the pixels as they are.
func HSV(pix []byte, hue, saturation, value float64) {
	if hue == 0 && saturation == 1 && value == 1 {
		return
	}
	gain := func(v float64) int32 { return int32(math.Ceil(min(max(v, 0), 100) * (1 << gainBits))) }
	c := hsvChange{
		turn:       int32(((int(math.RoundToEven(hue*180)) % 180) + 180) % 180),
		saturation: gain(saturation), value: gain(value),
	}
	c.apply(pix[hsvVectors(pix, c):])
}

// apply changes pixels one by one.
func (c hsvChange) apply(pix []byte) {
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
		h = (h*t.hue[uint8(diff)]+1<<(hsvBits-1))>>hsvBits + c.turn
		if h < 0 {
			h += 180
		}
		if h >= 180 {
			h -= 180
		}
		s := uint32(min((diff*t.saturation[uint8(top)]+1<<(hsvBits-1))>>hsvBits*c.saturation>>gainBits, 255))
		v := uint32(min(top*c.value>>gainBits, 255))
		sixth := uint32(h) * 2185 >> 16
		part := uint32(h) - 30*sixth
		if sixth&1 == 0 {
			part = 30 - part
		}
		// v·s/255, v·s·part/(255·30): how much darker the other two channels are.
		low, mid, high := uint8(v-(v*s*257+32896)>>16), uint8(v-(v*s*part+3825)/7650), uint8(v)
		switch sixth {
		case 0:
			p[0], p[1], p[2] = high, mid, low
		case 1:
			p[0], p[1], p[2] = mid, high, low
		case 2:
			p[0], p[1], p[2] = low, high, mid
		case 3:
			p[0], p[1], p[2] = low, mid, high
		case 4:
			p[0], p[1], p[2] = mid, low, high
		default:
			p[0], p[1], p[2] = high, low, mid
		}
	}
}
