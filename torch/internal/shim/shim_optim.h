// Optimiser steps, gradient norms and moving averages over lists of tensors,
// one call for a whole parameter group. Parameters without gradient are left
// alone, as PyTorch does. Conventions as in shim.h.
#ifndef WILDTRAIN_SHIM_OPTIM_H
#define WILDTRAIN_SHIM_OPTIM_H
#include "shim.h"

#ifdef __cplusplus
extern "C" {
#endif

// has[i] becomes 1 where ts[i] has a gradient.
char *wt_has_grads(wt_tensor *ts, int n, unsigned char *has);
// Total L2 norm of all gradients; finite becomes 0 where one holds NaN or infinity.
char *wt_grad_norm(wt_tensor *ts, int n, double *norm, int *finite);
char *wt_grad_scale(wt_tensor *ts, int n, double factor);
char *wt_grad_clamp(wt_tensor *ts, int n, double limit);

char *wt_sgd(wt_tensor *ps, wt_tensor *bufs, int n, double lr, double momentum, double decay, int nesterov);
// decoupled: AdamW's decay. steps[i] counts this step already.
char *wt_adam(wt_tensor *ps, wt_tensor *avg, wt_tensor *sq, const int64_t *steps, int n, double lr, double beta1, double beta2, double eps, double decay, int decoupled);
char *wt_rmsprop(wt_tensor *ps, wt_tensor *sq, wt_tensor *bufs, int n, double lr, double alpha, double eps, double momentum, double decay);

// Muon's step on tensors of at least two dimensions, seen as rows by the rest.
char *wt_muon(wt_tensor *ps, wt_tensor *bufs, int n, double lr, double momentum, int nesterov);

// dst = decay*dst + (1-decay)*src; tensors that are not floating are copied.
char *wt_ema(wt_tensor *dst, wt_tensor *src, int n, double decay);
// Exchanges the storages of a[i] and b[i].
char *wt_swap(wt_tensor *a, wt_tensor *b, int n);
char *wt_zeros_like(wt_tensor *out, wt_tensor t);
char *wt_clone(wt_tensor *out, wt_tensor t);

#ifdef __cplusplus
}
#endif
#endif
