package pipeline

import (
	"io"
	"log/slog"

	"github.com/wildtrain/sdk/wildtrain"
)

// Env is where runs show what they do. The zero value shows nothing and logs to
// slog's default.
type Env struct {
	Progress io.Writer // for progress; nil for none
	Terminal bool      // Progress understands carriage returns
	Width    int       // characters of the terminal's line; 0 for 100
	Log      *slog.Logger

	Callbacks []wildtrain.Callback // told of every event of a training, after the SDK's own
	Loggers   []wildtrain.Logger
}

// console shows progress, nil where nobody looks.
func (e *Env) console() *wildtrain.Console {
	if e.Progress == nil {
		return nil
	}
	c := wildtrain.NewConsole(e.Progress, e.Terminal)
	if e.Width > 0 {
		c.Width = e.Width
	}
	return c
}

func (e *Env) log() *slog.Logger {
	if e.Log == nil {
		return slog.Default()
	}
	return e.Log
}
