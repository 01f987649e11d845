package classification

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/draw"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

// Grad-CAM equals PyTorch's autograd on the same weights, for a convolutional
// network and a transformer.
func TestGradCAMEqualsPyTorch(t *testing.T) {
	f := golden(t, "gradcam.safetensors")
	for _, name := range []string{"resnet18", "vit_tiny_patch16_224"} {
		t.Run(name, func(t *testing.T) {
			m := small(t, name, func(c *Config) {
				c.Classes = []string{"a", "b", "c", "d", "e"}
				c.Input.Height, c.Input.Width = 64, 64
			})
			m.loaded = m.store.Load(rule.State{Like: m.State(), Rule: rule.Spread})
			require.NoError(t, m.loaded.Err())
			px, err := f.Bytes("pixels")
			require.NoError(t, err)
			b := wildtrain.NewBatch(wildtrain.Pixels{N: 2, Height: 64, Width: 64, Channels: 3, U8: slices.Clone(px)}, make([]wildtrain.Sample, 2), nil)
			heat, err := m.GradCAM(context.Background(), b, []int{1, 3})
			require.NoError(t, err)
			require.Equal(t, 3, heat[1].Class)
			require.LessOrEqual(t, torchtest.Worst(slices.Concat(heat[0].Values, heat[1].Values), floats(t, f, name)), 1e-3)
		})
	}
}

// An explanation leaves no gradient behind, in the middle of accumulation.
func TestGradCAMLeavesGradientsAlone(t *testing.T) {
	run := func(explain bool) []float32 {
		m := small(t, "resnet18", nil)
		o := optimizer(t, m, nil)
		_, err := m.TrainStep(context.Background(), colourBatch(0, 4, 32), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		if explain {
			_, err := m.GradCAM(context.Background(), colourBatch(1, 4, 32), nil)
			require.NoError(t, err)
		}
		_, err = o.Step(wildtrain.Clip{})
		require.NoError(t, err)
		var w []float32
		for _, e := range m.store.Entries() {
			if e.Name == "fc.weight" {
				w = e.Tensor.Float32s(nil)
			}
		}
		return w
	}
	require.Equal(t, run(false), run(true))
}

// inside is the share of a map's heat that lies in the coloured square.
func inside(b *wildtrain.Batch, i int, h Heat) float64 {
	var in, all float64
	class := b.Samples[i].Targets[0].Class
	for k, v := range h.Values {
		if b.Pixels.U8[(i*h.Height*h.Width+k)*3+class] == 250 {
			in += float64(v)
		}
		all += float64(v)
	}
	return in / all
}

// A model that knows colours looks at the coloured square. Where WILDTRAIN_PICTURES
// names a folder, the
// maps are written there as pictures.
func TestHeatLiesOnWhatMatters(t *testing.T) {
	m := small(t, "resnet18", func(c *Config) { c.Input.Height, c.Input.Width = 64, 64 })
	o := optimizer(t, m, func(c *wildtrain.OptimizerConfig) { c.Name, c.LR, c.Momentum = "AdamW", 1e-3, 0.9 })
	for i := range 25 {
		_, err := m.TrainStep(context.Background(), colourBatch(i, 8, 64), wildtrain.Step{Scale: 1})
		require.NoError(t, err)
		_, err = o.Step(wildtrain.Clip{})
		require.NoError(t, err)
		o.ZeroGrad()
	}
	b := colourBatch(300, 3, 64)
	classes := []int{b.Samples[0].Targets[0].Class, b.Samples[1].Targets[0].Class, b.Samples[2].Targets[0].Class}
	occlusion, err := m.Occlusion(context.Background(), b, classes, 24, 8)
	require.NoError(t, err)
	cam, err := m.GradCAM(context.Background(), b, classes)
	require.NoError(t, err)
	for i := range occlusion {
		require.Greater(t, inside(b, i, occlusion[i]), 0.4, "a quarter of the picture")
		require.Len(t, cam[i].Values, 64*64)
		picture := wildtrain.Image{Height: 64, Width: 64, Channels: 3, U8: b.Pixels.U8[i*64*64*3 : (i+1)*64*64*3]}
		write(t, occlusion[i], picture, filepath.Join(t.TempDir(), "occlusion.png"))
		if dir := os.Getenv("WILDTRAIN_PICTURES"); dir != "" {
			write(t, occlusion[i], picture, filepath.Join(dir, colours[classes[i]]+"-occlusion.png"))
			write(t, cam[i], picture, filepath.Join(dir, colours[classes[i]]+"-gradcam.png"))
		}
	}
	_, err = m.Occlusion(context.Background(), colourBatch(0, 1, 64), nil, 8, 16)
	require.ErrorContains(t, err, "window 8 px at steps of 16 px")
	_, err = m.GradCAM(context.Background(), colourBatch(0, 1, 64), []int{9})
	require.ErrorContains(t, err, "class 9 of 3")
}

func write(t *testing.T, h Heat, im wildtrain.Image, path string) {
	t.Helper()
	picture, err := h.Picture(im, colours[h.Class], 0.9)
	require.NoError(t, err)
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, draw.WritePNG(f, picture))
	_, err = f.Seek(0, 0)
	require.NoError(t, err)
	back, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, 64, back.Bounds().Dx())
}

// Every family's feature map can be explained.
func TestGradCAMOfEveryFamily(t *testing.T) {
	for _, name := range []string{"mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "swin_t", "convnext_tiny", "vit_small_patch14_reg4_dinov2"} {
		t.Run(name, func(t *testing.T) {
			size := 64
			if name == "vit_small_patch14_reg4_dinov2" {
				size = 56
			}
			m := small(t, name, func(c *Config) { c.Input.Height, c.Input.Width = size, size })
			heat, err := m.GradCAM(context.Background(), colourBatch(0, 2, size), nil)
			require.NoError(t, err)
			require.Len(t, heat, 2)
			require.Len(t, heat[1].Values, size*size)
			for _, v := range heat[0].Values {
				require.True(t, v >= 0 && v <= 1, "%v", v)
			}
		})
	}
}
