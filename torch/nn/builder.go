package nn

import (
	"math"
	"strconv"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Builder is a place in the tree of names, where layers put their parameters.
type Builder struct {
	store  *Store
	prefix string
	twin   string // the prefix of the tensors that new ones begin as copies of, "" for none
}

// Sub goes one level down: b.Sub("layer1").Sub("0").
func (b *Builder) Sub(name string) *Builder {
	sub := &Builder{store: b.store, prefix: b.prefix + name + "."}
	if b.twin != "" {
		sub.twin = b.twin + name + "."
	}
	return sub
}

// Twin is Sub(name) for a second part of the same shape as the one that stands
// under Sub(of): parameters that are not loaded begin as copies of its.
func (b *Builder) Twin(name, of string) *Builder {
	return &Builder{store: b.store, prefix: b.prefix + name + ".", twin: b.prefix + of + "."}
}

// At is Sub with a number, as PyTorch names the members of lists.
func (b *Builder) At(i int) *Builder { return b.Sub(strconv.Itoa(i)) }

// Path is the present prefix without the last dot.
func (b *Builder) Path() string {
	if b.prefix == "" {
		return ""
	}
	return b.prefix[:len(b.prefix)-1]
}

// Stored is the shape that the store's source has for a tensor of this place.
func (b *Builder) Stored(name string) (shape []int64, ok bool) {
	if b.store.source == nil {
		return nil, false
	}
	info, ok := b.store.source.Info(b.prefix + name)
	return info.Shape, ok
}

// Store is what the builder builds into.
func (b *Builder) Store() *Store { return b.store }

// Init fills a new tensor in place.
type Init func(t *torch.Tensor) error

// Parameter makes a float32 parameter and fills it.
func (b *Builder) Parameter(name string, role wildtrain.Role, init Init, shape ...int64) *torch.Tensor {
	e := b.add(name, torch.Float, shape)
	e.Role = role
	if original, ok := b.store.index[b.twin+name]; ok && b.twin != "" {
		init = func(t *torch.Tensor) error { return t.CopyFrom(original.Tensor) }
	}
	if !b.store.fill(e) && init != nil {
		if err := init(e.Tensor); err != nil {
			panic(err) // a closed store: a programming error
		}
	}
	if err := e.Tensor.SetRequiresGrad(true); err != nil {
		panic(err)
	}
	return e.Tensor
}

// Constant makes a parameter that never trains, such as the bins of DFL.
func (b *Builder) Constant(name string, init Init, shape ...int64) *torch.Tensor {
	e := b.add(name, torch.Float, shape)
	e.Fixed = true
	if !b.store.fill(e) && init != nil {
		if err := init(e.Tensor); err != nil {
			panic(err)
		}
	}
	return e.Tensor
}

// Buffer makes a tensor that is saved but not trained.
func (b *Builder) Buffer(name string, d torch.DType, value float64, shape ...int64) *torch.Tensor {
	e := b.add(name, d, shape)
	e.Buffer = true
	if !b.store.fill(e) {
		if err := e.Tensor.Fill(value); err != nil {
			panic(err)
		}
	}
	return e.Tensor
}

// Indices makes a buffer of the given whole numbers, such as the places in a
// table that an architecture computes and its stored weights hold too.
func (b *Builder) Indices(name string, values []int64, shape ...int64) *torch.Tensor {
	e := b.add(name, torch.Int64, shape)
	e.Buffer = true
	if !b.store.fill(e) {
		root := torch.NewRoot(torch.CPU)
		defer root.Close()
		if err := e.Tensor.CopyFrom(torch.Of(root, values, shape...)); err != nil {
			panic(err)
		}
	}
	return e.Tensor
}

func (b *Builder) add(name string, d torch.DType, shape []int64) *Entry {
	full := b.prefix + name
	if _, ok := b.store.index[full]; ok {
		panic("nn: two tensors named " + full)
	}
	e := &Entry{Name: full, Tensor: b.store.root.Zeros(d, shape...)}
	b.store.entries = append(b.store.entries, e)
	b.store.index[full] = e
	return e
}

// Fill is an Init of one value.
func Fill(v float64) Init { return func(t *torch.Tensor) error { return t.Fill(v) } }

// KaimingUniform is PyTorch's default for weights of the given fan-in:
// He et al. 2015 with a = √5, which is uniform in ±1/√fanIn.
func KaimingUniform(fanIn int64) Init {
	gain := math.Sqrt(2.0 / (1 + 5))
	bound := math.Sqrt(3.0) * gain / math.Sqrt(float64(fanIn))
	return func(t *torch.Tensor) error { return t.Uniform(-bound, bound) }
}

// BiasUniform is PyTorch's default for biases: uniform in ±1/√fanIn.
func BiasUniform(fanIn int64) Init {
	if fanIn <= 0 {
		return Fill(0)
	}
	bound := 1 / math.Sqrt(float64(fanIn))
	return func(t *torch.Tensor) error { return t.Uniform(-bound, bound) }
}

// KaimingNormalFanOut is He's normal initialisation by fan-out for ReLU, as
// torchvision's ResNets use it.
func KaimingNormalFanOut(fanOut int64) Init {
	std := math.Sqrt(2 / float64(fanOut))
	return func(t *torch.Tensor) error { return t.Normal(0, std) }
}

// XavierUniform is Glorot and Bengio's, uniform in ±√(6/(fanIn+fanOut)).
func XavierUniform(fanIn, fanOut int64) Init {
	bound := math.Sqrt(3.0) * math.Sqrt(2.0/float64(fanIn+fanOut))
	return func(t *torch.Tensor) error { return t.Uniform(-bound, bound) }
}

// NormalInit is a normal distribution.
func NormalInit(mean, std float64) Init {
	return func(t *torch.Tensor) error { return t.Normal(mean, std) }
}

// inOrder applies several one after the other.
func inOrder(inits ...Init) Init {
	return func(t *torch.Tensor) error {
		for _, init := range inits {
			if err := init(t); err != nil {
				return err
			}
		}
		return nil
	}
}

// TruncNormal is a normal distribution cut at two units (not deviations), as
// torch.nn.init.trunc_normal_ with its defaults.
func TruncNormal(std float64) Init {
	if std < 2.0/8 {
		// Nothing lies beyond eight deviations, but the way by the inverse error
		// function puts one number in 2²⁴ on the bound: a weight of 2 among those of 0.02.
		return NormalInit(0, std)
	}
	return func(t *torch.Tensor) error { return t.TruncNormal(0, std, -2, 2) }
}
