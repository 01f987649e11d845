package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/mlflow"
)

// registry are the verbs on registered models.
func (a *app) registry() *cobra.Command {
	c := group("registry", "List, show, promote, compare and download registered models")
	c.AddCommand(a.registryList().command(), a.registryShow().command(), a.registryPromote().command(), a.registryCompare().command(), a.registryDownload().command())
	return c
}

// nameKey and versionKeys say which model and which version.
var (
	nameKey     = key{"name", "MODEL", true, "the registered model"}
	versionKeys = []key{
		{"version", "N", false, "its number, or latest"},
		{"alias", "ALIAS", false, "the version that has it"},
		{"stage", "STAGE", false, "the newest version in it"},
	}
)

// withStore opens the store of a verb.
func withStore(ctx context.Context, own map[string]string, fn func(mlflow.Store) error) error {
	s, err := mlflow.Open(ctx, mlflow.RegistryURI(own["uri"]))
	if err != nil {
		return err
	}
	return errors.Join(fn(s), s.Close())
}

// modelURI is the address of the version that a verb names.
func modelURI(own map[string]string) (string, error) {
	var uris []string
	if v := own["version"]; v != "" {
		uris = append(uris, "models:/"+own["name"]+"/"+v)
	}
	if v := own["alias"]; v != "" {
		uris = append(uris, "models:/"+own["name"]+"@"+v)
	}
	if v := own["stage"]; v != "" {
		uris = append(uris, "models:/"+own["name"]+"/"+v)
	}
	switch len(uris) {
	case 0:
		return "models:/" + own["name"] + "/latest", nil
	case 1:
		return uris[0], nil
	}
	return "", usagef("version=, alias= and stage= name one version: give one of them")
}

// ruleOf reads the keys of a promotion's rule.
func ruleOf(own map[string]string) (r mlflow.Rule, err error) {
	r.Metric = own["metric"]
	number := func(name string) float64 {
		if own[name] == "" {
			return 0
		}
		f, perr := strconv.ParseFloat(own[name], 64)
		if perr != nil {
			err = errors.Join(err, usagef("%s=%q is no number", name, own[name]))
		}
		return f
	}
	flag := func(name string) bool {
		if own[name] == "" {
			return false
		}
		on, perr := strconv.ParseBool(own[name])
		if perr != nil {
			err = errors.Join(err, usagef("%s=%q: want true or false", name, own[name]))
		}
		return on
	}
	r.MinGain, r.AtLeast, r.HasAtLeast = number("min_gain"), number("at_least"), own["at_least"] != ""
	r.Lower, r.AnyData = flag("lower"), flag("any_data")
	if err == nil && r.Metric == "" && r != (mlflow.Rule{}) {
		err = usagef("min_gain=, lower=, at_least= and any_data= need metric=METRIC")
	}
	return r, err
}

func (a *app) registryList() verb {
	return verb{
		name: "list", short: "List registered models",
		keys:    []key{{"filter", "FILTER", false, "in MLflow's language, such as \"name LIKE 'ele%'\""}, storeKey},
		example: "wildtrain registry list\nwildtrain registry list uri=http://localhost:5000 --json",
		json:    []result{{"models", "each with name, description, aliases, tags and the latest_versions of its stages"}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			return withStore(ctx, own, func(s mlflow.Store) error {
				all := []mlflow.RegisteredModel{}
				q := mlflow.Query{Filter: own["filter"]}
				for {
					p, err := s.SearchRegisteredModels(ctx, q)
					if err != nil {
						return err
					}
					all = append(all, p.Items...)
					if q.Token = p.Next; q.Token == "" {
						break
					}
				}
				if a.json {
					return a.print(map[string]any{"models": all})
				}
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "model\tlatest\taliases\tupdated")
				for _, m := range all {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, latestOf(m), aliasesOf(m), m.Updated.Time().Format(time.DateTime))
				}
				return w.Flush()
			})
		},
	}
}

func latestOf(m mlflow.RegisteredModel) string {
	var parts []string
	for _, v := range m.Latest {
		parts = append(parts, v.Version+" ("+v.Stage+")")
	}
	return strings.Join(parts, ", ")
}

func aliasesOf(m mlflow.RegisteredModel) string {
	var parts []string
	for _, al := range m.Aliases {
		parts = append(parts, al.Alias+" → "+al.Version)
	}
	return strings.Join(parts, ", ")
}

