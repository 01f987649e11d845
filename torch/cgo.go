package torch

// The functions of shim.h are compiled by package shim and meet these calls in
// the linker.

// #cgo CFLAGS: -I${SRCDIR}/internal/shim
import "C"

import _ "github.com/wildtrain/sdk/torch/internal/shim"
