#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <cmath>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>
namespace torch {
using at::Tensor;
}
#include "shim_attention.h"
#include "shim_guard.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

namespace {

using Shapes = std::vector<int64_t>; // height and width of each level

struct Sizes {
  int64_t n, s, heads, d, q, levels, points;
  Sizes(const Tensor &value, const Tensor &locations)
      : n(value.size(0)), s(value.size(1)), heads(value.size(2)), d(value.size(3)), q(locations.size(1)), levels(locations.size(3)), points(locations.size(4)) {}
};

// The four neighbours of one sampling place: their offsets in positions of the
// value, −1 outside of the level, and their bilinear shares.
template <class T> struct Corners {
  int64_t at[4];
  T share[4], dx[4], dy[4]; // shares, and their slopes by x and y in pixels

  Corners(T x, T y, int64_t height, int64_t width, int64_t start) {
    // beyond one pixel outside nothing is hit; NaN hits nothing either
    bool near = x > -1 && y > -1 && x < static_cast<T>(width) && y < static_cast<T>(height);
    int64_t x0 = near ? static_cast<int64_t>(std::floor(x)) : 0, y0 = near ? static_cast<int64_t>(std::floor(y)) : 0;
    T fx = near ? x - static_cast<T>(x0) : 0, fy = near ? y - static_cast<T>(y0) : 0;
    for (int k = 0; k < 4; k++) {
      int64_t cx = x0 + (k & 1), cy = y0 + (k >> 1);
      T wx = k & 1 ? fx : 1 - fx, wy = k >> 1 ? fy : 1 - fy;
      bool inside = near && cx >= 0 && cy >= 0 && cx < width && cy < height;
      at[k] = inside ? start + cy * width + cx : -1;
      share[k] = wx * wy;
      dx[k] = k & 1 ? wy : -wy;
      dy[k] = k >> 1 ? wx : -wx;
    }
  }
};

// Calls f(i, corners, level) for every sample i of a query and head, whose
// places begin at p.
template <class T, class F> void each_sample(const Shapes &shapes, int64_t points, const T *p, F f) {
  int64_t start = 0;
  for (size_t l = 0; l < shapes.size() / 2; l++) {
    int64_t height = shapes[2 * l], width = shapes[2 * l + 1];
    for (int64_t k = 0; k < points; k++) {
      int64_t i = static_cast<int64_t>(l) * points + k;
      T x = p[2 * i] * static_cast<T>(width) - T(0.5), y = p[2 * i + 1] * static_cast<T>(height) - T(0.5);
      f(i, Corners<T>(x, y, height, width, start), l);
    }
    start += height * width;
  }
}

template <class T> Tensor forward(const Tensor &value, const Shapes &shapes, const Tensor &locations, const Tensor &weights) {
  Sizes z(value, locations);
  Tensor out = at::empty({z.n, z.q, z.heads * z.d}, value.options());
  const T *v = value.data_ptr<T>(), *loc = locations.data_ptr<T>(), *w = weights.data_ptr<T>();
  T *o = out.data_ptr<T>();
  int64_t samples = z.levels * z.points;
  at::parallel_for(0, z.n * z.q, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      for (int64_t h = 0; h < z.heads; h++) {
        int64_t row = i * z.heads + h;
        const T *base = v + (i / z.q * z.s * z.heads + h) * z.d, *share = w + row * samples;
        T *to = o + row * z.d;
        std::fill(to, to + z.d, T(0));
        each_sample<T>(shapes, z.points, loc + row * samples * 2, [&](int64_t k, const Corners<T> &c, size_t) {
          for (int m = 0; m < 4; m++) {
            if (c.at[m] < 0) continue;
            const T *from = base + c.at[m] * z.heads * z.d;
            T factor = share[k] * c.share[m];
            for (int64_t e = 0; e < z.d; e++) to[e] += factor * from[e];
          }
        });
      }
    }
  });
  return out;
}

