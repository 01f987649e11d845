package backbone

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// The libraries whose names and parameter keys a Spec may follow.
const (
	Torchvision = "torchvision"
	Timm        = "timm"
	Ultralytics = "ultralytics"
)

// Spec describes one architecture. Take one from Lookup; the fields under
// "settings" may be changed before Build.
type Spec struct {
	Name    string // without the library
	Family  string // "resnet", "vit", …: the file of this package that builds it
	Library string // Torchvision, Timm or Ultralytics: whose keys the parameters have
	Head    string // key prefix of the last linear layer, such as "fc"
	Patch   int    // sides of the input must be multiples of this many px; 1 for any

	Mean, Std [3]float64 // normalisation that the published weights expect, RGB in 0..1

	// Settings.
	InputSize       int     // side in px of the published weights' input; sizes the position embeddings of ViTs
	Dropout         float64 // before the head, in training
	StochasticDepth float64 // of the last residual branch, to which it grows from 0; ResNet, RegNet and MobileNetV3 have none
	FrozenNorm      bool    // batch norm is FrozenBatchNorm2d, as detectors want it
	MapsOnly        bool    // leave away what Maps does not need; MobileNetV3's keys lose "features." then

	shared bool // both libraries use these keys
	build  func(s *site) trunk
}

// trunk is what a family's file builds.
type trunk interface {
	body(x *torch.Tensor) *torch.Tensor
	pool(x *torch.Tensor) *torch.Tensor
	maps(x *torch.Tensor) []*torch.Tensor
	grid(x *torch.Tensor, height, width int64) *torch.Tensor
}

// Net is a built backbone.
type Net struct {
	Spec
	Width    int64   // length of the features
	Channels []int64 // of what Maps returns
	Strides  []int64 // of what Maps returns, in px of the input
	Linear   *nn.Linear

	trunk  trunk
	blocks map[string]int // parameter → index of its block
	count  int
}

// site is where a trunk is built: it knows the settings and takes down the
// blocks' limits and what a trunk tells of itself.
type site struct {
	*Spec
	net    *Net
	store  *nn.Store
	root   *nn.Builder
	starts []int // number of store entries where each block begins

	headWeight, headBias nn.Init // of the last linear layer; nil for PyTorch's
}

// block notes that what is built from now on belongs to the next block.
func (s *site) block() { s.starts = append(s.starts, len(s.store.Entries())) }

// norm builds batch norm of the family's eps and momentum.
func (s *site) norm(eps, momentum float64) normLayer { return s.normFrom(eps, momentum, 1) }

// normFrom is norm with weights that begin with a value.
func (s *site) normFrom(eps, momentum, weight float64) normLayer {
	return func(b *nn.Builder, channels int64) nn.Module {
		if s.FrozenNorm {
			l := nn.NewFrozenBatchNorm2d(b, channels, eps)
			s.store.Register(l) // detectors with other eps change it
			return l
		}
		l := nn.NewBatchNorm2dFrom(b, channels, eps, momentum, weight)
		s.store.Register(l)
		return l
	}
}

// drop is the stochastic depth of residual branch i of n.
func (s *site) drop(i, n int) float64 { return s.StochasticDepth * float64(i) / float64(max(n-1, 1)) }

// registry returns all specs, torchvision's first.
var registry = sync.OnceValue(func() []Spec {
	return slices.Concat(resnets(), efficientNets(), mobileNets(), regNets(), convNeXts(), swins(), vits(), yolos())
})

// imageNet are the channel statistics of the ImageNet training set, by which
// most published weights are normalised.
var imageNet = [2][3]float64{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}}

// halves map 0..1 to −1..1.
var halves = [2][3]float64{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}

// spec fills in what most have in common.
func spec(library, family, name, head string, size int, build func(*site) trunk) Spec {
	return Spec{
		Name: name, Family: family, Library: library, Head: head, Patch: 1, InputSize: size,
		Mean: imageNet[0], Std: imageNet[1], build: build,
	}
}

// Lookup finds an architecture: "resnet50", "timm/convnext_tiny",
// "torchvision/vit_b_16". Without a library torchvision's name counts first. A
// tag of weights, as in "vit_small_patch14_reg4_dinov2.lvd142m", is ignored.
func Lookup(name string) (Spec, error) {
	library, bare, given := strings.Cut(name, "/")
	if !given {
		library, bare = "", name
	}
	bare, _, _ = strings.Cut(bare, ".")
	for _, s := range registry() {
		if s.Name == bare && (library == "" || library == s.Library || s.shared && library == Timm) {
			return s, nil
		}
	}
	return Spec{}, fmt.Errorf("backbone: look up %q: no such architecture; there are %s", name, strings.Join(near(bare), ", "))
}

