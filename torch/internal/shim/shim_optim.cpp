#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <algorithm>
#include <cmath>
#include <vector>
namespace torch {
using at::Tensor;
}
#include "shim_optim.h"
#include "shim_guard.h"

using at::Tensor;
using List = std::vector<Tensor>;

namespace {

// Lists of equal length, one entry per parameter that has a gradient.
struct Group {
  List params, grads, a, b;
  std::vector<int64_t> steps;
};

// On a GPU one launch takes all tensors; on the CPU pieces that stay in the
// cache between the operations of a step are faster and need little memory.
template <class F> void for_pieces(const Group &g, F step) {
  const int64_t limit = 1 << 18;
  size_t i = 0;
  while (i < g.params.size()) {
    Group piece;
    int64_t elements = 0;
    bool cpu = g.params[i].is_cpu();
    for (; i < g.params.size(); i++) {
      if (!piece.params.empty() && (g.params[i].is_cpu() != cpu || (cpu && elements + g.params[i].numel() > limit))) break;
      elements += g.params[i].numel();
      piece.params.push_back(g.params[i]);
      if (!g.grads.empty()) piece.grads.push_back(g.grads[i]);
      if (!g.a.empty()) piece.a.push_back(g.a[i]);
      if (!g.b.empty()) piece.b.push_back(g.b[i]);
      if (!g.steps.empty()) piece.steps.push_back(g.steps[i]);
    }
    step(piece);
  }
}

Group with_grads(wt_tensor *ps, wt_tensor *a, wt_tensor *b, const int64_t *steps, int n) {
  Group g;
  for (int i = 0; i < n; i++) {
    const Tensor &grad = ps[i]->grad();
    if (!grad.defined()) continue;
    g.params.push_back(*ps[i]);
    g.grads.push_back(grad);
    if (a) g.a.push_back(*a[i]);
    if (b) g.b.push_back(*b[i]);
    if (steps) g.steps.push_back(steps[i]);
  }
  return g;
}

} // namespace

char *wt_has_grads(wt_tensor *ts, int n, unsigned char *has) {
  WT_TRY({ for (int i = 0; i < n; i++) has[i] = ts[i]->grad().defined(); })
}

char *wt_grad_norm(wt_tensor *ts, int n, double *norm, int *finite) {
  WT_TRY({
    at::NoGradGuard no_grad;
    *norm = 0;
    *finite = 1;
    Group g = with_grads(ts, nullptr, nullptr, nullptr, n);
    if (g.grads.empty()) return nullptr;
    auto device = g.grads[0].device();
    List norms = at::_foreach_norm(g.grads, 2);
    for (auto &v : norms) v = v.to(device);
    *norm = at::linalg_vector_norm(at::stack(norms), 2).item().toDouble();
    if (std::isfinite(*norm)) return nullptr;
    for (auto &grad : g.grads) // a norm may overflow where no gradient does
      if (!at::isfinite(grad).all().item().toBool()) { *finite = 0; break; }
  })
}

char *wt_grad_scale(wt_tensor *ts, int n, double factor) {
  WT_TRY({
    at::NoGradGuard no_grad;
    Group g = with_grads(ts, nullptr, nullptr, nullptr, n);
    if (!g.grads.empty()) at::_foreach_mul_(g.grads, factor);
  })
}

char *wt_grad_clamp(wt_tensor *ts, int n, double limit) {
  WT_TRY({
    at::NoGradGuard no_grad;
    Group g = with_grads(ts, nullptr, nullptr, nullptr, n);
    if (g.grads.empty()) return nullptr;
    at::_foreach_clamp_min_(g.grads, -limit);
    at::_foreach_clamp_max_(g.grads, limit);
  })
}

char *wt_sgd(wt_tensor *ps, wt_tensor *bufs, int n, double lr, double momentum, double decay, int nesterov) {
  WT_TRY({
    at::NoGradGuard no_grad;
    for_pieces(with_grads(ps, bufs, nullptr, nullptr, n), [&](Group &g) {
      List grads = g.grads;
      if (decay != 0) grads = at::_foreach_add(grads, g.params, decay);
      if (momentum != 0) {
        at::_foreach_mul_(g.a, momentum);
        at::_foreach_add_(g.a, grads, 1);
        if (nesterov) grads = at::_foreach_add(grads, g.a, momentum);
        else grads = g.a;
      }
      at::_foreach_add_(g.params, grads, -lr);
    });
  })
}

// Newton-Schulz iteration towards the nearest matrix with orthonormal rows or
// columns, in bfloat16 (Jordan et al. 2024).
static Tensor orthogonal(const Tensor &matrix) {
  const double a = 3.4445, b = -4.7750, c = 2.0315;
  Tensor x = matrix.to(at::kBFloat16);
  bool tall = x.size(0) > x.size(1);
  if (tall) x = x.t();
  x = x.div(x.norm().clamp_min(1e-7));
  for (int i = 0; i < 5; i++) {
    Tensor gram = x.mm(x.t());
    Tensor poly = at::addmm(gram, gram, gram, b, c);
    x = at::addmm(x, poly, x, a);
  }
  return tall ? x.t() : x;
}

