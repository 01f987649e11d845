package wildtraintest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// LoaderFactory makes a fresh loader at a position, working with so many
// workers (0: in the caller's goroutine).
type LoaderFactory func(at wildtrain.Position, workers int) (wildtrain.Loader, error)

// TestLoader checks a Loader: what it yields depends on the position only,
// skipping gives the rest of the epoch, ranks share the samples out, pixels
// stay untouched until Release, and nothing runs on after the loop has ended.
// The epoch needs at least three batches.
func TestLoader(t *testing.T, f LoaderFactory) {
	t.Helper()
	runChecks(t, loaderChecks(f))
}

func loaderChecks(f LoaderFactory) []check {
	return []check{
		{"yields Len batches of consistent shape", func(ctx context.Context) error {
			_, err := epochDigests(ctx, f, wildtrain.Position{World: 1}, 0)
			return err
		}},
		{"does not depend on the number of workers", func(ctx context.Context) error { return sameForAnyWorkers(ctx, f) }},
		{"one loader can be walked twice", func(ctx context.Context) error { return walkTwice(ctx, f) }},
		{"a position in the epoch gives the rest of it", func(ctx context.Context) error { return restOfEpoch(ctx, f) }},
		{"ranks share the samples out", func(ctx context.Context) error { return ranksShare(ctx, f) }},
		{"pixels stay until Release", func(ctx context.Context) error { return pixelsStay(ctx, f) }},
		{"break ends the workers", func(ctx context.Context) error { return breakEnds(ctx, f) }},
		{"cancellation ends with the context's error", func(ctx context.Context) error { return cancelEnds(ctx, f) }},
	}
}

var workerCounts = []int{0, 1, 4}

func sameForAnyWorkers(ctx context.Context, f LoaderFactory) error {
	for epoch := range 2 {
		at := wildtrain.Position{Epoch: epoch, World: 1}
		want, err := epochDigests(ctx, f, at, 0)
		if err != nil {
			return err
		}
		for _, workers := range workerCounts {
			got, err := epochDigests(ctx, f, at, workers)
			if err != nil {
				return fmt.Errorf("%d workers: %w", workers, err)
			}
			if i := firstUnequal(got, want); i >= 0 {
				return fmt.Errorf("epoch %d, batch %d: %d workers give another batch than 0", epoch, i, workers)
			}
		}
	}
	return nil
}

func walkTwice(ctx context.Context, f LoaderFactory) error {
	l, err := f(wildtrain.Position{World: 1}, 1)
	if err != nil {
		return err
	}
	first, err := digests(ctx, l)
	if err != nil {
		return err
	}
	second, err := digests(ctx, l)
	if err != nil {
		return fmt.Errorf("second time: %w", err)
	}
	if i := firstUnequal(first, second); i >= 0 {
		return fmt.Errorf("batch %d differs the second time", i)
	}
	return nil
}

func restOfEpoch(ctx context.Context, f LoaderFactory) error {
	whole, err := epochDigests(ctx, f, wildtrain.Position{World: 1}, 0)
	if err != nil {
		return err
	}
	if len(whole) < 3 {
		return fmt.Errorf("the epoch has %d batches: give the suite at least 3", len(whole))
	}
	for _, skip := range []int{1, len(whole) - 1, len(whole)} {
		l, err := f(wildtrain.Position{Batch: skip, World: 1}, 2)
		if err != nil {
			return fmt.Errorf("skip %d: %w", skip, err)
		}
		if l.Len() != len(whole) {
			return fmt.Errorf("skip %d: Len is %d, want the whole epoch's %d", skip, l.Len(), len(whole))
		}
		rest, err := digests(ctx, l)
		if err != nil {
			return fmt.Errorf("skip %d: %w", skip, err)
		}
		if i := firstUnequal(rest, whole[skip:]); i >= 0 {
			return fmt.Errorf("skip %d: batch %d differs from the uninterrupted epoch's %d", skip, i, skip+i)
		}
	}
	return nil
}

func ranksShare(ctx context.Context, f LoaderFactory) error {
	all, _, err := sampleIDs(ctx, f, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	const world = 2
	seen, lengths, largest := map[string]bool{}, []int{}, 0
	for rank := range world {
		ids, batches, err := sampleIDs(ctx, f, wildtrain.Position{Rank: rank, World: world})
		if err != nil {
			return fmt.Errorf("rank %d of %d: %w", rank, world, err)
		}
		lengths = append(lengths, len(batches))
		for _, id := range ids {
			seen[id] = true
		}
		largest = max(largest, slices.Max(batches))
	}
	if lengths[0] != lengths[1] {
		return fmt.Errorf("ranks have %v batches: the slower one would wait for ever", lengths)
	}
	// A last batch may be dropped on each rank; more must not be lost.
	if distinct := len(unique(all)); len(seen)+world*largest < distinct {
		return fmt.Errorf("ranks together see %d of %d samples", len(seen), distinct)
	}
	return nil
}

func pixelsStay(ctx context.Context, f LoaderFactory) error {
	l, err := f(wildtrain.Position{World: 1}, 2)
	if err != nil {
		return err
	}
	var held *wildtrain.Batch
	var want [32]byte
	n := 0
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return err
		}
		if held != nil {
			if Digest(held) != want {
				return fmt.Errorf("batch %d changed before it was released", n-1)
			}
			held.Release()
			held.Release() // twice does no harm
		}
		held, want = b, Digest(b)
		n++
	}
	if held != nil {
		defer held.Release()
		if Digest(held) != want {
			return fmt.Errorf("the last batch changed before it was released")
		}
	}
	return nil
}

