package checkpoint

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/wildtrain"
	"github.com/wildtrain/sdk/wildtraintest"
)

// withHeader makes a file of a header and a body of n bytes.
func withHeader(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func openBytes(t testing.TB, data []byte) (*File, error) {
	path := filepath.Join(t.TempDir(), "f.bin")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	f, err := Open(path)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

func TestSafetensorsHeaderIsChecked(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, c := range []struct {
		header string
		body   int
		want   string // "" is valid
	}{
		{`{` + a + `}`, 8, ""},
		{`{}`, 0, ""},
		{`{"__metadata__":{"k":"v"},` + a + `}   `, 8, ""},
		{`{"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}`, 8, ""},
		{`{"e":{"dtype":"I64","shape":[0,9],"data_offsets":[0,0]},` + a + `}`, 8, ""},
		{`{` + a + `}`, 7, "cut short"},
		{`{` + a + `}`, 9, "1 bytes after the last tensor"},
		{`{` + a + `,` + a + `}`, 8, `"a" occurs twice`},
		{`{"__metadata__":{"k":"v","k":"w"}}`, 0, `key "k" occurs twice`},
		{`{"__metadata__":{"k":1}}`, 0, "a string was expected"},
		{`{` + a + `,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, "inside the one before"},
		{`{` + a + `,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16, "belong to no tensor"},
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, 16, "belong to no tensor"},
		{`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8, "has 12 bytes, but its offsets are 0 to 8"},
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8, "its offsets are 8 to 0"},
		{`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8, "-2 is not an integer"},
		{`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8, "2.0 is not an integer"},
		{`{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}`, 8, "a number was expected"},
		{`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}`, 0, "overflows"},
		{`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}`, 8, "not an integer from 0"},
		{`{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}`, 8, `data type "F33" is not supported`},
		{`{"a":{"dtype":"F32","shape":[2]}}`, 8, "missing"},
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}`, 8, "wrong length"},
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8, `unknown key "x"`},
		{`{"a":[1]}`, 8, "an object was expected"},
		{`{` + a + `}{}`, 8, "follows the closing brace"},
		{`{` + a, 8, "EOF"},
		{`[]`, 0, "neither safetensors"},
		{"{\"\xff\":1}", 0, "neither safetensors"},
	} {
		_, err := openBytes(t, withHeader(c.header, c.body))
		if c.want == "" {
			assert.NoError(t, err, c.header)
		} else {
			assert.ErrorContains(t, err, c.want, c.header)
		}
	}
	huge := binary.LittleEndian.AppendUint64(nil, 1<<40)
	_, err := openBytes(t, append(huge, '{'))
	assert.ErrorContains(t, err, "at most 100000000 are allowed")
	_, err = openBytes(t, withHeader(strings.Repeat(`{"a":`, 50000), 0))
	assert.Error(t, err)
}

// drawState draws a state of any types, shapes and bytes.
func drawState(t *rapid.T) wildtrain.State {
	var list []Tensor
	for _, name := range rapid.SliceOfNDistinct(rapid.String(), 1, 6, rapid.ID).Draw(t, "names") {
		if name == metadataKey || name == "" {
			continue
		}
		info := wildtrain.Info{DType: wildtrain.DType(rapid.IntRange(0, 9).Draw(t, "type")), Shape: rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 4).Draw(t, "shape")}
		data := rapid.SliceOfN(rapid.Byte(), int(info.Bytes()), int(info.Bytes())).Draw(t, "data")
		list = append(list, Tensor{name, info.DType, info.Shape, data})
	}
	if len(list) == 0 {
		list = []Tensor{{"w", wildtrain.Float32, []int64{1}, []byte{1, 2, 3, 4}}}
	}
	s, err := Tensors(list...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatesComeBackFromBothFormats(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		want := drawState(rt)
		for _, name := range []string{"f.safetensors", "f.pt"} {
			path := filepath.Join(dir, name)
			require.NoError(rt, Export(path, want, map[string]string{"a": "\"\n"}))
			f, err := Open(path)
			require.NoError(rt, err)
			diff, err := wildtraintest.Diff(want, f)
			require.NoError(rt, err)
			require.Empty(rt, diff)
			for _, n := range f.Names() { // aligned for whoever maps the file
				e := f.entries[n]
				_, data, err := f.window(n)
				require.NoError(rt, err)
				if len(data) > 0 && littleEndian {
					require.Zero(rt, addressOf(data)%uintptr(e.info.DType.Size()), n)
				}
			}
			require.NoError(rt, f.Close())
		}
	})
}

func TestWritersRefuseWhatTheFormatCannotHold(t *testing.T) {
	bad := func(name string) wildtrain.State {
		s, err := Tensors(Tensor{name, wildtrain.Bool, nil, []byte{1}})
		require.NoError(t, err)
		return s
	}
	var b bytes.Buffer
	assert.ErrorContains(t, WriteSafetensors(&b, bad("__metadata__"), nil), "reserved")
	assert.ErrorContains(t, WriteSafetensors(&b, bad("\xff"), nil), "UTF-8")
	assert.ErrorContains(t, Export(filepath.Join(t.TempDir(), "w.onnx"), bad("w"), nil), `".onnx"`)
	assert.ErrorContains(t, WriteTorch(&b, bad("w"), "model", map[string]any{"x": []int{1}}, nil), `"x"`)
	assert.ErrorContains(t, WriteTorch(&b, bad("w"), "", map[string]any{"x": 1}, nil), "key")
	_, err := Tensors(Tensor{"w", wildtrain.Float32, []int64{2}, make([]byte, 4)})
	assert.ErrorContains(t, err, `"w"`)
}
