package torch_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

func run(t testing.TB, mode torch.Mode, fn func(s *torch.Scope) error) error {
	return torch.Run(t.Context(), torch.CPU, mode, fn)
}

// What is composed of operations fails as they do.
func TestFail(t *testing.T) {
	torchtest.Handles(t)
	err := run(t, torch.Inference, func(s *torch.Scope) error {
		bad := s.Fail("composite", "does not fit") // this line is named
		require.False(t, bad.Valid())
		require.False(t, bad.Add(s.Ones(torch.Float, 1)).Valid())
		s.Fail("later", "is not kept")
		return s.Err()
	})
	var e *torch.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "composite", e.Op)
	require.Equal(t, "does not fit", e.Message)
	require.Contains(t, e.Caller, "scope_test.go:")
}

// The first failure of a run is kept with its operation and its caller; later
// operations do nothing; queries on dead tensors return zeros.
func TestFirstErrorIsKept(t *testing.T) {
	torchtest.Handles(t)
	err := run(t, torch.Training, func(s *torch.Scope) error {
		a := s.Ones(torch.Float, 2, 3)
		bad := a.MatMul(s.Ones(torch.Float, 2, 3)) // this line is named
		require.Error(t, s.Err())
		live := torch.Handles()
		after := bad.Add(a).Sum().Sub(func() *torch.Tensor { return a.MulScalar(2) })
		a.Narrow(9, 0, 1)
		x, i := a.MaxDim(0, false)
		for _, dead := range []*torch.Tensor{bad, after, x, i} {
			require.False(t, dead.Valid())
			require.Nil(t, dead.Shape())
			require.Zero(t, dead.Size(0))
			require.Zero(t, dead.Dim())
			require.Zero(t, dead.Len())
			require.Zero(t, dead.Item())
			require.Empty(t, dead.Float32s(nil))
			require.False(t, dead.RequiresGrad())
			require.False(t, dead.ChannelsLast())
			require.Equal(t, torch.Float, dead.DType())
			require.Equal(t, torch.CPU, dead.Device())
			require.Equal(t, "tensor(invalid)", dead.String())
			dead.Free()
		}
		require.Error(t, a.Fill(1), "in-place operations stop too")
		require.Error(t, after.Backward())
		require.Equal(t, live, torch.Handles())
		return nil
	})
	var e *torch.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "matmul", e.Op)
	require.Contains(t, e.Message, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)")
	require.NotContains(t, e.Message, "Exception raised from")
	require.Regexp(t, `^scope_test\.go:\d+$`, e.Caller)
	require.Contains(t, err.Error(), "torch: matmul: ")
}

func TestErrorsOfEveryKind(t *testing.T) {
	torchtest.Handles(t)
	cases := map[string]func(s *torch.Scope){
		"add": func(s *torch.Scope) { s.Ones(torch.Float, 2).Add(s.Ones(torch.Float, 3)) },
		"max": func(s *torch.Scope) { s.Ones(torch.Float, 2).MaxDim(5, false) },
		"sum": func(s *torch.Scope) { s.Ones(torch.Float, 2).Sum(4) },
		"cat": func(s *torch.Scope) { torch.Cat([]*torch.Tensor{s.Ones(torch.Float, 2), s.Ones(torch.Float, 2, 2)}, 0) },
		"conv2d": func(s *torch.Scope) {
			s.Ones(torch.Float, 1, 3, 8, 8).Conv2d(s.Ones(torch.Float, 4, 2, 3, 3), nil, torch.ConvOptions{})
		},
		"item":          func(s *torch.Scope) { s.Ones(torch.Float, 2).Item() },
		"read":          func(s *torch.Scope) { _ = s.Ones(torch.Float, 2).Read(make([]byte, 4)) },
		"write":         func(s *torch.Scope) { _ = s.Ones(torch.Float, 2).Write(make([]byte, 4)) },
		"of":            func(s *torch.Scope) { torch.Of(s, []float32{1, 2}, 3) },
		"images":        func(s *torch.Scope) { s.Images8(make([]uint8, 5), 1, 1, 1, 3, 1, false) },
		"full":          func(s *torch.Scope) { s.Ones(torch.Float, -1) },
		"chunk":         func(s *torch.Scope) { s.Ones(torch.Float, 3).Chunk(2, 0) },
		"backward":      func(s *torch.Scope) { _ = s.Ones(torch.Float).Backward() },
		"copy":          func(s *torch.Scope) { _ = s.Ones(torch.Float, 2).CopyFrom(s.Ones(torch.Float, 3)) },
		"requires_grad": func(s *torch.Scope) { _ = s.Ones(torch.Int64, 2).SetRequiresGrad(true) },
		"mul": func(s *torch.Scope) {
			x := s.Ones(torch.Float, 2)
			y := s.Ones(torch.Float, 2)
			y.Free()
			x.Mul(y)
		},
	}
	for op, f := range cases {
		t.Run(op, func(t *testing.T) {
			err := run(t, torch.Training, func(s *torch.Scope) error { f(s); return nil })
			var e *torch.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, op, e.Op)
			require.NotEmpty(t, e.Message)
			require.Regexp(t, `^scope_test\.go:\d+$`, e.Caller)
		})
	}
}