func (a *app) registryShow() verb {
	return verb{
		name: "show", short: "Show a version of a registered model",
		keys:    append([]key{nameKey}, append(slices.Clone(versionKeys), storeKey)...),
		example: "wildtrain registry show name=elephants\nwildtrain registry show name=elephants alias=champion --json",
		json: []result{{"name version", ""}, {"current_stage aliases", "what it has"}, {"metrics", "by name"}, {"tags", "all others by key"},
			{"source run_id model_id", "where it comes from"}, {"artifact_uri", "where its files lie"}, {"creation_timestamp", "milliseconds since 1970"}, {"description", ""}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			return withVersion(ctx, own, func(_ mlflow.Store, l *mlflow.Location) error { return a.showVersion(l) })
		},
	}
}

// withVersion opens the store and finds the version that a verb's keys name.
func withVersion(ctx context.Context, own map[string]string, fn func(mlflow.Store, *mlflow.Location) error) error {
	uri, err := modelURI(own)
	if err != nil {
		return err
	}
	return withStore(ctx, own, func(s mlflow.Store) error {
		l, err := mlflow.Resolve(ctx, s, uri)
		if err != nil {
			return err
		}
		return fn(s, l)
	})
}

func (a *app) showVersion(l *mlflow.Location) error {
	v, tags := l.Version, map[string]string{}
	for _, t := range v.Tags {
		if !strings.HasPrefix(t.Key, "metrics.") {
			tags[t.Key] = t.Value
		}
	}
	if a.json {
		metrics := map[string]any{}
		for name, value := range v.Metrics() {
			metrics[name] = number(value)
		}
		return a.print(map[string]any{
			"name": v.Name, "version": v.Version, "current_stage": v.Stage, "aliases": append([]string{}, v.Aliases...), "metrics": metrics, "tags": tags,
			"source": v.Source, "run_id": v.RunID, "model_id": v.ModelID, "artifact_uri": l.ArtifactURI, "creation_timestamp": v.Created, "description": v.Description,
		})
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model\t%s\nversion\t%s\nstage\t%s\naliases\t%s\nmade\t%s\nrun\t%s\nfiles\t%s\n",
		v.Name, v.Version, v.Stage, strings.Join(v.Aliases, ", "), v.Created.Time().Format(time.DateTime), v.RunID, l.ArtifactURI)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		fmt.Fprintf(w, "%s\t%s\n", k, tags[k])
	}
	metrics := v.Metrics()
	for _, k := range slices.Sorted(maps.Keys(metrics)) {
		fmt.Fprintf(w, "%s\t%.4f\n", k, metrics[k])
	}
	return w.Flush()
}

func (a *app) registryPromote() verb {
	return verb{
		name: "promote", short: "Give a version an alias or a stage",
		keys: append([]key{nameKey, {"version", "N", true, "its number, or latest"},
			{"alias", "ALIAS", false, "what it gets, such as champion"}, {"stage", "STAGE", false, "what it gets: None, Staging, Production or Archived"},
			{"archive", "true", false, "move the versions that are in the stage to Archived"}, storeKey}, ruleKeys...),
		example: "wildtrain registry promote name=elephants version=3 alias=champion\n" +
			"wildtrain registry promote name=elephants version=latest stage=Production archive=true metric=AP min_gain=0.005",
		after: "Without `metric` it is done. With it the version must be better than the one that has the alias or stage, measured on the same data; otherwise nothing changes and the exit code is 1.",
		json:  []result{{"promotions", "one for alias and stage: name, version, promoted, reason, before, value, before_value"}},
		run:   a.promote,
	}
}

func (a *app) promote(ctx context.Context, own map[string]string, _ []string) error {
	rule, err := ruleOf(own)
	if err != nil {
		return err
	}
	if own["alias"] == "" && own["stage"] == "" {
		return usagef("alias=ALIAS or stage=STAGE is missing: what the version gets")
	}
	archive, err := strconv.ParseBool(own["archive"])
	if own["archive"] != "" && err != nil {
		return usagef("archive=%q: want true or false", own["archive"])
	}
	return withStore(ctx, own, func(s mlflow.Store) error {
		l, err := mlflow.Resolve(ctx, s, "models:/"+own["name"]+"/"+own["version"])
		if err != nil {
			return err
		}
		var list []mlflow.Decision
		held := false
		for _, p := range []mlflow.Promotion{{Alias: own["alias"]}, {Stage: own["stage"], Archive: archive}} {
			if p.Alias == "" && p.Stage == "" {
				continue
			}
			p.Rule = rule
			d, err := mlflow.Promote(ctx, s, own["name"], l.Version.Version, p)
			if err != nil {
				return err
			}
			list, held = append(list, *d), held || !d.Promoted
		}
		if a.json {
			if err := a.print(map[string]any{"promotions": list}); err != nil {
				return err
			}
		} else {
			for _, d := range list {
				a.tellDecision(d)
			}
		}
		if held {
			return errors.New("not promoted: the rule holds it back")
		}
		return nil
	})
}

