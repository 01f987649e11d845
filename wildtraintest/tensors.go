package wildtraintest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Tensors is a wildtrain.State in memory. The zero value is empty and ready.
type Tensors struct {
	infos map[string]wildtrain.Info
	data  map[string][]byte
}

// Add puts a tensor in, or replaces it; data has info.Bytes() bytes and is
// kept, not copied. It panics where the length is wrong: that is a mistake in the test.
func (t *Tensors) Add(name string, info wildtrain.Info, data []byte) {
	if int64(len(data)) != info.Bytes() {
		panic(fmt.Sprintf("wildtraintest: add tensor %q: %d bytes, want %d", name, len(data), info.Bytes()))
	}
	if t.infos == nil {
		t.infos, t.data = map[string]wildtrain.Info{}, map[string][]byte{}
	}
	t.infos[name], t.data[name] = info, data
}

// AddFloat32 puts a float32 tensor in.
func (t *Tensors) AddFloat32(name string, shape []int64, values ...float32) {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	t.Add(name, wildtrain.Info{DType: wildtrain.Float32, Shape: shape}, data)
}

// Names implements wildtrain.State.
func (t *Tensors) Names() []string {
	names := make([]string, 0, len(t.infos))
	for n := range t.infos {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Info implements wildtrain.State.
func (t *Tensors) Info(name string) (wildtrain.Info, bool) {
	info, ok := t.infos[name]
	return info, ok
}

// Read implements wildtrain.State.
func (t *Tensors) Read(name string, dst []byte) error {
	src, err := t.get("read", name, len(dst))
	if err == nil {
		copy(dst, src)
	}
	return err
}

// Write implements wildtrain.State.
func (t *Tensors) Write(name string, src []byte) error {
	dst, err := t.get("write", name, len(src))
	if err == nil {
		copy(dst, src)
	}
	return err
}

// Floats returns the values of a tensor as float64, nil where there is none.
func (t *Tensors) Floats(name string) []float64 {
	info, data := t.infos[name], t.data[name]
	out := make([]float64, 0, info.Elements())
	for size := info.DType.Size(); len(data) >= size && size > 0; data = data[size:] {
		out = append(out, decode(info.DType, data))
	}
	return out
}

// decode reads the first value of little-endian data.
func decode(d wildtrain.DType, b []byte) float64 {
	switch d {
	case wildtrain.Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case wildtrain.Float64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case wildtrain.BFloat16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
	case wildtrain.Float16:
		return float16(binary.LittleEndian.Uint16(b))
	case wildtrain.Int64:
		return float64(int64(binary.LittleEndian.Uint64(b)))
	case wildtrain.Int32:
		return float64(int32(binary.LittleEndian.Uint32(b)))
	case wildtrain.Int16:
		return float64(int16(binary.LittleEndian.Uint16(b)))
	case wildtrain.Int8:
		return float64(int8(b[0]))
	default:
		return float64(b[0])
	}
}

// float16 decodes IEEE 754 binary16.
func float16(h uint16) float64 {
	sign, exponent, fraction := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return sign * math.Inf(1)
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

func (t *Tensors) get(verb, name string, n int) ([]byte, error) {
	data, ok := t.data[name]
	if !ok {
		return nil, fmt.Errorf("wildtraintest: %s tensor %q: no such name", verb, name)
	}
	if len(data) != n {
		return nil, fmt.Errorf("wildtraintest: %s tensor %q: buffer of %d bytes, want %d", verb, name, n, len(data))
	}
	return data, nil
}

// Copy reads a whole State into memory; nil gives nil.
func Copy(s wildtrain.State) (*Tensors, error) {
	if s == nil {
		return nil, nil
	}
	out := &Tensors{}
	for _, name := range s.Names() {
		info, ok := s.Info(name)
		if !ok {
			return nil, fmt.Errorf("wildtraintest: copy state: %q has a name but no info", name)
		}
		data := make([]byte, info.Bytes())
		if err := s.Read(name, data); err != nil {
			return nil, err
		}
		out.Add(name, info, data)
	}
	return out, nil
}

// Fill writes every tensor of src to dst, which must hold the same names, types and shapes.
func Fill(dst, src wildtrain.State) error {
	if !slices.Equal(dst.Names(), src.Names()) {
		return fmt.Errorf("wildtraintest: fill state: names %q, want %q", src.Names(), dst.Names())
	}
	for _, name := range src.Names() {
		from, _ := src.Info(name)
		if to, _ := dst.Info(name); to.DType != from.DType || !slices.Equal(to.Shape, from.Shape) {
			return fmt.Errorf("wildtraintest: fill state: %q is %v %v, want %v %v", name, from.DType, from.Shape, to.DType, to.Shape)
		}
		data := make([]byte, from.Bytes())
		if err := src.Read(name, data); err != nil {
			return err
		}
		if err := dst.Write(name, data); err != nil {
			return err
		}
	}
	return nil
}

// Diff names the first difference between two states, bit by bit; "" where there is none.
func Diff(a, b wildtrain.State) (string, error) {
	x, err := Copy(a)
	if err != nil {
		return "", err
	}
	y, err := Copy(b)
	if err != nil {
		return "", err
	}
	if x == nil || y == nil {
		if x == y {
			return "", nil
		}
		return "one of the two is nil", nil
	}
	if !slices.Equal(x.Names(), y.Names()) {
		return fmt.Sprintf("names %q and %q", x.Names(), y.Names()), nil
	}
	for _, n := range x.Names() {
		p, q := x.infos[n], y.infos[n]
		if p.DType != q.DType || !slices.Equal(p.Shape, q.Shape) {
			return fmt.Sprintf("%q is %v %v and %v %v", n, p.DType, p.Shape, q.DType, q.Shape), nil
		}
		if !bytes.Equal(x.data[n], y.data[n]) {
			return fmt.Sprintf("%q differs in its data", n), nil
		}
	}
	return "", nil
}
