#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <cmath>
#include <torch/csrc/autograd/custom_function.h>
#include <vector>
namespace torch {
using at::Tensor;
}
#include "shim_vision.h"
#include "shim_guard.h"

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// How regions are read: the attributes of wt_roi_align.
struct Pooling {
  double scale;
  int64_t height, width, sampling;
  bool aligned;
};

// One sample of a bin: four cells and their weights.
template <class T> struct Sample {
  int64_t at[4];
  T weight[4];
};

// The samples of one region, bin by bin, per of them in each bin.
template <class T> struct Region {
  std::vector<Sample<T>> samples;
  int64_t per;
  T share; // of one sample in its bin's mean

  Region(const T *roi, const Pooling &p, int64_t height, int64_t width) {
    T offset = p.aligned ? T(0.5) : T(0), scale = static_cast<T>(p.scale);
    T x = roi[1] * scale - offset, y = roi[2] * scale - offset;
    T w = roi[3] * scale - offset - x, h = roi[4] * scale - offset - y;
    if (!p.aligned) {
      w = std::max(w, T(1));
      h = std::max(h, T(1));
    }
    T bin_h = h / static_cast<T>(p.height), bin_w = w / static_cast<T>(p.width);
    int64_t rows = samples_of(bin_h, p.sampling, height), cols = samples_of(bin_w, p.sampling, width);
    per = rows * cols;
    share = T(1) / static_cast<T>(std::max<int64_t>(per, 1));
    samples.reserve(p.height * p.width * per);
    for (int64_t i = 0; i < p.height; i++)
      for (int64_t j = 0; j < p.width; j++)
        for (int64_t r = 0; r < rows; r++) {
          T sy = y + i * bin_h + (r + T(0.5)) * bin_h / static_cast<T>(rows);
          for (int64_t c = 0; c < cols; c++)
            samples.push_back(bilinear(sy, x + j * bin_w + (c + T(0.5)) * bin_w / static_cast<T>(cols), height, width));
        }
  }

  // Samples along one side of a bin. Beyond the map nothing is read: more than
  // so many cells that a bin may cover are of no use, and a region without end
  // must not take all memory.
  static int64_t samples_of(T bin, int64_t sampling, int64_t cells) {
    if (sampling > 0) return sampling;
    if (!(bin > 0)) return 0;
    return static_cast<int64_t>(std::min<T>(std::ceil(bin), static_cast<T>(16 * cells)));
  }

  static Sample<T> bilinear(T y, T x, int64_t height, int64_t width) {
    Sample<T> s{{0, 0, 0, 0}, {0, 0, 0, 0}};
    if (!(y >= -1 && y <= height && x >= -1 && x <= width)) return s;
    y = std::max(y, T(0));
    x = std::max(x, T(0));
    int64_t y0 = static_cast<int64_t>(y), x0 = static_cast<int64_t>(x), y1 = y0 + 1, x1 = x0 + 1;
    if (y0 >= height - 1) {
      y0 = y1 = height - 1;
      y = static_cast<T>(y0);
    }
    if (x0 >= width - 1) {
      x0 = x1 = width - 1;
      x = static_cast<T>(x0);
    }
    T ly = y - y0, lx = x - x0, hy = 1 - ly, hx = 1 - lx;
    return {{y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1}, {hy * hx, hy * lx, ly * hx, ly * lx}};
  }
};

constexpr int64_t channel_grain = 16;

template <class T> void read_regions(const Tensor &map, const Tensor &rois, const Pooling &p, Tensor &out) {
  int64_t channels = map.size(1), h = map.size(2), w = map.size(3), bins = p.height * p.width;
  const T *roi = rois.data_ptr<T>();
  for (int64_t k = 0; k < rois.size(0); k++, roi += 5) {
    Region<T> region(roi, p, h, w);
    const T *from = map.data_ptr<T>() + static_cast<int64_t>(roi[0]) * channels * h * w;
    T *to = out.data_ptr<T>() + k * channels * bins;
    at::parallel_for(0, channels, channel_grain, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c++) {
        const T *plane = from + c * h * w;
        const Sample<T> *s = region.samples.data();
        for (int64_t b = 0; b < bins; b++) {
          T sum = 0;
          for (int64_t i = 0; i < region.per; i++, s++)
            sum += s->weight[0] * plane[s->at[0]] + s->weight[1] * plane[s->at[1]] + s->weight[2] * plane[s->at[2]] + s->weight[3] * plane[s->at[3]];
          to[c * bins + b] = region.per ? sum / static_cast<T>(region.per) : T(0);
        }
      }
    });
  }
}

