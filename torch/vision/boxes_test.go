package vision_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/torch/vision"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

type goldens struct {
	A, B       torchtest.Golden
	P, Q       torchtest.Golden
	Area       torchtest.Golden
	IoU        torchtest.Golden `json:"iou"`
	GIoU       torchtest.Golden `json:"giou"`
	DIoU       torchtest.Golden `json:"diou"`
	CIoU       torchtest.Golden `json:"ciou"`
	XYWH       torchtest.Golden `json:"xyxy_xywh"`
	CXCYWH     torchtest.Golden `json:"xyxy_cxcywh"`
	FromXYWH   torchtest.Golden `json:"xywh_cxcywh"`
	FromCXCYWH torchtest.Golden `json:"cxcywh_xywh"`
	GIoULoss   torchtest.Golden `json:"giou_loss"`
	DIoULoss   torchtest.Golden `json:"diou_loss"`
	CIoULoss   torchtest.Golden `json:"ciou_loss"`
	GIoUGrad   torchtest.Golden `json:"giou_grad"`
	DIoUGrad   torchtest.Golden `json:"diou_grad"`
	CIoUGrad   torchtest.Golden `json:"ciou_grad"`
	NMS        struct {
		Boxes, Scores, Classes torchtest.Golden
		Keep0                  []int64 `json:"keep_0"`
		Keep3                  []int64 `json:"keep_0.3"`
		Keep5                  []int64 `json:"keep_0.5"`
		Keep7                  []int64 `json:"keep_0.7"`
		Keep1                  []int64 `json:"keep_1"`
		Class0                 []int64 `json:"class_0"`
		Class3                 []int64 `json:"class_0.3"`
		Class5                 []int64 `json:"class_0.5"`
		Class7                 []int64 `json:"class_0.7"`
		Class1                 []int64 `json:"class_1"`
	} `json:"nms"`
}

func load(t testing.TB) (g goldens) {
	torchtest.Load(t, "boxes.json", &g)
	return g
}

func TestMeasuresEqualTorchvision(t *testing.T) {
	g := load(t)
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		a, b := g.A.Tensor(s, torch.Float), g.B.Tensor(s, torch.Float)
		torchtest.Near(t, "area", vision.Area(a), g.Area, 1e-6)
		torchtest.Near(t, "iou", vision.Pairwise(vision.IoU, a, b), g.IoU, 1e-6)
		torchtest.Near(t, "giou", vision.Pairwise(vision.GIoU, a, b), g.GIoU, 1e-6)
		torchtest.Near(t, "diou", vision.Pairwise(vision.DIoU, a, b), g.DIoU, 1e-6)
		torchtest.Near(t, "ciou", vision.Pairwise(vision.CIoU, a, b), g.CIoU, 1e-6)
		torchtest.Near(t, "xywh", vision.Convert(a, vision.XYXY, vision.XYWH), g.XYWH, 1e-6)
		torchtest.Near(t, "cxcywh", vision.Convert(a, vision.XYXY, vision.CXCYWH), g.CXCYWH, 1e-6)
		torchtest.Near(t, "xywh → cxcywh", vision.Convert(a, vision.XYWH, vision.CXCYWH), g.FromXYWH, 1e-6)
		torchtest.Near(t, "cxcywh → xywh", vision.Convert(a, vision.CXCYWH, vision.XYWH), g.FromCXCYWH, 1e-6)
		require.Same(t, a, vision.Convert(a, vision.XYWH, vision.XYWH))
	})
}

func TestLossGradientsEqualTorchvision(t *testing.T) {
	g := load(t)
	for _, c := range []struct {
		name       string
		f          vision.Overlap
		loss, grad torchtest.Golden
	}{{"giou", vision.GIoU, g.GIoULoss, g.GIoUGrad}, {"diou", vision.DIoU, g.DIoULoss, g.DIoUGrad}, {"ciou", vision.CIoU, g.CIoULoss, g.CIoUGrad}} {
		torchtest.Run(t, torch.Training, func(s *torch.Scope) {
			p, q := g.P.Tensor(s, torch.Double), g.Q.Tensor(s, torch.Double)
			require.NoError(t, p.SetRequiresGrad(true))
			loss := c.f(p, q).ScalarMinus(1)
			torchtest.Near(t, c.name, loss, c.loss, 1e-7)
			require.NoError(t, loss.Sum().Backward())
			torchtest.Near(t, c.name+" gradient", s.Grad(p), c.grad, 1e-6)
		})
	}
}

// Empty boxes must not poison a loss.
func TestDegenerateBoxesStayFinite(t *testing.T) {
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		p := torch.Of(s, []float32{5, 5, 5, 5, 1, 1, 3, 1, 0, 0, 0, 0}, 3, 4)
		q := torch.Of(s, []float32{5, 5, 5, 5, 1, 1, 3, 3, 7, 7, 9, 9}, 3, 4)
		require.NoError(t, p.SetRequiresGrad(true))
		for _, f := range []vision.Overlap{vision.IoU, vision.GIoU, vision.DIoU, vision.CIoU} {
			y := f(p, q).Sum()
			require.NoError(t, y.Backward())
			require.Equal(t, 1.0, y.IsFinite().To(torch.Float).Item())
			require.Equal(t, 1.0, s.Grad(p).IsFinite().To(torch.Float).Min().Item())
		}
	})
}

