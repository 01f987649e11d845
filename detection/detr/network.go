package detr

import (
	"fmt"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/backbone"
)

// answers are what a layer makes of the queries.
type answers struct {
	logits *torch.Tensor // (N, Q, classes), or classes+1 where the last means no object
	boxes  *torch.Tensor // (N, Q, 4): centre, width and height, 0..1 across the picture
}

// outputs are all that a network answers.
type outputs struct {
	layers []answers // of the decoder's layers
	early  *answers  // the proposals that became queries; nil without
	dense  *answers  // proposals of all cells, of which only the first class counts; nil without
	noised []answers // of the decoder's layers to denoising queries; nil without
}

// last is the model's answer.
func (o outputs) last() answers { return o.layers[len(o.layers)-1] }

// network is one of the three designs. It maps normalised images (N, 3, H, W).
// noise, which may be nil, adds denoising queries.
type network interface {
	forward(x *torch.Tensor, p padded, noise *noise) outputs
	// slow reports whether a parameter outside of the backbone learns at its rate.
	slow(name string) bool
}

// build makes the network under the authors' names.
func build(b *nn.Builder, c Config) (network, error) {
	switch c.Family {
	case DETR:
		return newPlain(b, c)
	case Deformable:
		return newDeformableNet(b, c)
	case RTDETR:
		return newRealTime(b, c)
	}
	return nil, fmt.Errorf("detr: build: no family %q", c.Family)
}

// newTrunk builds a ResNet without its head, as DETR names it.
func newTrunk(b *nn.Builder, c Config) (*backbone.Net, error) {
	spec, err := backbone.Lookup(c.Backbone)
	if err != nil {
		return nil, err
	}
	spec.FrozenNorm = *c.FrozenNorm
	return spec.Build(b.Sub("backbone").Sub("0").Sub("body"), 0)
}

// positions flattens a map (N, C, h, w) to (N, h·w, C).
func positions(x *torch.Tensor) *torch.Tensor { return x.Flatten(2, 3).Transpose(1, 2) }

// shapeOf is height and width of a map (N, C, h, w).
func shapeOf(x *torch.Tensor) size { return size{x.Size(2), x.Size(3)} }

// rows takes for each picture the rows of x (N, S, C) that index (N, Q) names.
func rows(x, index *torch.Tensor) *torch.Tensor {
	return x.Gather(1, index.Unsqueeze(2).Expand(-1, -1, x.Size(2)))
}
