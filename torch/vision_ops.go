package torch

// #include "shim_vision.h"
import "C"

// NMS is greedy non-maximum suppression of boxes (N, 4; x1 y1 x2 y2) with scores
// (N): it returns the indices (Int64) of the kept ones in falling order of
// score, equal scores in order of index. A box goes where one of higher score,
// and of the same class if classes (N) are given, overlaps it by more than iou.
// At most limit boxes are kept, all for 0. It works on the CPU, whatever the
// device of the boxes. classes may be nil.
func NMS(boxes, scores, classes *Tensor, iou float64, limit int) *Tensor {
	in := []*Tensor{boxes, scores, classes}
	return runOf(in).shim("nms", in, func(out *C.wt_tensor) *C.char {
		return C.wt_nms(out, boxes.ptr(), scores.ptr(), classes.ptr(), C.double(iou), C.int64_t(limit))
	})
}

// RoIAlignOptions say how regions are read.
type RoIAlignOptions struct {
	Scale         float64 // cells of the features per pixel of the regions
	Height, Width int64   // of the result
	Sampling      int64   // samples along a side of a bin; 0 for as many as cells lie in it
	Aligned       bool    // pixels' centres lie at halves (Detectron2 and MMDetection), else at whole numbers and no region is below one cell
}

// RoIAlign reads features t (N, C, H, W) in regions rois (K, 5: index of the
// picture, x1 y1 x2 y2): (K, C, Height, Width), each bin the mean of bilinear
// samples (He et al. 2017, arXiv 1703.06870, section 3). Gradients flow to the
// features. It computes on the CPU, whatever the device of the features, in
// float32 or, for Double, in float64.
func (t *Tensor) RoIAlign(rois *Tensor, o RoIAlignOptions) *Tensor {
	in := []*Tensor{t, rois}
	return runOf(in).shim("roi_align", in, func(out *C.wt_tensor) *C.char {
		return C.wt_roi_align(out, t.ptr(), rois.ptr(), C.double(o.Scale), C.int64_t(o.Height), C.int64_t(o.Width), C.int64_t(o.Sampling), boolInt(o.Aligned))
	})
}
