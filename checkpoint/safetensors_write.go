package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/wildtrain/sdk/wildtrain"
)

// Tensor is a named tensor in memory.
type Tensor struct {
	Name  string
	DType wildtrain.DType
	Shape []int64
	Data  []byte // little-endian, contiguous, row-major
}

// Tensors makes a State of tensors in memory. A name that comes twice, or data
// whose length is not that of type and shape, is an error.
func Tensors(list ...Tensor) (wildtrain.State, error) {
	m := &memory{tensors: map[string]Tensor{}}
	for _, t := range list {
		size, err := byteSize(wildtrain.Info{DType: t.DType, Shape: t.Shape})
		if err != nil {
			return nil, fmt.Errorf("checkpoint: make state: tensor %q: %w", t.Name, err)
		}
		if size != int64(len(t.Data)) {
			return nil, fmt.Errorf("checkpoint: make state: tensor %q: %d bytes of data, %v of shape %v has %d", t.Name, len(t.Data), t.DType, t.Shape, size)
		}
		if _, ok := m.tensors[t.Name]; ok {
			return nil, fmt.Errorf("checkpoint: make state: tensor %q occurs twice", t.Name)
		}
		m.tensors[t.Name] = t
	}
	return m, nil
}

// memory is a State of tensors in memory.
type memory struct{ tensors map[string]Tensor }

func (m *memory) Names() []string { return slices.Sorted(maps.Keys(m.tensors)) }

func (m *memory) Info(name string) (wildtrain.Info, bool) {
	t, ok := m.tensors[name]
	return wildtrain.Info{DType: t.DType, Shape: t.Shape}, ok
}

func (m *memory) Read(name string, dst []byte) error { return m.copy(name, dst, false) }

func (m *memory) Write(name string, src []byte) error { return m.copy(name, src, true) }

func (m *memory) copy(name string, buf []byte, in bool) error {
	t, ok := m.tensors[name]
	if !ok {
		return fmt.Errorf("checkpoint: tensor %q: there is no such tensor", name)
	}
	if len(buf) != len(t.Data) {
		return fmt.Errorf("checkpoint: tensor %q: buffer of %d bytes for %d", name, len(buf), len(t.Data))
	}
	if in {
		copy(t.Data, buf)
	} else {
		copy(buf, t.Data)
	}
	return nil
}

// WriteSafetensors writes a State with string metadata (nil for none), one
// tensor in memory at a time. The order is the format's usual one, large
// element types first and names sorted, which aligns every tensor to its type.
func WriteSafetensors(w io.Writer, s wildtrain.State, metadata map[string]string) error {
	order, err := layout(s)
	if err != nil {
		return fmt.Errorf("checkpoint: write safetensors: %w", err)
	}
	header, err := safetensorsHeader(order, metadata)
	if err != nil {
		return fmt.Errorf("checkpoint: write safetensors: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("checkpoint: write safetensors: %w", err)
	}
	if err := writeData(w, s, order); err != nil {
		return fmt.Errorf("checkpoint: write safetensors: %w", err)
	}
	return nil
}

// layout lists a State's tensors with their places in the file.
func layout(s wildtrain.State) ([]span, error) {
	var spans []span
	seen := map[string]bool{}
	for _, name := range s.Names() {
		info, ok := s.Info(name)
		if !ok {
			return nil, fmt.Errorf("tensor %q: the state names it but does not know it", name)
		}
		size, err := byteSize(info)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if name == metadataKey || seen[name] || !utf8.ValidString(name) {
			return nil, fmt.Errorf("tensor %q: the name is reserved, not UTF-8, or occurs twice", name)
		}
		seen[name] = true
		spans = append(spans, span{name: name, info: info, end: size})
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(b.info.DType.Size(), a.info.DType.Size()), cmp.Compare(a.name, b.name))
	})
	at := int64(0)
	for i := range spans {
		spans[i].begin, at = at, at+spans[i].end
		spans[i].end = at
	}
	return spans, nil
}

// safetensorsHeader returns length and JSON, padded with spaces to 8 bytes.
func safetensorsHeader(order []span, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	if len(metadata) > 0 {
		text, err := json.Marshal(metadata)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s,", metadataKey, text)
	}
	for _, s := range order {
		name, err := json.Marshal(s.name)
		if err != nil {
			return nil, err
		}
		shape, err := json.Marshal(append([]int64{}, s.info.Shape...))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]},`, name, dtypeNames[s.info.DType].safetensors, shape, s.begin, s.end)
	}
	if b.Bytes()[b.Len()-1] == ',' {
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, errors.New("the header is larger than the format allows")
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

// writeData streams the tensors through one buffer.
func writeData(w io.Writer, s wildtrain.State, order []span) error {
	var buf []byte
	for _, t := range order {
		n := int(t.end - t.begin)
		buf = slices.Grow(buf[:0], n)[:n]
		if err := s.Read(t.name, buf); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
