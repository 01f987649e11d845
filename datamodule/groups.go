package datamodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wildtrain/sdk/internal/imageio"
)

// Grouping names what a picture must not be separated from: pictures with the
// same key stay together. An error says why a picture has no key.
type Grouping func(Record) (key string, err error)

// ByName groups pictures by what a pattern finds in their names without folder,
// such as `^flight\d+`: its first group in parentheses, else the whole match. A
// name in which it finds nothing is an error: by itself, that picture would leak.
func ByName(pattern string) (Grouping, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("datamodule: group by name: %w", err)
	}
	return func(r Record) (string, error) {
		name := filepath.Base(r.Path)
		m := re.FindStringSubmatch(name)
		switch {
		case m == nil || m[len(m)-1] == "" && len(m) <= 2:
			return "", fmt.Errorf("pattern %q finds nothing in %q", pattern, name)
		case len(m) > 1:
			return m[1], nil
		}
		return m[0], nil
	}, nil
}

// ByFolder groups pictures by the folder they lie in.
func ByFolder(r Record) (string, error) { return filepath.Dir(r.Path), nil }

// BySource groups tiles and variants with the picture they come from (SourceName).
func BySource(r Record) (string, error) { return SourceName(r.Path), nil }

// ErrGrouping tells that ParseGrouping does not know a kind of grouping.
var ErrGrouping = errors.New("datamodule: unknown grouping")

// Flights and camps are told by names such as flight07_0001.jpg, Flight-7 and
// camp_12: in the picture's name, else in a folder above it.
const (
	flightPattern = `(?i)flight[ _-]?\d+`
	campPattern   = `(?i)camp[ _-]?\d+`
)

// ParseGrouping makes a grouping of its name, over the records that are to be divided:
//
//	flight, camp        the same number after that word in the name or a folder
//	folder, source      ByFolder, BySource
//	looks               ByLooks with the default options
//	time, time:30m      ByTime, pauses of 30 minutes unless given
//	gps, gps:500        ByPosition, 500 metres unless given
//	name:PATTERN        ByName
func ParseGrouping(ctx context.Context, name string, records []Record) (Grouping, error) {
	kind, value, _ := strings.Cut(name, ":")
	switch kind {
	case "flight":
		return byPath(flightPattern), nil
	case "camp":
		return byPath(campPattern), nil
	case "folder":
		return ByFolder, nil
	case "source":
		return BySource, nil
	case "looks":
		return ByLooks(ctx, records, DefaultLeakOptions())
	case "name":
		by, err := ByName(value)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGrouping, err)
		}
		return by, nil
	case "time":
		pause, err := time.ParseDuration(cmp.Or(value, "30m"))
		if err != nil || pause <= 0 {
			return nil, fmt.Errorf("%w: %q must give a time such as 30m", ErrGrouping, name)
		}
		return ByTime(ctx, records, pause)
	case "gps":
		metres, err := strconv.ParseFloat(cmp.Or(value, "500"), 64)
		if err != nil || !(metres > 0) {
			return nil, fmt.Errorf("%w: %q must give a distance in metres", ErrGrouping, name)
		}
		return ByPosition(ctx, records, metres)
	}
	return nil, fmt.Errorf("%w: %q; there are flight, camp, folder, source, looks, time, gps and name:PATTERN", ErrGrouping, name)
}

// byPath groups by what a pattern finds in the name, else in the folders from
// the nearest up. Case and separators do not tell groups apart.
func byPath(pattern string) Grouping {
	re := regexp.MustCompile(pattern)
	plain := strings.NewReplacer(" ", "", "_", "", "-", "")
	return func(r Record) (string, error) {
		parts := strings.Split(filepath.ToSlash(r.Path), "/")
		slices.Reverse(parts)
		for _, part := range parts {
			if found := re.FindString(part); found != "" {
				return plain.Replace(strings.ToLower(found)), nil
			}
		}
		return "", fmt.Errorf("%s matches neither its name nor a folder above it", pattern)
	}
}

// ByTime groups pictures by when they were taken (EXIF): between two that follow
// each other in a group there is no longer pause. A picture that does not tell
// is an error.
func ByTime(ctx context.Context, records []Record, pause time.Duration) (Grouping, error) {
	taken, err := captures(ctx, records)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(records))
	for i := range order {
		if order[i] = i; taken[i].Time.IsZero() {
			return nil, fmt.Errorf("datamodule: group by time: %s has no time in its EXIF data", records[i].Path)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return taken[a].Time.Compare(taken[b].Time) })
	keys, n := map[string]string{}, 0
	for k, i := range order {
		if k > 0 && taken[i].Time.Sub(taken[order[k-1]].Time) > pause {
			n++
		}
		keys[records[i].Path] = strconv.Itoa(n)
	}
	return lookedUp(keys), nil
}

// ByPosition groups pictures by where they were taken (EXIF): those no farther
// apart than so many metres, by way of others, too. A picture that does not tell
// is an error.
func ByPosition(ctx context.Context, records []Record, metres float64) (Grouping, error) {
	taken, err := captures(ctx, records)
	if err != nil {
		return nil, err
	}
	parent := make([]int, len(records))
	order := make([]int, len(records))
	for i := range order {
		if parent[i], order[i] = i, i; !taken[i].Placed {
			return nil, fmt.Errorf("datamodule: group by position: %s has no position in its EXIF data", records[i].Path)
		}
	}
	// By latitude: only pictures in a band as broad as the distance are compared.
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(taken[a].Latitude, taken[b].Latitude) })
	for k, i := range order {
		for _, j := range order[k+1:] {
			if (taken[j].Latitude-taken[i].Latitude)*metresPerDegree > metres {
				break
			}
			if apart(taken[i], taken[j]) <= metres {
				parent[rootOf(parent, i)] = rootOf(parent, j)
			}
		}
	}
	keys := map[string]string{}
	for i, r := range records {
		keys[r.Path] = strconv.Itoa(rootOf(parent, i))
	}
	return lookedUp(keys), nil
}

// rootOf finds the representative of a set, and shortens the way to it.
func rootOf(parent []int, i int) int {
	for parent[i] != i {
		parent[i] = parent[parent[i]]
		i = parent[i]
	}
	return i
}

// metresPerDegree is the length of a degree of a great circle of the mean Earth.
const metresPerDegree = 6371008.8 * math.Pi / 180

// apart is the distance of two places on a sphere in metres (haversine).
func apart(a, b imageio.Capture) float64 {
	rad := func(deg float64) float64 { return deg * math.Pi / 180 }
	lat, lon := math.Sin(rad(b.Latitude-a.Latitude)/2), math.Sin(rad(b.Longitude-a.Longitude)/2)
	h := lat*lat + math.Cos(rad(a.Latitude))*math.Cos(rad(b.Latitude))*lon*lon
	return 2 * 180 / math.Pi * metresPerDegree * math.Asin(math.Sqrt(min(h, 1)))
}

// captures reads when and where pictures were taken.
func captures(ctx context.Context, records []Record) ([]imageio.Capture, error) {
	out := make([]imageio.Capture, len(records))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	for i, r := range records {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if out[i], err = imageio.ReadCaptureFile(r.source()); err != nil {
				return fmt.Errorf("datamodule: group pictures: %w", err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// lookedUp is a grouping by what is known of paths.
func lookedUp(keys map[string]string) Grouping {
	return func(r Record) (string, error) {
		key, known := keys[r.Path]
		if !known {
			return "", fmt.Errorf("picture %s was not looked at", r.Path)
		}
		return key, nil
	}
}
