#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <algorithm>
#include <unordered_map>
#include <vector>
namespace torch {
using at::Tensor;
}
#include "shim_vision.h"
#include "shim_guard.h"

using at::Tensor;

namespace {

// The kept boxes of one class, one array per coordinate.
template <class T> struct Kept {
  std::vector<T> x1, y1, x2, y2, area;

  // Whether a kept box overlaps this one by more than limit. The expression is
  // torchvision's, so that boxes on the limit fall on the same side.
  bool overlaps(T ax1, T ay1, T ax2, T ay2, T a, T limit) const {
    for (size_t i = 0, n = x1.size(); i < n; i++) {
      T w = std::min(ax2, x2[i]) - std::max(ax1, x1[i]);
      T h = std::min(ay2, y2[i]) - std::max(ay1, y1[i]);
      if (w <= 0 || h <= 0) continue;
      T inter = w * h;
      if (inter / (area[i] + a - inter) > limit) return true;
    }
    return false;
  }
  void add(T ax1, T ay1, T ax2, T ay2, T a) {
    x1.push_back(ax1);
    y1.push_back(ay1);
    x2.push_back(ax2);
    y2.push_back(ay2);
    area.push_back(a);
  }
};

template <class T> std::vector<int64_t> suppress(const Tensor &boxes, const int64_t *order, const int64_t *classes, double iou, int64_t limit) {
  const T *b = boxes.data_ptr<T>();
  int64_t n = boxes.size(0);
  std::vector<int64_t> keep;
  std::unordered_map<int64_t, Kept<T>> kept;
  for (int64_t k = 0; k < n && (limit <= 0 || static_cast<int64_t>(keep.size()) < limit); k++) {
    int64_t i = order[k];
    const T *p = b + 4 * i;
    T area = (p[2] - p[0]) * (p[3] - p[1]);
    Kept<T> &same = kept[classes ? classes[i] : 0];
    if (same.overlaps(p[0], p[1], p[2], p[3], area, static_cast<T>(iou))) continue;
    same.add(p[0], p[1], p[2], p[3], area);
    keep.push_back(i);
  }
  return keep;
}

} // namespace

char *wt_nms(wt_tensor *out, wt_tensor boxes, wt_tensor scores, wt_tensor classes, double iou, int64_t limit) {
  WT_TRY({
    at::NoGradGuard no_grad;
    TORCH_CHECK(boxes->dim() == 2 && boxes->size(1) == 4, "boxes must be (N, 4), have ", boxes->sizes());
    TORCH_CHECK(scores->dim() == 1 && scores->size(0) == boxes->size(0), "scores must be (", boxes->size(0), "), have ", scores->sizes());
    Tensor b = boxes->detach().to(at::kCPU).contiguous();
    if (b.scalar_type() != at::kDouble) b = b.to(at::kFloat);
    Tensor order = std::get<1>(scores->detach().to(at::kCPU).sort(true, 0, true)).contiguous();
    Tensor c;
    if (classes) {
      TORCH_CHECK(classes->dim() == 1 && classes->size(0) == boxes->size(0), "classes must be (", boxes->size(0), "), have ", classes->sizes());
      c = classes->detach().to(at::kCPU).to(at::kLong).contiguous();
    }
    const int64_t *cp = classes ? c.data_ptr<int64_t>() : nullptr;
    const int64_t *op = order.data_ptr<int64_t>();
    auto keep = b.scalar_type() == at::kDouble ? suppress<double>(b, op, cp, iou, limit) : suppress<float>(b, op, cp, iou, limit);
    Tensor r = at::empty({static_cast<int64_t>(keep.size())}, order.options());
    std::copy(keep.begin(), keep.end(), r.data_ptr<int64_t>());
    *out = new Tensor(r.to(boxes->device()));
  })
}
