package torch

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// c2p converts the shim's handle to libtch's.
func c2p(c C.wt_tensor) ctensor { return ctensor(unsafe.Pointer(c)) }

func ptrsOf(ts []*Tensor) []C.wt_tensor {
	out := make([]C.wt_tensor, len(ts))
	for i, t := range ts {
		out[i] = t.ptr()
	}
	return out
}

// Version is libtorch's, as "2.7.1".
func Version() string { return C.GoString(C.wt_version()) }

// ManualSeed seeds the generators of all devices.
func ManualSeed(seed uint64) error { return shimError("manual_seed", C.wt_seed(C.int64_t(seed))) }

// RandomState returns the state of the device's generator.
func RandomState(dev Device) ([]byte, error) {
	var c C.wt_tensor
	if err := shimError("rng_state", C.wt_rng_get(&c, C.int(dev))); err != nil {
		return nil, err
	}
	root := NewRoot(CPU)
	defer root.Close()
	return root.add(c2p(c)).Bytes(nil), nil
}

// SetRandomState restores what RandomState returned.
func SetRandomState(dev Device, state []byte) error {
	if len(state) == 0 {
		return fmt.Errorf("torch: set random state: empty state")
	}
	root := NewRoot(CPU)
	defer root.Close()
	t := Of(root, state, int64(len(state)))
	return shimError("set_rng_state", C.wt_rng_set(t.ptr(), C.int(dev)))
}

// SetThreads sets how many threads an operation may use.
func SetThreads(n int) { C.wt_set_threads(C.int(n)) }

// Threads is how many threads an operation may use.
func Threads() int { return int(C.wt_threads()) }

// Deterministic asks CUDA libraries for reproducible kernels, at some cost.
func Deterministic(on bool) error {
	return shimError("deterministic", C.wt_set_deterministic(boolInt(on)))
}

// CPUHasBFloat16 reports whether the processor multiplies bfloat16 in hardware
// (avx512_bf16); without, mixed precision on the CPU is slower than float32.
func CPUHasBFloat16() bool { return C.wt_cpu_bf16() != 0 }

// RetainMemory lets the process keep the memory of freed CPU tensors for the
// next ones instead of giving it back to the system at once. A training, which
// needs the same sizes in every step, runs about a tenth faster by it; its peak
// does not change. It concerns the whole process and cannot be undone; only
// glibc's allocator knows it.
func RetainMemory() { C.wt_retain_memory() }
