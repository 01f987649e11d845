package pipeline

import (
	"context"
	"errors"

	"github.com/wildtrain/sdk/checkpoint/weights"
)

// pretrained finds or fetches the published weights that s asks for and makes
// them the ones to begin from.
func (e *Env) pretrained(ctx context.Context, s *Settings) error {
	if s.Model.Pretrained == "" || s.Model.Weights != "" || s.Resume != "" {
		return nil
	}
	found, err := weights.Find(ctx, weights.Request{
		Architecture: s.Model.Architecture, From: s.Model.Pretrained, AcceptLicense: s.Model.AcceptLicense, Log: e.log(),
	})
	if errors.Is(err, weights.ErrLicense) {
		return badSettings(err)
	}
	if err != nil {
		return err
	}
	s.Model.Weights, s.Model.License = found.Path, found.License
	s.Model.Partial = true // published weights know other classes: build tells what they lack
	return nil
}
