// The C side of package torch: what gotch's libtch lacks, or what is needed in
// one call. Every function that can fail returns NULL or a message which the
// caller frees; no C++ exception leaves this file. Tensors are torch::Tensor*,
// as in libtch.
#ifndef WILDTRAIN_SHIM_H
#define WILDTRAIN_SHIM_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
typedef torch::Tensor *wt_tensor;
#else
typedef void *wt_tensor;
#endif

const char *wt_version(void);

// handles
void wt_free_all(wt_tensor *ts, int n);
char *wt_alias(wt_tensor *out, wt_tensor t);
int wt_shape(wt_tensor t, int64_t *out, int max);
int wt_dtype(wt_tensor t);
int wt_device(wt_tensor t);
int64_t wt_numel(wt_tensor t);
int wt_is_channels_last(wt_tensor t);
int wt_requires_grad(wt_tensor t);

// data
char *wt_create(wt_tensor *out, const int64_t *shape, int ndim, int dtype, int device, double fill, int channels_last);
char *wt_from_data(wt_tensor *out, const void *data, const int64_t *shape, int ndim, int dtype, int device);
char *wt_images(wt_tensor *out, const void *data, int bits, int64_t n, int64_t h, int64_t w, int64_t c, int device, int channels_last, double scale);
char *wt_read(wt_tensor t, void *dst, size_t bytes);
char *wt_read_as(wt_tensor t, void *dst, int64_t count, int dtype);
char *wt_write(wt_tensor t, const void *src, size_t bytes);
char *wt_copy(wt_tensor dst, wt_tensor src);
char *wt_fill(wt_tensor t, double v);
char *wt_item(wt_tensor t, double *out);
char *wt_set_requires_grad(wt_tensor t, int on);
char *wt_set_data(wt_tensor t, wt_tensor src);
char *wt_uniform(wt_tensor t, double lo, double hi);
char *wt_normal(wt_tensor t, double mean, double std);
char *wt_trunc_normal(wt_tensor t, double mean, double std, double a, double b);
char *wt_to(wt_tensor *out, wt_tensor t, int dtype, int device, int layout); // layout: 0 keep, 1 contiguous, 2 channels_last

// autograd
int wt_grad_mode(int on); // returns the previous mode
char *wt_backward(wt_tensor loss);
char *wt_grad(wt_tensor *out, wt_tensor t); // out stays NULL where there is none
char *wt_zero_grads(wt_tensor *ts, int n, int set_to_none);

// modes
int wt_autocast_get(int cuda, int *dtype);
char *wt_autocast_set(int cuda, int on, int dtype);
void wt_autocast_clear(void);
char *wt_seed(int64_t seed);
char *wt_rng_get(wt_tensor *out, int device);
char *wt_rng_set(wt_tensor state, int device);
void wt_set_threads(int n);
int wt_threads(void);
char *wt_set_deterministic(int on);
int wt_cpu_bf16(void);
void wt_retain_memory(void);

// scalar and reduction forms without a scalar object
char *wt_scalar_op(wt_tensor *out, wt_tensor t, int op, double v);
char *wt_clamp(wt_tensor *out, wt_tensor t, double lo, int has_lo, double hi, int has_hi);
char *wt_reduce(wt_tensor *out, wt_tensor t, int op, const int64_t *dims, int ndims, int keepdim);
char *wt_addmul(wt_tensor t, wt_tensor o, double alpha); // t += alpha*o
char *wt_scale(wt_tensor t, double v);                   // t *= v
char *wt_arange(wt_tensor *out, double start, double end, double step, int dtype, int device);
char *wt_interpolate(wt_tensor *out, wt_tensor t, int64_t h, int64_t w, double sh, double sw, int mode, int align, int antialias);
char *wt_softmax(wt_tensor *out, wt_tensor t, int64_t dim, int log);
char *wt_pad(wt_tensor *out, wt_tensor t, const int64_t *pad, int n, double v);
char *wt_attention(wt_tensor *out, wt_tensor q, wt_tensor k, wt_tensor v, wt_tensor mask, double dropout);
char *wt_cross_entropy(wt_tensor *out, wt_tensor x, wt_tensor target, wt_tensor weight, int reduction, double smoothing);

#ifdef __cplusplus
}
#endif
#endif
