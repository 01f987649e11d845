package checkpoint

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/wildtrain"
)

// golden is what testdata/make_goldens.py says that a file holds.
type golden struct {
	Halves map[string]string
	Files  map[string]struct {
		Chosen   string
		Metadata map[string]string
		Tensors  map[string]digest
	}
}

type digest struct {
	DType  string
	Shape  []int64
	SHA256 string
}

func loadGoldens(t *testing.T) golden {
	t.Helper()
	data, err := os.ReadFile("testdata/goldens.json")
	require.NoError(t, err)
	var g golden
	require.NoError(t, json.Unmarshal(data, &g))
	return g
}

// digests reads every tensor of a state.
func digests(t *testing.T, s wildtrain.State) map[string]digest {
	t.Helper()
	out := map[string]digest{}
	for _, name := range s.Names() {
		info, ok := s.Info(name)
		require.True(t, ok, name)
		buf := make([]byte, info.Bytes())
		require.NoError(t, s.Read(name, buf))
		sum := sha256.Sum256(buf)
		out[name] = digest{info.DType.String(), info.Shape, hex.EncodeToString(sum[:])}
	}
	return out
}

func TestOpenReadsWhatPyTorchWrites(t *testing.T) {
	g := loadGoldens(t)
	require.Greater(t, len(g.Files), 20)
	for name, want := range g.Files {
		t.Run(name, func(t *testing.T) {
			f, err := Open(filepath.Join("testdata", name))
			require.NoError(t, err)
			defer f.Close()
			assert.Equal(t, want.Chosen, f.Chosen())
			if d := cmp.Diff(want.Tensors, digests(t, f), cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
			assert.True(t, slices.IsSorted(f.Names()))
			meta := f.Metadata()
			for k, v := range want.Metadata {
				assert.Equal(t, v, meta[k], k)
			}
			for _, n := range f.Names() {
				raw, err := f.Bytes(n)
				require.NoError(t, err)
				sum := sha256.Sum256(raw)
				assert.Equal(t, want.Tensors[n].SHA256, hex.EncodeToString(sum[:]), n)
			}
		})
	}
}

func TestForbiddenGlobalsAreRefusedByName(t *testing.T) {
	for file, name := range map[string]string{
		"evil_system.pt": "posix.system", "evil_eval.pt": "builtins.eval", "evil_popen.pt": "subprocess.Popen", "evil_legacy.pt": "posix.system",
	} {
		_, err := Open(filepath.Join("testdata", file))
		require.ErrorIs(t, err, ErrForbidden, file)
		var g *GlobalError
		require.ErrorAs(t, err, &g)
		assert.Equal(t, name, g.Module+"."+g.Name)
		assert.ErrorContains(t, err, file)
		assert.ErrorContains(t, err, name)
	}
	_, err := OpenWith("testdata/evil_popen.pt", Options{Allow: []string{"subprocess"}})
	assert.NoError(t, err, "an allowed module's class becomes an inert value")
	_, err = os.Stat("/tmp/wildtrain-owned")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestNestedFilesChooseByOption(t *testing.T) {
	open := func(file string, o Options) *File {
		f, err := OpenWith(filepath.Join("testdata", file), o)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	f := open("nested_ema.pt", Options{Prefer: []string{"model", "ema"}})
	assert.Equal(t, "model", f.Chosen())
	info, _ := f.Info("head.weight")
	assert.Equal(t, wildtrain.Float32, info.DType, "the averaged ones are half")
	f = open("nested_ema.pt", Options{Key: "ema"})
	info, _ = f.Info("head.weight")
	assert.Equal(t, wildtrain.Float16, info.DType)
	f = open("nested_ema.pt", Options{Key: "ema.head"})
	assert.Equal(t, []string{"bias", "weight"}, f.Names())
	_, err := OpenWith("testdata/nested_ema.pt", Options{Key: "state"})
	assert.ErrorContains(t, err, `key "state" is not in the file: there are "epoch", "best_fitness"`)
}

func TestFloat32ConvertsEveryHalf(t *testing.T) {
	g := loadGoldens(t)
	for name, conv := range map[string]func(uint16) float32{"float16": HalfToFloat32, "bfloat16": BFloat16ToFloat32} {
		buf := make([]byte, 4*65536)
		for i := range 65536 {
			v := conv(uint16(i))
			if v != v {
				v = 1.5 // the script does the same
			}
			binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
		}
		if name == "bfloat16" || name == "float16" {
			sum := sha256.Sum256(infAsTorch(buf))
			assert.Equal(t, g.Halves[name], hex.EncodeToString(sum[:]), name)
		}
	}
}

// infAsTorch does what nan_to_num does to infinities: the largest finite number.
func infAsTorch(buf []byte) []byte {
	for i := 0; i < len(buf); i += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(buf[i:]))
		if math.IsInf(float64(v), 0) {
			binary.LittleEndian.PutUint32(buf[i:], math.Float32bits(float32(math.Copysign(math.MaxFloat32, float64(v)))))
		}
	}
	return buf
}

func TestConversionRoundsAsPyTorch(t *testing.T) {
	f, err := Open("testdata/rounding.safetensors")
	require.NoError(t, err)
	defer f.Close()
	x, err := f.Float32("x")
	require.NoError(t, err)
	half, err := f.Bytes("half")
	require.NoError(t, err)
	bf16, err := f.Bytes("bf16")
	require.NoError(t, err)
	for i, v := range x {
		require.Equal(t, binary.LittleEndian.Uint16(half[2*i:]), Float32ToHalf(v), "half of %v", v)
		require.Equal(t, binary.LittleEndian.Uint16(bf16[2*i:]), Float32ToBFloat16(v), "bfloat16 of %v", v)
	}
}

func TestFloat32ReadsEveryType(t *testing.T) {
	f, err := Open("testdata/dtypes.pt")
	require.NoError(t, err)
	defer f.Close()
	want, err := f.Float32("float32")
	require.NoError(t, err)
	for name, tolerance := range map[string]float64{"float64": 0, "float16": 1e-3, "bfloat16": 1e-2} {
		got, err := f.Float32(name)
		require.NoError(t, err)
		for i := range want {
			assert.InDelta(t, want[i], got[i], tolerance*math.Abs(float64(want[i]))+1e-30, name)
		}
	}
	for _, name := range []string{"int64", "int32", "int16", "int8"} {
		got, err := f.Float32(name)
		require.NoError(t, err)
		for i := range want {
			assert.Equal(t, float32(math.Trunc(float64(want[i]))), got[i], name)
		}
	}
}

func TestTruncatedFilesGiveOneClearError(t *testing.T) {
	for _, name := range []string{"dtypes.safetensors", "dtypes.pt", "dtypes_legacy.pt", "module.pt"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), name)
		step := max(1, len(whole)/97)
		for n := 0; n < len(whole); n += step {
			require.NoError(t, os.WriteFile(path, whole[:n], 0o644))
			_, err := Open(path)
			require.Error(t, err, "%s cut to %d bytes", name, n)
			require.ErrorContains(t, err, path)
		}
	}
}

