package rcnn

import (
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// maskHead draws an object's mask within its region: keys mask_head.{i}.0,
// mask_predictor.conv5_mask, mask_predictor.mask_fcn_logits.
type maskHead struct{ layers nn.Sequential }

func newMaskHead(b *nn.Builder, c *Config) *maskHead {
	var norm func(*nn.Builder, int64) nn.Module
	if c.Deep {
		norm = pyramid.BatchNorm
	}
	predictor := b.Sub("mask_predictor")
	classes := int64(len(c.Classes)) + 1
	up := nn.Conv2dConfig{In: pyramid.Channels, Out: pyramid.Channels, Kernel: 2, Stride: 2, WeightInit: nn.KaimingNormalFanOut(4 * pyramid.Channels)}
	out := nn.Conv2dConfig{In: pyramid.Channels, Out: classes, Kernel: 1, WeightInit: nn.KaimingNormalFanOut(classes)}
	return &maskHead{append(newConvs(b.Sub("mask_head"), 4, norm),
		nn.NewConvTranspose2d(predictor.Sub("conv5_mask"), up), nn.ReLU, nn.NewConv2d(predictor.Sub("mask_fcn_logits"), out))}
}

// forward maps pooled regions (K, C, m, m) to logits (K, classes+1, 2m, 2m).
func (h *maskHead) forward(pooled *torch.Tensor) *torch.Tensor {
	return h.layers.Forward(pooled).To(torch.Float)
}

// ofClass takes from what is said for each class, (K, classes, …), that of each
// one's label: (K, …).
func ofClass(said *torch.Tensor, labels []int64) *torch.Tensor {
	s := said.Scope()
	return said.Index(s.Arange(0, float64(len(labels)), 1, torch.Int64), pyramid.Indices(s, labels))
}

// loss is the mean binary cross entropy over the masks of the regions that have
// an object, read from the objects' masks.
func (h *maskHead) loss(logits *torch.Tensor, l *lesson, targets []pyramid.Target) *torch.Tensor {
	s := logits.Scope()
	labels := make([]int64, len(l.at))
	var wanted []*torch.Tensor
	for i, begin := 0, 0; i < len(targets); i++ {
		var rois []int64
		end := begin
		for ; end < len(l.at) && l.pictures[l.at[end]] == int64(i); end++ {
			labels[end] = l.labels[l.at[end]]
			rois = append(rois, l.objects[end])
		}
		if end > begin {
			boxes := l.regions.boxes.IndexSelect(0, pyramid.Indices(s, l.at[begin:end]))
			which := torch.Of(s, rois, int64(len(rois)), 1).To(torch.Float)
			m := logits.Size(2)
			wanted = append(wanted, targets[i].Masks.Unsqueeze(1).RoIAlign(torch.Cat([]*torch.Tensor{which, boxes}, 1),
				torch.RoIAlignOptions{Scale: 1, Height: m, Width: m}).Squeeze(1))
		}
		begin = end
	}
	return ofClass(logits, labels).BCEWithLogits(torch.Cat(wanted, 0), nil, nil, torch.Mean)
}
