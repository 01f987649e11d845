package rcnn

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
)

func TestCanonicalNames(t *testing.T) {
	for given, want := range map[string]string{
		"fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn", "faster_rcnn_r50_fpn_1x_coco": "faster-rcnn_r50_fpn",
		"mask-rcnn_r101_fpn_2x_coco": "mask-rcnn_r101_fpn", "cascade_rcnn_r18_fpn": "cascade-rcnn_r18_fpn",
	} {
		got, ok := Canonical(given)
		require.True(t, ok, given)
		require.Equal(t, want, got)
	}
	_, ok := Canonical("faster_rcnn_r50_c4")
	require.False(t, ok)
	_, err := Default("yolo11n", []string{"a"})
	require.ErrorContains(t, err, "want one of fasterrcnn_resnet18_fpn")
	for _, name := range Architectures() {
		c, err := Default(name, []string{"a"})
		require.NoError(t, err, name)
		require.NoError(t, c.Validate(), name)
	}
}

func TestBadSettings(t *testing.T) {
	c, err := Default("fasterrcnn_resnet18_fpn", []string{"a"})
	require.NoError(t, err)
	c.RPN.Matcher.Low, c.RPN.Test.After, c.Stages[0].Sampler.Count, c.Pool.Size = 0.9, 0, 0, 0
	err = c.Validate()
	for _, want := range []string{"RPN: overlaps 0.9 and 0.7", "1000 and 0 proposals", "stage 0: 0 samples", "regions of 0 cells"} {
		require.ErrorContains(t, err, want)
	}
}

// A stage of Cascade R-CNN moves its regions by b' = b + δ·σ (equation 2 of arXiv
// 1712.00726, the deltas divided by 1/σ), within the picture, and the next stage
// wants more overlap. The stages' losses count 1, 1/2 and 1/4.
func TestCascade(t *testing.T) {
	c, err := Default("cascade-rcnn_r18_fpn", []string{"a"})
	require.NoError(t, err)
	require.Len(t, c.Stages, 3)
	for i, s := range c.Stages {
		require.InDelta(t, 0.5+0.1*float64(i), s.Matcher.High, 1e-12)
		require.InDelta(t, math.Pow(0.5, float64(i)), s.Weight, 1e-12)
		require.True(t, s.Agnostic)
	}
	err = torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		h := &boxHead{cfg: &c.Stages[1]}
		im := &pyramid.Images{Sizes: []pyramid.Size{{Height: 60, Width: 80}, {Height: 60, Width: 80}}}
		r := regions{boxes: torch.Of(s, []float32{10, 20, 30, 40, 60, 10, 78, 50}, 2, 4), pictures: []int64{0, 1}}
		codes := torch.Of(s, []float32{1, -2, 0.5, 0, 3, 0, 1, 0}, 2, 4)
		got := h.refine(r, codes, im)
		require.Equal(t, r.pictures, got.pictures)
		// picture 0: centre (20+20·0.05·1, 30−20·0.05·2), sides 20·e^(0.1·0.5) and 20
		w := 20 * math.Exp(0.05)
		// picture 1: centre (69+18·0.05·3, 30), sides 18·e^0.1 and 40, cut at 80
		w1, x1 := 18*math.Exp(0.1), 69+18*0.05*3
		want := []float64{21 - w/2, 28 - 10, 21 + w/2, 28 + 10, x1 - w1/2, 10, 80, 50}
		for i, v := range got.boxes.Float64s(nil) {
			require.InDelta(t, want[i], v, 1e-4)
		}
		return s.Err()
	})
	require.NoError(t, err)
}

// 1,000 proposals, most of them alike, are handled as few are; so is none.
func TestManyProposalsAndNone(t *testing.T) {
	err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		stage := defaultStage()
		h := &boxHead{cfg: &stage}
		cfg := &pyramid.Config{Score: 0.05, NMS: 0.5, Detections: 100}
		size := pyramid.Size{Height: 100, Width: 100}
		many := s.Zeros(torch.Float, 1000, 4).Add(torch.Of(s, []float32{10, 10, 50, 50}, 1, 4))
		scores, codes := s.Full(0.5, torch.Float, 1000, 3), s.Zeros(torch.Float, 1000, 12)
		_, found := h.detect(many, scores, codes, size, cfg)
		require.Equal(t, []int64{0, 1}, found.Labels, "one of each class remains")
		_, found = h.detect(s.Zeros(torch.Float, 0, 4), s.Zeros(torch.Float, 0, 3), s.Zeros(torch.Float, 0, 12), size, cfg)
		require.Empty(t, found.Scores)

		nothing := []pyramid.Target{{Boxes: s.Zeros(torch.Float, 0, 4)}}
		l, err := h.sample([]*torch.Tensor{s.Zeros(torch.Float, 0, 4)}, nothing, nil)
		require.NoError(t, err)
		require.Empty(t, l.labels)
		return s.Err()
	})
	require.NoError(t, err)
}
