package mlflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Sent tells what Sync did with one session.
type Sent struct {
	RunID   string    `json:"run_id"`
	URI     string    `json:"uri"`
	Name    string    `json:"name,omitempty"`
	Started time.Time `json:"started"`
	Bytes   int64     `json:"bytes"`   // of records that were sent now
	Unsent  int64     `json:"unsent"`  // of records that still wait
	Refused int       `json:"refused"` // records that the store does not take
	Died    bool      `json:"died"`    // the process ended without a word: the run is FAILED now
	Error   string    `json:"error,omitempty"`
}

// Sync sends what waits in a spool folder ("" for SpoolDir()), of sessions
// whose process has ended. Several processes may do it at once. A store that does not
// answer keeps its sessions waiting; the error tells.
func Sync(ctx context.Context, dir string, log *slog.Logger) ([]Sent, error) {
	if dir == "" {
		dir = SpoolDir()
	}
	if log == nil {
		log = slog.Default()
	}
	list, err := deadSpools(dir)
	var out []Sent
	for _, p := range list {
		p.announce(log)
		report, serr := sendSpool(ctx, p, log)
		out, err = append(out, report), errors.Join(err, serr)
	}
	return out, err
}

// sendSpool sends one session and takes its folder away.
func sendSpool(ctx context.Context, p *spool, log *slog.Logger) (report Sent, err error) {
	s := p.session
	report = Sent{RunID: s.RunID, URI: s.URI, Name: s.Name, Started: s.Started}
	defer func() {
		report.RunID, report.Unsent = p.session.RunID, max(0, p.size()-p.sent())
		if err != nil {
			report.Error = err.Error()
		}
		err = errors.Join(err, p.close(err == nil))
	}()
	if !p.ended() {
		report.Died = true
		if err := p.bury(); err != nil {
			return report, err
		}
	}
	store, err := Open(ctx, s.URI)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	from := p.sent()
	w := &sender{store: store, spool: p, log: log, offset: from}
	for more := true; more && err == nil; {
		more, err = w.step(ctx)
	}
	report.Bytes, report.Refused = w.offset-from, w.refused
	if err != nil {
		return report, fmt.Errorf("mlflow: sync %s: %w", p.dir, err)
	}
	return report, nil
}

// announce says where a process died.
func (p *spool) announce(log *slog.Logger) {
	if s := p.session; !p.ended() {
		log.Warn("mlflow: a process ended without closing its run; the last values it had recorded may be missing", "run", s.RunID, "name", s.Name, "pid", s.PID, "started", s.Started.Format(time.RFC3339))
	}
}

// bury writes the end of a run whose process died: half a line that it left is
// cut off, and the last sign of life is the end.
func (p *spool) bury() error {
	end := Now()
	if st, err := p.file.Stat(); err == nil {
		end = Millis(st.ModTime().UnixMilli())
		if err := p.cutHalfLine(st.Size()); err != nil {
			return err
		}
	}
	return p.append([]record{
		{Batch: &Batch{Tags: []Tag{{tagDied, "the process ended without a word; its last values may be missing"}}}},
		{Update: &RunUpdate{Status: Failed, Ended: end}},
	})
}

func (p *spool) cutHalfLine(size int64) error {
	whole := int64(0)
	for {
		list, next, err := p.read(whole)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		whole = next
	}
	if whole == size {
		return nil
	}
	return os.Truncate(p.file.Name(), whole)
}
