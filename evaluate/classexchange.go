package evaluate

import "io"

// said are the classes predicted of a picture: one, or any number with
// multi-label data.
func (c *Classification) said(a answer) []int {
	if !c.cfg.MultiLabel {
		return []int{a.Said}
	}
	out := []int{}
	for k := range c.cfg.Classes {
		if c.says(a, k) {
			out = append(out, k)
		}
	}
	return out
}

// DefaultLabelStudioChoices returns the names of Label Studio's image
// classification template.
func DefaultLabelStudioChoices() LabelStudioConfig {
	return LabelStudioConfig{ModelVersion: "wildtrain", FromName: "choice", ToName: "image", DataKey: "image"}
}

// WriteLabelStudio writes the predicted classes as tasks with predictions, as
// Label Studio imports them; IDs stand for the pictures.
func (c *Classification) WriteLabelStudio(w io.Writer, cfg LabelStudioConfig) error {
	type object map[string]any
	tasks := make([]object, 0, len(c.answers))
	for _, a := range c.sorted() {
		names := []string{}
		score := 1.0
		for _, k := range c.said(a) {
			names = append(names, c.cfg.Classes[k])
			if a.Probs != nil {
				score = min(score, a.Probs[k])
			}
		}
		results := []object{}
		if len(names) > 0 {
			results = append(results, object{"id": "c", "type": "choices", "from_name": cfg.FromName, "to_name": cfg.ToName, "value": object{"choices": names}})
		}
		tasks = append(tasks, object{
			"data":        object{cfg.DataKey: a.ID},
			"predictions": []object{{"model_version": cfg.ModelVersion, "score": score, "result": results}},
		})
	}
	return writeIndented(w, tasks)
}

// WriteFiftyOne writes the predicted classes as the labels.json of FiftyOne's
// image classification dataset, classes by their place in the list; IDs stand
// for the pictures.
func (c *Classification) WriteFiftyOne(w io.Writer) error {
	type label struct {
		Label      int      `json:"label"`
		Confidence *float64 `json:"confidence,omitempty"`
	}
	answers := c.sorted()
	ids := make([]string, len(answers))
	for i, a := range answers {
		ids[i] = a.ID
	}
	keys, err := fiftyOneKeys(ids)
	if err != nil {
		return err
	}
	out := struct {
		Classes []string       `json:"classes"`
		Labels  map[string]any `json:"labels"`
	}{c.cfg.Classes, map[string]any{}}
	for i, a := range answers {
		list := []label{}
		for _, k := range c.said(a) {
			l := label{Label: k}
			if a.Probs != nil {
				l.Confidence = &a.Probs[k]
			}
			list = append(list, l)
		}
		if out.Labels[keys[i]] = list; !c.cfg.MultiLabel {
			out.Labels[keys[i]] = list[0]
		}
	}
	return writeIndented(w, out)
}
