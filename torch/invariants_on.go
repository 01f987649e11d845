//go:build invariants

package torch

import (
	"runtime/debug"
	"sort"
	"sync"
)

var (
	allocMu sync.Mutex
	allocs  = map[*Tensor]string{}
)

func remember(t *Tensor) {
	allocMu.Lock()
	defer allocMu.Unlock()
	allocs[t] = string(debug.Stack())
}

func forget(t *Tensor) {
	allocMu.Lock()
	defer allocMu.Unlock()
	delete(allocs, t)
}

// Leaks returns the allocation stacks of all live handles, sorted.
func Leaks() []string {
	allocMu.Lock()
	defer allocMu.Unlock()
	out := make([]string, 0, len(allocs))
	for _, s := range allocs {
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}
