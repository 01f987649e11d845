package checkpoint

import (
	"archive/zip"
	"bytes"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

// The right-hand sides are what Python's pickle.loads returns for the left ones.
func TestMachineReadsPlainValues(t *testing.T) {
	for code, want := range map[string]value{
		"N.": nil, "\x88.": true, "I01\n.": true, "I00\n.": false, "I-12\n.": int64(-12), "J\xff\xff\xff\xff.": int64(-1),
		"K\xff.": int64(255), "M\xff\xff.": int64(65535), "L12L\n.": int64(12),
		"\x8a\x01\xff.": int64(-1), "\x8a\x00.": int64(0), "\x8a\x02\xff\x00.": int64(255), "\x8b\x01\x00\x00\x00\x80.": int64(-128),
		"G\x3f\xf8\x00\x00\x00\x00\x00\x00.": 1.5, "F-2.5\n.": -2.5,
		"S'a\\'b\\n'\n.": "a'b\n", "S\"it's\"\n.": "it's", "V\\u00e9x\n.": "éx", "X\x02\x00\x00\x00\xc3\xa9.": "é", "\x8c\x01a.": "a", "U\x02hi.": "hi",
		"C\x02\x00\xff.": []byte{0, 255}, "B\x01\x00\x00\x00a.": []byte{'a'},
		").": tuple{}, "K\x01\x85.": tuple{int64(1)}, "(K\x01K\x02t.": tuple{int64(1), int64(2)}, "K\x01K\x02\x86.": tuple{int64(1), int64(2)},
		"](K\x01K\x02e.": &list{items: []value{int64(1), int64(2)}}, "(K\x01l.": &list{items: []value{int64(1)}}, "]K\x01a.": &list{items: []value{int64(1)}},
		"K\x01q\x000h\x00.": int64(1), "\x80\x04K\x07\x94h\x00\x86.": tuple{int64(7), int64(7)}, "K\x01(K\x021.": int64(1), "K\x012\x86.": tuple{int64(1), int64(1)},
		"c_codecs\nencode\n(X\x02\x00\x00\x00\xc3\xbfX\x06\x00\x00\x00latin1tR.": []byte{255},
	} {
		m := &machine{code: []byte(code)}
		got, err := m.run()
		require.NoError(t, err, "%q", code)
		assert.Equal(t, want, got, "%q", code)
		assert.Equal(t, len(code), m.pos)
	}
	m := &machine{code: []byte("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.")}
	got, err := m.run()
	require.NoError(t, err)
	assert.Equal(t, new(big.Int).Lsh(big.NewInt(1), 64), got)
	m = &machine{code: []byte("}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02K\x05Nu.")}
	got, err = m.run()
	require.NoError(t, err)
	v, ok := got.(*dict).get("a")
	assert.True(t, ok)
	assert.Equal(t, int64(2), v)
	assert.Len(t, got.(*dict).keys, 2)
}

func TestMachineRefusesNonsense(t *testing.T) {
	for code, want := range map[string]string{
		"": "ends", "K": "ends", ".": "stop with 0", "NN.": "stop with 2", "0.": "underflow", "t.": "no mark", "h\x05.": "memo 5 is empty",
		"(\x85.": "underflow", "K\x01K\x02s.": "underflow", "K\x01K\x02K\x03s.": "set an item of int64", "}(K\x01u.": "key without value", "K\x01K\x02a.": "append to int64",
		"K\x01)R.": "call of int64", "cos\nsystem\n.": "os.system", "c__builtin__\neval\n.": "builtins.eval", "(X\x01\x00\x00\x00aios\nsystem\n.": "os.system",
		"\x80\x04\x8c\x02os\x8c\x06system\x93.": "os.system", "\x80\x06.": "protocol 6", "\x82\x01.": "unknown or forbidden operation 0x82", "\x97.": "0x97",
		"X\xff\xff\xff\xff.": "ends", "\x8d\xff\xff\xff\xff\xff\xff\xff\xff.": "ends", "\x96\xff\xff\xff\xff\xff\xff\xff\x7f.": "ends",
		"K\x01Q.": "outside data", "Psomething\n.": "outside data", "c": "line", "Ix\n.": "malformed", "K\x01}b.": "set the state of int64",
		"L" + strings.Repeat("9", 5000) + "\n.": "too long", "\x8b\xff\xff\x00\x00.": "ends",
		"ctorch._utils\n_rebuild_tensor_v2\n).": "stop with 2", "ctorch._utils\n_rebuild_tensor_v2\n)R.": "wrong number of arguments",
	} {
		m := &machine{code: []byte(code)}
		_, err := m.run()
		assert.ErrorContains(t, err, want, "%q", code)
	}
}

func TestMachineLimitsWhatAPickleMakes(t *testing.T) {
	m := &machine{code: []byte(strings.Repeat("}", maxValues+1) + ".")}
	_, err := m.run()
	assert.ErrorContains(t, err, "objects")
}

// moduleCode is the pickle of a module without parameters.
func moduleCode(children string) string {
	return "ctorch.nn\nModule\n)\x81}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_modules}(" + children + "uub"
}

// ptFile makes a .pt of a pickle and storages.
func ptFile(t testing.TB, pickle string, storages map[string][]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte, method uint16) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "a/" + name, Method: method})
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
	}
	put("data.pkl", []byte(pickle), zip.Store)
	for k, v := range storages {
		put("data/"+k, v, zip.Store)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// tensorCode is the pickle of one float32 tensor over storage "0".
func tensorCode(numel, offset int64, shape, strides []int64) string {
	b := []byte("ctorch._utils\n_rebuild_tensor_v2\n((")
	b = append(appendText(b, "storage"), "ctorch\nFloatStorage\n"...)
	b = appendInt(appendText(appendText(b, "0"), "cpu"), numel)
	b = appendInts(appendInts(appendInt(append(b, "tQ"...), offset), shape), strides)
	return string(b) + "\x89ccollections\nOrderedDict\n)RtR"
}

func TestTensorsMustLieInTheirStorage(t *testing.T) {
	const big = 1 << 62
	for _, c := range []struct {
		numel, offset  int64
		shape, strides []int64
		want           string
	}{
		{6, 0, []int64{2, 3}, []int64{3, 1}, ""},
		{6, 5, []int64{1}, []int64{100}, ""},
		{6, 99, []int64{0}, []int64{1}, ""},
		{6, 1, []int64{2, 3}, []int64{3, 1}, "behind its storage"},
		{6, 0, []int64{2, 3}, []int64{4, 1}, "behind its storage"},
		{6, -1, []int64{1}, []int64{1}, "negative storage offset"},
		{6, 0, []int64{2}, []int64{-1}, "negative stride"},
		{6, 0, []int64{-2}, []int64{1}, "negative dimension"},
		{6, 0, []int64{big, big}, []int64{0, 0}, "overflows"},
		{6, 0, []int64{3, 3}, []int64{big, big}, "overflows"},
		{6, big, []int64{3}, []int64{big}, "overflows"},
		{6, 0, []int64{1 << 40}, []int64{0}, "broadcast"},
		{6, 0, []int64{2}, []int64{1, 1}, "wrong arguments"},
		{7, 0, []int64{1}, []int64{1}, "24 bytes where 28"},
		{-1, 0, []int64{1}, []int64{1}, "malformed reference"},
		{big, 0, []int64{1}, []int64{1}, "not supported"},
	} {
		_, err := openBytes(t, ptFile(t, tensorCode(c.numel, c.offset, c.shape, c.strides)+".", map[string][]byte{"0": make([]byte, 24)}))
		if c.want == "" {
			assert.NoError(t, err, c)
		} else {
			assert.ErrorContains(t, err, c.want, c)
		}
	}
}

// A few kilobytes that describe 2^100 modules or dictionaries, or a loop.
func TestSharedAndLoopingObjectsAreLimited(t *testing.T) {
	nested := "X\x01\x00\x00\x00w" + tensorCode(6, 0, []int64{6}, []int64{1})
	storage := map[string][]byte{"0": make([]byte, 24)}
	// Each module is stored in the memo and holds the one before twice.
	code := moduleCode("") + "q\x010"
	for range 100 {
		code += moduleCode("X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01") + "q\x010"
	}
	_, err := openBytes(t, ptFile(t, code+"h\x01.", storage))
	assert.ErrorContains(t, err, "too large or too deep")
	wide := "}q\x010"
	for range 5 {
		wide += "}("
		for i := range 300 {
			wide += fmt.Sprintf("X\x03\x00\x00\x00%03dh\x01", i)
		}
		wide += "uq\x010"
	}
	_, err = openBytes(t, ptFile(t, wide+"h\x01.", nil))
	assert.ErrorContains(t, err, "no set of weights")
	deep := "N" + strings.Repeat("N\x86", 1<<20)
	_, err = openBytes(t, ptFile(t, "ctorch.nn\nModule\n)\x81"+deep+"b.", nil))
	assert.ErrorContains(t, err, "no set of weights")
	loop := "ctorch.nn\nModule\n)\x81q\x05}(X\x0b\x00\x00\x00_parameters}(" + nested + "uX\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x05sub."
	_, err = openBytes(t, ptFile(t, loop, map[string][]byte{"0": make([]byte, 24)}))
	assert.ErrorContains(t, err, "too deep")
	loop = "}q\x05(X\x01\x00\x00\x00ah\x05u."
	_, err = openBytes(t, ptFile(t, loop, nil))
	assert.ErrorContains(t, err, "no set of weights")
}

func TestZipBombsAreRefused(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	// The directory claims a terabyte; the compressed data is a few bytes.
	for _, name := range []string{"data.pkl", "data/0"} {
		w, err := z.CreateRaw(&zip.FileHeader{Name: "a/" + name, Method: zip.Deflate, CompressedSize64: 5, UncompressedSize64: 1 << 40})
		require.NoError(t, err)
		_, err = w.Write([]byte{1, 0, 0, 0xff, 0xff})
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	_, err := openBytes(t, b.Bytes())
	assert.ErrorContains(t, err, "at most 67108864 are allowed")
	twice := ptFile(t, "N.", map[string][]byte{"0": nil, "1": nil})
	twice = bytes.ReplaceAll(twice, []byte("a/data/1"), []byte("a/data/0"))
	_, err = openBytes(t, twice)
	assert.ErrorContains(t, err, "occurs twice")
}

func TestAmbiguousFilesNameTheirEntries(t *testing.T) {
	one := tensorCode(6, 0, []int64{6}, []int64{1})
	code := "}("
	for i := range 2 {
		code += fmt.Sprintf("X\x04\x00\x00\x00net%d}X\x01\x00\x00\x00w%ss", i, one)
	}
	data := ptFile(t, code+"u.", map[string][]byte{"0": make([]byte, 24)})
	_, err := openBytes(t, data)
	assert.ErrorContains(t, err, `"net0", "net1"`)
	path := filepath.Join(t.TempDir(), "two.pt")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	f, err := OpenWith(path, Options{Key: "net1"})
	require.NoError(t, err)
	assert.Equal(t, "net1", f.Chosen())
	require.NoError(t, f.Close())
}