func TestDamagedStorageIsSeen(t *testing.T) {
	whole, err := os.ReadFile("testdata/dtypes.pt")
	require.NoError(t, err)
	f, err := Open("testdata/dtypes.pt")
	require.NoError(t, err)
	raw, err := f.Bytes("float64")
	require.NoError(t, err)
	at := bytes.Index(whole, raw)
	f.Close()
	require.Positive(t, at)
	whole[at] ^= 1
	path := filepath.Join(t.TempDir(), "flipped.pt")
	require.NoError(t, os.WriteFile(path, whole, 0o644))
	f, err = Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Float32("float64")
	assert.ErrorContains(t, err, "checksum")
	_, err = f.Float32("float32")
	assert.NoError(t, err)
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"": "empty", "hello": "neither safetensors nor", "version https://git-lfs.github.com/spec/v1\n": "Git LFS",
		strings.Repeat("<html>", 20): "neither safetensors nor", "PK\x05\x06" + strings.Repeat("\x00", 18): "no data.pkl",
		"\x80\x02K\x01.": "not one that torch.save wrote",
	} {
		path := filepath.Join(dir, "f.pt")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		_, err := Open(path)
		assert.ErrorContains(t, err, want)
	}
	_, err := Open(filepath.Join(dir, "absent.pt"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(dir)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestFileIsReadOnlyAndChecksBuffers(t *testing.T) {
	f, err := Open("testdata/dtypes.pt")
	require.NoError(t, err)
	defer f.Close()
	assert.Error(t, f.Write("int8", make([]byte, 15)))
	assert.ErrorContains(t, f.Read("int8", make([]byte, 14)), "buffer of 14 bytes for 15")
	assert.ErrorContains(t, f.Read("nothing", nil), `"nothing"`)
	require.NoError(t, f.Close())
	assert.Error(t, f.Read("int8", make([]byte, 15)))
}

// A file that shrinks while it is mapped would kill the process by SIGBUS.
func TestShrinkingFileIsAnError(t *testing.T) {
	s, err := Tensors(Tensor{Name: "w", DType: wildtrain.Uint8, Shape: []int64{1 << 20}, Data: make([]byte, 1<<20)})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, Export(path, s, nil))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Truncate(path, 4096))
	err = f.Read("w", make([]byte, 1<<20))
	assert.ErrorContains(t, err, "changed")
}

