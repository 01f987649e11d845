#include <torch/torch.h>
#include <torch/version.h>
#include <ATen/autocast_mode.h>
#include <ATen/Parallel.h>
#include <ATen/TracerMode.h>
#include <ATen/CPUGeneratorImpl.h>
#include <climits>
#include <cmath>
#include <cstring>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include "shim.h"
#include "shim_guard.h"

#define WT_AT_LEAST(major, minor) (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

using torch::Tensor;

// What is made of numbers is a constant to the tracer (shim_jit.h), not an
// operation: that would name the device, and read memory that is not libtorch's.
using Untraced = at::tracer::impl::NoTracerDispatchMode;

static at::Device device_of(int d) { return d < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, d); }
static at::ScalarType type_of(int t) { return static_cast<at::ScalarType>(t); }
static at::IntArrayRef ints(const int64_t *p, int n) { return at::IntArrayRef(p, static_cast<size_t>(n)); }

const char *wt_version(void) { return TORCH_VERSION; }

// ---- handles

void wt_free_all(wt_tensor *ts, int n) {
  for (int i = 0; i < n; i++) delete ts[i];
}

char *wt_alias(wt_tensor *out, wt_tensor t) { WT_TRY(*out = new Tensor(*t)) }

int wt_shape(wt_tensor t, int64_t *out, int max) {
  if (!t->defined()) return 0;
  int n = static_cast<int>(t->dim());
  for (int i = 0; i < n && i < max; i++) out[i] = t->size(i);
  return n;
}

int wt_dtype(wt_tensor t) { return t->defined() ? static_cast<int>(t->scalar_type()) : -1; }
int wt_device(wt_tensor t) { return t->defined() && t->is_cuda() ? t->get_device() : -1; }
int64_t wt_numel(wt_tensor t) { return t->defined() ? t->numel() : 0; }
int wt_is_channels_last(wt_tensor t) {
  return t->defined() && t->dim() == 4 && t->is_contiguous(at::MemoryFormat::ChannelsLast);
}
int wt_requires_grad(wt_tensor t) { return t->defined() && t->requires_grad(); }

// ---- data

char *wt_create(wt_tensor *out, const int64_t *shape, int ndim, int dtype, int device, double fill, int channels_last) {
  WT_TRY({
    Untraced untraced;
    auto opts = at::TensorOptions().dtype(type_of(dtype)).device(device_of(device));
    Tensor t = std::isnan(fill) ? torch::empty(ints(shape, ndim), opts) : torch::full(ints(shape, ndim), fill, opts);
    if (channels_last && ndim == 4) t = t.contiguous(at::MemoryFormat::ChannelsLast);
    *out = new Tensor(t);
  })
}

char *wt_from_data(wt_tensor *out, const void *data, const int64_t *shape, int ndim, int dtype, int device) {
  WT_TRY({
    Untraced untraced;
    auto opts = at::TensorOptions().dtype(type_of(dtype));
    Tensor host = torch::from_blob(const_cast<void *>(data), ints(shape, ndim), opts);
    *out = new Tensor(device < 0 ? host.clone() : host.to(device_of(device), false, true));
  })
}

char *wt_images(wt_tensor *out, const void *data, int bits, int64_t n, int64_t h, int64_t w, int64_t c, int device, int channels_last, double scale) {
  WT_TRY({
    torch::NoGradGuard no_grad;
    auto type = bits == 8 ? at::kByte : at::kShort;
    Tensor host = torch::from_blob(const_cast<void *>(data), {n, h, w, c}, at::TensorOptions().dtype(type));
    Tensor dev = device < 0 ? host : host.to(device_of(device));
    Tensor x = dev.to(at::kFloat);
    if (bits != 8) x = torch::where(x < 0, x + 65536.0, x);
    x = x.mul_(scale).permute({0, 3, 1, 2}); // NHWC memory seen as NCHW is channels_last
    *out = new Tensor(channels_last ? x : x.contiguous());
  })
}

char *wt_read(wt_tensor t, void *dst, size_t bytes) {
  WT_TRY({
    torch::NoGradGuard no_grad;
    Tensor c = t->detach().to(at::kCPU).contiguous();
    TORCH_CHECK(c.nbytes() == bytes, "read ", c.nbytes(), " bytes into a buffer of ", bytes);
    if (bytes) std::memcpy(dst, c.data_ptr(), bytes);
  })
}

