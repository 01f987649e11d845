package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// bury marks running trials failed whose heartbeat is too old.
func (s *Study) bury(ctx context.Context) error {
	h, ok := s.storage.(Heartbeater)
	if !ok {
		return nil
	}
	dead, err := h.Stale(ctx, s.record.ID, s.options.Grace)
	if err != nil || len(dead) == 0 {
		return err
	}
	return s.Bury(ctx, func(t *Trial) bool { return slices.Contains(dead, t.ID) })
}

// Bury marks running trials failed that are dead, and enqueues them again while
// Options.Retry allows. The new trial begins with the parameters, reports and
// attributes of the dead one, so that an objective that keeps its checkpoint's
// place in a user attribute goes on from there. Ask does so by itself with trials
// that have lost their heartbeat.
func (s *Study) Bury(ctx context.Context, dead func(*Trial) bool) error {
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	for _, t := range v.In(Running) {
		if !dead(t) {
			continue
		}
		err := s.storage.Update(ctx, t.ID, Change{Kind: SetState, State: Failed, Time: time.Now().UTC()})
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
	_, err := s.storage.CreateTrial(ctx, s.record.ID, &Trial{State: Waiting, UserAttrs: t.UserAttrs, SystemAttrs: attrs, Reports: t.Reports})
	return err
}