func TestNMSEqualsTorchvision(t *testing.T) {
	g := load(t).NMS
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		boxes, scores, classes := g.Boxes.Tensor(s, torch.Float), g.Scores.Tensor(s, torch.Float), g.Classes.Tensor(s, torch.Int64)
		for _, c := range []struct {
			iou        float64
			keep, like []int64
		}{{0, g.Keep0, g.Class0}, {0.3, g.Keep3, g.Class3}, {0.5, g.Keep5, g.Class5}, {0.7, g.Keep7, g.Class7}, {1, g.Keep1, g.Class1}} {
			require.NotEmpty(t, c.keep)
			require.Equal(t, c.keep, vision.NMS(boxes, scores, c.iou).Int64s(nil))
			require.Equal(t, c.like, vision.ClassNMS(boxes, scores, classes, c.iou, 0).Int64s(nil))
			require.Equal(t, c.like[:7], vision.ClassNMS(boxes, scores, classes, c.iou, 7).Int64s(nil))
		}
	})
}

func TestNMSKeepsOrderOfEqualScores(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		boxes := torch.Of(s, []float32{0, 0, 1, 1, 10, 10, 11, 11, 0, 0, 1, 1, 20, 20, 21, 21}, 4, 4)
		scores := s.Full(0.5, torch.Float, 4)
		require.Equal(t, []int64{0, 1, 3}, vision.NMS(boxes, scores, 0.5).Int64s(nil))
		require.Empty(t, vision.NMS(s.Zeros(torch.Float, 0, 4), s.Zeros(torch.Float, 0), 0.5).Int64s(nil))
	})
}

func TestNMSRefusesWrongShapes(t *testing.T) {
	torchtest.Handles(t)
	err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		vision.NMS(s.Zeros(torch.Float, 3, 5), s.Zeros(torch.Float, 3), 0.5)
		return nil
	})
	require.ErrorContains(t, err, "boxes must be (N, 4)")
}

// What remains does not overlap, and what went overlaps something that remained
// and scored no less.
func TestNMSProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(r, "n")
		iou := rapid.Float64Range(0.05, 0.95).Draw(r, "iou")
		data := make([]float32, 0, 4*n)
		scores := make([]float32, 0, n)
		for range n {
			x, y := rapid.Float32Range(0, 20).Draw(r, "x"), rapid.Float32Range(0, 20).Draw(r, "y")
			w, h := rapid.Float32Range(0.1, 20).Draw(r, "w"), rapid.Float32Range(0.1, 20).Draw(r, "h")
			data = append(data, x, y, x+w, y+h)
			scores = append(scores, rapid.Float32Range(0, 1).Draw(r, "score"))
		}
		err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
			boxes := torch.Of(s, data, int64(n), 4)
			keep := vision.NMS(boxes, torch.Of(s, scores, int64(n)), iou).Int64s(nil)
			overlap := vision.Pairwise(vision.IoU, boxes, boxes).Float64s(nil)
			kept := map[int64]bool{}
			for _, k := range keep {
				for j := range kept {
					require.LessOrEqual(r, overlap[int(k)*n+int(j)], iou+1e-5)
				}
				kept[k] = true
			}
			for i := range int64(n) {
				covered := kept[i]
				for j := range kept {
					covered = covered || (scores[j] >= scores[i] && overlap[int(i)*n+int(j)] > iou-1e-5)
				}
				require.True(r, covered, "box %d went without a reason", i)
			}
			return s.Err()
		})
		require.NoError(r, err)
	})
}

// 30,000 crowded boxes: the limit of a detector without confidence threshold. The
// bar is the quadratic check of one measure over a tenth of them.
func TestNMSIsFast(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		const n = 30000
		require.NoError(t, torch.ManualSeed(1))
		corner, size := s.Empty(torch.Float, n, 2), s.Empty(torch.Float, n, 2)
		require.NoError(t, corner.Uniform(0, 600))
		require.NoError(t, size.Uniform(8, 120))
		scores := s.Empty(torch.Float, n)
		require.NoError(t, scores.Uniform(0, 1))
		boxes := torch.Cat([]*torch.Tensor{corner, corner.Add(size)}, 1)
		start := time.Now()
		require.NotZero(t, vision.NMS(boxes, scores, 0.5).Len())
		took := time.Since(start)
		some := boxes.Narrow(0, 0, n/10)
		start = time.Now()
		vision.Pairwise(vision.IoU, some, some)
		t.Logf("nms of %d boxes: %v; pairwise IoU of a tenth: %v", n, took, time.Since(start))
		require.Less(t, took, 10*time.Since(start))
	})
}
