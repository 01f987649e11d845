package detection

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/wildtrain"
)

// named is a file of weights that tells its classes, as a checkpoint.File does.
type named struct {
	wildtrain.State
	classes []string
}

func (n named) Classes() []string { return n.classes }

// rows are the classes' rows of a tensor.
func rows(t *testing.T, s wildtrain.State, name string, classes int) [][]float32 {
	t.Helper()
	v, err := checkpoint.Float32(s, name)
	require.NoError(t, err)
	var out [][]float32
	for part := range slices.Chunk(v, len(v)/classes) {
		out = append(out, part)
	}
	return out
}

// Weights of many classes serve a model of few: the class branch keeps its width,
// rows of equal names are theirs, the others begin anew; and the report says so.
func TestClassRowsGoByName(t *testing.T) {
	theirs := []string{"zebra", "buffalo", "cow", "elephant"}
	for len(theirs) < 80 {
		theirs = append(theirs, classNames(80)[len(theirs)])
	}
	for _, arch := range []string{"yolov8n", "yolo11n", "yolo26n"} {
		source := ruled(t, arch, 80, rule.Spread, nil)
		cfg := DefaultYOLO(arch, []string{"elephant", "giraffe", "zebra"})
		cfg.Weights, cfg.Partial = named{source.State(), theirs}, true
		m, err := NewYOLO(cfg)
		require.NoError(t, err)
		defer m.Close()
		carried, ok := m.CarriedClasses()
		require.True(t, ok)
		require.Equal(t, []string{"elephant", "zebra"}, carried)
		head := map[string]string{"yolov8n": "model.22.", "yolo11n": "model.23.", "yolo26n": "model.23.one2one_"}[arch]
		for _, tensor := range []string{"cv3.0.2.weight", "cv3.2.2.bias"} {
			ours, old := rows(t, m.State(), head+tensor, 3), rows(t, source.State(), head+tensor, 80)
			require.Equal(t, old[3], ours[0])
			require.Equal(t, old[0], ours[2])
			for _, row := range old {
				require.NotEqual(t, row, ours[1], "giraffe is nobody's")
			}
		}
		r := m.Loaded()
		require.Empty(t, r.Missing)
		require.Empty(t, r.Unexpected)
		for _, text := range r.Misshaped {
			require.Regexp(t, `cv3\.\d\.2\.`, text, "only the outputs themselves do not fit")
		}
		require.NotEmpty(t, r.Misshaped)
	}
}

// Equal class lists are loaded as they are; as many classes of other names are not.
func TestClassRowsOfAsManyClasses(t *testing.T) {
	source := ruled(t, "yolov8n", 3, rule.Spread, nil)
	for _, c := range []struct {
		classes []string
		remaps  bool
	}{{[]string{"a", "b", "c"}, false}, {[]string{"c", "b", "a"}, true}} {
		cfg := DefaultYOLO("yolov8n", c.classes)
		cfg.Weights, cfg.Partial = named{source.State(), []string{"a", "b", "c"}}, true
		m, err := NewYOLO(cfg)
		require.NoError(t, err)
		defer m.Close()
		_, remapped := m.CarriedClasses()
		require.Equal(t, c.remaps, remapped)
		ours, old := rows(t, m.State(), "model.22.cv3.0.2.weight", 3), rows(t, source.State(), "model.22.cv3.0.2.weight", 3)
		if c.remaps {
			slices.Reverse(old)
		}
		require.Equal(t, old, ours)
	}
}

// What such a model learns is saved with its own widths and read back whole.
func TestRemappedModelIsReadBack(t *testing.T) {
	source := ruled(t, "yolov8n", 80, rule.Spread, nil)
	cfg := DefaultYOLO("yolov8n", []string{"class1", "new"})
	cfg.Weights, cfg.Partial = named{source.State(), classNames(80)}, true
	m, err := NewYOLO(cfg)
	require.NoError(t, err)
	defer m.Close()
	file := filepath.Join(t.TempDir(), "weights.safetensors")
	require.NoError(t, checkpoint.Export(file, m.State(), nil))
	w, err := checkpoint.Open(file)
	require.NoError(t, err)
	defer w.Close()
	cfg = DefaultYOLO("yolov8n", []string{"class1", "new"})
	cfg.Weights = w
	again, err := NewYOLO(cfg)
	require.NoError(t, err)
	defer again.Close()
	require.Equal(t, keyList(m), keyList(again))
}
