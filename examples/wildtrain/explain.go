package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/wildtrain/sdk/pipeline"
)

func (a *app) explain() verb {
	return verb{
		name: "explain", short: "Show where a classifier looks", settings: true,
		long: "Writes each picture, as the network sees it, with a map of what mattered for a class laid\nover it: blue where nothing, red where most.",
		keys: []key{
			{"weights", "RUN_OR_FILE", true, "run folder, .safetensors or .pt file of a classifier"},
			{"source", "PICTURES", true, "file, folder or pattern"},
			{"out", "FOLDER", true, "folder for the pictures"},
			{"method", "gradcam|occlusion", false, "gradients of the last feature map (default), or what covering a place costs"},
			{"class", "NAME", false, "what is to be explained; without it the likeliest class of each picture"},
			{"window", "PIXELS", false, "side of occlusion's squares; a quarter of the picture's unless given"},
		},
		example: "wildtrain model explain weights=runs/species/first source=pictures/ out=maps/ class=zebra",
		json:    []result{{"id class prob file", "of every picture: what was explained, how likely it is, where the map lies"}},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			window, err := strconv.Atoi(cmp.Or(own["window"], "0"))
			if err != nil || window < 0 {
				return usagef("window=%s is no number of pixels", own["window"])
			}
			done, err := a.env().Explain(ctx, s, pipeline.ExplainOptions{
				Sources: []string{own["source"]}, Out: own["out"], Method: cmp.Or(own["method"], pipeline.GradCAM), Class: own["class"], Window: window,
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.print(done)
			}
			for _, d := range done {
				fmt.Fprintf(a.out, "%s  %s %.3f\n", d.File, d.Class, d.Prob)
			}
			return nil
		},
	}
}

func (a *app) probe() verb {
	return verb{
		name: "probe", short: "Measure a network's features without training it", settings: true,
		long: "Two simple classifiers learn from the features of the training pictures and are measured on\n`evaluation.split`: logistic regression, and a vote of the nearest neighbours.",
		keys: []key{
			{"weights", "RUN_OR_FILE", true, "run folder, .safetensors or .pt file of a classifier or feature extractor"},
			{"c", "NUMBER", false, "inverse strength of the regression's penalty; 1 unless given"},
			{"k", "NUMBER", false, "number of neighbours; 20 unless given"},
		},
		example: "wildtrain model probe weights=runs/species/first data.root=/data/wildata",
		json: []result{
			{"linear neighbours", "accuracies of the two"},
			{"train pictures", "how many pictures were learnt from and measured on"},
		},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			c, cErr := strconv.ParseFloat(cmp.Or(own["c"], "1"), 64)
			k, kErr := strconv.Atoi(cmp.Or(own["k"], "20"))
			if cErr != nil || kErr != nil {
				return usagef("c=%s, k=%s: want numbers", own["c"], own["k"])
			}
			p, err := a.env().Probe(ctx, s, c, k)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(p)
			}
			fmt.Fprintf(a.out, "linear      %.4f\nneighbours  %.4f\n%d pictures, learnt from %d\n", p.Linear, p.Neighbours, p.Pictures, p.Train)
			return nil
		},
	}
}
