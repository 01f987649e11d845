package checkpoint

import (
	"archive/zip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// ptAlignment is where PyTorch puts the data of entries, so that it can map them.
const ptAlignment = 64

// ptFolder is the folder inside the archive.
const ptFolder = "archive"

// WriteTorch writes a State in PyTorch's zip format, as an OrderedDict of
// contiguous CPU tensors which torch.load(weights_only=True) opens. key nests
// it: "model" gives {"model": state_dict}, "" the bare state dict. extra adds
// entries beside it, of types string, bool, int, int64 and float64; they need a key.
// metadata lies in a file of the archive that PyTorch does not look at, as TorchScript's
// extra files do, and that Open reads again; nil for none.
func WriteTorch(w io.Writer, s wildtrain.State, key string, extra map[string]any, metadata map[string]string) error {
	if err := writeTorch(w, s, key, extra, metadata); err != nil {
		return fmt.Errorf("checkpoint: write torch file: %w", err)
	}
	return nil
}

// ptMetadata is the entry of the metadata.
const ptMetadata = "extra/metadata.json"

func writeTorch(w io.Writer, s wildtrain.State, key string, extra map[string]any, metadata map[string]string) error {
	order, err := layout(s)
	if err != nil {
		return err
	}
	code, err := stateDictPickle(order, key, extra)
	if err != nil {
		return err
	}
	out := &counter{w: w}
	a := &ptArchive{zip: zip.NewWriter(out), out: out}
	a.entry("data.pkl", code)
	a.entry(".format_version", []byte("1"))
	a.entry(".storage_alignment", fmt.Append(nil, ptAlignment))
	a.entry("byteorder", []byte("little"))
	var buf []byte
	for i, t := range order {
		n := int(t.end - t.begin)
		buf = slices.Grow(buf[:0], n)[:n]
		if err := s.Read(t.name, buf); err != nil {
			return err
		}
		a.entry(fmt.Sprintf("data/%d", i), buf)
	}
	if len(metadata) > 0 {
		text, err := json.Marshal(metadata)
		if err != nil {
			return err
		}
		a.entry(ptMetadata, text)
	}
	a.entry("version", []byte("3\n"))
	a.entry(".data/serialization_id", fmt.Appendf(nil, "%020d%020d", a.names, a.sums))
	if a.err != nil {
		return a.err
	}
	return a.zip.Close()
}

// ptArchive writes aligned entries; its first error stays.
type ptArchive struct {
	zip   *zip.Writer
	out   *counter
	names uint64 // hash of the entries' names, and
	sums  uint64 // of their checksums: together PyTorch's serialization id
	err   error
}

// entry writes one stored entry whose data begins at a multiple of ptAlignment:
// an extra field "FB" fills the gap, as PyTorch's own writer does.
func (a *ptArchive) entry(name string, data []byte) {
	if a.err != nil {
		return
	}
	if a.err = a.zip.Flush(); a.err != nil {
		return
	}
	h := &zip.FileHeader{Name: ptFolder + "/" + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data)}
	h.UncompressedSize64, h.CompressedSize64 = uint64(len(data)), uint64(len(data))
	const localHeader, extraHeader = 30, 4
	gap := -(a.out.n + localHeader + int64(len(h.Name)) + extraHeader) & (ptAlignment - 1)
	h.Extra = append([]byte{'F', 'B', byte(gap), 0}, make([]byte, gap)...)
	w, err := a.zip.CreateRaw(h)
	if err == nil {
		_, err = w.Write(data)
	}
	a.err = err
	a.names = mix(a.names, []byte(name))
	a.sums = mix(a.sums, binary.LittleEndian.AppendUint32(nil, h.CRC32))
}

func mix(seed uint64, b []byte) uint64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, seed))
	h.Write(b)
	return h.Sum64()
}

// counter counts what goes through.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// stateDictPickle is the object graph in pickle protocol 2, the one that torch.save uses.
func stateDictPickle(order []span, key string, extra map[string]any) ([]byte, error) {
	b := []byte{0x80, 2}
	if key == "" {
		if len(extra) > 0 {
			return nil, fmt.Errorf("extra entries need a key for the weights")
		}
		return append(appendStateDict(b, order), '.'), nil
	}
	if _, ok := extra[key]; ok {
		return nil, fmt.Errorf("extra entry %q has the key of the weights", key)
	}
	b = append(b, '}', '(')
	b = appendStateDict(appendText(b, key), order)
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		var err error
		if b, err = appendScalar(appendText(b, name), extra[name]); err != nil {
			return nil, fmt.Errorf("extra entry %q: %w", name, err)
		}
	}
	return append(b, 'u', '.'), nil
}

func appendStateDict(b []byte, order []span) []byte {
	b = append(b, "ccollections\nOrderedDict\n)R("...)
	for i, t := range order {
		b = appendText(b, t.name)
		b = append(b, "ctorch._utils\n_rebuild_tensor_v2\n(("...)
		b = appendText(b, "storage")
		b = append(b, "ctorch\n"+dtypeNames[t.info.DType].storage+"\n"...)
		b = appendText(appendText(b, fmt.Sprint(i)), "cpu")
		b = append(appendInt(b, t.info.Elements()), 't', 'Q') // the storage
		b = appendInt(b, 0)                                   // its offset
		b = appendInts(b, t.info.Shape)
		b = appendInts(b, contiguousStrides(t.info.Shape))
		b = append(b, 0x89) // requires_grad=False
		b = append(b, "ccollections\nOrderedDict\n)RtR"...)
	}
	return append(b, 'u')
}

func contiguousStrides(shape []int64) []int64 {
	out := make([]int64, len(shape))
	n := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		out[i] = n
		n *= max(shape[i], 1)
	}
	return out
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s)))
	return append(b, s...)
}

func appendInt(b []byte, v int64) []byte {
	if v == int64(int32(v)) {
		return binary.LittleEndian.AppendUint32(append(b, 'J'), uint32(v))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0x8a, 8), uint64(v))
}

func appendInts(b []byte, v []int64) []byte {
	b = append(b, '(')
	for _, n := range v {
		b = appendInt(b, n)
	}
	return append(b, 't')
}

func appendScalar(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, 'N'), nil
	case string:
		return appendText(b, v), nil
	case bool:
		if v {
			return append(b, 0x88), nil
		}
		return append(b, 0x89), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'G'), math.Float64bits(v)), nil
	}
	return nil, fmt.Errorf("type %T cannot be stored", v)
}
