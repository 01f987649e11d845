package classification

import (
	"context"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Predict implements wildtrain.Model: Probs holds a probability per class, of
// logits divided by the temperature.
func (m *Classifier) Predict(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	if len(m.cfg.Classes) == 0 {
		b.Release()
		return nil, errNoClasses
	}
	_, p, err := m.look(ctx, b, want{})
	return p, err
}

// Evaluate implements wildtrain.Evaluator.
func (m *Classifier) Evaluate(ctx context.Context, b *wildtrain.Batch) (wildtrain.Losses, []wildtrain.Prediction, error) {
	if len(m.cfg.Classes) == 0 {
		b.Release()
		return nil, nil, errNoClasses
	}
	return m.look(ctx, b, want{loss: true})
}

// Embed implements wildtrain.Embedder: Embedding holds the features that the
// head sees, Probs what Predict gives, but for a feature extractor. Its results
// are what a filter clusters.
func (m *Classifier) Embed(ctx context.Context, b *wildtrain.Batch) ([]wildtrain.Prediction, error) {
	_, p, err := m.look(ctx, b, want{features: true})
	return p, err
}

// want says what a look at a batch is to bring.
type want struct{ loss, features bool }

func (m *Classifier) look(ctx context.Context, b *wildtrain.Batch, w want) (wildtrain.Losses, []wildtrain.Prediction, error) {
	defer b.Release()
	var losses wildtrain.Losses
	out := make([]wildtrain.Prediction, b.Len())
	for i, s := range b.Samples {
		out[i].ID = s.ID
	}
	err := torch.Run(ctx, m.cfg.Device, torch.Inference.WithAutocast(m.cfg.Precision), func(s *torch.Scope) error {
		x, err := m.input(s, b)
		if err != nil {
			return err
		}
		f := m.net.Features(x)
		if w.features {
			share(out, f.To(torch.Float).Float32s(nil), func(p *wildtrain.Prediction, v []float32) { p.Embedding = v })
		}
		if len(m.cfg.Classes) == 0 {
			return s.Err()
		}
		logits := m.logits(f)
		if w.loss {
			t, err := m.read(b.Samples)
			if err != nil {
				return err
			}
			values := m.cfg.Loss.loss(logits, t, m.weight, m.cfg.MultiLabel).Float64s(nil)
			losses = wildtrain.LossValues{Keys: lossNames, Numbers: values}
		}
		share(out, m.probs(logits).Float32s(nil), func(p *wildtrain.Prediction, v []float32) { p.Probs = v })
		return s.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	return losses, out, nil
}

// probs are the probabilities of logits (N, classes).
func (m *Classifier) probs(logits *torch.Tensor) *torch.Tensor {
	logits = logits.To(torch.Float).DivScalar(m.cfg.Temperature)
	if m.cfg.MultiLabel {
		return logits.Sigmoid()
	}
	return logits.Softmax(1)
}

// share deals rows of equal length out to the predictions.
func share(out []wildtrain.Prediction, rows []float32, set func(*wildtrain.Prediction, []float32)) {
	width := len(rows) / max(len(out), 1)
	for i := range out {
		set(&out[i], rows[i*width:(i+1)*width:(i+1)*width])
	}
}