// The adjoint of read_regions. Channels run in parallel, regions one after the
// other: no two threads write to one cell, and the sum's order is fixed.
template <class T> void spread_regions(const Tensor &grad, const Tensor &rois, const Pooling &p, Tensor &map) {
  int64_t channels = map.size(1), h = map.size(2), w = map.size(3), bins = p.height * p.width;
  const T *roi = rois.data_ptr<T>();
  for (int64_t k = 0; k < rois.size(0); k++, roi += 5) {
    Region<T> region(roi, p, h, w);
    T *to = map.data_ptr<T>() + static_cast<int64_t>(roi[0]) * channels * h * w;
    const T *from = grad.data_ptr<T>() + k * channels * bins;
    at::parallel_for(0, channels, channel_grain, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c++) {
        T *plane = to + c * h * w;
        const Sample<T> *s = region.samples.data();
        for (int64_t b = 0; b < bins; b++) {
          T g = from[c * bins + b] * region.share;
          for (int64_t i = 0; i < region.per; i++, s++)
            for (int j = 0; j < 4; j++) plane[s->at[j]] += g * s->weight[j];
        }
      }
    });
  }
}

struct RoIAlign : public torch::autograd::Function<RoIAlign> {
  static Tensor forward(AutogradContext *ctx, const Tensor &map, const Tensor &rois, double scale, int64_t height, int64_t width, int64_t sampling, bool aligned) {
    ctx->save_for_backward({rois});
    ctx->saved_data["shape"] = map.sizes().vec();
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["height"] = height;
    ctx->saved_data["width"] = width;
    ctx->saved_data["sampling"] = sampling;
    ctx->saved_data["aligned"] = aligned;
    Pooling p{scale, height, width, sampling, aligned};
    Tensor out = at::zeros({rois.size(0), map.size(1), height, width}, map.options());
    if (map.scalar_type() == at::kDouble)
      read_regions<double>(map, rois, p, out);
    else
      read_regions<float>(map, rois, p, out);
    return out;
  }

  static variable_list backward(AutogradContext *ctx, variable_list grads) {
    Tensor grad = grads[0].contiguous(), rois = ctx->get_saved_variables()[0];
    auto &d = ctx->saved_data;
    Pooling p{d["scale"].toDouble(), d["height"].toInt(), d["width"].toInt(), d["sampling"].toInt(), d["aligned"].toBool()};
    Tensor map = at::zeros(d["shape"].toIntVector(), grad.options());
    if (grad.scalar_type() == at::kDouble)
      spread_regions<double>(grad, rois, p, map);
    else
      spread_regions<float>(grad, rois, p, map);
    return {map, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

} // namespace

char *wt_roi_align(wt_tensor *out, wt_tensor map, wt_tensor rois, double scale, int64_t height, int64_t width, int64_t sampling, int aligned) {
  WT_TRY({
    TORCH_CHECK(map->dim() == 4, "features must be (N, C, H, W), have ", map->sizes());
    TORCH_CHECK(rois->dim() == 2 && rois->size(1) == 5, "regions must be (K, 5), have ", rois->sizes());
    TORCH_CHECK(height > 0 && width > 0, "the result must have cells, not ", height, "x", width);
    auto type = map->scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    Tensor m = map->to(at::kCPU, type).contiguous();
    Tensor r = rois->detach().to(at::kCPU, type).contiguous();
    if (r.size(0) > 0) {
      Tensor image = r.select(1, 0);
      TORCH_CHECK(image.ge(0).logical_and(image.lt(m.size(0))).all().item<bool>(), "a region of a picture that is not among the ", m.size(0));
    }
    Tensor y = RoIAlign::apply(m, r, scale, height, width, sampling, aligned != 0);
    *out = new Tensor(y.to(map->device(), map->scalar_type()));
  })
}
