package datamodule_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

func flights(t testing.TB) datamodule.Grouping {
	t.Helper()
	by, err := datamodule.ByName(`^flight\d+`)
	require.NoError(t, err)
	return by
}

// The fixture's nine flights, and the tiles made of some of their pictures.
func TestFlightsStayTogether(t *testing.T) {
	d := open(t, small())
	var records []datamodule.Record
	for _, s := range pictures(t, d) {
		records = append(records, s.Records...)
	}
	require.Len(t, records, 90+33)
	c := datamodule.SplitConfig{Train: 7, Val: 2, Test: 1, Group: []datamodule.Grouping{flights(t), datamodule.BySource}, Seed: 1}
	splits, err := datamodule.MakeSplits(records, d.Classes(), c)
	require.NoError(t, err)
	home := map[string]string{}
	total := 0
	for _, s := range splits {
		total += len(s.Records)
		for _, r := range s.Records {
			key := filepath.Base(r.Path)[:8]
			if at, known := home[key]; known {
				require.Equal(t, at, s.Name, "%s is in two splits", key)
			}
			home[key] = s.Name
		}
	}
	assert.Equal(t, 123, total)
	assert.Len(t, home, 9)
	assert.InDelta(t, 0.7*123, len(splits[0].Records), 123*0.08)
	assert.InDelta(t, 0.2*123, len(splits[1].Records), 123*0.08)
	assert.InDelta(t, 0.1*123, len(splits[2].Records), 123*0.08)

	// What was made can be trained on,
	data, err := d.WithSplits(splits)
	require.NoError(t, err)
	defer func() { assert.NoError(t, data.Close()) }()
	assert.Equal(t, []string{"test", "train", "val"}, data.Splits())
	require.NoError(t, data.Setup(context.Background(), wildtrain.Test))
	assert.Equal(t, len(splits[2].Records), data.Report(wildtrain.Test).Images)
	loader, err := data.Loader(wildtrain.Test, wildtrain.Position{World: 1})
	require.NoError(t, err)
	n := 0
	for b, err := range loader.Batches(context.Background()) {
		require.NoError(t, err)
		n += b.Len()
		b.Release()
	}
	assert.Equal(t, len(splits[2].Records), n)
	_, err = d.WithSplits([]datamodule.Split{{Name: "a"}, {Name: "a"}})
	assert.ErrorContains(t, err, `name "a" is empty or there twice`)
	only, err := d.WithSplits(splits[:1])
	require.NoError(t, err)
	assert.ErrorIs(t, only.Setup(context.Background(), wildtrain.Val), wildtrain.ErrNoSplit)

	// and can be written.
	out := filepath.Join(t.TempDir(), "x")
	_, err = datamodule.Convert(context.Background(), out, datamodule.YOLO, d.Classes(), splits, datamodule.ConvertOptions{})
	require.NoError(t, err)
	cfg := small()
	cfg.Root = out
	again := open(t, cfg)
	for i, s := range pictures(t, again) {
		assert.Len(t, s.Records, len(splits[i].Records))
	}
}

// Pictures by themselves: every class, and the negatives, come near their shares.
func TestSplitsAreStratified(t *testing.T) {
	d, made := savanna(t)
	records := slices.Concat(made[0].Records, made[1].Records, made[2].Records)
	whole := datamodule.Summarize(d.Classes(), datamodule.Split{Records: records})
	for seed := range uint64(3) {
		splits, err := datamodule.MakeSplits(records, d.Classes(), datamodule.SplitConfig{Train: 0.6, Val: 0.2, Test: 0.2, Seed: seed})
		require.NoError(t, err)
		for i, share := range []float64{0.6, 0.2, 0.2} {
			got := datamodule.Summarize(d.Classes(), splits[i])
			assert.InDelta(t, share*float64(whole.Images), got.Images, 1.5)
			assert.InDelta(t, share*float64(whole.Negatives), got.Negatives, 1.5)
			for k, class := range whole.Classes {
				assert.InDelta(t, share, float64(got.Classes[k].Boxes)/float64(class.Boxes), 0.06, "%s in %s", class.Name, got.Split)
			}
		}
	}
}

