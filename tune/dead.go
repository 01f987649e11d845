package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// startBeating tells the storage again and again that this trial's worker lives.
func (l *Live) startBeating(ctx context.Context) {
	h, ok := l.study.storage.(Heartbeater)
	if !ok {
		return
	}
	ctx, l.beatStop = context.WithCancel(context.WithoutCancel(ctx))
	l.beatDone = make(chan struct{})
	go func() {
		defer close(l.beatDone)
		tick := time.NewTicker(l.study.options.Beat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := h.Beat(ctx, l.trial.ID); err != nil && ctx.Err() == nil {
					l.study.options.Logger.Warn("heartbeat failed", "trial", l.trial.Number, "error", err)
				}
			}
		}
	}()
}

func (l *Live) stopBeating() {
	if l.beatStop != nil {
		l.beatStop()
		<-l.beatDone
	}
}

// bury marks running trials failed whose workers are gone, and enqueues them again
// while Options.Retry allows. The new trial begins with the parameters and user
// attributes of the dead one, so that an objective that keeps its checkpoint's
// place there goes on.
func (s *Study) bury(ctx context.Context) error {
	h, ok := s.storage.(Heartbeater)
	if !ok {
		return nil
	}
	dead, err := h.Stale(ctx, s.record.ID, s.options.Grace)
	if err != nil || len(dead) == 0 {
		return err
	}
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	for _, t := range v.Trials {
		for _, id := range dead {
			if t.ID != id {
				continue
			}
			err := s.storage.Update(ctx, id, Change{Kind: SetState, State: Failed, Time: time.Now().UTC()})
			if errors.Is(err, ErrFinished) {
				continue // another worker saw it first, and tries it again
			}
			if err == nil {
				err = s.retry(ctx, t)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// retry enqueues a dead trial again, with the attributes of Optuna's
// RetryHeartbeatStaleTrialCallback.
func (s *Study) retry(ctx context.Context, t *Trial) error {
	parsed, _ := pyjson.Parse(t.SystemAttrs["retry_history"])
	history, _ := parsed.([]any)
	if len(history) >= s.options.Retry {
		return nil
	}
	history = append(history, int64(t.Number))
	first := history[0]
	fixed := t.External()
	attrs := maps.Clone(t.SystemAttrs)
	for key, v := range map[string]any{"failed_trial": first, "retry_history": history, fixedKey: fixed} {
		text, err := pyjson.Marshal(v, false)
		if err != nil {
			return fmt.Errorf("tune: retry trial %d: %w", t.Number, err)
		}
		put(&attrs, key, text)
	}
	_, err := s.storage.CreateTrial(ctx, s.record.ID, &Trial{State: Waiting, UserAttrs: t.UserAttrs, SystemAttrs: attrs})
	return err
}