func (a *app) tellDecision(d mlflow.Decision) {
	what := "alias " + d.Alias
	if d.Stage != "" {
		what = "stage " + d.Stage
	}
	if d.Promoted {
		fmt.Fprintf(a.out, "%s version %s has %s: %s\n", d.Name, d.Version, what, d.Reason)
		return
	}
	fmt.Fprintf(a.out, "%s version %s does not get %s: %s\n", d.Name, d.Version, what, d.Reason)
}

func (a *app) registryCompare() verb {
	return verb{
		name: "compare", short: "Compare versions of a registered model",
		keys:    []key{nameKey, {"versions", "N,N", false, "numbers with commas; all unless given"}, storeKey},
		example: "wildtrain registry compare name=elephants\nwildtrain registry compare name=elephants versions=1,3 --json",
		json: []result{{"name", ""}, {"versions", "as registry show tells them"}, {"metrics", "each with its name and a value a version, null where it lacks it"},
			{"same_data", "whether all were measured on the same data"}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			var versions []string
			if own["versions"] != "" {
				versions = strings.Split(own["versions"], ",")
			}
			return withStore(ctx, own, func(s mlflow.Store) error {
				c, err := mlflow.Compare(ctx, s, own["name"], versions...)
				if err != nil {
					return err
				}
				if a.json {
					return a.print(c)
				}
				return a.compareTable(c)
			})
		},
	}
}

func (a *app) compareTable(c *mlflow.Comparison) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(mlflow.ModelVersion) string) {
		fmt.Fprint(w, name+"\t")
		for _, v := range c.Versions {
			fmt.Fprint(w, cell(v)+"\t")
		}
		fmt.Fprintln(w)
	}
	row("version", func(v mlflow.ModelVersion) string { return v.Version })
	row("stage", func(v mlflow.ModelVersion) string { return v.Stage })
	row("aliases", func(v mlflow.ModelVersion) string { return strings.Join(v.Aliases, ",") })
	row("data", func(v mlflow.ModelVersion) string { return v.Tag(mlflow.TagDataHash) })
	for _, m := range c.Metrics {
		row(m.Metric, func(v mlflow.ModelVersion) string {
			if f, ok := v.Metric(m.Metric); ok {
				return fmt.Sprintf("%.4f", f)
			}
			return "-"
		})
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !c.SameData {
		fmt.Fprintln(a.out, "not all were measured on the same data")
	}
	return nil
}

func (a *app) registryDownload() verb {
	return verb{
		name: "download", short: "Download a version of a registered model",
		keys: append([]key{nameKey}, append(slices.Clone(versionKeys),
			key{"out", "FOLDER", false, "where to; models-registry/MODEL/VERSION unless given"}, storeKey)...),
		example: "wildtrain registry download name=elephants alias=champion\nwildtrain registry download name=elephants version=2 out=model",
		after:   "The files' checksums are held against those that were stored with the model. The folder can be given as `weights=` to evaluate and predict.",
		json:    []result{{"name version", "what was downloaded"}, {"out", "the folder"}, {"flavors", "how it can be loaded"}, {"metadata", "what the model tells of itself"}},
		run: func(ctx context.Context, own map[string]string, _ []string) error {
			return withVersion(ctx, own, func(s mlflow.Store, l *mlflow.Location) error {
				out := own["out"]
				if out == "" {
					out = filepath.Join("models-registry", l.Version.Name, l.Version.Version)
				}
				_, m, err := mlflow.Download(ctx, s, "models:/"+l.Version.Name+"/"+l.Version.Version, out)
				if err != nil {
					return err
				}
				if a.json {
					return a.print(map[string]any{"name": l.Version.Name, "version": l.Version.Version, "out": out, "flavors": slices.Sorted(maps.Keys(m.Flavors)), "metadata": m.Metadata})
				}
				fmt.Fprintf(a.out, "%s version %s in %s\n", l.Version.Name, l.Version.Version, out)
				return nil
			})
		},
	}
}
