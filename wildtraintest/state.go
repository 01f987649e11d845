package wildtraintest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// TestState checks a State: names sorted and described, data written comes back
// bit by bit, wrong names and lengths are errors that change nothing. The state
// must hold at least one tensor; its content is put back at the end.
func TestState(t *testing.T, s wildtrain.State) {
	t.Helper()
	runChecks(t, stateChecks(s))
}

func stateChecks(s wildtrain.State) []check {
	return []check{
		{"names are sorted and unique", func(context.Context) error {
			names := s.Names()
			if len(names) == 0 {
				return fmt.Errorf("the state is empty")
			}
			for i := 1; i < len(names); i++ {
				if names[i-1] >= names[i] {
					return fmt.Errorf("%q comes before %q", names[i-1], names[i])
				}
			}
			return nil
		}},
		{"every name has an info of a known type", func(context.Context) error {
			for _, n := range s.Names() {
				info, ok := s.Info(n)
				if !ok || info.DType.Size() == 0 || info.Elements() < 0 {
					return fmt.Errorf("%q: info %+v, %v", n, info, ok)
				}
			}
			return nil
		}},
		{"reading twice gives the same", func(context.Context) error {
			return different(Diff(s, s))
		}},
		{"written data comes back", func(context.Context) error { return writtenComesBack(s) }},
		{"an unknown name is an error", func(context.Context) error {
			const n = "no such tensor"
			if _, ok := s.Info(n); ok {
				return fmt.Errorf("Info(%q) is ok", n)
			}
			if s.Read(n, nil) == nil || s.Write(n, nil) == nil {
				return fmt.Errorf("reading or writing %q is no error", n)
			}
			return nil
		}},
		{"a wrong length is an error that changes nothing", func(context.Context) error { return wrongLength(s) }},
	}
}

func different(diff string, err error) error {
	if err != nil {
		return err
	}
	if diff != "" {
		return fmt.Errorf("states differ: %s", diff)
	}
	return nil
}

func writtenComesBack(s wildtrain.State) error {
	saved, err := Copy(s)
	if err != nil {
		return err
	}
	want := &Tensors{}
	for i, n := range saved.Names() {
		info, _ := saved.Info(n)
		want.Add(n, info, Values(info, uint64(i)+1))
	}
	if err := Fill(s, want); err != nil {
		return err
	}
	// All are written before any is read, so that storages shared by mistake show.
	if err := different(Diff(s, want)); err != nil {
		return err
	}
	if err := Fill(s, saved); err != nil {
		return err
	}
	return different(Diff(s, saved))
}

func wrongLength(s wildtrain.State) error {
	before, err := Copy(s)
	if err != nil {
		return err
	}
	for _, n := range before.Names() {
		info, _ := before.Info(n)
		for _, size := range []int64{info.Bytes() + 1, info.Bytes() - 1} {
			if size < 0 {
				continue
			}
			buf := bytes.Repeat([]byte{1}, int(size))
			if s.Read(n, slices.Clone(buf)) == nil {
				return fmt.Errorf("read %q: %d bytes instead of %d is no error", n, size, info.Bytes())
			}
			if s.Write(n, buf) == nil {
				return fmt.Errorf("write %q: %d bytes instead of %d is no error", n, size, info.Bytes())
			}
		}
	}
	return different(Diff(s, before))
}

// Values returns random data for a tensor: finite floats around zero, small
// integers, booleans of 0 and 1. The same seed gives the same bytes.
func Values(info wildtrain.Info, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0x57494c44))
	var b []byte
	for range info.Elements() {
		switch x := r.NormFloat64(); info.DType {
		case wildtrain.Float32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
		case wildtrain.Float64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		case wildtrain.Float16: // sign, exponent 1…30, fraction: always normal
			b = binary.LittleEndian.AppendUint16(b, uint16(r.UintN(2)<<15|(1+r.UintN(30))<<10|r.UintN(1024)))
		case wildtrain.BFloat16:
			b = binary.LittleEndian.AppendUint16(b, uint16(math.Float32bits(float32(x))>>16))
		case wildtrain.Bool:
			b = append(b, byte(r.UintN(2)))
		default: // integers, little-endian two's complement
			b = append(b, binary.LittleEndian.AppendUint64(nil, uint64(r.Int64N(100)))[:info.DType.Size()]...)
		}
	}
	return b
}