char *wt_read_as(wt_tensor t, void *dst, int64_t count, int dtype) {
  WT_TRY({
    torch::NoGradGuard no_grad;
    Tensor c = t->detach().to(at::TensorOptions().dtype(type_of(dtype)).device(at::kCPU)).contiguous();
    TORCH_CHECK(c.numel() == count, "read ", c.numel(), " elements into a buffer of ", count);
    if (count) std::memcpy(dst, c.data_ptr(), c.nbytes());
  })
}

char *wt_write(wt_tensor t, const void *src, size_t bytes) {
  WT_TRY({
    torch::NoGradGuard no_grad;
    TORCH_CHECK(static_cast<size_t>(t->numel() * t->element_size()) == bytes, "write ", bytes, " bytes into a tensor of ", t->numel() * t->element_size());
    Tensor host = torch::from_blob(const_cast<void *>(src), t->sizes(), at::TensorOptions().dtype(t->scalar_type()));
    t->copy_(host);
  })
}

char *wt_copy(wt_tensor dst, wt_tensor src) { WT_TRY({ torch::NoGradGuard no_grad; dst->copy_(*src); }) }
char *wt_fill(wt_tensor t, double v) { WT_TRY({ torch::NoGradGuard no_grad; t->fill_(v); }) }
char *wt_item(wt_tensor t, double *out) { WT_TRY(*out = t->item().toDouble()) }
char *wt_set_requires_grad(wt_tensor t, int on) { WT_TRY(t->set_requires_grad(on != 0)) }
char *wt_set_data(wt_tensor t, wt_tensor src) { WT_TRY(t->set_data(*src)) }
char *wt_uniform(wt_tensor t, double lo, double hi) { WT_TRY({ torch::NoGradGuard no_grad; t->uniform_(lo, hi); }) }
char *wt_normal(wt_tensor t, double mean, double std) { WT_TRY({ torch::NoGradGuard no_grad; t->normal_(mean, std); }) }

char *wt_trunc_normal(wt_tensor t, double mean, double std, double a, double b) {
  WT_TRY({
    torch::NoGradGuard no_grad; // inverse transform, as torch.nn.init.trunc_normal_
    auto cdf = [](double x) { return (1.0 + std::erf(x / std::sqrt(2.0))) / 2.0; };
    t->uniform_(2 * cdf((a - mean) / std) - 1, 2 * cdf((b - mean) / std) - 1);
    t->erfinv_().mul_(std * std::sqrt(2.0)).add_(mean).clamp_(a, b);
  })
}

char *wt_to(wt_tensor *out, wt_tensor t, int dtype, int device, int layout) {
  WT_TRY({
    auto type = dtype < 0 ? t->scalar_type() : type_of(dtype);
    auto where = device_of(device);
    Tensor r = *t; // a device that is named without need would stay in a trace
    if (r.device() != where) r = r.to(where, type);
    else if (r.scalar_type() != type) r = r.to(type);
    if (layout == 1) r = r.contiguous();
    if (layout == 2 && r.dim() == 4) r = r.contiguous(at::MemoryFormat::ChannelsLast);
    *out = new Tensor(r);
  })
}

// ---- autograd

int wt_grad_mode(int on) {
  bool before = at::GradMode::is_enabled();
  at::GradMode::set_enabled(on != 0);
  return before;
}

char *wt_backward(wt_tensor loss) { WT_TRY(loss->backward()) }

char *wt_grad(wt_tensor *out, wt_tensor t) {
  WT_TRY({ if (t->grad().defined()) *out = new Tensor(t->grad()); })
}

char *wt_zero_grads(wt_tensor *ts, int n, int set_to_none) {
  WT_TRY({
    torch::NoGradGuard no_grad;
    for (int i = 0; i < n; i++) {
      auto &g = ts[i]->mutable_grad();
      if (!g.defined()) continue;
      if (set_to_none) g.reset(); else g.detach_().zero_();
    }
  })
}

// ---- modes

