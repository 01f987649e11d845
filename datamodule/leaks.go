package datamodule

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// LeakKind says why two pictures of different splits count as the same.
type LeakKind string

// The kinds of leaks.
const (
	SameSource    LeakKind = "same source"    // they are, by their names, tiles or variants of one picture
	NearDuplicate LeakKind = "near duplicate" // they show the same
)

// Leak is a picture in one split that is, wholly or in part, in another one, too.
type Leak struct {
	Kind     LeakKind `json:"kind"`
	A        Place    `json:"a"` // in the earlier split
	B        Place    `json:"b"`
	Source   string   `json:"source,omitempty"` // of SameSource: the name of the picture they come from
	Pairs    int      `json:"pairs,omitempty"`  // of SameSource: how many pairs of pictures; A and B are the first
	Distance int      `json:"distance"`         // of NearDuplicate: how many bits of 63 differ
}

// Place is a picture and its split.
type Place struct {
	Split string `json:"split"`
	ID    string `json:"id"`
	Path  string `json:"path"`
}

// String tells a leak in a line.
func (l Leak) String() string {
	if l.Kind == SameSource {
		return fmt.Sprintf("%s (%s) and %s (%s) come from one picture, %s (%d such pairs)", l.A.Path, l.A.Split, l.B.Path, l.B.Split, l.Source, l.Pairs)
	}
	return fmt.Sprintf("%s (%s) and %s (%s) show the same (%d of 63 bits differ)", l.A.Path, l.A.Split, l.B.Path, l.B.Split, l.Distance)
}

// LeakOptions says what counts as a leak.
type LeakOptions struct {
	Distance  int   // bits of PerceptualHash that may differ, up to 15; pictures of one place from another angle differ in more
	MaxPixels int64 // larger pictures are refused; 0: the default limit
}

// DefaultLeakOptions finds copies in other sizes, compressions and brightness.
func DefaultLeakOptions() LeakOptions { return LeakOptions{Distance: 6} }

// derived are the names that WilData gives the pictures it makes of one.
var derived = regexp.MustCompile(`^(.+?)(?:_tile_\d+_\d+_\d+|_augmented_\d+)+$`)

// SourceName is the name, without folder and ending, of the picture that a
// picture was made of: of <stem>_tile_<i>_<x>_<y> and <stem>_augmented_<k> it is
// the stem, of others their own.
func SourceName(path string) string {
	name := stem(path)
	if m := derived.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return name
}

// FindLeaks looks for pictures of one split in the others. It decodes every
// picture, and compares only those whose hashes share a part. Of near duplicates
// each picture is named once per earlier split, with its nearest. Two whole
// pictures of one name are no leak for that: cameras number from 1 again. Turned
// and mirrored copies are not found.
func FindLeaks(ctx context.Context, splits []Split, o LeakOptions) ([]Leak, error) {
	if o.Distance < 0 || o.Distance > 15 {
		return nil, fmt.Errorf("datamodule: find leaks: distance is %d, must be between 0 and 15", o.Distance)
	}
	hashes, err := fingerprints(ctx, splits, o.MaxPixels)
	if err != nil {
		return nil, err
	}
	return append(sameSource(splits, hashes), nearDuplicates(splits, hashes, o.Distance)...), nil
}

// at names a record.
type at struct{ split, record int }

func (a at) place(splits []Split) Place {
	rec := splits[a.split].Records[a.record]
	return Place{splits[a.split].Name, rec.ID, rec.Path}
}

func sameSource(splits []Split, hashes [][]fingerprint) []Leak {
	bySource := map[string][]at{}
	for k, s := range splits {
		for i, rec := range s.Records {
			name := SourceName(rec.Path)
			bySource[name] = append(bySource[name], at{k, i})
		}
	}
	var out []Leak
	for _, name := range slices.Sorted(maps.Keys(bySource)) {
		found := map[[2]int]int{} // index into out by pair of splits
		group := bySource[name]
		for i, b := range group {
			for _, a := range group[:i] {
				if a.split == b.split || bothWhole(splits, hashes, name, a, b) {
					continue
				}
				key := [2]int{a.split, b.split}
				if n, known := found[key]; known {
					out[n].Pairs++
					continue
				}
				found[key] = len(out)
				out = append(out, Leak{Kind: SameSource, A: a.place(splits), B: b.place(splits), Source: name, Pairs: 1})
			}
		}
	}
	return out
}

// bothWhole tells whether two pictures of one name are whole ones, which their
// hashes compare better than their names.
func bothWhole(splits []Split, hashes [][]fingerprint, name string, a, b at) bool {
	for _, p := range []at{a, b} {
		if stem(splits[p.split].Records[p.record].Path) != name || !hashes[p.split][p.record].ok {
			return false
		}
	}
	return true
}

// nearDuplicates pairs hashes that differ in few bits. Of most+1 parts of such
// hashes at least one is the same in both: only those are compared.
func nearDuplicates(splits []Split, hashes [][]fingerprint, most int) []Leak {
	type pair struct {
		b     at
		split int
	}
	nearest := map[pair]Leak{}
	parts := most + 1
	for part := range parts {
		from, to := part*64/parts, (part+1)*64/parts
		buckets := map[uint64][]at{}
		for k, s := range splits {
			for i := range s.Records {
				f := hashes[k][i]
				if !f.ok {
					continue
				}
				key := f.hash << (64 - to) >> (64 - to + from)
				for _, a := range buckets[key] {
					d := bitsApart(hashes[a.split][a.record].hash, f.hash)
					if a.split == k || d > most {
						continue
					}
					p := pair{at{k, i}, a.split}
					l := Leak{Kind: NearDuplicate, A: a.place(splits), B: p.b.place(splits), Distance: d}
					if old, known := nearest[p]; !known || d < old.Distance || d == old.Distance && l.A.ID < old.A.ID {
						nearest[p] = l
					}
				}
				buckets[key] = append(buckets[key], at{k, i})
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(nearest), func(p, q pair) int {
		return cmp.Or(p.split-q.split, p.b.split-q.b.split, p.b.record-q.b.record)
	})
	out := make([]Leak, len(keys))
	for i, k := range keys {
		out[i] = nearest[k]
	}
	return out
}

// ByLooks groups pictures that are near duplicates of each other (PerceptualHash),
// by way of others, too. It decodes all records once, and knows only these.
func ByLooks(ctx context.Context, records []Record, o LeakOptions) (Grouping, error) {
	if o.Distance < 0 || o.Distance > 15 {
		return nil, fmt.Errorf("datamodule: group by looks: distance is %d, must be between 0 and 15", o.Distance)
	}
	alone := make([]Split, len(records)) // so that each is compared with each
	parent := map[string]string{}
	for i, r := range records {
		alone[i].Records = records[i : i+1]
		parent[r.Path] = r.Path
	}
	hashes, err := fingerprints(ctx, alone, o.MaxPixels)
	if err != nil {
		return nil, err
	}
	root := func(path string) string {
		for parent[path] != path {
			path = parent[path]
		}
		return path
	}
	for _, l := range nearDuplicates(alone, hashes, o.Distance) {
		parent[root(l.B.Path)] = root(l.A.Path)
	}
	for path := range parent {
		parent[path] = root(path)
	}
	return lookedUp(parent), nil
}
