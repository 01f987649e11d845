package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/datamodule"
)

// writing are the keys of verbs that write a new dataset.
func writing(more ...key) []key {
	return append([]key{
		{"out", "FOLDER", true, "the new dataset; must not be there yet"},
		{"format", "FORMAT", false, "wildata, wildata_yolo, coco, yolo, voc, label_studio or csv; coco unless given"},
		splitKey,
	}, more...)
}

// written are the keys of what such verbs tell.
func written(more ...result) []result {
	return append([]result{
		{"out format images boxes", "what was written"},
		{"lost_crowd lost_difficult lost_areas lost_masks", "boxes of which the format has no place for that"},
	}, more...)
}

func (a *app) dataConvert() verb {
	return verb{
		name: "convert", short: "Write data in another format, or in other splits", settings: true,
		keys: writing(
			key{"pictures", "HOW", false, "copy, link or hardlink; copy unless given"},
			key{"clip", "true", false, "cut boxes at the edge of the picture; false unless given"},
			key{"splits", "SHARES", false, "make new splits: shares of train, val and test, with commas"},
			key{"group", "KINDS", false, "with splits=: what stays together, with commas: flight, camp, folder, source (of tiles), looks, time, gps or name:PATTERN"},
			key{"seed", "NUMBER", false, "with splits=: of the choice; 0 unless given"},
		),
		example: "wildtrain data convert data.root=DATA out=yolo format=yolo pictures=link\n" +
			"wildtrain data convert data.root=DATA out=new format=coco splits=0.8,0.1,0.1 group=flight,looks",
		after: "What keeps pictures together when new splits are made: `flight` and `camp`, the number after that word in the name or a folder; `folder`; `source`, the picture that tiles come from; `looks`, near duplicates; `time` or `time:30m`, taken with shorter pauses (EXIF); `gps` or `gps:500`, taken within so many metres (EXIF); `name:PATTERN`, what a regular expression finds in the name. Several join their groups. Each split gets its share of pictures, of those without boxes and of every class, as nearly as whole groups allow.",
		json:  written(),
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			v := values{own: own}
			o := datamodule.ConvertOptions{Pictures: own["pictures"], Clip: v.bool("clip", false)}
			seed := v.number("seed", 0)
			format := datamodule.Source(v.text("format", string(datamodule.COCO)))
			if v.err != nil {
				return v.err
			}
			d, err := a.openData(overrides)
			if err != nil {
				return err
			}
			defer d.Close()
			splits, err := chosen(ctx, d, own["split"])
			if err != nil {
				return err
			}
			if own["splits"] != "" {
				if splits, err = a.divide(ctx, d, splits, own, uint64(seed)); err != nil {
					return err
				}
			}
			wrote, err := datamodule.Convert(ctx, own["out"], format, d.Classes(), splits, o)
			if err != nil {
				return err
			}
			return a.tellWritten(own["out"], format, splits, wrote, nil)
		},
	}
}

// divide makes new splits of all pictures.
func (a *app) divide(ctx context.Context, d pictures, splits []datamodule.Split, own map[string]string, seed uint64) ([]datamodule.Split, error) {
	c := datamodule.SplitConfig{Seed: seed}
	shares := []*float64{&c.Train, &c.Val, &c.Test}
	fields := strings.Split(own["splits"], ",")
	if len(fields) > len(shares) {
		return nil, usagef("splits=%s: must be shares of train, val and test", own["splits"])
	}
	for i, text := range fields {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, usagef("splits=%s: %q is not a number", own["splits"], text)
		}
		*shares[i] = v
	}
	var all []datamodule.Record
	for _, s := range splits {
		all = append(all, s.Records...)
	}
	if own["group"] != "" {
		for _, kind := range strings.Split(own["group"], ",") {
			by, err := datamodule.ParseGrouping(ctx, kind, all)
			if errors.Is(err, datamodule.ErrGrouping) {
				return nil, usageError{err}
			}
			if err != nil {
				return nil, err
			}
			c.Group = append(c.Group, by)
		}
	}
	return datamodule.MakeSplits(all, d.Classes(), c)
}

// tellWritten tells what was written, and what the format had no place for.
func (a *app) tellWritten(out string, format datamodule.Source, splits []datamodule.Split, w *datamodule.Converted, more map[string]int) error {
	if a.json {
		all := map[string]any{
			"out": out, "format": format, "images": w.Pictures, "boxes": w.Boxes,
			"lost_crowd": w.LostCrowd, "lost_difficult": w.LostDifficult, "lost_areas": w.LostAreas, "lost_masks": w.LostMasks,
		}
		for name, n := range more {
			all[name] = n
		}
		return a.print(all)
	}
	var names []string
	for _, s := range splits {
		names = append(names, s.Name)
	}
	fmt.Fprintf(a.out, "%d images and %d boxes in %s: %s\n", w.Pictures, w.Boxes, strings.Join(names, ", "), out)
	for _, l := range []struct {
		n    int
		text string
	}{
		{w.LostCrowd, "boxes around groups now are boxes around one animal"}, {w.LostDifficult, "boxes are no longer marked as difficult"},
		{w.LostAreas, "annotated areas now are the boxes'"}, {w.LostMasks, "outlines are gone"},
		{more["dark"], "tiles were left out for being dark"}, {more["fragments"], "parts of boxes in tiles were too small to stay"},
		{more["lost_boxes"], "boxes are in no tile"},
	} {
		if l.n > 0 {
			fmt.Fprintf(a.err, "%d %s\n", l.n, l.text)
		}
	}
	return nil
}