int wt_autocast_get(int cuda, int *dtype) {
  auto dev = cuda ? at::kCUDA : at::kCPU;
#if WT_AT_LEAST(2, 4)
  *dtype = static_cast<int>(at::autocast::get_autocast_dtype(dev));
  return at::autocast::is_autocast_enabled(dev);
#else
  *dtype = static_cast<int>(cuda ? at::autocast::get_autocast_gpu_dtype() : at::autocast::get_autocast_cpu_dtype());
  return dev == at::kCUDA ? at::autocast::is_enabled() : at::autocast::is_cpu_enabled();
#endif
}

char *wt_autocast_set(int cuda, int on, int dtype) {
  WT_TRY({
#if WT_AT_LEAST(2, 4)
    auto dev = cuda ? at::kCUDA : at::kCPU;
    at::autocast::set_autocast_enabled(dev, on != 0);
    if (dtype >= 0) at::autocast::set_autocast_dtype(dev, type_of(dtype));
#else
    if (cuda) { at::autocast::set_enabled(on != 0); if (dtype >= 0) at::autocast::set_autocast_gpu_dtype(type_of(dtype)); }
    else { at::autocast::set_cpu_enabled(on != 0); if (dtype >= 0) at::autocast::set_autocast_cpu_dtype(type_of(dtype)); }
#endif
  })
}

void wt_autocast_clear(void) { at::autocast::clear_cache(); }
char *wt_seed(int64_t seed) { WT_TRY(torch::manual_seed(static_cast<uint64_t>(seed))) }

static at::Generator generator(int device) {
  auto d = device_of(device);
  if (d.is_cpu()) return at::detail::getDefaultCPUGenerator();
  return at::globalContext().defaultGenerator(d);
}

char *wt_rng_get(wt_tensor *out, int device) {
  WT_TRY({
    auto gen = generator(device);
    std::lock_guard<std::mutex> lock(gen.mutex());
    *out = new Tensor(gen.get_state());
  })
}

char *wt_rng_set(wt_tensor state, int device) {
  WT_TRY({
    auto gen = generator(device);
    std::lock_guard<std::mutex> lock(gen.mutex());
    gen.set_state(*state);
  })
}

void wt_set_threads(int n) { at::set_num_threads(n); }
int wt_threads(void) { return at::get_num_threads(); }

char *wt_set_deterministic(int on) {
  WT_TRY({
    at::globalContext().setDeterministicCuDNN(on != 0);
    at::globalContext().setBenchmarkCuDNN(on == 0);
  })
}

// Freed tensors of a training come back in the next step: giving their pages to
// the system in between costs a page fault per 4 KiB each time.
void wt_retain_memory(void) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_TOP_PAD, 256 << 20);
#endif
}

int wt_cpu_bf16(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") ? 1 : 0;
#else
  return 0;
#endif
}

// ---- scalar and reduction forms

char *wt_scalar_op(wt_tensor *out, wt_tensor t, int op, double v) {
  WT_TRY({
    Tensor r;
    switch (op) {
    case 0: r = t->add(v); break;
    case 1: r = t->mul(v); break;
    case 2: r = t->div(v); break;
    case 3: r = t->pow(v); break;
    case 4: r = torch::rsub(*t, v); break;
    case 5: r = t->gt(v); break;
    case 6: r = t->ge(v); break;
    case 7: r = t->lt(v); break;
    case 8: r = t->le(v); break;
    case 9: r = t->eq(v); break;
    case 10: r = t->ne(v); break;
    case 11: r = torch::leaky_relu(*t, v); break;
    case 12: r = t->remainder(v); break;
    case 13: r = t->reciprocal().mul(v); break;
    default: TORCH_CHECK(false, "unknown scalar operation ", op);
    }
    *out = new Tensor(r);
  })
}

char *wt_clamp(wt_tensor *out, wt_tensor t, double lo, int has_lo, double hi, int has_hi) {
  WT_TRY({
    c10::optional<at::Scalar> l, h;
    if (has_lo) l = at::Scalar(lo);
    if (has_hi) h = at::Scalar(hi);
    *out = new Tensor(t->clamp(l, h));
  })
}

