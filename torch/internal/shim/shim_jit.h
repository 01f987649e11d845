// TorchScript: recording what a thread computes, and running it. Conventions as
// in shim.h.
#ifndef WILDTRAIN_SHIM_JIT_H
#define WILDTRAIN_SHIM_JIT_H
#include "shim.h"

#ifdef __cplusplus
extern "C" {
typedef std::shared_ptr<torch::jit::Graph> *wt_graph;
typedef torch::jit::Module *wt_module;
#else
typedef void *wt_graph;
typedef void *wt_module;
#endif

// From here on the operations of this thread on input and on the n tensors are
// recorded, until wt_trace_end, which gives what leads to output, or
// wt_trace_drop. Other tensors become constants.
char *wt_trace_begin(wt_tensor input, wt_tensor *tensors, int n);
char *wt_trace_end(wt_graph *out, wt_tensor output);
void wt_trace_drop(void);
void wt_graph_free(wt_graph g);

// Writes the graph, recorded with an input of one picture, as a module whose
// parameters and buffers (where buffer[i] is set) are those of the n tensors that
// it uses. two is the same recorded with two pictures: numbers that doubled
// become functions of the input's length; where this cannot be, dynamic becomes 0
// and the module takes one picture. Constants that are no scalars become buffers.
char *wt_script_save(const char *path, wt_graph one, wt_graph two, wt_tensor *tensors, char **names, const unsigned char *buffer, int n, int *dynamic);

char *wt_module_load(wt_module *out, const char *path, int device);
char *wt_module_forward(wt_tensor *out, wt_module m, wt_tensor input);
void wt_module_free(wt_module m);

#ifdef __cplusplus
}
#endif
#endif
