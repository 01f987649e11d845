// Forced include for gotch's libtch (v0.9.1, generated for libtorch 2.1).
//
// libtch calls a handful of functions whose signature changed, or which went
// away, between libtorch 2.1 and 2.15. This header puts a forwarding overload
// of the same name into namespace torch, where libtch looks first. The overload
// asks the compiler whether this libtorch still takes libtch's arguments and
// gives libtch's result: if so the call goes through, else it throws the error
// that libtch turns into a Go error. So one header serves every version and no
// version number appears in it. What the compiler cannot be asked (a missing
// method) cmd/libtorch finds in the headers and says by WILDTRAIN_NO_....
#pragma once
#include <torch/torch.h>

#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace wildtrain_compat {
struct Absent {};
using Two = std::tuple<at::Tensor, at::Tensor>;
using TwoRefs = std::tuple<at::Tensor&, at::Tensor&>;
}  // namespace wildtrain_compat

// The overload on Absent makes at::NAME a known name where libtorch lacks it.
#define WILDTRAIN_FORWARD(NAME, RESULT)                                        \
  namespace at {                                                               \
  inline void NAME(::wildtrain_compat::Absent) {}                              \
  }                                                                            \
  namespace torch {                                                            \
  template <class... Args>                                                     \
  RESULT NAME(Args&&... args) {                                                \
    auto call = [](auto&&... a)                                                \
        -> decltype(::at::NAME(std::forward<decltype(a)>(a)...)) {             \
      return ::at::NAME(std::forward<decltype(a)>(a)...);                      \
    };                                                                         \
    if constexpr (std::is_invocable_r_v<RESULT, decltype(call), Args...>) {    \
      return call(std::forward<Args>(args)...);                                \
    } else {                                                                   \
      TORCH_CHECK(false, #NAME " is not in this libtorch as gotch calls it");  \
    }                                                                          \
  }                                                                            \
  }

WILDTRAIN_FORWARD(_cslt_sparse_mm, at::Tensor)
WILDTRAIN_FORWARD(_scaled_mm, wildtrain_compat::Two)
WILDTRAIN_FORWARD(_scaled_mm_out, wildtrain_compat::TwoRefs)
WILDTRAIN_FORWARD(align_tensors, std::vector<at::Tensor>)
WILDTRAIN_FORWARD(cholesky, at::Tensor)
WILDTRAIN_FORWARD(cholesky_out, at::Tensor)
WILDTRAIN_FORWARD(qr, wildtrain_compat::Two)
WILDTRAIN_FORWARD(qr_out, wildtrain_compat::TwoRefs)
#undef WILDTRAIN_FORWARD

#ifdef WILDTRAIN_NO_ALIGN_AS
namespace wildtrain_compat {
inline at::MemoryFormat missing(const char* name) {
  TORCH_CHECK(false, name, " is not in this libtorch");
}
}  // namespace wildtrain_compat
// The argument throws before clone is called.
#define align_as(other) clone(::wildtrain_compat::missing("align_as"))
#endif

#ifdef WILDTRAIN_CUDA
// The CUDA half of libtorch needs the driver's libcuda.so.1, so a program linked
// to it does not start on a machine without one. Therefore it is loaded here,
// before main, where there is a driver; elsewhere the program runs on the CPU.
#include <dlfcn.h>

#include <cstdlib>
#include <string_view>
namespace wildtrain_compat {
static const bool cuda = [] {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible && (*visible == 0 || std::string_view(visible) == "-1")) {
    return false;
  }
  return dlopen("libcuda.so.1", RTLD_LAZY) &&
         dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
}();
}  // namespace wildtrain_compat
#endif