func drawRecords(t *rapid.T) []datamodule.Record {
	records := make([]datamodule.Record, rapid.IntRange(3, 40).Draw(t, "n"))
	for i := range records {
		r := &records[i]
		r.ID = fmt.Sprintf("d/%03d", i)
		r.Path = fmt.Sprintf("/x/%c/f%d_%03d.jpg", 'a'+rapid.IntRange(0, 4).Draw(t, "folder"), rapid.IntRange(0, 8).Draw(t, "flight"), i)
		for range rapid.IntRange(0, 3).Draw(t, "boxes") {
			r.Objects = append(r.Objects, wildtrain.Object{Box: wildtrain.Box{X2: 1, Y2: 1}, Class: rapid.IntRange(0, 3).Draw(t, "class")})
		}
	}
	return records
}

// Each picture is in one split, no group is in two, no split is empty, and the
// order of the pictures does not matter.
func TestSplitsOfAnything(t *testing.T) {
	byFlight, err := datamodule.ByName(`^(f\d)_`)
	require.NoError(t, err)
	classes := make([]wildtrain.Class, 4)
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		share := rapid.SampledFrom([]float64{0, 0.1, 0.2, 1})
		c := datamodule.SplitConfig{Train: 0.7, Val: share.Draw(t, "val"), Test: share.Draw(t, "test"), Seed: rapid.Uint64().Draw(t, "seed")}
		c.Group = rapid.SampledFrom([][]datamodule.Grouping{nil, {byFlight}, {datamodule.ByFolder}, {byFlight, datamodule.ByFolder}}).Draw(t, "group")
		splits, err := datamodule.MakeSplits(records, classes, c)
		if err != nil {
			if len(c.Group) == 0 {
				t.Fatal(err)
			}
			return // fewer groups than splits
		}
		of := map[string]string{}
		for _, s := range splits {
			if len(s.Records) == 0 {
				t.Fatalf("%s is empty", s.Name)
			}
			for _, r := range s.Records {
				if _, twice := of[r.ID]; twice {
					t.Fatalf("%s is there twice", r.ID)
				}
				of[r.ID] = s.Name
			}
		}
		if len(of) != len(records) {
			t.Fatalf("%d of %d", len(of), len(records))
		}
		for _, by := range c.Group {
			home := map[string]string{}
			for _, r := range records {
				key, err := by(r)
				if err != nil {
					t.Fatal(err)
				}
				if at, known := home[key]; known && at != of[r.ID] {
					t.Fatalf("group %s is in %s and %s", key, at, of[r.ID])
				}
				home[key] = of[r.ID]
			}
		}
		again, err := datamodule.MakeSplits(rapid.Permutation(records).Draw(t, "order"), classes, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range again {
			for _, r := range s.Records {
				if of[r.ID] != s.Name {
					t.Fatalf("%s is in %s, and in %s for another order", r.ID, of[r.ID], s.Name)
				}
			}
		}
	})
}

func TestSplitsThatCannotBe(t *testing.T) {
	records := []datamodule.Record{{ID: "a", Path: "f1_a.jpg"}, {ID: "b", Path: "f1_b.jpg"}}
	byFlight, err := datamodule.ByName(`^(f\d)_`)
	require.NoError(t, err)
	_, err = datamodule.MakeSplits(records, nil, datamodule.SplitConfig{Train: 1, Val: 1, Group: []datamodule.Grouping{byFlight}})
	require.ErrorIs(t, err, wildtrain.ErrEmpty)
	assert.ErrorContains(t, err, "1 groups for 2 splits")
	records[1].Path = "DJI_1.jpg"
	_, err = datamodule.MakeSplits(records, nil, datamodule.SplitConfig{Train: 1, Val: 1, Group: []datamodule.Grouping{byFlight}})
	assert.ErrorContains(t, err, `group picture b: pattern "^(f\\d)_" finds nothing in "DJI_1.jpg"`)
	for _, c := range []datamodule.SplitConfig{{}, {Train: -1, Val: 2}, {Train: math.NaN()}, {Train: math.Inf(1)}} {
		_, err = datamodule.MakeSplits(records, nil, c)
		assert.ErrorContains(t, err, "share", "%v", c)
	}
	_, err = datamodule.ByName("(")
	assert.ErrorContains(t, err, "datamodule: group by name: ")
	other := make([]datamodule.Record, 40)
	for i := range other {
		other[i].ID = fmt.Sprintf("%02d", i)
	}
	seen := map[string]bool{}
	for seed := range uint64(5) {
		splits, err := datamodule.MakeSplits(other, nil, datamodule.SplitConfig{Train: 1, Val: 1, Seed: seed})
		require.NoError(t, err)
		seen[fmt.Sprint(splits[0].Records)] = true
		assert.Len(t, splits[0].Records, 20)
	}
	assert.Len(t, seen, 5, "seeds make different splits")
}