func TestClassesAreFound(t *testing.T) {
	for _, name := range []string{"module.pt", "nested_ema.pt"} {
		f, err := Open(filepath.Join("testdata", name))
		require.NoError(t, err)
		defer f.Close()
		assert.Equal(t, []string{"lion", "zebra"}, f.Classes(), name)
		_, ok := f.Description()
		assert.False(t, ok)
	}
	want := wildtrain.Description{Task: "detection", Architecture: "yolo11n", Classes: []string{"hippo"}, InputSize: [2]int{320, 640}}
	meta, err := Describe(want)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, Export(path, state(1), meta))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	got, ok := f.Description()
	assert.True(t, ok)
	assert.Equal(t, want, got)
	assert.Equal(t, want.Classes, f.Classes())

	old := `{"Task":"detection","Architecture":"yolo11n","Classes":["hippo"],"InputSize":[320,640],"Stride":0,"Parameters":0,"License":""}`
	require.NoError(t, Export(path, state(1), map[string]string{"wildtrain": old}))
	f, err = Open(path)
	require.NoError(t, err)
	defer f.Close()
	got, ok = f.Description()
	assert.True(t, ok, "as the first files were written")
	assert.Equal(t, want, got)
}

func TestFillConvertsAndKeepsWhatDoesNotFit(t *testing.T) {
	src, err := Open("testdata/nested_ema.pt") // half
	require.NoError(t, err)
	defer src.Close()
	want, err := src.Float32("head.weight")
	require.NoError(t, err)
	untouched := bytes.Repeat([]byte{7}, 12)
	dst, err := Tensors(Tensor{"head.weight", wildtrain.Float32, []int64{2, 4}, make([]byte, 32)}, Tensor{"head.bias", wildtrain.Float32, []int64{3}, slices.Clone(untouched)})
	require.NoError(t, err)
	_, err = Fill(dst, src, FillOptions{})
	require.ErrorIs(t, err, ErrMismatch)
	got, err := Float32(dst, "head.weight")
	require.NoError(t, err)
	assert.Equal(t, make([]float32, 8), got, "a strict Fill that fails writes nothing")
	diff, err := Fill(dst, src, FillOptions{Partial: true})
	require.NoError(t, err)
	require.NotNil(t, diff)
	assert.Equal(t, "head.bias", diff.Shapes[0].Name)
	assert.Contains(t, diff.Unexpected, "stem.0.weight")
	got, err = Float32(dst, "head.weight")
	require.NoError(t, err)
	assert.Equal(t, want, got)
	raw := make([]byte, 12)
	require.NoError(t, dst.Read("head.bias", raw))
	assert.Equal(t, untouched, raw)
	_, err = Fill(dst, Trim(src, "nothing."), FillOptions{Partial: true})
	assert.ErrorContains(t, err, "nothing fits")
	part, err := Tensors(Tensor{"weight", wildtrain.Float16, []int64{2, 4}, make([]byte, 16)}, Tensor{"bias", wildtrain.Float16, []int64{2}, make([]byte, 4)})
	require.NoError(t, err)
	_, err = Fill(part, Trim(src, "head."), FillOptions{Exact: true})
	require.NoError(t, err)
	got, err = Float32(part, "weight")
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// What is told of weights travels with them in either format, and does not touch the tensors.
func TestExportKeepsMetadata(t *testing.T) {
	source, err := Open("testdata/dtypes.pt")
	require.NoError(t, err)
	defer source.Close()
	for _, name := range []string{"w.pt", "w.pth", "w.safetensors"} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, Export(path, source, map[string]string{"wildtrain": `{"classes":["zebra"]}`}))
		f, err := Open(path)
		require.NoError(t, err)
		assert.Equal(t, `{"classes":["zebra"]}`, f.Metadata()["wildtrain"], name)
		assert.Equal(t, source.Names(), f.Names(), name)
		require.NoError(t, f.Close())
	}
}

func TestBrokenMetadataIsTold(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range map[string]string{"archive/data.pkl": "\x80\x02}.", "archive/extra/metadata.json": `{"a":`} {
		e, err := w.Create(name)
		require.NoError(t, err)
		_, err = e.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "w.pt")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	_, err := Open(path)
	assert.ErrorContains(t, err, "extra/metadata.json")
}
