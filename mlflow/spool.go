package mlflow

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// SpoolDir is where records wait that a store did not get yet: WILDTRAIN_MLFLOW_SPOOL,
// else wildtrain/mlflow in XDG_STATE_HOME or ~/.local/state.
func SpoolDir() string {
	if dir := os.Getenv("WILDTRAIN_MLFLOW_SPOOL"); dir != "" {
		return dir
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ".wildtrain-mlflow"
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "wildtrain", "mlflow")
}

// record is one line of a spool: exactly one of its fields is set.
type record struct {
	Create   *NewRun         `json:"create,omitempty"` // the experiment stands in the session
	Batch    *Batch          `json:"batch,omitempty"`
	Inputs   []DatasetInput  `json:"inputs,omitempty"`
	Update   *RunUpdate      `json:"update,omitempty"`
	Artifact *artifactRecord `json:"artifact,omitempty"`
	Register *registerRecord `json:"register,omitempty"`
}

// artifactRecord is a file to upload.
type artifactRecord struct {
	File string `json:"file"`
	Path string `json:"path"`
}

// session is what session.json tells of one Recorder.
type session struct {
	URI        string    `json:"uri"`
	Experiment string    `json:"experiment"`
	RunID      string    `json:"run_id,omitempty"` // "" until the store has made the run
	Name       string    `json:"name"`
	Host       string    `json:"host"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
}

// spool is the folder of one session:
//
//	session.json   what it records
//	records.jsonl  one record a line, in order; appended to
//	sent           how many bytes of it the store has
//	refused.jsonl  records that the store does not take, with the reason
//	lock           held while the process lives
type spool struct {
	dir     string
	session session
	file    *os.File
	unlock  func()
}

const (
	sessionFile = "session.json"
	recordsFile = "records.jsonl"
	sentFile    = "sent"
	refusedFile = "refused.jsonl"
	maxRecord   = 64 << 20
)

// newSpool makes the folder of a new session.
func newSpool(root string, s session) (*spool, error) {
	s.Host, _ = os.Hostname() // "" where there is none
	s.PID, s.Started = os.Getpid(), time.Now()
	dir := filepath.Join(root, s.Started.UTC().Format("20060102T150405")+"-"+newID()[:8])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &spool{dir: dir, session: s}
	var err error
	free := false
	if p.unlock, free, err = tryLock(filepath.Join(dir, "lock")); err == nil && !free {
		err = errors.New("its lock is held")
	}
	if err == nil {
		err = p.save()
	}
	if err == nil {
		p.file, err = os.OpenFile(filepath.Join(dir, recordsFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// save writes session.json.
func (p *spool) save() error {
	data, err := json.MarshalIndent(p.session, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(p.dir, sessionFile), func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// append writes records at the end, all in one call of the system.
func (p *spool) append(list []record) error {
	var b bytes.Buffer
	for _, r := range list {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	_, err := p.file.Write(b.Bytes())
	return err
}

// read returns the records from a byte on, as many as fit into one request, and
// where the next ones begin. Half a line at the end is left for later.
func (p *spool) read(offset int64) (list []record, next int64, err error) {
	next = offset
	in := bufio.NewReaderSize(io.NewSectionReader(p.file, offset, 1<<62-offset), 1<<16)
	size := Batch{}
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return list, next, err
		}
		if len(line) > maxRecord {
			return nil, next, fmt.Errorf("mlflow: spool %s: a line has more than %d bytes", p.dir, maxRecord)
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			r = record{} // half a line that a full disk has left: counted as one that is lost
		}
		if r.Batch != nil {
			size.Metrics, size.Params, size.Tags = append(size.Metrics, r.Batch.Metrics...), append(size.Params, r.Batch.Params...), append(size.Tags, r.Batch.Tags...)
		}
		full := len(size.Metrics) > maxBatchMetrics || len(size.Params) > maxBatchParams || len(size.Tags) > maxBatchTags || size.size() > maxBatchItems
		if len(list) > 0 && (r.Batch == nil || full) {
			return list, next, nil
		}
		list, next = append(list, r), next+int64(len(line))
		if r.Batch == nil {
			return list, next, nil
		}
	}
}

// sent tells how much the store has. A missing or broken file says nothing is
// sent: what comes twice changes nothing in a store.
func (p *spool) sent() int64 {
	data, err := os.ReadFile(filepath.Join(p.dir, sentFile))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (p *spool) markSent(n int64) error {
	return os.WriteFile(filepath.Join(p.dir, sentFile), []byte(strconv.FormatInt(n, 10)+"\n"), 0o600)
}

// size is how many bytes of records there are.
func (p *spool) size() int64 {
	st, err := p.file.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// refuse keeps what the store does not take.
func (p *spool) refuse(r record, reason error) error {
	line, err := json.Marshal(struct {
		Reason string `json:"reason"`
		record
	}{reason.Error(), r})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(p.dir, refusedFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// ended tells whether the session came to an end: its last status is final.
func (p *spool) ended() bool {
	status := Status("")
	for offset := int64(0); ; {
		list, next, err := p.read(offset)
		if err != nil || next == offset {
			return status == Finished || status == Failed || status == Killed
		}
		for _, r := range list {
			if r.Update != nil {
				status = r.Update.Status
			}
		}
		offset = next
	}
}

// close lets go of the folder; remove takes it away, unless the store refused something.
func (p *spool) close(remove bool) error {
	err := p.file.Close()
	if remove {
		if _, serr := os.Stat(filepath.Join(p.dir, refusedFile)); errors.Is(serr, fs.ErrNotExist) {
			err = errors.Join(err, os.RemoveAll(p.dir))
		}
	}
	p.unlock()
	return err
}

// deadSpools opens the sessions of this machine whose process has ended.
func deadSpools(root string) (list []*spool, err error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	host, _ := os.Hostname()
	for _, e := range entries {
		p, oerr := openDead(filepath.Join(root, e.Name()), host)
		if err = errors.Join(err, oerr); p != nil {
			list = append(list, p)
		}
	}
	return list, err
}

// openDead opens one session, or nothing where its process lives or may live on another machine.
func openDead(dir, host string) (*spool, error) {
	data, err := os.ReadFile(filepath.Join(dir, sessionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // none, or one that is just being made
	}
	p := &spool{dir: dir}
	if err == nil {
		err = json.Unmarshal(data, &p.session)
	}
	if err != nil {
		return nil, fmt.Errorf("mlflow: read spool %s: %w", dir, err)
	}
	free := false
	if p.unlock, free, err = tryLock(filepath.Join(dir, "lock")); err != nil || !free {
		return nil, err
	}
	if p.file, err = os.OpenFile(filepath.Join(dir, recordsFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		p.unlock()
		return nil, fmt.Errorf("mlflow: read spool %s: %w", dir, err)
	}
	// a lock on a shared disk may not reach to other machines: theirs are left alone until they have an end
	if p.session.Host != host && !p.ended() {
		return nil, p.close(false)
	}
	return p, nil
}
