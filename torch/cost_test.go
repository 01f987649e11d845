//go:build !race && !invariants

// The race detector and the leak alarm cost what these tests measure.

package torch_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/sugarme/gotch/libtch"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

// opsPerSub is how many small operations a module does between its frees.
const opsPerSub = 10

func smallOps(x *torch.Tensor, rounds int) {
	for range rounds {
		x.Sub(func() *torch.Tensor {
			y := x
			for range opsPerSub {
				y = y.Add(x)
			}
			return nil
		})
	}
}

func scalarOps(x *torch.Tensor, rounds int) {
	for range rounds {
		x.Sub(func() *torch.Tensor {
			y := x
			for range opsPerSub {
				y = y.MulScalar(2)
			}
			return nil
		})
	}
}

// The Go heap pays at most 200 bytes for a small operation, its scope included.
func TestSmallOpIsLight(t *testing.T) {
	for name, f := range map[string]func(*torch.Tensor, int){"libtch": smallOps, "shim": scalarOps} {
		torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
			x := s.Ones(torch.Float, 8)
			const rounds = 500
			f(x, 10)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f(x, rounds)
			runtime.ReadMemStats(&after)
			bytes := float64(after.TotalAlloc-before.TotalAlloc) / (rounds * opsPerSub)
			t.Logf("%s: %.0f bytes and %.1f allocations per operation", name, bytes, float64(after.Mallocs-before.Mallocs)/(rounds*opsPerSub))
			require.LessOrEqual(t, bytes, 200.0, name)
		})
	}
}

// Time is held as a ratio to the same operation without this package. The bar in
// absolute terms (3 µs) is looked at by make bench.
func TestSmallOpIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("timing")
	}
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x := s.Ones(torch.Float, 8)
		const rounds = 300
		ours, raw := time.Hour, time.Hour
		for range 7 { // the least of interleaved trials: others use the machine too
			start := time.Now()
			smallOps(x, rounds)
			ours = min(ours, time.Since(start))
			start = time.Now()
			rawOps(x, rounds*opsPerSub)
			raw = min(raw, time.Since(start))
		}
		n := time.Duration(rounds * opsPerSub)
		t.Logf("ours %v, raw %v per operation", ours/n, raw/n)
		require.Less(t, float64(ours), 3*float64(raw))
	})
}

func rawOps(x *torch.Tensor, n int) {
	c := libtch.Ctensor(x.Handle())
	out := new(libtch.Ctensor)
	for range n {
		libtch.AtgAdd(out, c, c)
		libtch.AtFree(*out)
	}
}

func BenchmarkSmallOp(b *testing.B) {
	for name, f := range map[string]func(*torch.Tensor, int){"libtch": smallOps, "shim": scalarOps} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			torchtest.Run(b, torch.Inference, func(s *torch.Scope) {
				x := s.Ones(torch.Float, 8)
				b.ResetTimer()
				f(x, b.N/opsPerSub+1)
				b.StopTimer()
			})
		})
	}
}
