package rcnn

import (
	"fmt"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/vision"
)

// head is the two stages upon a pyramid: proposals, then boxes and masks.
type head struct {
	cfg    *Config
	shared *pyramid.Config // the detector's, whose thresholds may change
	rpn    *rpn
	boxes  []*boxHead
	mask   *maskHead // nil without
}

// New builds a detector of two or more stages.
func New(cfg Config) (*pyramid.Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return pyramid.New(cfg.Config, cfg.Mask, func(b *nn.Builder, shared *pyramid.Config) (pyramid.Head, error) {
		h := &head{cfg: &cfg, shared: shared, rpn: newRPN(b.Sub("rpn"), &cfg.RPN)}
		roi := b.Sub("roi_heads")
		for i := range cfg.Stages {
			body, predictor := roi.Sub("box_head"), roi.Sub("box_predictor")
			if len(cfg.Stages) > 1 {
				body, predictor = body.At(i), predictor.At(i)
			}
			h.boxes = append(h.boxes, newBoxHead(body, predictor, &cfg, &cfg.Stages[i]))
		}
		if cfg.Mask {
			h.mask = newMaskHead(roi, &cfg)
		}
		return h, nil
	})
}

// FirstLabel implements pyramid.Head: 0 is the background.
func (h *head) FirstLabel() int64 { return 1 }

// Losses implements pyramid.Head.
func (h *head) Losses() []string {
	names := []string{"loss", "loss_objectness", "loss_rpn_box_reg"}
	for i := range h.boxes {
		suffix := ""
		if len(h.boxes) > 1 {
			suffix = fmt.Sprintf("_%d", i)
		}
		names = append(names, "loss_classifier"+suffix, "loss_box_reg"+suffix)
	}
	if h.mask != nil {
		names = append(names, "loss_mask")
	}
	return names
}

// pool reads regions from the levels that regions are read from: all but the coarsest.
func (h *head) pool(p vision.Pooling, maps []*torch.Tensor, im *pyramid.Images, r regions) *torch.Tensor {
	maps = maps[:len(maps)-1]
	return p.Pool(maps, vision.Scales(maps, im.Height()), r.boxes, r.pictures)
}

// maskPool reads regions for masks, at twice the resolution.
func (h *head) maskPool() vision.Pooling {
	p := h.cfg.Pool
	p.Size *= 2
	return p
}

// Loss implements pyramid.Head.
func (h *head) Loss(maps []*torch.Tensor, im *pyramid.Images, targets []pyramid.Target, choose func(n, k int) []int) (*torch.Tensor, error) {
	from, err := h.rpn.forward(maps, im)
	if err != nil {
		return nil, err
	}
	objectness, moved, err := h.rpn.loss(from, targets, choose)
	if err != nil {
		return nil, err
	}
	parts := []*torch.Tensor{objectness, moved}
	proposals := h.rpn.proposals(from, im, h.cfg.RPN.Train)
	var first *lesson
	for i, stage := range h.boxes {
		l, err := stage.sample(proposals, targets, choose)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = l
		}
		if len(l.labels) == 0 { // no proposals are left, and there is no object
			zero := objectness.Scope().Zeros(torch.Float)
			parts = append(parts, zero, zero)
			continue
		}
		scores, codes := stage.forward(h.pool(h.cfg.Pool, maps, im, l.regions))
		classes, boxes := stage.loss(scores, codes, l)
		parts = append(parts, classes, boxes)
		if i+1 < len(h.boxes) {
			proposals = stage.refine(l.regions, codes, im).of(len(im.Sizes))
		}
	}
	if h.mask != nil {
		parts = append(parts, h.maskLoss(maps, im, first, targets))
	}
	return pyramid.Pack(parts...), objectness.Scope().Err()
}

func (h *head) maskLoss(maps []*torch.Tensor, im *pyramid.Images, l *lesson, targets []pyramid.Target) *torch.Tensor {
	if len(l.at) == 0 {
		return maps[0].Scope().Zeros(torch.Float)
	}
	r := regions{boxes: l.regions.boxes.IndexSelect(0, pyramid.Indices(l.regions.boxes.Scope(), l.at))}
	for _, k := range l.at {
		r.pictures = append(r.pictures, l.pictures[k])
	}
	return h.mask.loss(h.mask.forward(h.pool(h.maskPool(), maps, im, r)), l, targets)
}

// Detect implements pyramid.Head. Its raw outputs are "objectness{level}" (N, A,
// H, W) and "deltas{level}" (N, 4A, H, W) of the RPN.
func (h *head) Detect(maps []*torch.Tensor, im *pyramid.Images) (map[string]*torch.Tensor, []pyramid.Found, error) {
	from, err := h.rpn.forward(maps, im)
	if err != nil {
		return nil, nil, err
	}
	raw := map[string]*torch.Tensor{}
	for l := range from.objectness {
		raw[fmt.Sprintf("objectness%d", l)], raw[fmt.Sprintf("deltas%d", l)] = from.objectness[l], from.deltas[l]
	}
	found, err := h.find(maps, im, join(h.rpn.proposals(from, im, h.cfg.RPN.Test)))
	return raw, found, err
}

// find runs the box heads and the mask head over proposals.
func (h *head) find(maps []*torch.Tensor, im *pyramid.Images, r regions) ([]pyramid.Found, error) {
	if len(r.pictures) == 0 {
		return make([]pyramid.Found, len(im.Sizes)), r.boxes.Scope().Err()
	}
	var scores, codes *torch.Tensor // the scores of all stages, the codes of the last
	for i, stage := range h.boxes {
		said, moved := stage.forward(h.pool(h.cfg.Pool, maps, im, r))
		if codes = moved; scores == nil {
			scores = said
		} else {
			scores = scores.Add(said)
		}
		if i+1 < len(h.boxes) {
			r = stage.refine(r, codes, im)
		}
	}
	probabilities := scores.DivScalar(float64(len(h.boxes))).Softmax(1)
	last := h.boxes[len(h.boxes)-1]
	out := make([]pyramid.Found, len(im.Sizes))
	boxes := make([]*torch.Tensor, len(out))
	counts := r.counts(len(out))
	begin := int64(0)
	for i, n := range counts {
		boxes[i], out[i] = last.detect(r.boxes.Narrow(0, begin, n), probabilities.Narrow(0, begin, n), codes.Narrow(0, begin, n), im.Sizes[i], h.shared)
		begin += n
	}
	if h.mask != nil {
		h.draw(maps, im, join(boxes), out)
	}
	return out, r.boxes.Scope().Err()
}

// draw gives detections their masks.
func (h *head) draw(maps []*torch.Tensor, im *pyramid.Images, r regions, found []pyramid.Found) {
	var labels, counts []int64
	for _, f := range found {
		for _, l := range f.Labels {
			labels = append(labels, l+1)
		}
		counts = append(counts, int64(len(f.Labels)))
	}
	if len(labels) == 0 {
		return
	}
	masks := ofClass(h.mask.forward(h.pool(h.maskPool(), maps, im, r)), labels).Sigmoid()
	for i, part := range masks.Split(0, counts...) {
		found[i].Masks = part
	}
}
