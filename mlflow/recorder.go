package mlflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wildtrain/sdk/wildtrain"
)

// The tags of this package's own.
const (
	tagSession = "wildtrain.session" // tells a run that was made from one that must be made again
	tagStopped = "wildtrain.stopped" // why a training ended early
	tagError   = "wildtrain.error"   // what it failed on
	tagLost    = "wildtrain.lost"    // values that could not be kept
	tagDied    = "wildtrain.died"    // the process ended without a word
)

// Recorder records one run. It is a wildtrain.Logger and a wildtrain.Callback.
//
// Its methods only put things into a queue: one goroutine writes the queue to the
// spool on disk, another sends the spool to the store. A store that is slow or
// dead therefore costs nothing but disk; what it did not get by the end is
// reported and sent by Sync.
type Recorder struct {
	cfg    Config
	store  Store
	spool  *spool
	sender *sender
	log    *slog.Logger

	mu      sync.Mutex
	queue   []record
	waiting int  // values in queue
	lost    int  // values for which there was no room, or no disk
	unsaid  int  // of them not reported yet
	closed  bool // nothing more comes
	writing bool // the writer has taken the queue and is not done with it
	ended   bool // a final status was recorded

	wake, flush chan struct{} // to the writer, to the sender
	written     chan struct{} // closed when the writer has ended
	done        chan error    // the sender's end
	stop        context.CancelFunc
	endSampling context.CancelFunc
	idle        *sync.Cond // signals progress of the sender, under mu
	sent        int64
	size        int64
	failure     error // of the writer
	waitFor     error // the sender's last error
	runID       string
	others      sync.WaitGroup // system metrics, sessions of the dead
}

var (
	_ wildtrain.Logger   = (*Recorder)(nil)
	_ wildtrain.Callback = (*Recorder)(nil)
)

// Start begins a run, or goes on with Config.RunID. A store that refuses is an
// error; one that does not answer within Config.StartTimeout is not: the run is
// made when it does. Sessions of this machine whose process died are ended as
// FAILED, with a warning, and sent.
func Start(ctx context.Context, cfg Config) (*Recorder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Spool == "" {
		cfg.Spool = SpoolDir()
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	store, err := Open(ctx, cfg.URI)
	if err != nil {
		return nil, err
	}
	r, err := start(ctx, cfg, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return r, nil
}

func start(ctx context.Context, cfg Config, store Store) (*Recorder, error) {
	dead, err := deadSpools(cfg.Spool)
	if err != nil {
		cfg.Log.Warn("mlflow: what an earlier run left unsent cannot be read", "error", err)
	}
	for _, p := range dead {
		p.announce(cfg.Log)
	}
	uri := store.URI()
	if path, ok := sqlitePath(uri); ok { // the spool may be sent from another folder
		if abs, err := filepath.Abs(path); err == nil {
			uri = "sqlite:///" + filepath.ToSlash(abs)
		}
	}
	p, err := newSpool(cfg.Spool, session{URI: uri, Experiment: cfg.Experiment, RunID: cfg.RunID, Name: cfg.RunName})
	if err != nil {
		for _, d := range dead {
			err = errors.Join(err, d.close(false))
		}
		return nil, fmt.Errorf("mlflow: start run: make spool in %s: %w", cfg.Spool, err)
	}
	r := &Recorder{cfg: cfg, store: store, spool: p, log: cfg.Log, wake: make(chan struct{}, 1), flush: make(chan struct{}, 1),
		written: make(chan struct{}), done: make(chan error, 1), sender: &sender{store: store, spool: p, log: cfg.Log}}
	r.idle = sync.NewCond(&r.mu)
	if err := r.begin(ctx); err != nil {
		for _, d := range dead { // they wait for the next start
			err = errors.Join(err, d.close(false))
		}
		return nil, errors.Join(err, p.close(true))
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.write()
	go r.send(background)
	r.others.Go(func() { bury(background, dead, cfg.Log) })
	sampling, end := context.WithCancel(background)
	r.endSampling = end
	if cfg.SystemMetrics {
		r.others.Go(func() { r.sampleSystem(sampling) })
	}
	return r, nil
}

// begin makes the run now where the store answers, and puts down what is known of it.
func (r *Recorder) begin(ctx context.Context) error {
	first := []record{}
	if r.cfg.RunID == "" {
		n := NewRun{User: userName(), Name: r.cfg.RunName, Started: Now(), Tags: r.tags(ctx)}
		first = append(first, record{Create: &n})
	} else {
		first = append(first, record{Update: &RunUpdate{Status: Running}}, record{Batch: &Batch{Tags: r.tags(ctx)}})
	}
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(r.cfg.Params)), maxBatchParams) {
		b := &Batch{}
		for _, k := range keys {
			b.Params = append(b.Params, Param{k, cut(r.cfg.Params[k], maxParam)})
		}
		first = append(first, record{Batch: b})
	}
	if len(r.cfg.Inputs) > 0 {
		first = append(first, record{Inputs: r.cfg.Inputs})
	}
	if err := r.spool.append(first); err != nil {
		return fmt.Errorf("mlflow: start run: write spool: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, r.cfg.StartTimeout)
	defer cancel()
	_, err := r.sender.step(limited)
	switch {
	case err == nil && r.sender.refused > 0:
		return errors.New("mlflow: start run: the store refused it; the warning before says why")
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case denied(err):
		return err
	case err != nil:
		r.log.Warn("mlflow: the store does not answer; what is recorded waits on disk", "store", r.store.URI(), "spool", r.spool.dir, "error", err)
	}
	r.runID, r.sent, r.size = r.spool.session.RunID, r.sender.offset, r.spool.size()
	return nil
}

// tags are those of the run, MLflow's own habits among them.
func (r *Recorder) tags(ctx context.Context) []Tag {
	all := map[string]string{}
	maps.Copy(all, sourceTags(ctx))
	all[tagSession] = filepath.Base(r.spool.dir)
	if r.cfg.Parent != "" {
		all[tagParent] = r.cfg.Parent
	}
	maps.Copy(all, r.cfg.Tags)
	if r.cfg.RunID != "" {
		delete(all, tagUser) // who began the run stays
	}
	var out []Tag
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Tag{k, cut(all[k], maxTag)})
	}
	return out
}

// RunID is the run's id, "" while the store has not answered yet.
func (r *Recorder) RunID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runID
}

