package detection

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/detection/internal/toy"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// residentKiB is what the process holds in memory, 0 where the system does not tell.
func residentKiB() float64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return n
		}
	}
	return 0
}

// Memory is flat over a long training of fixed shape: a line fitted to the
// resident size from step 100 on rises by less than twice its standard error, or
// by less than a MiB in all. `make soak` runs the full thousand steps.
func TestMemoryIsFlat(t *testing.T) {
	steps := 1000
	if os.Getenv("WILDTRAIN_SOAK") == "" {
		t.Skip("make soak runs this")
	}
	m := small(t, nil)
	opt, err := m.Optimizer(wildtrain.DefaultOptimizer("SGD"))
	require.NoError(t, err)
	defer opt.Close()
	var x, y []float64
	for step := range steps {
		_, err := m.TrainStep(context.Background(), toy.Batch(step%7, 2, 160, 3), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		_, err = opt.Step(wildtrain.Clip{Norm: 10})
		require.NoError(t, err)
		opt.ZeroGrad()
		require.NoError(t, m.Average(0.999))
		if step >= 100 {
			x, y = append(x, float64(step)), append(y, residentKiB())
		}
	}
	slope, deviation := fit(x, y)
	rise := slope * float64(steps-100)
	fmt.Printf("resident size: slope %.3f ± %.3f KiB per step, %.0f KiB over %d steps, %d handles\n", slope, deviation, rise, steps-100, torch.Handles())
	require.True(t, slope < 2*deviation || rise < 1024, "memory grows by %.3f KiB per step", slope)
}

// fit is the least-squares slope of y over x and its standard error.
func fit(x, y []float64) (slope, deviation float64) {
	n := float64(len(x))
	var mx, my, sxx, sxy, rest float64
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	slope = sxy / sxx
	for i := range x {
		e := y[i] - my - slope*(x[i]-mx)
		rest += e * e
	}
	return slope, math.Sqrt(rest / (n - 2) / sxx)
}
