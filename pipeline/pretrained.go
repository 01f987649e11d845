package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wildtrain/sdk/checkpoint/weights"
)

// pretrained finds or fetches the published weights that s asks for and makes
// them the ones to begin from.
func (e *Env) pretrained(ctx context.Context, s *Settings) error {
	if s.Model.Pretrained == "" || s.Model.Weights != "" || s.Resume != "" {
		return nil
	}
	found, err := weights.Find(ctx, weights.Request{
		Architecture: cmp.Or(backboneOf(s.Model.Architecture), s.Model.Architecture), From: s.Model.Pretrained, AcceptLicense: s.Model.AcceptLicense, Log: e.log(), Progress: e.fetching(),
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

// fetching shows how much of a file has come, on a terminal in one line, else
// from time to time.
func (e *Env) fetching() func(done, total int64) {
	if e.Progress == nil {
		return nil
	}
	every, before, after := 10*time.Second, "", "\n"
	if e.Terminal {
		every, before, after = 100*time.Millisecond, "\r", "\x1b[K"
	}
	last := time.Now()
	return func(done, total int64) {
		whole := done == total
		if !whole && time.Since(last) < every {
			return
		}
		last = time.Now()
		text := fmt.Sprintf("%.1f MB", float64(done)/1e6)
		if total > 0 {
			text = fmt.Sprintf("%.1f of %.1f MB", float64(done)/1e6, float64(total)/1e6)
		}
		fmt.Fprint(e.Progress, before, "fetching weights: ", text, after)
		if whole && e.Terminal {
			fmt.Fprintln(e.Progress)
		}
	}
}