// Log implements wildtrain.Logger. It takes some microseconds and does no I/O.
// Names are brought into the form that MLflow takes. The error tells of values
// lost since the last call, because the queue was full.
func (r *Recorder) Log(_ context.Context, step int64, values ...wildtrain.Value) error {
	now := Now()
	var errs []error
	for part := range slices.Chunk(values, maxBatchMetrics) {
		b := &Batch{Metrics: make([]Metric, len(part))}
		for i, v := range part {
			b.Metrics[i] = Metric{Key: CleanKey(v.Name), Value: v.Value, Timestamp: now, Step: step}
		}
		errs = append(errs, r.put(record{Batch: b}, len(part)))
	}
	return errors.Join(errs...)
}

// SetTags sets tags of the run.
func (r *Recorder) SetTags(tags map[string]string) error {
	var errs []error
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(tags)), maxBatchTags) {
		b := &Batch{}
		for _, k := range keys {
			b.Tags = append(b.Tags, Tag{CleanKey(k), cut(tags[k], maxTag)})
		}
		errs = append(errs, r.put(record{Batch: b}, len(keys)))
	}
	return errors.Join(errs...)
}

// LogParams writes params; those that are there keep their value.
func (r *Recorder) LogParams(params map[string]string) error {
	var errs []error
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(params)), maxBatchParams) {
		b := &Batch{}
		for _, k := range keys {
			b.Params = append(b.Params, Param{CleanKey(k), cut(params[k], maxParam)})
		}
		errs = append(errs, r.put(record{Batch: b}, len(keys)))
	}
	return errors.Join(errs...)
}

// LogInputs notes data sets that the run uses.
func (r *Recorder) LogInputs(inputs ...DatasetInput) error {
	return r.put(record{Inputs: inputs}, len(inputs))
}

// LogArtifact stores a file, or all files of a folder, below a folder of the run's
// artifacts; "" is their root. The files are read when they are sent: they must stay.
func (r *Recorder) LogArtifact(local, folder string) error {
	if err := checkArtifactPath(folder); err != nil {
		return err
	}
	local, err := filepath.Abs(local)
	if err != nil {
		return fmt.Errorf("mlflow: log artifact: %w", err)
	}
	st, err := os.Stat(local)
	if err != nil {
		return fmt.Errorf("mlflow: log artifact: %w", err)
	}
	if !st.IsDir() {
		return r.put(record{Artifact: &artifactRecord{local, path.Join(folder, filepath.Base(local))}}, 1)
	}
	return eachFile(local, func(name, file string) error {
		return r.put(record{Artifact: &artifactRecord{file, path.Join(folder, name)}}, 1)
	})
}

