// Attention that samples its values at computed places. Conventions as in shim.h.
#ifndef WILDTRAIN_SHIM_ATTENTION_H
#define WILDTRAIN_SHIM_ATTENTION_H
#include "shim.h"

#ifdef __cplusplus
extern "C" {
#endif

// Multi-scale deformable attention on the CPU, with gradients to value,
// locations and weights. value (N, S, heads, d) holds the levels one after the
// other; shapes are their nlevels pairs of height and width; locations (N, Q,
// heads, levels, points, 2) are x and y in 0..1; weights (N, Q, heads, levels,
// points). out is (N, Q, heads·d).
char *wt_deformable_attention(wt_tensor *out, wt_tensor value, const int64_t *shapes, int nlevels, wt_tensor locations, wt_tensor weights);

#ifdef __cplusplus
}
#endif
#endif
