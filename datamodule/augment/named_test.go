package augment_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// given are parameters for transforms that have some without a default.
var given = map[string]map[string]any{
	"Resize": {"size": 20}, "CenterCrop": {"size": 20}, "RandomCrop": {"size": 20}, "RandomResizedCrop": {"size": 20},
	"Letterbox": {"size": 20}, "RandomRotation": {"degrees": 30},
}

// Every transform works on any picture, changes nothing of what it was given,
// and does the same for the same stream.
func TestEveryTransform(t *testing.T) {
	src := picture(t, "testdata/transforms.png")
	for _, name := range augment.Names() {
		for _, size := range [][2]int{{src.Width, src.Height}, {1, 1}, {3, 50}, {40, 2}} {
			im := src
			if size[0] != src.Width {
				im = plainImage(size[0], size[1], 77)
			}
			before := slices.Clone(im.U8)
			n := augment.Named{Name: name, Params: map[string]any{"p": 1}}
			for k, v := range given[name] {
				n.Params[k] = v
			}
			a, b := apply(t, n, im, 3), apply(t, n, im, 3)
			assert.Equal(t, before, im.U8, "%s writes to what it was given", name)
			assert.Equal(t, a.Image, b.Image, name)
			assert.Equal(t, a.Place, b.Place, name)
			require.Len(t, a.Image.U8, a.Image.Width*a.Image.Height*3, name)
			n.Params["p"] = 0
			assert.Equal(t, before, apply(t, n, im, 3).Image.U8, "%s with p=0", name)
		}
	}
}

// A sample that is loaded again and again gives what a new one gives.
func TestSampleIsReused(t *testing.T) {
	chain, err := augment.Parse([]augment.Named{{Name: "random_resized_crop", Params: map[string]any{"size": []any{31, 20}}}, {Name: "ColorJitter", Params: map[string]any{"brightness": 0.5}}, {Name: "horizontal_flip"}})
	require.NoError(t, err)
	src := picture(t, "testdata/transforms.png")
	var used augment.Sample
	for i := range uint64(20) {
		var fresh augment.Sample
		for _, s := range []*augment.Sample{&used, &fresh} {
			s.Load(src, nil, wildtrain.Identity, augment.Limits{})
			require.NoError(t, chain.Apply(s, xrand.New(i)))
		}
		require.Equal(t, fresh.Image, used.Image)
	}
}

// The lists of the reference's sample configuration.
func TestReferenceLists(t *testing.T) {
	chain, err := augment.Parse([]augment.Named{
		{Name: "Resize", Params: map[string]any{"size": []any{224, 224}}},
		{Name: "RandomHorizontalFlip", Params: map[string]any{"p": 0.5}},
		{Name: "ColorJitter", Params: map[string]any{"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1}},
		{Name: "RandomRotation", Params: map[string]any{"degrees": 15}},
		{Name: "ToTensor"},
	})
	require.NoError(t, err)
	assert.Len(t, chain, 4, "ToTensor does nothing to bytes")
}

func TestParseNamesEveryProblem(t *testing.T) {
	_, err := augment.Parse([]augment.Named{
		{Name: "Rezise", Params: map[string]any{"size": 3}},
		{Name: "Resize", Params: map[string]any{"size": []any{1, 2, 3}, "interpolation": "cubic"}},
		{Name: "ColorJitter", Params: map[string]any{"brightnes": 1, "hue": 0.7, "p": 2}},
		{Name: "GaussianBlur", Params: map[string]any{"kernel_size": 4}},
		{Name: "Normalize", Params: map[string]any{"mean": []any{0.5}}},
		{Name: "RandomRotation"},
		{},
	})
	for _, want := range []string{
		`transform 1: "Rezise" is unknown; there are AutoAugment, `, "transform 2: Resize: size must be a side or [height, width]", `no interpolation "cubic"`,
		`brightnes is unknown; there are ["brightness" "contrast" "hue" "p" "saturation"]`, "hue is [-0.7 0.7], must rise and lie between -0.5 and 0.5", "p is 2, must be between 0 and 1",
		"kernel_size is 4, must be odd", "models normalise their input themselves", "degrees must be given", "transform 7: name is empty",
	} {
		assert.ErrorContains(t, err, want)
	}
}

func TestErasingDropsWhatIsCovered(t *testing.T) {
	s := apply(t, augment.Named{Name: "Cutout", Params: map[string]any{"holes": 1, "size": 200}}, plainImage(64, 64, 9), 1,
		wildtrain.Object{Box: wildtrain.BoxXYWH(10, 10, 20, 20)})
	assert.Empty(t, s.Objects, "a hole over the whole picture")
	assert.Zero(t, slices.Max(s.Image.U8))
	s = apply(t, augment.Named{Name: "RandomErasing", Params: map[string]any{"p": 1, "scale": []any{0.25, 0.25}, "ratio": []any{1, 1}}}, plainImage(64, 64, 9), 1)
	zeros := 0
	for _, v := range s.Image.U8 {
		if v == 0 {
			zeros++
		}
	}
	assert.Equal(t, 32*32*3, zeros)
}

func TestNoiseHasItsDeviation(t *testing.T) {
	s := apply(t, augment.Named{Name: "GaussianNoise", Params: map[string]any{"sigma": 0.1}}, plainImage(200, 200, 128), 1)
	sum, squares := 0.0, 0.0
	for _, v := range s.Image.U8 {
		d := float64(v) - 128
		sum, squares = sum+d, squares+d*d
	}
	n := float64(len(s.Image.U8))
	assert.InDelta(t, 0, sum/n, 0.3)
	assert.InDelta(t, 25.5*25.5, squares/n, 15)
}

// Policies draw every operation, and each draw differs from the picture.
func TestAutomaticPolicies(t *testing.T) {
	src := picture(t, "testdata/transforms.png")
	for _, name := range []string{"RandAugment", "TrivialAugmentWide", "AutoAugment"} {
		kinds := map[string]bool{}
		for i := range uint64(60) {
			kinds[string(apply(t, augment.Named{Name: name}, src, i).Image.U8)] = true
		}
		assert.Greater(t, len(kinds), 20, name)
	}
	for _, policy := range []string{"imagenet", "cifar10", "svhn"} {
		apply(t, augment.Named{Name: "AutoAugment", Params: map[string]any{"policy": policy}}, src, 1)
	}
}