// put queues a record of n values.
func (r *Recorder) put(rec record, n int) error {
	r.mu.Lock()
	if r.waiting+n > r.cfg.Queue || r.closed || r.failure != nil {
		r.lost += n
		r.unsaid += n
	} else {
		r.queue, r.waiting = append(r.queue, rec), r.waiting+n
		r.ended = r.ended || rec.Update != nil
	}
	unsaid, failure := r.unsaid, r.failure
	hurry := rec.Batch == nil || r.waiting > r.cfg.Queue/2
	r.unsaid = 0
	r.mu.Unlock()
	if hurry { // to wake a sleeping goroutine is a system call, which values need not pay for
		signal(r.wake)
	}
	if unsaid > 0 {
		return fmt.Errorf("mlflow: %d values are lost: %w", unsaid, errors.Join(errors.New("there was no room for them in the queue"), failure))
	}
	return nil
}

// signal wakes a goroutine, or leaves it awake.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// writeEvery is how long a value may wait for the disk.
const writeEvery = 20 * time.Millisecond

// write is the goroutine that brings the queue to disk.
func (r *Recorder) write() {
	defer close(r.written)
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.wake:
		case <-tick.C:
		}
		r.mu.Lock()
		list, n, closed := r.queue, r.waiting, r.closed
		if len(list) == 0 && !closed {
			r.mu.Unlock()
			continue
		}
		r.queue, r.waiting, r.writing = nil, 0, true
		r.mu.Unlock()
		if len(list) > 0 {
			if err := r.spool.append(list); err != nil {
				r.mu.Lock()
				r.lost, r.unsaid, r.failure = r.lost+n, r.unsaid+n, err
				r.mu.Unlock()
				r.log.Warn("mlflow: values are lost: the spool cannot be written", "values", n, "error", err)
			}
			signal(r.flush)
		}
		size := r.spool.size()
		r.mu.Lock()
		r.size, r.writing = size, false
		r.idle.Broadcast()
		r.mu.Unlock()
		if closed {
			return
		}
	}
}

// send is the goroutine that brings the spool to the store.
func (r *Recorder) send(ctx context.Context) {
	last := time.Time{}
	for ctx.Err() == nil {
		if wait := r.cfg.FlushEvery - time.Since(last); wait > 0 && !r.hurried() {
			pause(ctx, wait, r.flush)
			if r.cfg.FlushEvery-time.Since(last) > 0 && !r.hurried() {
				continue
			}
		}
		last = time.Now()
		err := r.sender.drain(ctx)
		r.mu.Lock()
		r.sent, r.waitFor, r.runID = r.sender.offset, err, r.spool.session.RunID
		finished := r.closed && err == nil && r.sent >= r.size
		r.idle.Broadcast()
		r.mu.Unlock()
		if finished {
			break
		}
		if err != nil && ctx.Err() == nil {
			pause(ctx, time.Second, nil)
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.flush:
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done <- r.waitFor
}

// hurried tells whether somebody waits for the store to have everything.
func (r *Recorder) hurried() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func pause(ctx context.Context, wait time.Duration, wake <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-wake:
		time.Sleep(min(wait, 5*time.Millisecond)) // others may follow at once
	case <-time.After(wait):
	}
}

// Handle implements wildtrain.Callback. At the end of a training the run gets its status: FINISHED,
// FAILED on an error or a panic, KILLED on a cancelled context; with Config.Register the best checkpoint is registered; and what is
// unsent gets Config.CloseTimeout. It never fails the training.
func (r *Recorder) Handle(ctx context.Context, e *wildtrain.Event) error {
	switch e.Kind {
	case wildtrain.FitStart:
		d := e.Model.Describe()
		r.warn(r.SetTags(map[string]string{"wildtrain.task": d.Task, "wildtrain.architecture": d.Architecture, "wildtrain.parameters": fmt.Sprint(d.Parameters), "wildtrain.classes": strings.Join(d.Classes, ", ")}))
	case wildtrain.ValidateEnd:
		if e.Stage == wildtrain.Test {
			values := make([]wildtrain.Value, len(e.Values))
			for i, v := range e.Values {
				values[i] = wildtrain.Value{Name: "test/" + v.Name, Value: v.Value}
			}
			r.warn(r.Log(ctx, int64(e.Progress.Epoch), values...))
		}
	case wildtrain.FitEnd:
		r.fitEnd(ctx, e)
	}
	return nil
}

func (r *Recorder) fitEnd(ctx context.Context, e *wildtrain.Event) {
	if e.Result != nil && e.Result.Stopped != "" {
		r.warn(r.SetTags(map[string]string{tagStopped: e.Result.Stopped}))
	}
	if r.cfg.Register != "" && e.Err == nil && e.Result != nil {
		g, err := registrationOf(r.cfg.Register, e)
		if err == nil {
			err = r.Register(ctx, g)
		}
		r.warn(err)
	}
	r.End(e.Err)
	r.warn(r.Flush(ctx))
}

func (r *Recorder) warn(err error) {
	if err != nil {
		r.log.Warn(err.Error())
	}
}
