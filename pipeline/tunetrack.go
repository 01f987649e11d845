package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/wildtrain/sdk/mlflow"
	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/wildtrain"
)

// studyRun is a study's own run in tracking, of which the runs of its trials are
// parts. It is nil where nothing is tracked, or another process does it.
type studyRun struct {
	*mlflow.Recorder
	env *Env
	t   *Tuning
}

// studyRunAttr is the study's user attribute that holds a trackingRecord: all
// processes, and later ones, find the run there.
const studyRunAttr = "mlflow_run"

// trackStudy begins the study's run, or goes on with it.
func (e *Env) trackStudy(ctx context.Context, t *Tuning, storage tune.Storage) (*studyRun, error) {
	if !t.tracking.Enabled {
		return nil, nil
	}
	study, err := storage.Study(ctx, t.Study)
	if err != nil {
		return nil, err
	}
	uri := mlflow.TrackingURI(t.tracking.URI)
	var known trackingRecord
	if err := json.Unmarshal([]byte(study.UserAttrs[studyRunAttr]), &known); err == nil && known.URI == uri {
		t.parent = known.RunID
	}
	if t.Worker {
		return nil, nil
	}
	cfg := mlflow.DefaultConfig()
	cfg.URI, cfg.Experiment, cfg.RunName, cfg.RunID = uri, t.Experiment, t.tracking.RunName, t.parent
	if cfg.RunName == "" {
		cfg.RunName = t.Study
	}
	cfg.Tags = map[string]string{"wildtrain.run": t.Dir(), studyTag: t.Study}
	maps.Copy(cfg.Tags, t.tracking.Tags)
	if cfg.Log = e.log(); cfg.RunID == "" {
		cfg.Params = t.params()
	}
	r, err := mlflow.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	out := &studyRun{r, e, t}
	if t.parent = r.RunID(); t.parent == "" {
		return out, nil // the store has not answered: the trials' runs stand alone
	}
	text, err := json.Marshal(trackingRecord{uri, t.parent})
	if err == nil {
		err = storage.SetStudyAttr(ctx, study.ID, false, studyRunAttr, string(text))
	}
	return out, err
}

// params tells how the study searches.
func (t *Tuning) params() map[string]string {
	var directions []string
	for _, d := range t.Directions {
		directions = append(directions, strings.ToLower(d.String()))
	}
	out := map[string]string{
		"tune.sampler": t.Sampler, "tune.pruner": t.Pruner, "tune.metric": strings.Join(t.Metrics, ","),
		"tune.direction": strings.Join(directions, ","), "tune.trials": fmt.Sprint(t.Trials), "seed": fmt.Sprint(t.Seed),
	}
	for _, p := range t.Space.Params {
		if text, err := tune.MarshalDistribution(p.Dist); err == nil {
			out[mlflow.CleanKey("tune.space."+p.Name)] = text
		}
	}
	return out
}

// The tags by which a trial's run is found.
const (
	studyTag = "wildtrain.study"
	trialTag = "wildtrain.trial"
)

// ofTrial is the tracking of a trial: a part of the study's run, with its own
// name, and no version of a registered model.
func (t *Tuning) ofTrial(s Tracking, number int) Tracking {
	s.Parent, s.RunName, s.Register = t.parent, "", ""
	s.Tags = maps.Clone(s.Tags)
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
	s.Tags[studyTag], s.Tags[trialTag] = t.Study, fmt.Sprint(number)
	return s
}

// watch records the values of trials as they finish, with the trial's number as
// the step, and passes them on.
func (r *studyRun) watch(ctx context.Context, notify func(*tune.Trial)) func(*tune.Trial) {
	return func(tr *tune.Trial) {
		if r != nil && tr.State == tune.Complete {
			var values []wildtrain.Value
			for i, v := range tr.Values {
				values = append(values, wildtrain.Value{Name: r.t.Metrics[i], Value: v})
			}
			r.warn(r.Log(ctx, int64(tr.Number), values...))
		}
		if notify != nil {
			notify(tr)
		}
	}
}

// end records how the study ended and what is best.
func (r *studyRun) end(best []*tune.Trial, err error) {
	if r == nil {
		return
	}
	if len(best) == 1 {
		tags := map[string]string{"best.trial": fmt.Sprint(best[0].Number), "best.run": TrialRun(best[0])}
		for name, v := range best[0].External() {
			tags["best."+name] = fmt.Sprint(v)
		}
		r.warn(r.SetTags(tags))
	}
	r.End(err)
	r.warn(r.Close())
}

func (r *studyRun) warn(err error) {
	if err != nil {
		r.env.log().Warn("tracking: " + err.Error())
	}
}
