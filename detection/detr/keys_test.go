package detr

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
	"github.com/wildtrain/sdk/wildtrain"
)

// authorsNames are names and shapes of an authors' own model, and its parameters.
func authorsNames(t *testing.T, name string) (shapes map[string]string, parameters int64) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldens, "keys", name+".txt"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	_, err = fmt.Sscanf(lines[0], "# %d parameters", &parameters)
	require.NoError(t, err)
	shapes = map[string]string{}
	for _, l := range lines[1:] {
		key, shape, ok := strings.Cut(l, " ")
		require.True(t, ok, l)
		shapes[key] = shape
	}
	return shapes, parameters
}

// zeros is a state of zeros with given names and shapes.
type zeros map[string]string

func (z zeros) Names() []string { return slices.Sorted(maps.Keys(z)) }

func (z zeros) Info(name string) (wildtrain.Info, bool) {
	shape, ok := z[name]
	info := wildtrain.Info{DType: wildtrain.Float32}
	if strings.HasSuffix(name, "num_batches_tracked") {
		info.DType = wildtrain.Int64
	}
	if shape != "scalar" {
		for d := range strings.SplitSeq(shape, "x") {
			var n int64
			_, _ = fmt.Sscan(d, &n)
			info.Shape = append(info.Shape, n)
		}
	}
	return info, ok
}

func (z zeros) Read(_ string, dst []byte) error { clear(dst); return nil }

func (z zeros) Write(string, []byte) error { return fmt.Errorf("read only") }

// The authors' checkpoints load as they are: every name and shape of theirs meets
// one of ours, and none is left over on either side.
func TestAuthorsNamesLoad(t *testing.T) {
	for _, name := range []string{"detr_resnet50", "deformable_detr_resnet50", "deformable_detr_resnet50_refine", "deformable_detr_resnet50_two_stage", "rtdetr_r18vd", "rtdetr_r50vd"} {
		t.Run(name, func(t *testing.T) {
			shapes, parameters := authorsNames(t, name)
			c, err := Default(name, classNames(80))
			require.NoError(t, err)
			c.Weights = zeros(shapes)
			m, err := New(c) // not Partial: what does not fit is an error
			require.NoError(t, err)
			defer m.Close()
			require.Equal(t, parameters, m.Describe().Parameters)
			for _, n := range m.State().Names() {
				_, ok := shapes[n]
				require.True(t, ok, "%s is no name of the authors'", n)
			}
		})
	}
}

func TestParametersEqualTransformers(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(goldens, "parameters.json"))
	require.NoError(t, err)
	var counts struct {
		Parameters map[string]struct{ NC80, NC3 int64 }
	}
	require.NoError(t, json.Unmarshal(data, &counts))
	require.Len(t, counts.Parameters, 9)
	for name, want := range counts.Parameters {
		for n, parameters := range map[int]int64{80: want.NC80, 3: want.NC3} {
			c, err := Default(name, classNames(n))
			require.NoError(t, err)
			m, err := New(c)
			require.NoError(t, err)
			got := m.Describe().Parameters
			require.NoError(t, m.Close())
			if name == "deformable_detr_resnet50_refine" {
				// the library ties the class heads of the layers; the authors do not
				got -= 5 * int64(c.Hidden+1) * int64(n)
			}
			require.Equal(t, parameters, got, "%s with %d classes", name, n)
		}
	}
}

// Weights of a classifier become the backbone's; its norms are fixed then.
func TestResNetWeightsBecomeTheBackbones(t *testing.T) {
	store := nn.NewStore(torch.CPU, nil)
	defer store.Close()
	spec, err := backbone.Lookup("resnet18")
	require.NoError(t, err)
	_, err = spec.Build(store.Root(), 10)
	require.NoError(t, err)
	c := smallConfig(t, "detr")
	c.Weights, c.Partial = store.State(), true
	m, err := New(c)
	require.NoError(t, err)
	defer m.Close()
	require.Empty(t, m.Loaded().Unexpected)
	require.Empty(t, m.Loaded().Misshaped)
	for _, name := range m.Loaded().Missing {
		require.False(t, strings.HasPrefix(name, "backbone."), name)
	}
	require.NotContains(t, m.State().Names(), "backbone.0.body.bn1.num_batches_tracked")
	c.FrozenNorm = new(bool)
	trains, err := New(c)
	require.NoError(t, err)
	defer trains.Close()
	require.Contains(t, trains.State().Names(), "backbone.0.body.bn1.num_batches_tracked")
}