// One thread has a picture's head to itself, so that no two add to one value.
template <class T> tensor_list backward(const Tensor &value, const Shapes &shapes, const Tensor &locations, const Tensor &weights, const Tensor &grad) {
  Sizes z(value, locations);
  Tensor gv = at::zeros_like(value), gl = at::empty_like(locations), gw = at::empty_like(weights);
  const T *v = value.data_ptr<T>(), *loc = locations.data_ptr<T>(), *w = weights.data_ptr<T>(), *g = grad.data_ptr<T>();
  T *to_v = gv.data_ptr<T>(), *to_l = gl.data_ptr<T>(), *to_w = gw.data_ptr<T>();
  int64_t samples = z.levels * z.points;
  at::parallel_for(0, z.n * z.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t n = i / z.heads, h = i % z.heads, first = (n * z.s * z.heads + h) * z.d;
      for (int64_t q = 0; q < z.q; q++) {
        int64_t row = (n * z.q + q) * z.heads + h;
        const T *up = g + row * z.d;
        each_sample<T>(shapes, z.points, loc + row * samples * 2, [&](int64_t k, const Corners<T> &c, size_t l) {
          T hit = 0, dx = 0, dy = 0, share = w[row * samples + k];
          for (int m = 0; m < 4; m++) {
            if (c.at[m] < 0) continue;
            int64_t at = first + c.at[m] * z.heads * z.d;
            T dot = 0, factor = share * c.share[m];
            for (int64_t e = 0; e < z.d; e++) {
              dot += up[e] * v[at + e];
              to_v[at + e] += factor * up[e];
            }
            hit += c.share[m] * dot;
            dx += c.dx[m] * dot;
            dy += c.dy[m] * dot;
          }
          to_w[row * samples + k] = hit;
          to_l[(row * samples + k) * 2] = share * dx * static_cast<T>(shapes[2 * l + 1]);
          to_l[(row * samples + k) * 2 + 1] = share * dy * static_cast<T>(shapes[2 * l]);
        });
      }
    }
  });
  return {gv, Tensor(), gl, gw};
}

struct DeformableAttention : torch::autograd::Function<DeformableAttention> {
  static Tensor forward(AutogradContext *ctx, const Tensor &value, const Shapes &shapes, const Tensor &locations, const Tensor &weights) {
    ctx->save_for_backward({value, locations, weights});
    ctx->saved_data["shapes"] = shapes;
    return value.scalar_type() == at::kDouble ? ::forward<double>(value, shapes, locations, weights) : ::forward<float>(value, shapes, locations, weights);
  }
  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    tensor_list saved = ctx->get_saved_variables();
    Shapes shapes = ctx->saved_data["shapes"].toIntVector();
    Tensor grad = grads[0].contiguous();
    return saved[0].scalar_type() == at::kDouble ? ::backward<double>(saved[0], shapes, saved[1], saved[2], grad) : ::backward<float>(saved[0], shapes, saved[1], saved[2], grad);
  }
};

void check(const Tensor &value, const Shapes &shapes, const Tensor &locations, const Tensor &weights) {
  TORCH_CHECK(value.device().is_cpu() && locations.device().is_cpu() && weights.device().is_cpu(), "tensors must be on the CPU");
  TORCH_CHECK(value.dim() == 4, "values must be (N, S, heads, d), have ", value.sizes());
  int64_t levels = static_cast<int64_t>(shapes.size() / 2), positions = 0;
  for (int64_t l = 0; l < levels; l++) {
    TORCH_CHECK(shapes[2 * l] > 0 && shapes[2 * l + 1] > 0, "level ", l, " is ", shapes[2 * l], " by ", shapes[2 * l + 1]);
    positions += shapes[2 * l] * shapes[2 * l + 1];
  }
  TORCH_CHECK(positions == value.size(1), "the levels have ", positions, " positions, the values ", value.size(1));
  TORCH_CHECK(locations.dim() == 6 && locations.size(0) == value.size(0) && locations.size(2) == value.size(2) && locations.size(3) == levels && locations.size(5) == 2,
              "locations must be (", value.size(0), ", Q, ", value.size(2), ", ", levels, ", points, 2), have ", locations.sizes());
  TORCH_CHECK(weights.sizes() == locations.sizes().slice(0, 5), "weights must be ", locations.sizes().slice(0, 5), ", have ", weights.sizes());
}

} // namespace

char *wt_deformable_attention(wt_tensor *out, wt_tensor value, const int64_t *shapes, int nlevels, wt_tensor locations, wt_tensor weights) {
  WT_TRY({
    Shapes levels(shapes, shapes + 2 * nlevels);
    check(*value, levels, *locations, *weights);
    auto type = value->scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    auto plain = [&](const Tensor &t) { return t.to(type).contiguous(); };
    *out = new Tensor(DeformableAttention::apply(plain(*value), levels, plain(*locations), plain(*weights)));
  })
}
