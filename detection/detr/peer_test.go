package detr

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

const goldens = "../../parity/testdata/detr"

// classes is how many the goldens' models have.
const classes = 5

func classNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("class", i)
	}
	return out
}

// reduced are the small models of parity/detr_forward.py.
var reduced = map[string]func(c *Config){
	"detr":                 func(*Config) {},
	"detr-own-resnet":      func(*Config) {},
	"deformable":           func(*Config) {},
	"deformable-refine":    func(*Config) {},
	"deformable-two-stage": func(*Config) {},
	"rtdetr-r18":           func(c *Config) { c.EncoderHidden = 64 },
	"rtdetr-r50":           func(c *Config) { c.EncoderHidden = 96 },
}

var fullNames = map[string]string{
	"detr": "detr_resnet18", "detr-own-resnet": "detr_resnet18", "deformable": "deformable_detr_resnet18", "deformable-refine": "deformable_detr_resnet18_refine",
	"deformable-two-stage": "deformable_detr_resnet18_two_stage", "rtdetr-r18": "rtdetr_r18vd", "rtdetr-r50": "rtdetr_r50vd",
}

func smallConfig(t *testing.T, name string) Config {
	t.Helper()
	c, err := Default(fullNames[name], classNames(classes))
	require.NoError(t, err)
	c.Hidden, c.Heads, c.DecoderLayers, c.EncoderFeedForward, c.DecoderFeedForward, c.Queries, c.Dropout = 64, 4, 2, 96, 80, 12, 0
	if c.Family != RTDETR {
		c.EncoderLayers = 2
	}
	c.Denoising.Queries = min(c.Denoising.Queries, 10)
	c.Mean, c.Std = [3]float64{}, [3]float64{1, 1, 1}
	reduced[name](&c)
	return c
}

// golden is a peer's model in its file: its state by the rule, and its answers.
type golden struct {
	*checkpoint.File
	weights ruledState
	stored  []string // names under which the library stores the model
}

func openGolden(t *testing.T, name string) golden {
	t.Helper()
	f, err := checkpoint.Open(filepath.Join(goldens, name+".safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	g := golden{File: f, weights: ruledState{}}
	var list []struct {
		Name, DType, Values string
		Shape               []int64
	}
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["state"]), &list))
	require.NoError(t, json.Unmarshal([]byte(f.Metadata()["stored"]), &g.stored))
	for _, e := range list {
		d := wildtrain.Float32
		if e.DType == "int64" {
			d = wildtrain.Int64
		}
		g.weights[e.Name] = ruledTensor{Info: wildtrain.Info{DType: d, Shape: e.Shape}, values: e.Values}
	}
	return g
}

// ruledTensor is a tensor of the peer whose values follow the rule of a name.
type ruledTensor struct {
	wildtrain.Info
	values string
}

// ruledState is the peer's state without its numbers; values says whose rule they follow.
type ruledState map[string]ruledTensor

func (s ruledState) Names() []string { return slices.Sorted(maps.Keys(s)) }

func (s ruledState) Info(name string) (wildtrain.Info, bool) {
	e, ok := s[name]
	return e.Info, ok
}

func (s ruledState) Read(name string, dst []byte) error {
	spread := func(n string, shape []int64) (float64, float64) {
		if places(n) {
			return 0, 2
		}
		return rule.Spread(n, shape)
	}
	return rule.State{Like: s, Rule: spread, Alias: func(n string) string { return s[n].values }}.Read(name, dst)
}

// places reports the biases of sampling places, which spread wider.
func places(name string) bool {
	return strings.HasSuffix(name, "sampling_offsets.bias")
}

func (s ruledState) Write(string, []byte) error { return fmt.Errorf("read only") }