char *wt_reduce(wt_tensor *out, wt_tensor t, int op, const int64_t *dims, int ndims, int keepdim) {
  WT_TRY({
    Tensor r;
    bool all = ndims == 0;
    auto d = ints(dims, ndims);
    switch (op) {
    case 0: r = all ? t->sum() : t->sum(d, keepdim != 0); break;
    case 1: r = all ? t->mean() : t->mean(d, keepdim != 0); break;
    case 2: r = all ? t->amax() : t->amax(d, keepdim != 0); break;
    case 3: r = all ? t->amin() : t->amin(d, keepdim != 0); break;
    case 4: r = all ? t->norm() : t->norm(2, d, keepdim != 0); break;
    case 5: r = all ? t->std(true) : t->std(d, true, keepdim != 0); break;
    case 6: r = all ? t->var(true) : t->var(d, true, keepdim != 0); break;
    case 7: r = all ? t->logsumexp(0) : t->logsumexp(d, keepdim != 0); break;
    default: TORCH_CHECK(false, "unknown reduction ", op);
    }
    *out = new Tensor(r);
  })
}

char *wt_addmul(wt_tensor t, wt_tensor o, double alpha) {
  WT_TRY({
    torch::NoGradGuard no_grad;
    if (t->is_floating_point()) t->add_(*o, alpha);
    else t->add_(*o, static_cast<int64_t>(alpha)); // integers take no other factor
  })
}
char *wt_scale(wt_tensor t, double v) { WT_TRY({ torch::NoGradGuard no_grad; t->mul_(v); }) }

char *wt_arange(wt_tensor *out, double start, double end, double step, int dtype, int device) {
  WT_TRY({
    Untraced untraced;
    *out = new Tensor(torch::arange(start, end, step, at::TensorOptions().dtype(type_of(dtype)).device(device_of(device))));
  })
}

char *wt_interpolate(wt_tensor *out, wt_tensor t, int64_t h, int64_t w, double sh, double sw, int mode, int align, int antialias) {
  WT_TRY({
    c10::optional<double> fh, fw;
    if (sh > 0) fh = sh;
    if (sw > 0) fw = sw;
    Tensor r;
    if (mode == 0) r = at::upsample_nearest2d(*t, {h, w}, fh, fw);
    else if (mode == 1) r = antialias ? at::_upsample_bilinear2d_aa(*t, {h, w}, align != 0, fh, fw) : at::upsample_bilinear2d(*t, {h, w}, align != 0, fh, fw);
    else r = antialias ? at::_upsample_bicubic2d_aa(*t, {h, w}, align != 0, fh, fw) : at::upsample_bicubic2d(*t, {h, w}, align != 0, fh, fw);
    *out = new Tensor(r);
  })
}

char *wt_pad(wt_tensor *out, wt_tensor t, const int64_t *pad, int n, double v) {
  WT_TRY(*out = new Tensor(at::constant_pad_nd(*t, ints(pad, n), v)))
}

char *wt_cross_entropy(wt_tensor *out, wt_tensor x, wt_tensor target, wt_tensor weight, int reduction, double smoothing) {
  WT_TRY({
    c10::optional<Tensor> w;
    if (weight) w = *weight;
    *out = new Tensor(at::cross_entropy_loss(*x, *target, w, reduction, -100, smoothing));
  })
}

static Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v, const c10::optional<Tensor> &mask, double dropout) {
#if !WT_AT_LEAST(2, 2)
  // the fused kernel of 2.1 writes beyond its buffers in bfloat16's backward on the CPU
  if (q.is_cpu() && q.scalar_type() != at::kFloat) return std::get<0>(at::_scaled_dot_product_attention_math(q, k, v, mask, dropout));
#endif
  return at::scaled_dot_product_attention(q, k, v, mask, dropout);
}

// libtch passes an absent mask as an undefined tensor, which libtorch refuses
char *wt_attention(wt_tensor *out, wt_tensor q, wt_tensor k, wt_tensor v, wt_tensor mask, double dropout) {
  WT_TRY({
    c10::optional<Tensor> m;
    if (mask) m = *mask;
    *out = new Tensor(attention(*q, *k, *v, m, dropout));
  })
}

char *wt_softmax(wt_tensor *out, wt_tensor t, int64_t dim, int log) {
  WT_TRY(*out = new Tensor(log ? torch::log_softmax(*t, dim) : torch::softmax(*t, dim)))
}
