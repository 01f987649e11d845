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
