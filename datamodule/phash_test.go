package datamodule

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Comparing only hashes that share a part finds what comparing each with each finds.
func TestNearDuplicatesAreAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(0, 15).Draw(t, "most")
		base := rapid.Uint64().Draw(t, "base")
		var splits []Split
		var hashes [][]fingerprint
		for k := range 3 {
			s := Split{Name: fmt.Sprint(k)}
			var fs []fingerprint
			for i := range rapid.IntRange(0, 6).Draw(t, "pictures") {
				h := base
				for _, bit := range rapid.SliceOfN(rapid.IntRange(0, 63), 0, 12).Draw(t, "bits") {
					h ^= 1 << bit
				}
				s.Records = append(s.Records, Record{ID: fmt.Sprintf("%d/%d", k, i)})
				fs = append(fs, fingerprint{hash: h, ok: rapid.IntRange(0, 9).Draw(t, "flat") > 0})
			}
			splits, hashes = append(splits, s), append(hashes, fs)
		}
		var want []string
		for a := range splits {
			for b := a + 1; b < len(splits); b++ {
				for i, f := range hashes[b] {
					best, bestAt := most+1, -1
					for j, g := range hashes[a] {
						if d := bitsApart(f.hash, g.hash); f.ok && g.ok && d < best {
							best, bestAt = d, j
						}
					}
					if bestAt >= 0 {
						want = append(want, fmt.Sprintf("%d/%d %d/%d %d", a, bestAt, b, i, best))
					}
				}
			}
		}
		var got []string
		for _, l := range nearDuplicates(splits, hashes, most) {
			got = append(got, fmt.Sprintf("%s %s %d", l.A.ID, l.B.ID, l.Distance))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
