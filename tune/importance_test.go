package tune

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPEDANOVAOfOptuna(t *testing.T) {
	f, err := os.Open("testdata/importance.json.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	var cases []struct {
		Directions []Direction
		Trials     []struct {
			Values []float64
			Params map[string][2]any
		}
		Importance map[string]float64
	}
	require.NoError(t, json.Unmarshal(data, &cases))
	for i, c := range cases {
		v := &View{Directions: c.Directions}
		for n, trial := range c.Trials {
			tr := &Trial{Number: n, State: Complete, Values: trial.Values}
			for name, p := range trial.Params {
				d, err := UnmarshalDistribution(p[1].(string))
				require.NoError(t, err)
				put(&tr.Params, name, Param{p[0].(float64), d})
			}
			v.Trials = append(v.Trials, tr)
		}
		got := PEDANOVA(v)
		require.Len(t, got, len(c.Importance), "study %d", i)
		for _, im := range got {
			require.InDelta(t, c.Importance[im.Name], im.Share, 1e-9, "study %d: %s", i, im.Name)
		}
	}
}

// x explains four fifths of the variance of 2x + y, y the rest.
func TestFANOVAOfALinearFunction(t *testing.T) {
	rng := newStream(1)
	v := &View{Directions: []Direction{Minimize}}
	d := Float{0, 1, false, 0}
	for n := range 300 {
		x, y, z := rng.float(), rng.float(), rng.float()
		v.Trials = append(v.Trials, &Trial{Number: n, State: Complete, Values: []float64{2*x + y}, Params: map[string]Param{"x": {x, d}, "y": {y, d}, "z": {z, d}}})
	}
	got := map[string]float64{}
	for _, im := range FANOVA(v, 0, 1) {
		got[im.Name] = im.Share
	}
	require.InDelta(t, 0.8, got["x"], 0.06)
	require.InDelta(t, 0.2, got["y"], 0.06)
	require.Less(t, got["z"], 0.02)
}
