package mlflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/wildtrain/sdk/wildtrain"
)

// StatusOf is the status of a run that ended with err: FINISHED for none and
// for a trial that was pruned, KILLED for a cancelled context, else FAILED.
func StatusOf(err error) Status {
	switch {
	case err == nil || errors.Is(err, wildtrain.ErrPruned) || errors.Is(err, wildtrain.ErrStop):
		return Finished
	case errors.Is(err, context.Canceled):
		return Killed
	}
	return Failed
}

// End gives the run the status that goes with err, and the present time as its
// end. The last call counts. Values may still follow.
func (r *Recorder) End(err error) {
	status := StatusOf(err)
	tags := map[string]string{}
	if status == Failed {
		tags[tagError] = err.Error()
	}
	r.mu.Lock()
	if r.lost > 0 {
		tags[tagLost] = fmt.Sprint(r.lost)
	}
	r.mu.Unlock()
	if len(tags) > 0 {
		r.warn(r.SetTags(tags))
	}
	r.warn(r.put(record{Update: &RunUpdate{Status: status, Ended: Now()}}, 0))
}

// Register packages the folder of a registration and makes a version of it when
// the records before it are sent, by the Rule, Alias and Stage of the Config.
func (r *Recorder) Register(_ context.Context, g wildtrain.Registration) error {
	return r.RegisterBy(g, r.cfg.Alias, r.cfg.Stage, r.cfg.Rule)
}

// RegisterBy is Register with an alias, a stage ("" for none) and a rule of its own.
func (r *Recorder) RegisterBy(g wildtrain.Registration, alias, stage string, rule Rule) error {
	if err := checkModelName(g.Name); err != nil {
		return err
	}
	dir, err := filepath.Abs(g.Dir)
	if err != nil {
		return fmt.Errorf("mlflow: register: %w", err)
	}
	g.Dir = dir
	return r.put(record{Register: newRegisterRecord(g, alias, stage, rule)}, 1)
}

// Flush waits until the store has all that was recorded so far, at most
// Config.CloseTimeout. Its error tells what is not there.
func (r *Recorder) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.CloseTimeout)
	defer cancel()
	unhook := context.AfterFunc(ctx, func() { r.idle.Broadcast() })
	defer unhook()
	signal(r.wake)
	signal(r.flush)
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.behind() && ctx.Err() == nil && r.failure == nil {
		r.idle.Wait()
	}
	return r.missing()
}

// behind tells, under mu, whether the store lacks something.
func (r *Recorder) behind() bool { return len(r.queue) > 0 || r.writing || r.sent < r.size }

// missing tells, under mu, what the store does not have.
func (r *Recorder) missing() error {
	var errs []error
	if r.behind() {
		errs = append(errs, fmt.Errorf("mlflow: %d bytes of records are not sent; they wait in %s and are sent by: wildtrain mlflow sync", r.size-r.sent, r.spool.dir))
		errs = append(errs, r.waitFor)
	}
	if r.lost > 0 {
		errs = append(errs, fmt.Errorf("mlflow: %d values are lost", r.lost))
	}
	return errors.Join(append(errs, r.failure)...)
}

// Close ends the recording: it waits for what is unsent as Flush does, and
// closes the store. A run without a status by then is FINISHED only where End said so:
// otherwise it is FAILED, since nobody knows how it went.
func (r *Recorder) Close() error {
	r.endSampling()
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	if !ended {
		r.End(errors.New("mlflow: the run was closed before it had an end"))
	}
	err := r.Flush(context.Background())
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	signal(r.wake)
	<-r.written
	signal(r.flush)
	timer := time.AfterFunc(r.cfg.CloseTimeout, r.stop)
	if err != nil {
		r.stop()
	}
	<-r.done
	r.others.Wait()
	timer.Stop()
	r.stop()
	if refused := r.sender.refused; refused > 0 { // the sender has ended
		err = errors.Join(err, fmt.Errorf("mlflow: %d records were refused by the store; they are kept in %s", refused, filepath.Join(r.spool.dir, refusedFile)))
	}
	r.mu.Lock()
	all := r.sent >= r.size && r.failure == nil
	r.mu.Unlock()
	return errors.Join(err, r.spool.close(all), r.store.Close())
}

// bury ends the runs of processes that died, and sends what they left.
func bury(ctx context.Context, dead []*spool, log *slog.Logger) {
	for _, p := range dead {
		if report, err := sendSpool(ctx, p, log); err != nil && ctx.Err() == nil {
			log.Warn("mlflow: what an earlier run left cannot be sent now", "run", report.RunID, "spool", p.dir, "error", err)
		}
	}
}