// The caller's own error wins: it knows more.
func TestOwnErrorIsReturned(t *testing.T) {
	own := errors.New("own")
	err := run(t, torch.Inference, func(s *torch.Scope) error {
		s.Ones(torch.Float, 2).Narrow(7, 0, 1)
		return own
	})
	require.ErrorIs(t, err, own)
}

func TestErrorDoesNotOutliveItsRun(t *testing.T) {
	torchtest.Handles(t)
	require.Error(t, run(t, torch.Inference, func(s *torch.Scope) error { s.Ones(torch.Float, 2).Narrow(7, 0, 1); return nil }))
	require.NoError(t, run(t, torch.Inference, func(s *torch.Scope) error {
		require.Equal(t, 2.0, s.Ones(torch.Float, 2).Sum().Item())
		return s.Err()
	}))
}

func TestCancelledContext(t *testing.T) {
	torchtest.Handles(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	called := false
	require.ErrorIs(t, torch.Run(ctx, torch.CPU, torch.Inference, func(*torch.Scope) error { called = true; return nil }), context.Canceled)
	require.False(t, called)

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	mode := torch.Inference
	mode.Interruptible = true
	err := torch.Run(ctx, torch.CPU, mode, func(s *torch.Scope) error {
		x := s.Ones(torch.Float, 2)
		x = x.Sub(func() *torch.Tensor { return x.MulScalar(2) })
		require.Equal(t, 4.0, x.Sum().Item())
		cancel()
		x.Sub(func() *torch.Tensor { return x.MulScalar(2) })
		require.False(t, x.MulScalar(2).Valid())
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
}

// records reports whether an operation on a parameter is recorded here.
func records(s *torch.Scope) bool {
	x := s.Ones(torch.Float, 2)
	_ = x.SetRequiresGrad(true)
	return x.MulScalar(2).RequiresGrad()
}

// product is the type that a matrix product has here: autocast's, if it is on.
func product(s *torch.Scope) torch.DType {
	return s.Ones(torch.Float, 2, 2).MatMul(s.Ones(torch.Float, 2, 2)).DType()
}

// Nested runs set their own mode and restore the outer one, also after errors and panics.
func TestNestedRunsRestoreTheMode(t *testing.T) {
	torchtest.Handles(t)
	mixed := torch.Training.WithAutocast(torch.BFloat16)
	check := func(s *torch.Scope, grad bool, d torch.DType) {
		t.Helper()
		require.Equal(t, grad, records(s))
		require.Equal(t, d, product(s))
	}
	require.NoError(t, run(t, mixed, func(s *torch.Scope) error {
		check(s, true, torch.BFloat16)
		require.True(t, s.Mode().Training)
		require.NoError(t, run(t, torch.Inference, func(in *torch.Scope) error {
			check(in, false, torch.Float)
			require.False(t, in.Mode().Training)
			return run(t, torch.Training, func(deep *torch.Scope) error {
				check(deep, true, torch.Float)
				return nil
			})
		}))
		check(s, true, torch.BFloat16)
		require.Error(t, run(t, torch.Inference, func(in *torch.Scope) error { in.Ones(torch.Float, 1).Narrow(3, 0, 1); return nil }))
		check(s, true, torch.BFloat16)
		require.Panics(t, func() { _ = run(t, torch.Inference, func(*torch.Scope) error { panic("inside") }) })
		check(s, true, torch.BFloat16)
		return s.Err()
	}))
	require.NoError(t, run(t, torch.Training, func(s *torch.Scope) error { check(s, true, torch.Float); return nil }))
}

func TestWithAutocastFloatSwitchesOff(t *testing.T) {
	require.NoError(t, run(t, torch.Inference.WithAutocast(torch.BFloat16).WithAutocast(torch.Float), func(s *torch.Scope) error {
		require.Equal(t, torch.Float, product(s))
		return nil
	}))
}

// Autocast keeps cast copies of parameters; a change of a parameter between runs must show.
func TestAutocastSeesNewWeights(t *testing.T) {
	torchtest.Handles(t)
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	w := root.Ones(torch.Float, 1, 2)
	require.NoError(t, w.SetRequiresGrad(true))
	for _, v := range []float64{1, 3} {
		require.NoError(t, w.Fill(v))
		require.NoError(t, run(t, torch.Training.WithAutocast(torch.BFloat16), func(s *torch.Scope) error {
			require.Equal(t, 2*v, s.Ones(torch.Float, 1, 2).Linear(w, nil).Sum().Item())
			return s.Err()
		}))
	}
}

func TestSubFreesTemporaries(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x := s.Ones(torch.Float, 4)
		before := torch.Handles()
		y := s.Sub(func(in *torch.Scope) *torch.Tensor {
			a := x.MulScalar(2)
			b := a.AddScalar(1)
			c := in.Zeros(torch.Float, 4)
			require.Equal(t, before+3, torch.Handles())
			require.Same(t, in, a.Scope())
			_ = c
			return b
		})
		require.Equal(t, before+1, torch.Handles())
		require.Equal(t, []float32{3, 3, 3, 3}, y.Float32s(nil))
		require.Nil(t, s.Sub(func(*torch.Scope) *torch.Tensor { x.MulScalar(2); return nil }))
		require.Same(t, x, s.Sub(func(*torch.Scope) *torch.Tensor { return x }), "an outer tensor stays where it is")
		deep := s.Sub(func(a *torch.Scope) *torch.Tensor {
			return a.Sub(func(*torch.Scope) *torch.Tensor { return x.AddScalar(1) })
		})
		require.Equal(t, 2.0, deep.Max().Item())
	})
}

func TestKeepMovesOutwards(t *testing.T) {
	torchtest.Handles(t)
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	var kept *torch.Tensor
	require.NoError(t, run(t, torch.Inference, func(s *torch.Scope) error {
		s.Sub(func(in *torch.Scope) *torch.Tensor {
			a := in.Ones(torch.Float, 3)
			kept = root.Keep(a.MulScalar(5))
			b := s.Keep(a.AddScalar(1))
			require.Same(t, b, s.Keep(b))
			return nil
		})
		return s.Err()
	}))
	require.Equal(t, []float32{5, 5, 5}, kept.Float32s(nil))
	require.Nil(t, root.Keep(nil))
	before := torch.Handles()
	kept.Free()
	kept.Free()
	require.Equal(t, before-1, torch.Handles())
	require.Error(t, kept.Fill(1))
}

// A long-lived scope that gives and takes many tensors does not grow.
func TestKeepLeavesNoHoles(t *testing.T) {
	torchtest.Handles(t)
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	first := root.Ones(torch.Float, 1)
	for range 2000 {
		x := root.Ones(torch.Float, 1)
		last := root.Ones(torch.Float, 1)
		x.Free()
		last.Free()
	}
	keep := make([]*torch.Tensor, 300)
	for i := range keep {
		keep[i] = root.Full(float64(i), torch.Float)
	}
	for i := 0; i < len(keep); i += 2 {
		keep[i].Free()
	}
	for i := 1; i < len(keep); i += 2 {
		require.Equal(t, float64(i), keep[i].Item())
		keep[i].Free()
	}
	require.Equal(t, 1.0, first.Item())
}

func TestBorrow(t *testing.T) {
	torchtest.Handles(t)
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	w := root.Ones(torch.Float, 2)
	require.NoError(t, w.SetRequiresGrad(true))
	require.Panics(t, func() { w.MulScalar(2) }, "no run to put the result in")
	require.NoError(t, run(t, torch.Training, func(s *torch.Scope) error {
		b := s.Borrow(w)
		require.NotSame(t, w, b)
		require.Same(t, b, s.Borrow(b))
		require.NoError(t, b.MulScalar(3).Sum().Backward())
		require.Equal(t, []float32{3, 3}, s.Grad(w).Float32s(nil))
		return s.Err()
	}))
	require.Equal(t, []float32{1, 1}, w.Float32s(nil))
	require.NoError(t, torch.ZeroGrads([]*torch.Tensor{w}))
	require.Nil(t, root.Grad(w))
}

// Wherever fn panics, all scopes close.
func TestPanicClosesScopes(t *testing.T) {
	torchtest.Handles(t)
	for depth := range 4 {
		require.PanicsWithValue(t, "deep", func() {
			_ = run(t, torch.Training, func(s *torch.Scope) error {
				x := s.Ones(torch.Float, 2)
				var down func(n int) *torch.Tensor
				down = func(n int) *torch.Tensor {
					x.MulScalar(2)
					if n == 0 {
						panic("deep")
					}
					return x.Sub(func() *torch.Tensor { return down(n - 1) })
				}
				down(depth)
				return nil
			})
		})
	}
	// who recovers inside goes on in the outer scope
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x := s.Ones(torch.Float, 2)
		func() {
			defer func() { _ = recover() }()
			x.Sub(func() *torch.Tensor { panic("inner") })
		}()
		require.Same(t, s, x.Scope())
		require.Equal(t, 4.0, x.MulScalar(2).Sum().Item())
	})
}

