package wildtraintest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// TestDataModule checks a DataModule on the given stages: a class list without
// repeats, samples with sound boxes and classes, evaluation stages that come in
// the same order every epoch with their truth in original coordinates, and a
// missing split that is told by wildtrain.ErrNoSplit. New makes a fresh module.
func TestDataModule(t *testing.T, f func() (wildtrain.DataModule, error), stages ...wildtrain.Stage) {
	t.Helper()
	runChecks(t, dataChecks(f, stages))
}

func dataChecks(f func() (wildtrain.DataModule, error), stages []wildtrain.Stage) []check {
	with := func(ctx context.Context, stage wildtrain.Stage, fn func(wildtrain.DataModule) error) error {
		d, err := f()
		if err != nil {
			return err
		}
		if err := d.Setup(ctx, stage); err != nil {
			return errors.Join(fmt.Errorf("setup %s: %w", stage, err), d.Close())
		}
		return errors.Join(fn(d), d.Close())
	}
	checks := []check{
		{"a missing split is ErrNoSplit", func(ctx context.Context) error {
			d, err := f()
			if err != nil {
				return err
			}
			defer d.Close()
			if err := d.Setup(ctx, "no-such-stage"); !errors.Is(err, wildtrain.ErrNoSplit) {
				return fmt.Errorf("setup of an unknown stage: %v, want ErrNoSplit", err)
			}
			return nil
		}},
		{"Setup and Close may come twice", func(ctx context.Context) error {
			return with(ctx, stages[0], func(d wildtrain.DataModule) error {
				return errors.Join(d.Setup(ctx, stages[0]), d.Close())
			})
		}},
	}
	for _, stage := range stages {
		checks = append(checks,
			check{string(stage) + ": classes are named once", func(ctx context.Context) error {
				return with(ctx, stage, func(d wildtrain.DataModule) error { return checkClasses(d.Classes()) })
			}},
			check{string(stage) + ": samples are sound", func(ctx context.Context) error {
				return with(ctx, stage, func(d wildtrain.DataModule) error { return soundSamples(ctx, d, stage) })
			}})
		if stage != wildtrain.Train {
			checks = append(checks, check{string(stage) + ": the same order every epoch, each sample once", func(ctx context.Context) error {
				return with(ctx, stage, func(d wildtrain.DataModule) error { return sameOrder(ctx, d, stage) })
			}})
		}
	}
	return checks
}

func checkClasses(classes []wildtrain.Class) error {
	if len(classes) == 0 {
		return errors.New("the class list is empty after Setup")
	}
	seen := map[string]bool{}
	for i, c := range classes {
		if c.Name == "" || seen[c.Name] {
			return fmt.Errorf("class %d: name %q is empty or a repeat", i, c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

func sameOrder(ctx context.Context, d wildtrain.DataModule, stage wildtrain.Stage) error {
	loaders := func(at wildtrain.Position, _ int) (wildtrain.Loader, error) { return d.Loader(stage, at) }
	first, _, err := sampleIDs(ctx, loaders, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	second, _, err := sampleIDs(ctx, loaders, wildtrain.Position{Epoch: 1, World: 1})
	if err != nil {
		return err
	}
	if !slices.Equal(first, second) {
		return errors.New("epochs 0 and 1 have different samples or another order")
	}
	if len(unique(first)) != len(first) {
		return fmt.Errorf("%d samples have %d different ids", len(first), len(unique(first)))
	}
	return nil
}

func soundSamples(ctx context.Context, d wildtrain.DataModule, stage wildtrain.Stage) error {
	l, err := d.Loader(stage, wildtrain.Position{World: 1})
	if err != nil {
		return err
	}
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return err
		}
		err := checkShape(b)
		for i, s := range b.Samples {
			height, width := b.Pixels.Height, b.Pixels.Width
			if len(b.Pixels.Images) > 0 {
				height, width = b.Pixels.Images[i].Height, b.Pixels.Images[i].Width
			}
			if e := soundSample(s, len(d.Classes()), width, height, stage); e != nil {
				err = errors.Join(err, fmt.Errorf("sample %q: %w", s.ID, e))
			}
		}
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func soundSample(s wildtrain.Sample, classes, width, height int, stage wildtrain.Stage) error {
	if s.ID == "" || s.Width <= 0 || s.Height <= 0 {
		return fmt.Errorf("id %q, size %d×%d", s.ID, s.Width, s.Height)
	}
	if _, err := s.Place.Inverse(); err != nil {
		return err
	}
	for _, t := range s.Targets {
		if t.Class < 0 || t.Class >= classes || t.Weight < 0 {
			return fmt.Errorf("target %+v of %d classes", t, classes)
		}
	}
	if err := soundObjects(s.Objects, classes); err != nil {
		return fmt.Errorf("objects: %w", err)
	}
	if err := insidePicture(s.Objects, width, height); err != nil {
		return err
	}
	if err := soundObjects(s.Truth, classes); err != nil { // as annotated: it may leave the picture
		return fmt.Errorf("truth: %w", err)
	}
	if stage == wildtrain.Train {
		return nil // augmented: objects need not have a truth that they map to
	}
	for _, o := range s.Objects {
		if !slices.ContainsFunc(s.Truth, func(t wildtrain.Object) bool {
			return t.Class == o.Class && s.Place.Box(t.Box).Clip(width, height).IoU(o.Box) > 0.5
		}) {
			return fmt.Errorf("object %v of class %d has no truth which Place maps there", o.Box, o.Class)
		}
	}
	return nil
}

func soundObjects(objects []wildtrain.Object, classes int) error {
	for i, o := range objects {
		if o.Class < 0 || o.Class >= classes {
			return fmt.Errorf("%d: class %d of %d", i, o.Class, classes)
		}
		if !o.Box.Finite() || o.Box.Area() <= 0 {
			return fmt.Errorf("%d: box %v is not finite or empty", i, o.Box)
		}
	}
	return nil
}

func insidePicture(objects []wildtrain.Object, width, height int) error {
	const slack = 1e-3 // rounding of stored coordinates, in pixels
	for i, o := range objects {
		b := o.Box
		if b.X1 < -slack || b.Y1 < -slack || b.X2 > float64(width)+slack || b.Y2 > float64(height)+slack {
			return fmt.Errorf("object %d: box %v leaves the picture of %d×%d", i, b, width, height)
		}
	}
	return nil
}
