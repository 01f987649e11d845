package datamodule

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/wildtrain/sdk/datamodule/augment"
	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// streamTile is the random stream that chooses empty tiles.
const streamTile uint64 = 102

// What tiles do at the right and the lower edge of a picture.
const (
	ShiftTiles = "shift" // the last ones are moved inside: nothing is lost, and nothing is filled up
	PadTiles   = "pad"   // the picture is filled up with black; one with a side no longer than a tile is kept whole
)

// TileConfig says how Tile cuts pictures. Zero means zero: take DefaultTiles or
// WilDataTiles and change it.
type TileConfig struct {
	Size, Stride   int     // of a tile's side, and from one to the next, in pixels
	Edge           string  // ShiftTiles or PadTiles
	MinVisibility  float64 // a box stays where more than this share of its area is in the tile
	NegativeRatio  float64 // empty tiles of a picture with boxes, for each tile with boxes
	MaxNegatives   int     // empty tiles of a picture without boxes
	CleanNegatives bool    // tiles with less of a box than MinVisibility are never taken for empty ones
	DarkThreshold  float64 // tiles with a larger share of values up to 10 are left out, with boxes or not; 1: none
	Seed           uint64  // of the choice of empty tiles
	Lossless       bool    // PNG; else JPEG
	Quality        int     // of JPEG, 1 to 100
	MaxPixels      int64   // larger pictures are refused; 0: the default limit
}

// DefaultTiles covers pictures wholly, with tiles of 640 pixels that overlap by 128.
func DefaultTiles() TileConfig {
	return TileConfig{
		Size: 640, Stride: 512, Edge: ShiftTiles, MinVisibility: 0.3, NegativeRatio: 1, MaxNegatives: 3,
		CleanNegatives: true, DarkThreshold: 0.5, Quality: 95,
	}
}

// WilDataTiles is WilData's rule with its defaults. Two things differ: the
// choice of empty tiles has a seed, and boxes are not rounded down to whole pixels.
func WilDataTiles() TileConfig {
	return TileConfig{
		Size: 512, Stride: 416, Edge: PadTiles, MinVisibility: 0.1, NegativeRatio: 1, MaxNegatives: 3,
		DarkThreshold: 0.5, Quality: 95,
	}
}

// Validate reports every problem of the configuration at once.
func (c TileConfig) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("datamodule: tile: "+format, args...))
		}
	}
	check(c.Size > 0 && c.Size <= 1<<15, "size is %d, must be between 1 and 32768", c.Size)
	check(c.Stride > 0 && c.Stride <= c.Size, "stride is %d, must be between 1 and size, %d", c.Stride, c.Size)
	check(c.Edge == ShiftTiles || c.Edge == PadTiles, "edge is %q, must be shift or pad", c.Edge)
	check(c.MinVisibility >= 0 && c.MinVisibility < 1, "min_visibility is %v, must be from 0 to below 1", c.MinVisibility)
	check(c.NegativeRatio >= 0 && c.NegativeRatio <= 1e6, "negative_ratio is %v, must not be negative", c.NegativeRatio)
	check(c.MaxNegatives >= 0, "max_negatives is %d, must not be negative", c.MaxNegatives)
	check(c.DarkThreshold >= 0 && c.DarkThreshold <= 1, "dark_threshold is %v, must be between 0 and 1", c.DarkThreshold)
	check(c.Lossless || c.Quality >= 1 && c.Quality <= 100, "quality is %d, must be between 1 and 100", c.Quality)
	return errors.Join(errs...)
}

// Tiled is what Tile wrote, and what came of the boxes.
type Tiled struct {
	Converted
	Dark      int // tiles left out for being dark
	Fragments int // boxes of which a written tile shows a part too small to stay
	LostBoxes int // boxes that are in no tile
}

// Tile cuts pictures into tiles and writes them with their boxes as a new
// dataset, in a format and folder as Convert does. Tiles are called
// <stem>_tile_<i>_<x>_<y>, where i counts row by row and x, y is the upper left
// corner. Boxes are cut at the tile's edge. The same pictures, configuration and
// seed give the same tiles.
func Tile(ctx context.Context, dst string, format Source, classes []wildtrain.Class, splits []Split, t TileConfig) (*Tiled, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if t.MaxPixels <= 0 {
		t.MaxPixels = imageio.DefaultMaxPixels
	}
	out := &Tiled{}
	c := &conversion{ctx: ctx, format: format, classes: classes, splits: splits}
	err := c.run(dst, func(s Split) (Split, []string, error) { return c.tiles(s, t, out) })
	if err != nil {
		return nil, fmt.Errorf("datamodule: tile: %w", err)
	}
	out.Converted = c.out
	return out, nil
}

// window is one tile of a picture.
type window struct {
	index, x, y, width, height int
	whole                      bool // the picture itself, as it is
	objects                    []wildtrain.Object
	fragments                  int
	of                         []int // of each object, the index in the picture's list
	name                       string
	dark                       bool
}

