package tune

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadSpace(t *testing.T) {
	s, err := ReadSpace("space.yaml", []byte(`
training.lr0: {low: 1e-5, high: 1e-2, log: true}
model: {choices: [yolo11n, yolo11s]}
training:
  momentum: {low: 0.8, high: 0.99, when: {training.optimizer: [SGD, RMSprop]}}
  batch: {low: 4, high: 32, step: 4}
  optimizer: {choices: [SGD, AdamW]}
  cos_lr: {choices: [true, false, null, 3, 0.5, "3"]}
forbid:
  - {model: yolo11s, training.batch: {low: 24, high: 32}}
`))
	require.NoError(t, err)
	require.Equal(t, []SpaceParam{
		{Name: "model", Dist: Categorical{[]any{"yolo11n", "yolo11s"}}},
		{Name: "training.batch", Dist: Int{4, 32, false, 4}},
		{Name: "training.cos_lr", Dist: Categorical{[]any{true, false, nil, int64(3), 0.5, "3"}}},
		{Name: "training.optimizer", Dist: Categorical{[]any{"SGD", "AdamW"}}},
		{Name: "training.lr0", Dist: Float{1e-5, 1e-2, true, 0}},
		{Name: "training.momentum", Dist: Float{0.8, 0.99, false, 0}, When: Match{"training.optimizer": Categorical{[]any{"SGD", "RMSprop"}}}},
	}, s.Params)
	require.Equal(t, []Match{{"model": Categorical{[]any{"yolo11s"}}, "training.batch": Int{24, 32, false, 1}}}, s.Forbid)

	study, err := Create(context.Background(), NewMemory(), "s", Options{Sampler: NewRandom(1)})
	require.NoError(t, err)
	with, without := 0, 0
	for range 200 {
		l, err := study.Ask(context.Background())
		require.NoError(t, err)
		v, err := l.SuggestAll(context.Background(), s)
		require.NoError(t, err)
		require.False(t, v["model"] == "yolo11s" && v["training.batch"].(int64) >= 24, "forbidden: %v", v)
		_, has := v["training.momentum"]
		require.Equal(t, v["training.optimizer"] == "SGD", has)
		require.Equal(t, v, l.Params())
		if has {
			with++
		} else {
			without++
		}
	}
	require.Greater(t, min(with, without), 50)
}

func TestBadSpaces(t *testing.T) {
	for text, want := range map[string]string{
		"x: 3":                              "tune.space.x: must be a mapping",
		"x: {low: 1}":                       "tune.space.x: low and high must be numbers",
		"x: {low: 2, high: 1}":              "tune.space.x: range [2, 1]: low is above high",
		"x: {low: 0, high: 1.5, log: true}": "begins above 0",
		"x: {low: 0.1, high: 1, log: yes please}":  "log must be true or false",
		"x: {low: 1, high: 2, lgo: true}":          `tune.space.x: "lgo" is unknown`,
		"x: {choices: []}":                         "at least one choice",
		"x: {choices: [[1]]}":                      "choice 0",
		"x: {choices: [1], low: 2}":                "choices must be a list, without",
		"x: {low: 0.5, high: 1, type: int}":        "whole numbers",
		"x: {low: 0, high: 1, type: bool}":         "must be int or float",
		"x: {low: 0, high: 1, when: {y: 1}}":       "does not come before it: y",
		"{x: {low: 0, high: 1}, forbid: [{y: 1}]}": "forbid[0].y: there is no such parameter",
		"{}":      "holds no parameter",
		"[1]":     "space.yaml:1:1: a space is a mapping",
		"x: [1, ": "space.yaml",
	} {
		_, err := ReadSpace("space.yaml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

func TestRefusedDrawsEnd(t *testing.T) {
	ctx := context.Background()
	s := Space{Params: []SpaceParam{{Name: "x", Dist: Float{0, 1, false, 0}}}, Forbid: []Match{{"x": Float{0, 1, false, 0}}}}
	study, err := Create(ctx, NewMemory(), "s", Options{})
	require.NoError(t, err)
	l, err := study.Ask(ctx)
	require.NoError(t, err)
	_, err = l.SuggestAll(ctx, s)
	require.ErrorIs(t, err, ErrRefused)
	require.Empty(t, l.Params(), "nothing is stored of a refused draw")
}

func FuzzReadSpace(f *testing.F) {
	f.Add([]byte("x: {low: 1e-5, high: 1e-2, log: true}\ny: {choices: [a, 1, null]}"))
	f.Add([]byte("a: {b: {low: 1, high: 9, step: 3, when: {c: 1}}, c: {choices: [1, 2]}}\nforbid: [{a.c: 1}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ReadSpace("f", text)
		if err != nil {
			return
		}
		for _, p := range s.Params {
			rng := newStream(1)
			v := drawUniform(rng, p.Dist)
			if p.Dist.Single() {
				v = single(p.Dist)
			}
			require.True(t, p.Dist.Contains(v), "%v of %v", v, p)
			json, err := MarshalDistribution(p.Dist)
			require.NoError(t, err)
			back, err := UnmarshalDistribution(json)
			require.NoError(t, err)
			require.True(t, back.Equal(p.Dist))
		}
	})
}
