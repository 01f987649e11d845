package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/pipeline"
)

func (a *app) dataSelect() verb {
	c := datamodule.DefaultClusters()
	return verb{
		name: "select", short: "Choose a varied part of the training data by what a classifier sees in it", settings: true,
		keys: []key{
			{"weights", "FILE", true, "run folder or weights file of a classifier"},
			{"keep", "SHARE", false, fmt.Sprintf("part of the data that is kept; %v unless given", c.Keep)},
			{"clusters", "NUMBERS", false, "numbers of clusters to try, with commas; 3,5,7,9 unless given"},
			{"what", "KIND", false, "pictures (annotated for detection) or examples (of classifiers, crops included); pictures unless given"},
			{"out", "FILE", false, "the list; selected.txt unless given"},
		},
		example: "wildtrain data select weights=runs/species/1 data.root=DATA keep=0.3 out=varied.txt\n" +
			"wildtrain train data.root=DATA data.sampler.only=varied.txt",
		after: "Pictures are clustered by their embeddings (k-means; the number with the best silhouette is taken). Each cluster keeps its share, from its middle to its edge.",
		json:  []result{{"pictures clusters silhouettes", "what was found"}, {"kept", "ids or paths, as in the list"}, {"out", "the list"}},
		run: func(ctx context.Context, own map[string]string, overrides []string) error {
			v := values{own: own}
			c.Keep = v.float("keep", c.Keep)
			what, out := v.text("what", "pictures"), v.text("out", "selected.txt")
			if list := own["clusters"]; list != "" {
				c.Clusters = nil
				for _, text := range strings.Split(list, ",") {
					k, err := strconv.Atoi(strings.TrimSpace(text))
					if err != nil {
						return usagef("clusters=%s: must be whole numbers with commas", list)
					}
					c.Clusters = append(c.Clusters, k)
				}
			}
			if v.err != nil {
				return v.err
			}
			if what != "pictures" && what != "examples" {
				return usagef("what=%s: must be pictures or examples", what)
			}
			s, err := pipeline.ComposeFor(own["weights"], a.options(overrides))
			if err != nil {
				return err
			}
			c.Seed = s.Seed
			if err := c.Validate(); err != nil {
				return err
			}
			found, err := a.env().Select(ctx, s, c, what == "examples")
			if err != nil {
				return err
			}
			if err := writeWhole(out, func(w io.Writer) error {
				_, err := io.WriteString(w, strings.Join(found.Kept, "\n")+"\n")
				return err
			}); err != nil {
				return err
			}
			if a.json {
				return a.print(struct {
					*pipeline.Selection
					Out string `json:"out"`
				}{found, out})
			}
			fmt.Fprintf(a.out, "%d of %d, from %d clusters: %s\n", len(found.Kept), found.Pictures, found.Clusters, out)
			return nil
		},
	}
}
