package dense

import (
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/vision"
)

// retina is RetinaNet: boxes relative to anchors, focal loss over all of them.
type retina struct{ *towers }

// coder is how RetinaNet writes boxes.
var coder = vision.Coder{X: 1, Y: 1, W: 1, H: 1}

// Losses implements pyramid.Head.
func (h *retina) Losses() []string { return []string{"loss", "classification", "bbox_regression"} }

// Loss implements pyramid.Head.
func (h *retina) Loss(maps []*torch.Tensor, im *pyramid.Images, targets []pyramid.Target, _ func(n, k int) []int) (*torch.Tensor, error) {
	s, err := h.forward(maps, im)
	if err != nil {
		return nil, err
	}
	logits, codes, anchors := torch.Cat(s.classes, 1), torch.Cat(s.boxes, 1), torch.Cat(s.anchors, 0)
	var classes, boxes *torch.Tensor
	objects := 0
	for i, t := range targets {
		matches, err := h.cfg.Matcher.Match(t.Boxes, anchors)
		if err != nil {
			return nil, err
		}
		var rows, which, labels, ignore []int64
		for a, m := range matches {
			switch {
			case m >= 0:
				rows, which, labels = append(rows, int64(a)), append(which, m), append(labels, t.Labels[m])
			case m == vision.Between:
				ignore = append(ignore, int64(a))
			}
		}
		class := focal(logits.Select(0, int64(i)), rows, labels, ignore)
		box := h.boxLoss(codes.Select(0, int64(i)), anchors, t.Boxes, rows, which)
		if objects += len(rows); !h.cfg.PerBatch {
			share := 1 / float64(max(len(rows), 1)*len(targets))
			class, box = class.MulScalar(share), box.MulScalar(share)
		}
		if classes == nil {
			classes, boxes = class, box
		} else {
			classes, boxes = classes.Add(class), boxes.Add(box)
		}
	}
	if h.cfg.PerBatch {
		share := 1 / float64(max(objects, 1))
		classes, boxes = classes.MulScalar(share), boxes.MulScalar(share)
	}
	return pyramid.Pack(classes, boxes), logits.Scope().Err()
}

// boxLoss is summed over the anchors (rows) that have an object (which).
func (h *retina) boxLoss(codes, anchors, objects *torch.Tensor, rows, which []int64) *torch.Tensor {
	s := codes.Scope()
	if len(rows) == 0 {
		return s.Zeros(torch.Float)
	}
	at := pyramid.Indices(s, rows)
	codes, anchors, objects = codes.IndexSelect(0, at), anchors.IndexSelect(0, at), objects.IndexSelect(0, pyramid.Indices(s, which))
	if h.cfg.GIoU {
		return vision.GIoU(coder.Decode(codes, anchors).Squeeze(1), objects).ScalarMinus(1).Sum()
	}
	return codes.L1(coder.Encode(objects, anchors), torch.Sum)
}

// Detect implements pyramid.Head. Its raw outputs are "cls{level}" (N, A·classes,
// H, W), logits, and "box{level}" (N, 4A, H, W).
func (h *retina) Detect(maps []*torch.Tensor, im *pyramid.Images) (map[string]*torch.Tensor, []pyramid.Found, error) {
	s, err := h.forward(maps, im)
	if err != nil {
		return nil, nil, err
	}
	return s.raw, h.found(s, im), maps[0].Scope().Err()
}

func (h *retina) found(s *said, im *pyramid.Images) []pyramid.Found {
	out := make([]pyramid.Found, len(im.Sizes))
	decode := func(codes, anchors *torch.Tensor) *torch.Tensor { return coder.Decode(codes, anchors).Squeeze(1) }
	for i, size := range im.Sizes {
		out[i] = h.detect(s, i, size, func(l int) *torch.Tensor { return s.classes[l].Select(0, int64(i)).Sigmoid() }, decode)
	}
	return out
}
