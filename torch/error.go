package torch

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Error is the first failure of a run: what libtorch said, in which operation,
// called from where.
type Error struct {
	Op      string
	Message string
	Caller  string // file:line of the first caller outside this package
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("torch: %s: %s (at %s)", e.Op, e.Message, e.Caller)
}

var errClosed = errors.New("tensor is freed or its operation failed")

// newError cuts libtorch's message to its first lines: the rest are C++ frames.
func newError(op, message string) *Error {
	if i := strings.Index(message, "\nException raised from"); i >= 0 {
		message = message[:i]
	}
	return &Error{Op: op, Message: strings.TrimSpace(message), Caller: caller()}
}

func caller() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "github.com/wildtrain/sdk/torch.") || !more {
			return fmt.Sprintf("%s:%d", f.File[strings.LastIndex(f.File, "/")+1:], f.Line)
		}
	}
}

// shimMessage takes the message of a shim call and frees it; "" where it succeeded.
func shimMessage(msg *C.char) string {
	if msg == nil {
		return ""
	}
	text := C.GoString(msg)
	C.free(unsafe.Pointer(msg))
	if text == "" {
		text = "unknown error"
	}
	return text
}

// shimError is shimMessage as an error, for calls outside a run.
func shimError(op string, msg *C.char) error {
	if text := shimMessage(msg); text != "" {
		return newError(op, text)
	}
	return nil
}

// lastMessage takes libtch's thread-local message and frees it.
func lastMessage() string {
	msg := libtch.GetAndResetLastErr()
	if msg == nil {
		return "unknown error"
	}
	p := unsafe.Pointer(msg)
	text := C.GoString((*C.char)(p))
	C.free(p)
	return text
}