// peerModel builds the small model with the peer's weights.
func peerModel(t *testing.T, name string, weights wildtrain.State) *Model {
	t.Helper()
	c := smallConfig(t, name)
	c.Weights = weights
	m, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

// pixels are pictures by the rule.
func pixels(name string, n, h, w int) wildtrain.Pixels {
	hash := rule.Hash(name)
	p := wildtrain.Pixels{N: n, Height: h, Width: w, Channels: 3, U8: make([]uint8, n*h*w*3)}
	for i := range p.U8 {
		p.U8[i] = uint8((rule.Unit(hash, i) + 1) * 127.9999)
	}
	return p
}

// deviation is max|a−b| / max|b|.
func deviation(t *testing.T, got *torch.Tensor, g *checkpoint.File, name string) float64 {
	t.Helper()
	want, err := g.Float32(name)
	require.NoError(t, err)
	return torchtest.Worst(got.Float32s(nil), want)
}

func TestForwardEqualsTransformers(t *testing.T) {
	for name := range reduced {
		t.Run(name, func(t *testing.T) {
			g := openGolden(t, name)
			m := peerModel(t, name, g.weights)
			err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
				x, _, err := m.input(s, wildtrain.NewBatch(pixels("images", 2, 96, 128), make([]wildtrain.Sample, 2), nil))
				if err != nil {
					return err
				}
				out, err := m.Forward(s, x)
				if err != nil {
					return err
				}
				for _, k := range []string{"logits", "boxes"} {
					d := deviation(t, out[k], g.File, k)
					t.Logf("%s: %.2g", k, d)
					require.LessOrEqual(t, d, 1e-4, k)
				}
				if m.cfg.Family == RTDETR {
					return nil
				}
				p := padded{height: 96, width: 128, valid: []size{{64, 90}, {75, 128}}}
				x = x.Mul(p.mask(s, size{96, 128}).View(2, 1, 96, 128))
				all := m.net.forward(x, p, nil).layers
				last := all[len(all)-1]
				require.LessOrEqual(t, deviation(t, last.logits, g.File, "masked.logits"), 1e-4)
				require.LessOrEqual(t, deviation(t, last.boxes, g.File, "masked.boxes"), 1e-4)
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

// A test of parity that cannot fail is none.
func TestForwardSeesSwappedTensors(t *testing.T) {
	for name, swap := range map[string][2]string{
		"detr":                 {"model.decoder.layers.1.encoder_attn_layer_norm.weight", "model.decoder.layers.1.self_attn_layer_norm.weight"},
		"deformable-two-stage": {"model.decoder.layers.0.encoder_attn_layer_norm.bias", "model.decoder.layers.0.self_attn_layer_norm.bias"},
		"rtdetr-r18":           {"model.encoder.aifi.0.layers.0.self_attn.q_proj.weight", "model.encoder.aifi.0.layers.0.self_attn.k_proj.weight"},
	} {
		g := openGolden(t, name)
		a, b := g.weights[swap[0]], g.weights[swap[1]]
		require.NotEmpty(t, a.values)
		g.weights[swap[0]], g.weights[swap[1]] = b, a
		m := peerModel(t, name, g.weights)
		err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
			x, p, err := m.input(s, wildtrain.NewBatch(pixels("images", 2, 96, 128), make([]wildtrain.Sample, 2), nil))
			if err != nil {
				return err
			}
			all := m.net.forward(x, p, nil).layers
			require.Greater(t, deviation(t, all[len(all)-1].logits, g.File, "logits"), 1e-3, name) // ten times what parity allows
			return s.Err()
		})
		require.NoError(t, err)
	}
}

// What the library stores has other names than its models in memory, and of tied
// tensors one.
func TestStoredNamesLoad(t *testing.T) {
	for name := range reduced {
		t.Run(name, func(t *testing.T) {
			g := openGolden(t, name)
			family, byName := smallConfig(t, name).Family, map[string]ruledTensor{}
			for n, tensor := range g.weights {
				byName[renamed(family, n)] = tensor
			}
			stored := ruledState{}
			for _, n := range g.stored {
				require.Contains(t, byName, renamed(family, n), n)
				stored[n] = byName[renamed(family, n)]
			}
			a, b := peerModel(t, name, g.weights).State(), peerModel(t, name, stored).State()
			require.Equal(t, a.Names(), b.Names())
			for _, n := range a.Names() {
				info, _ := a.Info(n)
				x, y := make([]byte, info.Bytes()), make([]byte, info.Bytes())
				require.NoError(t, a.Read(n, x))
				require.NoError(t, b.Read(n, y))
				require.Equal(t, x, y, n)
			}
		})
	}
}