// Many goroutines at work, each with failures of its own: no error is lost or
// given to another. Run it under -race and with GOGC=1.
func TestGoroutines(t *testing.T) {
	torchtest.Handles(t)
	const workers, rounds = 8, 60
	var wg sync.WaitGroup
	fails := make(chan error, workers*rounds)
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range rounds {
				if err := oneRound(w, i); err != nil {
					fails <- err
				}
			}
		}()
	}
	wg.Wait()
	close(fails)
	for err := range fails {
		t.Error(err)
	}
}

func oneRound(w, i int) error {
	mode, wrong := torch.Inference, (w+i)%3 == 0
	if w%2 == 0 {
		mode = torch.Training
	}
	err := torch.Run(context.Background(), torch.CPU, mode, func(s *torch.Scope) error {
		x := torch.Of(s, []float32{float32(w), float32(i), 1, 2}, 2, 2)
		if err := x.SetRequiresGrad(true); err != nil {
			return err
		}
		y := x.Sub(func() *torch.Tensor { return x.MatMul(x).ReLU().Sum() })
		if y.RequiresGrad() != mode.Grad {
			return fmt.Errorf("worker %d round %d: records gradients: %v", w, i, !mode.Grad)
		}
		if wrong {
			x.Add(torch.Of(s, []float32{1, 2, 3}, 3))
		}
		if want := float64(w*w + i + w*i + 2*i + w + 2 + i + 4); !wrong && math.Abs(y.Item()-want) > 1e-3 {
			return fmt.Errorf("worker %d round %d: %g, want %g", w, i, y.Item(), want)
		}
		return nil
	})
	var e *torch.Error
	if wrong && !errors.As(err, &e) {
		return fmt.Errorf("worker %d round %d: lost error, got %v", w, i, err)
	}
	if !wrong && err != nil {
		return fmt.Errorf("worker %d round %d: %w", w, i, err)
	}
	return nil
}