char *wt_muon(wt_tensor *ps, wt_tensor *bufs, int n, double lr, double momentum, int nesterov) {
  WT_TRY({
    at::NoGradGuard no_grad;
    Group g = with_grads(ps, bufs, nullptr, nullptr, n);
    for (size_t i = 0; i < g.params.size(); i++) {
      g.a[i].lerp_(g.grads[i], 1 - momentum);
      Tensor update = nesterov ? g.grads[i].lerp(g.a[i], momentum) : g.a[i];
      Tensor rows = update.reshape({update.size(0), -1});
      double scale = std::sqrt(std::max(1.0, (double)rows.size(0) / (double)rows.size(1)));
      g.params[i].add_(orthogonal(rows).reshape(update.sizes()), -lr * scale);
    }
  })
}

char *wt_adam(wt_tensor *ps, wt_tensor *avg, wt_tensor *sq, const int64_t *steps, int n, double lr, double beta1, double beta2, double eps, double decay, int decoupled) {
  WT_TRY({
    at::NoGradGuard no_grad;
    for_pieces(with_grads(ps, avg, sq, steps, n), [&](Group &g) {
      List grads = g.grads;
      if (decay != 0 && decoupled) at::_foreach_mul_(g.params, 1 - lr * decay);
      if (decay != 0 && !decoupled) grads = at::_foreach_add(grads, g.params, decay);
      at::_foreach_lerp_(g.a, grads, 1 - beta1);
      at::_foreach_mul_(g.b, beta2);
      at::_foreach_addcmul_(g.b, grads, grads, 1 - beta2);
      std::vector<at::Scalar> root, size;
      for (int64_t t : g.steps) {
        root.emplace_back(std::sqrt(1 - std::pow(beta2, static_cast<double>(t))));
        size.emplace_back(-lr / (1 - std::pow(beta1, static_cast<double>(t))));
      }
      List denominator = at::_foreach_sqrt(g.b);
      at::_foreach_div_(denominator, root);
      at::_foreach_add_(denominator, eps);
      at::_foreach_addcdiv_(g.params, g.a, denominator, size);
    });
  })
}

char *wt_rmsprop(wt_tensor *ps, wt_tensor *sq, wt_tensor *bufs, int n, double lr, double alpha, double eps, double momentum, double decay) {
  WT_TRY({
    at::NoGradGuard no_grad;
    for_pieces(with_grads(ps, sq, bufs, nullptr, n), [&](Group &g) {
      List grads = g.grads;
      if (decay != 0) grads = at::_foreach_add(grads, g.params, decay);
      at::_foreach_mul_(g.a, alpha);
      at::_foreach_addcmul_(g.a, grads, grads, 1 - alpha);
      List root = at::_foreach_sqrt(g.a);
      at::_foreach_add_(root, eps);
      if (momentum != 0) {
        at::_foreach_mul_(g.b, momentum);
        at::_foreach_addcdiv_(g.b, grads, root, 1);
        at::_foreach_add_(g.params, g.b, -lr);
      } else {
        at::_foreach_addcdiv_(g.params, grads, root, -lr);
      }
    });
  })
}

char *wt_ema(wt_tensor *dst, wt_tensor *src, int n, double decay) {
  WT_TRY({
    at::NoGradGuard no_grad;
    Group floating;
    for (int i = 0; i < n; i++) {
      if (!dst[i]->is_floating_point()) { dst[i]->copy_(*src[i]); continue; }
      floating.params.push_back(*dst[i]);
      floating.a.push_back(*src[i]);
    }
    for_pieces(floating, [&](Group &g) {
      at::_foreach_mul_(g.params, decay);
      at::_foreach_add_(g.params, g.a, 1 - decay);
    });
  })
}

char *wt_swap(wt_tensor *a, wt_tensor *b, int n) {
  WT_TRY({
    for (int i = 0; i < n; i++) // all or nothing
      TORCH_CHECK(a[i]->sizes() == b[i]->sizes() && a[i]->options().type_equal(b[i]->options()), "swap: tensors ", i, " differ in shape, type or device");
    for (int i = 0; i < n; i++) {
      Tensor mine = a[i]->data();
      Tensor theirs = b[i]->data();
      a[i]->set_data(theirs);
      b[i]->set_data(mine);
    }
  })
}

char *wt_zeros_like(wt_tensor *out, wt_tensor t) {
  WT_TRY({
    at::NoGradGuard no_grad;
    *out = new Tensor(at::zeros_like(*t, {}, at::MemoryFormat::Preserve));
  })
}

char *wt_clone(wt_tensor *out, wt_tensor t) {
  WT_TRY({
    at::NoGradGuard no_grad;
    *out = new Tensor(t->detach().clone(at::MemoryFormat::Preserve));
  })
}
