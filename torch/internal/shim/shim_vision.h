// Operations of torchvision that libtorch lacks. Conventions as in shim.h.
#ifndef WILDTRAIN_SHIM_VISION_H
#define WILDTRAIN_SHIM_VISION_H
#include "shim.h"

#ifdef __cplusplus
extern "C" {
#endif

// Greedy non-maximum suppression: out holds the indices (int64) of the kept
// boxes in falling order of score, equal scores in order of index. classes may
// be NULL; with them, boxes suppress only their like. At most limit boxes are
// kept, 0 for all.
char *wt_nms(wt_tensor *out, wt_tensor boxes, wt_tensor scores, wt_tensor classes, double iou, int64_t limit);

// RoIAlign of features (N, C, H, W) in regions (K, 5: picture, corners in pixels;
// scale takes pixels to cells): out is (K, C, height, width). sampling is the
// number of samples along a side of a bin, 0 for as many as cells. Gradients flow
// to the features. It computes on the CPU, whatever the device.
char *wt_roi_align(wt_tensor *out, wt_tensor map, wt_tensor rois, double scale, int64_t height, int64_t width, int64_t sampling, int aligned);

#ifdef __cplusplus
}
#endif
#endif
