package wildtraintest

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// check is one property of a contract: its name says what is promised, test
// returns how the promise is broken. Errors instead of a *testing.T let our own
// tests show that broken implementations are found.
type check struct {
	name string
	test func(ctx context.Context) error
}

// patience is how long one property may take before it counts as hanging.
const patience = 2 * time.Minute

func runChecks(t *testing.T, checks []check) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if err := runCheck(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
}

func runCheck(ctx context.Context, c check) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.test(ctx)
}

// firstFailure runs the checks and returns the name and error of the first that fails.
func firstFailure(ctx context.Context, checks []check) (string, error) {
	for _, c := range checks {
		if err := runCheck(ctx, c); err != nil {
			return c.name, err
		}
	}
	return "", nil
}

// noMoreGoroutines waits a moment for goroutines to end until no more than
// before are left.
func noMoreGoroutines(before int) error {
	var now int
	for range 200 {
		if now = runtime.NumGoroutine(); now <= before {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%d goroutines are left, %d before", now, before)
}
