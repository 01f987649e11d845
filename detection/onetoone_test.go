package detection

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
)

// doubleBatch describes one batch of parity/yolo_loss26.py.
type doubleBatch struct {
	lossBatch
	Number, Epoch int
	Centre        float64
}

// levels makes the raw outputs of one kind of branches by the rule.
func (b doubleBatch) levels(t *testing.T, s *torch.Scope, branch string) []*torch.Tensor {
	var out []*torch.Tensor
	for i, stride := range []int{8, 16, 32} {
		h, w, channels := b.Height/stride, b.Width/stride, 4+b.Classes
		hash := rule.Hash(fmt.Sprintf("loss26.%d.%s.level%d", b.Number, branch, i))
		v := make([]float32, b.Batch*channels*h*w)
		for k := range v {
			centre, half := -2.0, 4.0
			if k/(h*w)%channels < 4 {
				centre, half = b.Centre, 0.96*b.Centre
			}
			v[k] = float32(centre + float64(half*rule.Unit(hash, k)))
		}
		x := torch.Of(s, v, int64(b.Batch), int64(channels), int64(h), int64(w))
		require.NoError(t, x.SetRequiresGrad(true))
		out = append(out, x)
	}
	return out
}

// Both assignments, the L1 loss of the edges and the balance of the epochs are the peer's.
func TestLossOfTheDoubleHeadEqualsPeer(t *testing.T) {
	golden, err := checkpoint.Open(filepath.Join(goldens, "loss26.safetensors"))
	require.NoError(t, err)
	defer golden.Close()
	var batches []doubleBatch
	require.NoError(t, json.Unmarshal([]byte(golden.Metadata()["batches"]), &batches))
	require.Len(t, batches, 12)
	floats := numbers(t, golden)
	for _, b := range batches {
		t.Run(fmt.Sprintf("%d %s", b.Number, b.Name), func(t *testing.T) {
			m := &YOLO{cfg: DefaultYOLO("yolo26n", classNames(b.Classes)), net: &network{head: &Head{Strides: []int64{8, 16, 32}, Classes: int64(b.Classes), RegMax: 1}}}
			m.Schedule(b.Epoch, 100)
			err := torch.Run(context.Background(), torch.CPU, torch.Training, func(s *torch.Scope) error {
				levels := map[string][]*torch.Tensor{"one2many": b.levels(t, s, "one2many"), "one2one": b.levels(t, s, "one2one")}
				found, err := m.loss(rawOutputs{many: levels["one2many"], one: levels["one2one"]}, lossSamples(floats("%d.targets", b.Number), b.lossBatch))
				if err != nil {
					return err
				}
				if err := found.packed.Select(0, 0).MulScalar(float64(b.Batch)).Backward(); err != nil {
					return err
				}
				got := found.packed.Detach().Float32s(nil)
				var sum float32
				for i, w := range floats("%d.parts", b.Number) {
					sum += w
					relative(t, floats("%d.items", b.Number)[i], got[i+1], 1e-4, l1LossNames[i+1])
				}
				relative(t, sum, got[0]*float32(b.Batch), 1e-4, "loss")
				for branch, ls := range levels {
					for i, l := range ls {
						compareGradient(t, s.Grad(l).Float32s(nil), fmt.Sprintf("%d.%s.grad%d.", b.Number, branch, i), i, 4, b.lossBatch, floats)
					}
				}
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

func TestBalanceGoesFromFirstToLastEpoch(t *testing.T) {
	b := DefaultBalance()
	for _, c := range []struct {
		epoch, epochs int
		want          float64
	}{{0, 1, 0.8}, {0, 100, 0.8}, {99, 100, 0.1}, {1, 3, 0.45}, {120, 100, 0.1}} {
		require.InDelta(t, c.want, b.at(c.epoch, c.epochs), 1e-12, "%d of %d", c.epoch, c.epochs)
	}
}