// tiles writes the tiles of a split.
func (c *conversion) tiles(s Split, t TileConfig, out *Tiled) (Split, []string, error) {
	folder := c.pictureFolder(s.Name)
	if c.taken == nil || c.format != VOC {
		c.taken = map[string]bool{}
	}
	chosen := make([][]window, len(s.Records))
	for i, rec := range s.Records {
		chosen[i] = t.choose(rec)
		for k := range chosen[i] {
			w := &chosen[i][k]
			w.name = c.free(t.fileName(rec, *w))
			if hasControl(w.name) {
				return s, nil, fmt.Errorf("picture %q: control characters in its name", rec.Path)
			}
		}
	}
	g, ctx := errgroup.WithContext(c.ctx)
	g.SetLimit(max(1, min(runtime.GOMAXPROCS(0), 8)))
	var buffers imageio.Buffers
	for i, rec := range s.Records {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.cut(rec, chosen[i], folder, t, &buffers); err != nil {
				return fmt.Errorf("picture %s: %w", rec.Path, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return s, nil, err
	}
	made, names := Split{Name: s.Name}, []string{}
	for i, rec := range s.Records {
		found := map[int]bool{}
		for _, w := range chosen[i] {
			if w.dark {
				out.Dark++
				continue
			}
			out.Fragments += w.fragments
			for _, k := range w.of {
				found[k] = true
			}
			c.out.Pictures++
			names = append(names, w.name)
			made.Records = append(made.Records, Record{
				ID: rec.Dataset + "/" + w.name, Path: filepath.Join(folder, w.name), Dataset: rec.Dataset,
				Width: w.width, Height: w.height, Objects: w.objects,
			})
		}
		out.LostBoxes += len(rec.Objects) - len(found)
	}
	return made, names, nil
}

// fileName is the name of a tile, or that of a picture kept whole.
func (t TileConfig) fileName(rec Record, w window) string {
	switch {
	case w.whole:
		return filepath.Base(rec.Path)
	case t.Lossless:
		return fmt.Sprintf("%s_tile_%d_%d_%d.png", stem(rec.Path), w.index, w.x, w.y)
	}
	return fmt.Sprintf("%s_tile_%d_%d_%d.jpg", stem(rec.Path), w.index, w.x, w.y)
}

// starts are where tiles begin along a side.
func (t TileConfig) starts(side int) []int {
	var out []int
	for at := 0; ; at += t.Stride {
		if at+t.Size >= side {
			if t.Edge == ShiftTiles {
				at = max(side-t.Size, 0)
			}
			return append(out, at)
		}
		out = append(out, at)
	}
}

// windows are all tiles of a picture, row by row, with their boxes.
func (t TileConfig) windows(rec Record) []window {
	if t.Edge == PadTiles && (rec.Width <= t.Size || rec.Height <= t.Size) {
		return []window{t.fill(window{width: rec.Width, height: rec.Height, whole: true}, rec)}
	}
	var out []window
	for _, y := range t.starts(rec.Height) {
		for _, x := range t.starts(rec.Width) {
			w := window{index: len(out), x: x, y: y, width: t.Size, height: t.Size}
			if t.Edge == ShiftTiles {
				w.width, w.height = min(t.Size, rec.Width), min(t.Size, rec.Height)
			}
			out = append(out, t.fill(w, rec))
		}
	}
	return out
}

// fill gives a tile its boxes.
func (t TileConfig) fill(w window, rec Record) window {
	for i, o := range rec.Objects {
		box := o.Box.Clip(rec.Width, rec.Height) // what leaves the picture was never visible
		part := box.Intersect(wildtrain.Box{X1: float64(w.x), Y1: float64(w.y), X2: float64(w.x + w.width), Y2: float64(w.y + w.height)})
		share := part.Area() / box.Area()
		switch {
		case part.Width() <= 0 || part.Height() <= 0:
			continue
		case !w.whole && share <= t.MinVisibility:
			w.fragments++
			continue
		}
		if share < 1 {
			o.Area = 0 // unknown: the box's
		}
		if o.Mask != nil && !w.whole {
			o.Mask = augment.MoveMask(o.Mask, wildtrain.Translation(-float64(w.x), -float64(w.y)), w.width, w.height)
		}
		o.Box = wildtrain.Box{X1: part.X1 - float64(w.x), Y1: part.Y1 - float64(w.y), X2: part.X2 - float64(w.x), Y2: part.Y2 - float64(w.y)}
		w.objects, w.of = append(w.objects, o), append(w.of, i)
	}
	return w
}

// choose returns all tiles with boxes and some of the others, row by row.
func (t TileConfig) choose(rec Record) []window {
	var out, empty []window
	for _, w := range t.windows(rec) {
		switch {
		case w.whole || len(w.objects) > 0:
			out = append(out, w)
		case w.fragments == 0 || !t.CleanNegatives:
			empty = append(empty, w)
		}
	}
	n := t.MaxNegatives
	if len(rec.Objects) > 0 {
		n = int(math.Floor(t.NegativeRatio * float64(len(out))))
	}
	id := fnv.New64a()
	id.Write([]byte(rec.ID))
	r := xrand.New(t.Seed, streamTile, id.Sum64())
	for _, k := range r.Perm(len(empty))[:min(n, len(empty))] {
		out = append(out, empty[k])
	}
	slices.SortFunc(out, func(a, b window) int { return a.index - b.index })
	return out
}
