package rcnn

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
)

// The peer's stored head outputs become the peer's proposals and detections, to
// the last bit but for the rounding of exp.
func TestPostprocessingEqualsTorchvision(t *testing.T) {
	for _, name := range []string{"fasterrcnn_resnet18_fpn", "fasterrcnn_resnet18_fpn_v2", "fasterrcnn_mobilenet_v3_large_320_fpn"} {
		t.Run(name, func(t *testing.T) {
			golden, err := checkpoint.Open(filepath.Join("../../parity/testdata/detectors", name+".safetensors"))
			require.NoError(t, err)
			defer golden.Close()
			cfg, err := Default(name, []string{"a", "b", "c"})
			require.NoError(t, err)
			err = torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
				postprocess(t, s, golden, &cfg)
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

func stored(t *testing.T, s *torch.Scope, golden *checkpoint.File, name string) *torch.Tensor {
	t.Helper()
	info, ok := golden.Info(name)
	require.True(t, ok, name)
	values, err := golden.Float32(name)
	require.NoError(t, err)
	return torch.Of(s, values, info.Shape...)
}

func postprocess(t *testing.T, s *torch.Scope, golden *checkpoint.File, cfg *Config) {
	var about struct {
		Images           []int64 `json:"images"`
		MinSize, MaxSize int
	}
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["about"]), &about))
	size := pyramid.Size{Height: 56, Width: 84} // of 64×96 with min_size 56
	im := &pyramid.Images{Pixels: s.Zeros(torch.Float, about.Images[0], 3, 64, 96)}
	for range about.Images[0] {
		im.Sizes = append(im.Sizes, size)
	}
	p := &rpn{cfg: &cfg.RPN}
	from := &proposing{}
	var maps []*torch.Tensor
	for l := range cfg.RPN.Anchors.Sizes {
		score, move := stored(t, s, golden, fmt.Sprintf("objectness%d", l)), stored(t, s, golden, fmt.Sprintf("deltas%d", l))
		from.scores, from.codes = append(from.scores, pyramid.Rows(score, 1).Squeeze(2)), append(from.codes, pyramid.Rows(move, 4))
		maps = append(maps, score)
	}
	var err error
	from.anchors, err = cfg.RPN.Anchors.Grid(64, 96, maps)
	require.NoError(t, err)
	stage := &boxHead{cfg: &cfg.Stages[0]}
	scores, codes := stored(t, s, golden, "between.scores").Softmax(1), stored(t, s, golden, "between.codes")
	begin := int64(0)
	for i, got := range p.proposals(from, im, cfg.RPN.Test) {
		want := stored(t, s, golden, fmt.Sprintf("between.proposals%d", i))
		require.Equal(t, want.Shape(), got.Shape())
		samePlaces(t, want.Float32s(nil), got.Float32s(nil))
		n := want.Size(0)
		_, found := stage.detect(want, scores.Narrow(0, begin, n), codes.Narrow(0, begin, n), size, &cfg.Config)
		begin += n
		require.InDeltaSlice(t, stored(t, s, golden, fmt.Sprintf("%d.scores", i)).Float32s(nil), found.Scores, 1e-6, "scores")
		boxes := stored(t, s, golden, fmt.Sprintf("%d.boxes", i)).Float32s(nil)
		for k := range found.Boxes { // the peer's are in the picture's own pixels
			found.Boxes[k] *= []float32{96. / 84, 64. / 56}[k%2]
		}
		require.InDeltaSlice(t, boxes, found.Boxes, 1e-4, "boxes")
	}
}

// samePlaces holds that two lists have the same boxes. Their order is that of
// probabilities, and those of likely anchors are rounded to ties.
func samePlaces(t *testing.T, want, got []float32) {
	t.Helper()
	for i := 0; i < len(want); i += 4 {
		found := false
		for k := 0; k < len(got) && !found; k += 4 {
			found = true
			for c := range 4 {
				found = found && math.Abs(float64(want[i+c]-got[k+c])) < 1e-4
			}
		}
		require.True(t, found, "proposal %d", i/4)
	}
}
