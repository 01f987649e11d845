// Package torchtest holds what the tests of packages that compute with tensors
// share: the alarm for leaked handles, the reading of golden values made by
// PyTorch and the measure of how far numbers are from them.
package torchtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/wildtrain/sdk/torch"
)

// Main runs a package's tests and returns the exit code, which is not zero where
// they leave live handles behind.
func Main(m *testing.M) int {
	before := torch.Handles()
	code := m.Run()
	if left := torch.Handles() - before; left != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "torchtest: %d tensor handles are still alive after all tests\n", left)
		for _, stack := range torch.Leaks() {
			fmt.Fprintln(os.Stderr, stack)
		}
		code = 1
	}
	return code
}

// Handles fails the test where it ends with more or fewer live handles than now.
// Call it first: cleanups run in reverse order.
func Handles(t testing.TB) {
	t.Helper()
	before := torch.Handles()
	t.Cleanup(func() {
		if after := torch.Handles(); after != before {
			t.Errorf("live handles: %d before the test, %d after", before, after)
		}
	})
}

// Flat runs steps of a training and fails the test where those after the second
// leave handles behind.
func Flat(t testing.TB, steps int, step func(number int)) {
	t.Helper()
	var before int64
	for i := range steps {
		if step(i); i == 1 {
			before = torch.Handles()
		}
	}
	if after := torch.Handles(); after != before {
		t.Errorf("live handles: %d after two steps, %d after %d", before, after, steps)
	}
}

// Worst is the largest |a−b| as a share of the largest |b|; infinite where there is
// a NaN or the lengths differ.
func Worst(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var diff, scale float64
	for i := range b {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff, scale = max(diff, d), max(scale, math.Abs(float64(b[i])))
	}
	return diff / scale
}

// Run is torch.Run on the CPU with the alarm set; an error fails the test.
func Run(t testing.TB, mode torch.Mode, fn func(s *torch.Scope)) {
	t.Helper()
	Handles(t)
	err := torch.Run(context.Background(), torch.CPU, mode, func(s *torch.Scope) error {
		fn(s)
		return s.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Golden is a tensor that PyTorch wrote.
type Golden struct {
	Shape []int64   `json:"shape"`
	Data  []float64 `json:"data"`
}

// Tensor makes the golden a tensor of the given type in s.
func (g Golden) Tensor(s *torch.Scope, d torch.DType) *torch.Tensor {
	t := torch.Of(s, g.Data, g.Shape...)
	if d == torch.Double {
		return t
	}
	return t.To(d)
}

// Load reads testdata/name, an object of JSON, into v.
func Load(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("testdata/%s: %v", name, err)
	}
}

// Near fails the test where shapes differ or |a−b| > tol·max(1, max|b|) for some
// element; a NaN in the golden wants a NaN.
func Near(t testing.TB, what string, got *torch.Tensor, want Golden, tol float64) {
	t.Helper()
	if !got.Valid() {
		t.Errorf("%s: no tensor", what)
		return
	}
	shape := got.Shape()
	if len(shape) != len(want.Shape) {
		t.Errorf("%s: shape %v, want %v", what, shape, want.Shape)
		return
	}
	for i := range shape {
		if shape[i] != want.Shape[i] {
			t.Errorf("%s: shape %v, want %v", what, shape, want.Shape)
			return
		}
	}
	Close(t, what, got.Float64s(nil), want.Data, tol)
}

// Close is Near for plain numbers.
func Close(t testing.TB, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	scale := 1.0
	for _, w := range want {
		if a := math.Abs(w); a > scale && !math.IsInf(a, 0) {
			scale = a
		}
	}
	for i, w := range want {
		g := got[i]
		if g == w || (math.IsNaN(g) && math.IsNaN(w)) {
			continue
		}
		if !(math.Abs(g-w) <= tol*scale) {
			t.Errorf("%s: value %d is %.9g, want %.9g (tolerance %g)", what, i, g, w, tol*scale)
			return
		}
	}
}

// GradCheck compares the gradient of the sum of f's elements, weighted by
// cos(0), cos(1), …, with central differences, in double precision.
func GradCheck(t testing.TB, f func(x *torch.Tensor) *torch.Tensor, x []float64, tol float64) {
	t.Helper()
	weighted := func(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
		y := f(x)
		w := make([]float64, y.Len())
		for i := range w {
			w[i] = math.Cos(float64(i))
		}
		return y.Mul(torch.Of(s, w, y.Shape()...)).Sum()
	}
	Run(t, torch.Training, func(s *torch.Scope) {
		leaf := torch.Of(s, x, int64(len(x)))
		if err := leaf.SetRequiresGrad(true); err != nil {
			t.Fatal(err)
		}
		if err := weighted(s, leaf).Backward(); err != nil {
			t.Fatal(err)
		}
		grad := s.Grad(leaf).Float64s(nil)
		const h = 1e-5
		want := make([]float64, len(x))
		moved := append([]float64(nil), x...)
		for i := range x {
			var side [2]float64
			for j, d := range []float64{h, -h} {
				moved[i] = x[i] + d
				side[j] = weighted(s, torch.Of(s, moved, int64(len(x)))).Item()
			}
			moved[i] = x[i]
			want[i] = (side[0] - side[1]) / (2 * h)
		}
		Close(t, "gradient", grad, want, tol)
	})
}
