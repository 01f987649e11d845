// Package torch is a small, strict layer over libtorch: tensors, autograd,
// autocast and the operations that detectors and classifiers need. It calls the
// raw bindings of gotch (package libtch) and one C++ shim of its own.
//
// Lifetime. Every Tensor belongs to one Scope, and a Scope frees all of its
// tensors when it closes; nothing is freed by the garbage collector. Run is the
// only door to computing: it opens a scope on a locked OS thread, sets the mode
// (gradients, training, autocast) and restores it, and closes the scope at the
// end. Results of operations belong to the innermost open scope of the run that
// their first operand belongs to; Sub opens an inner one, so that temporaries
// are freed as early as PyTorch frees them. Parameters belong to a root scope
// (NewRoot) which their model closes.
//
// Errors. The first libtorch exception of a run is kept, with the operation and
// the line that called it; later operations do nothing, and Run returns the
// error as *Error. Queries on the outcome of a failed operation return zeros:
// loops that depend on them check Err.
//
// Names, shapes and semantics are PyTorch's unless the comment says otherwise.
package torch
