package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wildtrain/sdk/config"
)

// mistype changes a word as fingers do: a letter left out, doubled, replaced or
// swapped with the next.
func mistype(t *rapid.T, word string) string {
	b := []byte(word)
	i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
	switch rapid.SampledFrom([]string{"out", "twice", "other", "swap"}).Draw(t, "how") {
	case "out":
		return string(slices.Delete(b, i, i+1))
	case "twice":
		return string(slices.Insert(b, i, b[i]))
	case "other":
		b[i] = rapid.SampledFrom([]byte("abcdefghijklmnopqrstuvwxyz_")).Draw(t, "letter")
		return string(b)
	}
	if i+1 < len(b) {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return string(b)
}

// A typo in any part of any key, in a file or in an override, is an error that
// names the right key.
func TestTyposAreNamed(t *testing.T) {
	keys := config.Keys()
	known := map[string]bool{"hydra": true, "defaults": true}
	for _, k := range keys {
		parts := strings.Split(k, ".")
		for i := range parts {
			known[strings.Join(parts[:i+1], ".")] = true
		}
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		parts := strings.Split(rapid.SampledFrom(keys).Draw(t, "key"), ".")
		i := rapid.IntRange(0, len(parts)-1).Draw(t, "part")
		right := strings.Join(parts[:i+1], ".")
		parts[i] = mistype(t, parts[i])
		wrong := strings.Join(parts[:i+1], ".")
		if known[wrong] || parts[i] == "" || strings.Trim(parts[i], "_abcdefghijklmnopqrstuvwxyz0123456789") != "" || parts[i][0] < 'A' {
			t.Skip("another key, or none")
		}

		_, err := config.Compose(config.Options{Overrides: []string{strings.Join(parts, ".") + "=x"}})
		requireNamed(t, err, wrong, right)

		text := ""
		for depth, p := range parts {
			text += strings.Repeat("  ", depth) + p + ":\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.yaml"), []byte(strings.TrimSuffix(text, "\n")+" x\n"), 0o644))
		c, err := config.Compose(config.Options{Dirs: []string{dir}})
		require.NoError(t, err)
		run := config.DefaultRun()
		requireNamed(t, c.Decode(&run), wrong, right)
	})
}

func requireNamed(t *rapid.T, err error, wrong, right string) {
	var all config.Errors
	var one *config.Error
	if errors.As(err, &all) {
		one = all[0]
	} else {
		require.ErrorAs(t, err, &one)
	}
	require.Equal(t, wrong, one.Key)
	require.Contains(t, one.Hint, `"`+right+`"`)
}

// Keys of the schema that no file of a tree writes can be set without "+", those
// of free mappings too.
func TestKeysOfTheSchemaNeedNoPlus(t *testing.T) {
	dir := folder(t, map[string]string{"detection/yolo.yaml": "model:\n  framework: \"yolo\"\n  size: \"n\" # n, s, m, l, x\n  pretrained: true\n\ntraining:\n  epochs: 100\n  imgsz: 640\n  batch: 16\n  optimizer: \"AdamW\"\n  lr0: 0.001\n"})
	c, err := config.Compose(config.Options{Name: "detection/yolo", Dirs: []string{dir}, Overrides: []string{
		"data.root=DATA", "data.rename={a: b}", "data.rename.c=d", "training.epochs=3", "tracking.tags.site=north",
	}})
	require.NoError(t, err)
	run := config.DefaultRun()
	require.NoError(t, c.Decode(&run))
	require.Equal(t, map[string]string{"a": "b", "c": "d"}, run.Data.Rename)
	require.Equal(t, map[string]string{"site": "north"}, run.Tracking.Tags)
	require.Equal(t, "DATA", run.Data.Root)
	require.Equal(t, "AdamW", run.Training.Optimizer)
	require.Equal(t, 3, run.Training.Epochs)
	require.Equal(t, "yolo11n", run.Model.ArchitectureName())

	_, err = config.Compose(config.Options{Name: "detection/yolo", Dirs: []string{dir}, Overrides: []string{"epochs=3"}})
	require.ErrorContains(t, err, `"training.epochs"`)
}