// near returns the names that begin like the given one, all where none does.
func near(name string) []string {
	const letters = 4
	var out []string
	for _, n := range Names() {
		if len(name) >= letters && strings.HasPrefix(strings.TrimPrefix(n, Timm+"/"), name[:letters]) {
			out = append(out, n)
		}
	}
	if out == nil {
		return Names()
	}
	return out
}

// Names returns every architecture once, in the spelling that Lookup
// understands, sorted.
func Names() []string {
	var names []string
	taken := map[string]bool{}
	for _, s := range registry() {
		name := s.Name
		if taken[name] {
			name = s.Library + "/" + name
		}
		taken[s.Name] = true
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Build makes the network below b with a head for the given number of classes;
// 0 leaves the head away.
func (s Spec) Build(b *nn.Builder, classes int) (*Net, error) {
	switch {
	case s.build == nil:
		return nil, fmt.Errorf("backbone: build: an empty spec: take one from Lookup")
	case classes < 0:
		return nil, fmt.Errorf("backbone: build %s: %d classes", s.Name, classes)
	case s.FrozenNorm && s.Library == Ultralytics:
		return nil, fmt.Errorf("backbone: build %s: YOLO's batch norm has no frozen form: freeze the layers", s.Name)
	case s.InputSize < 1 || s.InputSize%s.Patch != 0:
		return nil, fmt.Errorf("backbone: build %s: input size %d px is not a multiple of %d", s.Name, s.InputSize, s.Patch)
	case s.Dropout < 0 || s.Dropout >= 1 || s.StochasticDepth < 0 || s.StochasticDepth >= 1:
		return nil, fmt.Errorf("backbone: build %s: dropout %g and stochastic depth %g must be in 0..1", s.Name, s.Dropout, s.StochasticDepth)
	}
	n := &Net{Spec: s, blocks: map[string]int{}}
	here := &site{Spec: &n.Spec, net: n, store: b.Store(), root: b}
	here.block()
	n.trunk = s.build(here)
	if here.block(); classes > 0 {
		n.Linear = nn.NewLinearFrom(descend(b, s.Head), n.Width, int64(classes), here.headWeight, here.headBias)
	}
	n.number(here)
	return n, nil
}

// number gives every parameter the index of the block in whose span it was built.
func (n *Net) number(here *site) {
	n.count = len(here.starts)
	entries := here.store.Entries()
	for i, start := range here.starts {
		end := len(entries)
		if i+1 < len(here.starts) {
			end = here.starts[i+1]
		}
		for _, e := range entries[start:end] {
			n.blocks[e.Name] = i
		}
	}
}

// Blocks counts the groups of layers for learning rates that fall from layer to
// layer and for gradual unfreezing: the stem, each residual block, the head.
func (n *Net) Blocks() int { return n.count }

// Block tells to which block a parameter or buffer belongs, by its full name:
// 0 for the stem, Blocks()−1 for the head and for names that are not the
// backbone's, such as those of another head.
func (n *Net) Block(name string) int {
	if i, ok := n.blocks[name]; ok {
		return i
	}
	return n.count - 1
}

// Depth is the distance of a parameter's block from the head, as
// optim.LayerGroups wants it.
func (n *Net) Depth(name string) int { return n.count - 1 - n.Block(name) }

// Features maps normalised images (N, 3, H, W) to one vector each, (N, Width):
// what the published architecture's last linear layer sees, before dropout.
func (n *Net) Features(x *torch.Tensor) *torch.Tensor { return n.Pool(n.Body(x)) }

// Body maps normalised images (N, 3, H, W) to the feature map that Pool takes;
// its layout is the family's own, see Grid.
func (n *Net) Body(x *torch.Tensor) *torch.Tensor { return n.trunk.body(x) }

// Pool maps what Body returned to features (N, Width).
func (n *Net) Pool(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor { return n.trunk.pool(x) })
}

// Grid brings what Body returned for images of height×width px, or its gradient,
// into the form (N, C, h, w).
func (n *Net) Grid(x *torch.Tensor, height, width int64) *torch.Tensor {
	return n.trunk.grid(x, height, width)
}

// Maps returns the feature maps (N, C, h, w) of growing strides that detectors
// build on, described by Channels and Strides: C2 to C5, the last results at
// strides 4 to 32; of MobileNetV3 those that torchvision's detectors take, after
// the stem, after each block that halves the size and after the last convolution;
// of a ViT the one map of its last block, normalised.
func (n *Net) Maps(x *torch.Tensor) []*torch.Tensor { return n.trunk.maps(x) }

// Logits maps features to (N, classes). It needs a Net that was built with
// classes; its dropout works in training.
func (n *Net) Logits(features *torch.Tensor) *torch.Tensor {
	return n.Linear.Forward(nn.Dropout{P: n.Dropout}.Forward(features))
}
