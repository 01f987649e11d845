package wildtrain

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Console is a Callback that shows progress to people: on a terminal one line
// that is written over and over, elsewhere plain lines from time to time; at
// the end of an epoch its values.
type Console struct {
	Width int // characters of a terminal's line; longer ones are cut. 100 unless set

	w        io.Writer
	terminal bool
	every    time.Duration // between two writings

	begun   time.Time // of the run's first step, for the time left
	stage   time.Time // of the epoch or the validation
	last    time.Time // written
	images  int64     // since stage
	batches int       // since begun
	open    bool      // a terminal line is written and not ended
	fitting bool      // between FitStart and FitEnd
}

// NewConsole makes a Console; terminal says whether w is one that understands
// carriage return and erase to the line's end.
func NewConsole(w io.Writer, terminal bool) *Console {
	c := &Console{Width: 100, w: w, terminal: terminal, every: 10 * time.Second}
	if terminal {
		c.every = 100 * time.Millisecond
	}
	return c
}

// Handle implements Callback. It never fails: a closed terminal is no reason to
// end training.
func (c *Console) Handle(_ context.Context, e *Event) error {
	switch e.Kind {
	case FitStart:
		d := e.Model.Describe()
		at := fmt.Sprintf("epoch %d of %d", e.Progress.Epoch+1, e.Epochs)
		if e.Progress.Epoch >= e.Epochs {
			at = fmt.Sprintf("%d epochs done already", e.Progress.Epoch)
		}
		c.line("training %s: %s parameters, %d classes, %s", d.Architecture, thousands(d.Parameters), len(d.Classes), at)
		c.begun, c.batches, c.fitting = time.Time{}, 0, true
	case EpochStart, ValidateStart:
		c.stage, c.last, c.images = time.Now(), time.Now(), 0
		if c.begun.IsZero() {
			c.begun = c.stage
		}
	case StepEnd:
		c.batches++
		c.step(e, fmt.Sprintf("epoch %d/%d", e.Progress.Epoch+1, e.Epochs))
	case ValidateStep:
		c.step(e, string(e.Stage))
	case EpochEnd:
		c.line("epoch %d/%d  %s", e.Progress.Epoch, e.Epochs, summary(e.Values))
	case ValidateEnd:
		if !c.fitting { // else EpochEnd shows them
			c.line("%s  %s", e.Stage, summary(e.Values))
		}
	case Warning:
		c.line("warning: %s", e.Text)
	case FitEnd:
		c.fitting = false
		c.end(e)
	}
	return nil
}

func (c *Console) end(e *Event) {
	switch p := e.Progress; {
	case e.Err != nil && e.Result.Stopped == "":
		c.line("failed after epoch %d", p.Epoch)
	case e.Result.Stopped != "":
		c.line("stopped after epoch %d: %s", p.Epoch, e.Result.Stopped)
	case p.BestEpoch > 0:
		c.line("done: best %s %.4g in epoch %d", p.Monitor, p.Best, p.BestEpoch)
	default:
		c.line("done")
	}
}

// step shows where a batch stands, where it is time to.
func (c *Console) step(e *Event, where string) {
	c.images += int64(e.Images)
	now := time.Now()
	if now.Sub(c.last) < c.every && !(c.terminal && e.Batch == e.Batches) {
		return
	}
	c.last = now
	text := fmt.Sprintf("%s  %*d/%d", where, len(fmt.Sprint(e.Batches)), e.Batch, e.Batches)
	if c.terminal {
		text = fmt.Sprintf("%s %s", text, bar(e.Batch, e.Batches))
	}
	if spent := now.Sub(c.stage).Seconds(); spent > 0 {
		text += fmt.Sprintf("  %.1f images/s", float64(c.images)/spent)
	}
	if e.Kind == StepEnd { // before the losses, which a narrow terminal cuts
		left := (e.Epochs-e.Progress.Epoch)*e.Batches - e.Batch
		text += "  left " + (now.Sub(c.begun) / time.Duration(c.batches) * time.Duration(left)).Round(time.Second).String()
	}
	if e.Losses != nil {
		if values, err := e.Losses.Values(); err == nil {
			for i, n := range e.Losses.Names() {
				text += fmt.Sprintf("  %s %.4g", n, values[i])
			}
		}
	}
	if c.terminal {
		fmt.Fprintf(c.w, "\r%s\x1b[K", cut(text, c.Width-1))
		c.open = true
		return
	}
	c.line("%s", text)
}

// line writes a whole line, in the place of the terminal's open one.
func (c *Console) line(format string, args ...any) {
	if c.open {
		fmt.Fprint(c.w, "\r\x1b[K")
		c.open = false
	}
	fmt.Fprintf(c.w, format+"\n", args...)
}

// summary shows an epoch's values: losses, metrics, the first learning rate. Of
// long lists, such as metrics per class, it shows the beginning.
func summary(values []Value) string {
	var parts []string
	const most = 14
	rates := 0
	for _, v := range values {
		if strings.HasPrefix(v.Name, "time/") {
			continue
		}
		if strings.HasPrefix(v.Name, "lr/") {
			if rates++; rates > 1 {
				continue
			}
			v.Name = "lr"
		} else if len(parts) >= most {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %.4g", v.Name, v.Value))
	}
	return strings.Join(parts, "  ")
}

func cut(s string, n int) string {
	if r := []rune(s); n > 0 && len(r) > n {
		return string(r[:n])
	}
	return s
}

func bar(done, all int) string {
	const width = 20
	n := width * done / max(all, 1)
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", width-n) + "]"
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
