package rule

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The file is written by the Python side.
func TestRuleEqualsPython(t *testing.T) {
	data, err := os.ReadFile("../../parity/testdata/rule.json")
	require.NoError(t, err)
	var golden map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data, &golden))
	checked := 0
	for name, raw := range golden {
		var g struct {
			FNV1a  string
			Words  []string
			Half   []float32 `json:"centre 0.5 half 0.5"`
			Kernel []float32 `json:"centre 0 half sqrt(3/27)"`
		}
		if json.Unmarshal(raw, &g) != nil || g.FNV1a == "" {
			continue
		}
		checked++
		require.Equal(t, g.FNV1a, fmt.Sprintf("%016x", Hash(name)))
		for i, w := range g.Words {
			require.Equal(t, w, fmt.Sprintf("%016x", Word(Hash(name), i)))
		}
		require.Equal(t, g.Half, Values(name, len(g.Half), 0.5, 0.5))
		require.Equal(t, g.Kernel, Values(name, len(g.Kernel), 0, math.Sqrt(3.0/27)))
	}
	require.Positive(t, checked)
}
