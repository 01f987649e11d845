// Package shim compiles the C++ side of package torch, apart from its Go side,
// so that a change in Go does not compile C++ again. It has no Go interface:
// package torch declares the functions by shim.h and links them by name.
package shim

// WILDTRAIN_SHIM tells the compiler driver of cmd/libtorch that these sources
// are compiled against libtorch.

// #cgo CXXFLAGS: -DWILDTRAIN_SHIM
// #cgo LDFLAGS: -ltorch -ltorch_cpu -lc10 -lstdc++
import "C"