func (a *app) dataTile() verb {
	return verb{
		name: "tile", short: "Cut large pictures into tiles, with their boxes", settings: true,
		keys: writing(
			key{"source", "FILE_FOLDER_OR_PATTERN", false, "pictures without annotations to cut wholly, instead of data.root; a TIFF may be of any size"},
			key{"rule", "NAME", false, "default (tiles of 640 px that overlap by 128 and lose no edge) or wildata (WilData's: 512, stride 416)"},
			key{"size", "PIXELS", false, "side of a tile"},
			key{"stride", "PIXELS", false, "from one tile to the next"},
			key{"overlap", "PIXELS", false, "instead of stride: what neighbours share"},
			key{"min_visibility", "SHARE", false, "a box stays where more than this share of it is in the tile"},
			key{"negative_ratio", "NUMBER", false, "tiles without boxes per tile with boxes of a picture"},
			key{"max_negatives", "NUMBER", false, "tiles of a picture without boxes"},
			key{"lossless", "true", false, "PNG instead of JPEG"},
			key{"seed", "NUMBER", false, "of the choice of tiles without boxes; 0 unless given"},
		),
		example: "wildtrain data tile data.root=DATA out=tiles\n" +
			"wildtrain data tile data.root=DATA out=tiles format=yolo rule=wildata size=512 stride=416\n" +
			"wildtrain data tile source=orthomosaic.tif out=tiles size=1024",
		json: written(result{"dark fragments lost_boxes", "tiles left out for being dark, parts of boxes too small to stay, boxes in no tile"}),
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			t, err := tileConfig(own)
			if err != nil {
				return err
			}
			d, splits, err := a.toTile(ctx, own, overrides, &t)
			if err != nil {
				return err
			}
			defer d.Close()
			v := values{own: own}
			format := datamodule.Source(v.text("format", string(datamodule.COCO)))
			tiled, err := datamodule.Tile(ctx, own["out"], format, d.Classes(), splits, t)
			if err != nil {
				return err
			}
			return a.tellWritten(own["out"], format, splits, &tiled.Converted, map[string]int{"dark": tiled.Dark, "fragments": tiled.Fragments, "lost_boxes": tiled.LostBoxes})
		},
	}
}

// toTile opens what is to be cut: a dataset, or pictures as they are.
func (a *app) toTile(ctx context.Context, own map[string]string, overrides []string, t *datamodule.TileConfig) (*datamodule.Detection, []datamodule.Split, error) {
	s, err := a.dataSettings(overrides)
	if err != nil {
		return nil, nil, err
	}
	s.Data.ByWindow = true
	if own["source"] == "" {
		d, err := datamodule.NewDetection(s.Data)
		if err != nil {
			return nil, nil, err
		}
		splits, err := chosen(ctx, d, own["split"])
		return d, splits, err
	}
	d, err := datamodule.Images(s.Data, sources(own["source"])...)
	if err != nil {
		return nil, nil, err
	}
	splits, err := d.Pictures(ctx)
	for i := range splits {
		splits[i].Name = "train" // to be annotated
	}
	t.MaxNegatives = math.MaxInt
	return d, splits, err
}

// tileConfig is a rule with what the keys change of it.
func tileConfig(own map[string]string) (datamodule.TileConfig, error) {
	v := values{own: own}
	var t datamodule.TileConfig
	switch rule := v.text("rule", "default"); rule {
	case "default":
		t = datamodule.DefaultTiles()
	case "wildata":
		t = datamodule.WilDataTiles()
	default:
		return t, usagef("rule=%s: must be default or wildata", rule)
	}
	overlap := t.Size - t.Stride
	t.Size = v.number("size", t.Size)
	switch {
	case own["stride"] != "" && own["overlap"] != "":
		return t, usagef("stride= and overlap= are both given: use one of them")
	case own["stride"] != "":
		t.Stride = v.number("stride", t.Stride)
	default:
		t.Stride = t.Size - v.number("overlap", min(overlap, t.Size/2))
	}
	t.MinVisibility = v.float("min_visibility", t.MinVisibility)
	t.NegativeRatio = v.float("negative_ratio", t.NegativeRatio)
	t.MaxNegatives = v.number("max_negatives", t.MaxNegatives)
	t.Lossless = v.bool("lossless", t.Lossless)
	t.Seed = uint64(v.number("seed", 0))
	if v.err != nil {
		return t, v.err
	}
	if err := t.Validate(); err != nil {
		return t, usageError{err}
	}
	return t, nil
}

func (a *app) dataFetch() verb {
	return verb{
		name: "fetch", short: "Bring data from a storage with S3's interface into a folder, or follow it",
		keys: []key{
			{"from", "s3://BUCKET/PREFIX", true, "where the data lies"},
			{"out", "FOLDER", true, "where it is to be; a folder that was fetched before is brought up to date"},
		},
		example: "wildtrain data fetch from=s3://surveys/2024 out=data",
		after:   "Keys and places come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL (of storages other than Amazon's, such as http://127.0.0.1:9000); without keys nothing is signed. Only what is new or has changed is fetched; what is gone from the storage goes from the folder, too. An interrupted fetch goes on where it stopped.",
		json:    []result{{"fetched same removed", "objects"}, {"bytes", "of the objects fetched"}, {"out", "the folder"}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			from, err := datamodule.NewS3(own["from"], os.Getenv)
			if err != nil {
				return err
			}
			done, err := datamodule.Mirror(ctx, from, own["out"])
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"fetched": done.Fetched, "same": done.Same, "removed": done.Removed, "bytes": done.Bytes, "out": own["out"]})
			}
			_, err = fmt.Fprintf(a.out, "%s  fetched %d (%.1f MB)  as before %d  removed %d\n", own["out"], done.Fetched, float64(done.Bytes)/1e6, done.Same, done.Removed)
			return err
		},
	}
}