func breakEnds(ctx context.Context, f LoaderFactory) error {
	for _, workers := range workerCounts {
		l, err := f(wildtrain.Position{World: 1}, workers)
		if err != nil {
			return err
		}
		before := runtime.NumGoroutine()
		for b, err := range l.Batches(ctx) {
			if err != nil {
				return err
			}
			b.Release()
			break
		}
		if err := noMoreGoroutines(before); err != nil {
			return fmt.Errorf("%d workers, break after the first batch: %w", workers, err)
		}
	}
	return nil
}

func cancelEnds(ctx context.Context, f LoaderFactory) error {
	for _, workers := range workerCounts {
		for _, after := range []int{0, 1} {
			l, err := f(wildtrain.Position{World: 1}, workers)
			if err != nil {
				return err
			}
			before := runtime.NumGoroutine()
			if err := cancelAfter(ctx, l, after); err != nil {
				return fmt.Errorf("%d workers, cancelled after batch %d: %w", workers, after, err)
			}
			if err := noMoreGoroutines(before); err != nil {
				return fmt.Errorf("%d workers, cancelled after batch %d: %w", workers, after, err)
			}
		}
	}
	return nil
}

func cancelAfter(ctx context.Context, l wildtrain.Loader, after int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n, last := 0, error(nil)
	if after == 0 {
		cancel()
	}
	for b, err := range l.Batches(ctx) {
		last = err
		if err != nil {
			continue
		}
		b.Release()
		if n++; n == after {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		return fmt.Errorf("%d batches came, the last error was %v, want context.Canceled", n, last)
	}
	return nil
}

func epochDigests(ctx context.Context, f LoaderFactory, at wildtrain.Position, workers int) ([][32]byte, error) {
	l, err := f(at, workers)
	if err != nil {
		return nil, err
	}
	got, err := digests(ctx, l)
	if err == nil && len(got) != l.Len() {
		err = fmt.Errorf("%d batches came, Len is %d", len(got), l.Len())
	}
	return got, err
}

func digests(ctx context.Context, l wildtrain.Loader) ([][32]byte, error) {
	var out [][32]byte
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return nil, err
		}
		if err := checkShape(b); err != nil {
			return nil, fmt.Errorf("batch %d: %w", len(out), err)
		}
		out = append(out, Digest(b))
		b.Release()
	}
	return out, nil
}

func sampleIDs(ctx context.Context, f LoaderFactory, at wildtrain.Position) (ids []string, sizes []int, err error) {
	l, err := f(at, 0)
	if err != nil {
		return nil, nil, err
	}
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return nil, nil, err
		}
		for _, s := range b.Samples {
			ids = append(ids, s.ID)
		}
		sizes = append(sizes, b.Len())
		b.Release()
	}
	if len(sizes) == 0 {
		return nil, nil, errors.New("no batch came")
	}
	return ids, sizes, nil
}

// checkShape tells whether the pixels of a batch fit what it says of them.
func checkShape(b *wildtrain.Batch) error {
	p := b.Pixels
	if b.Len() == 0 {
		return errors.New("no samples")
	}
	if len(p.Images) > 0 {
		if len(p.Images) != b.Len() || p.U8 != nil || p.U16 != nil {
			return fmt.Errorf("%d images for %d samples, or a block beside them", len(p.Images), b.Len())
		}
		for i, im := range p.Images {
			if err := checkBlock(im.U8, im.U16, im.Height*im.Width*im.Channels); err != nil {
				return fmt.Errorf("image %d: %w", i, err)
			}
		}
		return nil
	}
	if p.N != b.Len() {
		return fmt.Errorf("%d pictures for %d samples", p.N, b.Len())
	}
	return checkBlock(p.U8, p.U16, p.N*p.Height*p.Width*p.Channels)
}

func checkBlock(u8 []uint8, u16 []uint16, want int) error {
	if (u8 == nil) == (u16 == nil) {
		return errors.New("exactly one of U8 and U16 must be set")
	}
	if got := len(u8) + len(u16); got != want || want <= 0 {
		return fmt.Errorf("%d pixel values, the sizes say %d", got, want)
	}
	return nil
}

// Digest is a fingerprint of a batch: pixels and samples.
func Digest(b *wildtrain.Batch) [32]byte {
	h := sha256.New()
	p := b.Pixels
	fmt.Fprintln(h, p.N, p.Height, p.Width, p.Channels, len(p.Images))
	h.Write(p.U8)
	fmt.Fprint(h, p.U16)
	for _, im := range p.Images {
		fmt.Fprintln(h, im.Height, im.Width, im.Channels, im.U16)
		h.Write(im.U8)
	}
	for _, s := range b.Samples {
		fmt.Fprintln(h, s.ID, s.Width, s.Height, s.Place, s.Targets)
		for _, objects := range [][]wildtrain.Object{s.Objects, s.Truth} {
			fmt.Fprintln(h, len(objects))
			for _, o := range objects {
				mask := o.Mask
				o.Mask = nil // a pointer: its address is no content
				fmt.Fprintln(h, o)
				if mask != nil {
					fmt.Fprintln(h, *mask)
				}
			}
		}
	}
	return [32]byte(h.Sum(nil))
}

// firstUnequal is the index of the first difference, the shorter length where
// one list is a prefix of the other, −1 where they are equal.
func firstUnequal[T comparable](a, b []T) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

func unique(list []string) map[string]bool {
	out := map[string]bool{}
	for _, s := range list {
		out[s] = true
	}
	return out
}
