package mlflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
)

// sender brings the records of a spool to a store, in order.
type sender struct {
	store   Store
	spool   *spool
	log     *slog.Logger
	offset  int64
	refused int // records that the store did not take
	run     *Run
	files   Artifacts
}

// step sends the next records. more is false where there are none.
func (s *sender) step(ctx context.Context) (more bool, err error) {
	list, next, err := s.spool.read(s.offset)
	if err != nil || len(list) == 0 {
		return false, err
	}
	if err := s.send(ctx, list); err != nil {
		return true, err
	}
	s.offset = next
	return true, s.spool.markSent(next)
}

// send brings records over. It returns errors that may pass; what the store
// will never take is put aside.
func (s *sender) send(ctx context.Context, list []record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.deliver(ctx, list)
	if err == nil || passing(err) || ctx.Err() != nil {
		return err
	}
	if len(list) > 1 { // find the one that is wrong
		half := len(list) / 2
		return errors.Join(s.send(ctx, list[:half]), s.send(ctx, list[half:]))
	}
	if b := list[0].Batch; b != nil && b.size() > 1 {
		return s.send(ctx, b.split())
	}
	s.refused++
	s.log.Warn("mlflow: a record was refused and is lost", "reason", err, "kept in", s.spool.dir)
	return s.spool.refuse(list[0], err)
}

// passing tells an error after which a record waits in the spool: it may be
// taken later, or with other credentials.
func passing(err error) bool { return Transient(err) || denied(err) }

// split makes one record of every item.
func (b *Batch) split() (out []record) {
	for _, m := range b.Metrics {
		out = append(out, record{Batch: &Batch{Metrics: []Metric{m}}})
	}
	for _, p := range b.Params {
		out = append(out, record{Batch: &Batch{Params: []Param{p}}})
	}
	for _, t := range b.Tags {
		out = append(out, record{Batch: &Batch{Tags: []Tag{t}}})
	}
	return out
}

// deliver sends one record, or several batches as one.
func (s *sender) deliver(ctx context.Context, list []record) error {
	r := list[0]
	if r.Create != nil {
		return s.create(ctx, *r.Create)
	}
	id := s.spool.session.RunID
	if id == "" {
		return errors.New("mlflow: send: the run could not be made")
	}
	switch {
	case r.Batch != nil:
		var all Batch
		for _, r := range list {
			all.Metrics, all.Tags = append(all.Metrics, r.Batch.Metrics...), append(all.Tags, r.Batch.Tags...)
			for _, p := range r.Batch.Params { // the same param twice in one batch is refused
				if !slices.Contains(all.Params, p) {
					all.Params = append(all.Params, p)
				}
			}
		}
		return s.store.LogBatch(ctx, id, all)
	case r.Inputs != nil:
		return s.store.LogInputs(ctx, id, r.Inputs)
	case r.Update != nil:
		return s.store.UpdateRun(ctx, id, *r.Update)
	case r.Artifact != nil:
		return s.upload(ctx, *r.Artifact)
	case r.Register != nil:
		_, decisions, err := r.Register.register(ctx, s.store, id)
		for _, d := range decisions {
			s.log.Info("mlflow: promotion", "model", d.Name, "version", d.Version, "alias", d.Alias, "stage", d.Stage, "promoted", d.Promoted, "reason", d.Reason)
		}
		return err
	}
	return errors.New("mlflow: send: a line of the spool is broken")
}

// create makes the run, unless an earlier try has made it: its session's name is a tag of it.
func (s *sender) create(ctx context.Context, n NewRun) error {
	if s.spool.session.RunID != "" {
		return nil
	}
	e, err := experimentFor(ctx, s.store, s.spool.session.Experiment)
	if err != nil {
		return err
	}
	n.ExperimentID = e.ID
	name := tagValue(n.Tags, tagSession)
	old, err := s.store.SearchRuns(ctx, RunQuery{ExperimentIDs: []string{e.ID}, Query: Query{Filter: "tags.`" + tagSession + "` = '" + name + "'", MaxResults: 1}})
	if err != nil {
		return err
	}
	if len(old.Items) > 0 {
		s.run = &old.Items[0]
	} else if s.run, err = s.store.CreateRun(ctx, n); err != nil {
		return err
	}
	s.spool.session.RunID = s.run.Info.ID
	return s.spool.save()
}

// experimentFor finds an experiment by name and makes it where it is absent, or finds it by id.
func experimentFor(ctx context.Context, store Store, name string) (*Experiment, error) {
	if id, ok := strings.CutPrefix(name, experimentIDPrefix); ok {
		return store.Experiment(ctx, id)
	}
	e, err := store.ExperimentByName(ctx, name)
	if !errors.Is(err, ErrNotFound) {
		if err == nil && e.Lifecycle == Deleted {
			return nil, fail(codeState, "experiment %q is deleted: restore it, or take another name", name).final()
		}
		return e, err
	}
	id, err := store.CreateExperiment(ctx, NewExperiment{Name: name})
	if errors.Is(err, ErrExists) { // another process was faster
		return store.ExperimentByName(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	return store.Experiment(ctx, id)
}

// upload stores a file with the run.
func (s *sender) upload(ctx context.Context, r artifactRecord) (err error) {
	if s.run == nil {
		if s.run, err = s.store.Run(ctx, s.spool.session.RunID); err != nil {
			return err
		}
	}
	if s.files == nil {
		if s.files, err = OpenArtifacts(s.store, s.run.Info.ArtifactURI); err != nil {
			return err
		}
	}
	if _, err := os.Stat(r.File); err != nil {
		return fmt.Errorf("mlflow: send artifact: %w", err)
	}
	return s.files.Put(ctx, r.Path, r.File)
}

// drain sends all there is, and waits between tries that failed for a passing
// reason, until ctx ends.
func (s *sender) drain(ctx context.Context) error {
	wait := time.Second
	for {
		more, err := s.step(ctx)
		switch {
		case err == nil && !more:
			return nil
		case err == nil:
			wait = time.Second
			continue
		case ctx.Err() != nil || !passing(err):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}
