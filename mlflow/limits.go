package mlflow

import (
	"fmt"
	"math"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MLflow's limits, as its 3.17 server has them. A column may be narrower: the
// schema is what counts for a SQLite file.
const (
	maxBatchMetrics    = 1000
	maxBatchParams     = 100
	maxBatchTags       = 100
	maxBatchItems      = 1000
	maxKey             = 250
	maxParam           = 6000
	maxTag             = 8000
	maxExperimentName  = 500
	maxExperimentTag   = 20000
	maxRegistryTag     = 100000
	maxDatasetName     = 500
	maxDatasetDigest   = 36
	maxDatasetSource   = 65535
	maxDatasetSchema   = 1048575
	maxDatasetProfile  = 16777215
	maxInputTagKey     = 255
	maxInputTagValue   = 500
	maxAlias           = 255
	maxModelName       = 256
	defaultSearch      = 1000
	maxSearch          = 50000
	historyPage        = 25000
	maxRegistrySearch  = 1000
	registrySearchPage = 100
	versionSearchPage  = 10000
	maxVersionSearch   = 200000
)

var (
	runIDPattern        = regexp.MustCompile(`^[a-zA-Z0-9][\w\-]{0,255}$`)
	experimentIDPattern = regexp.MustCompile(`^[a-zA-Z0-9][\w\-]{0,63}$`)
	aliasPattern        = regexp.MustCompile(`^[\w\-]+$`)
	versionAlias        = regexp.MustCompile(`(?i)^v\d+$`)
)

// checkKey holds the name of a metric, param or tag against MLflow's rule: word
// characters, slashes, dots, dashes, spaces and colons, and its own normal form as a path.
func checkKey(kind, key string) error {
	switch {
	case key == "":
		return invalid("a %s has no name", kind)
	case utf8.RuneCountInString(key) > maxKey:
		return invalid("the name of %s %.40q… has %d characters, more than %d", kind, key, utf8.RuneCountInString(key), maxKey)
	case strings.ContainsFunc(key, badKeyRune):
		return invalid("the name of %s %q may only hold letters, digits, and _ / . - : and spaces", kind, key)
	case path.Clean(key) != key || key == "." || strings.HasPrefix(key, "..") || path.IsAbs(key):
		return invalid("the name of %s %q must be a plain relative path, such as %q", kind, key, strings.TrimLeft(path.Clean("/"+key), "/"))
	}
	return nil
}

func badKeyRune(r rune) bool {
	return !(unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mn, r) || strings.ContainsRune("_/.- :", r))
}

// CleanKey turns any text into a name that MLflow takes for metrics, params and
// tags: other characters become "_", and the path is put into its normal form.
func CleanKey(text string) string {
	key := strings.Map(func(r rune) rune {
		if badKeyRune(r) {
			return '_'
		}
		return r
	}, text)
	key = strings.TrimLeft(path.Clean("/"+key), "/")
	if r := []rune(key); len(r) > maxKey {
		key = path.Clean(string(r[:maxKey]))
	}
	if key == "" || checkKey("name", key) != nil {
		return "_" + strings.Trim(key, "./")
	}
	return key
}

func checkMetric(m Metric) error {
	if err := checkKey("metric", m.Key); err != nil {
		return err
	}
	if m.Timestamp < 0 {
		return invalid("metric %q has the time %d; it must not be negative", m.Key, m.Timestamp)
	}
	return nil
}

// checkBatch holds a batch against the limits.
func checkBatch(b Batch) error {
	for _, l := range []struct {
		what    string
		n, most int
	}{
		{"metrics", len(b.Metrics), maxBatchMetrics}, {"params", len(b.Params), maxBatchParams},
		{"tags", len(b.Tags), maxBatchTags}, {"items", b.size(), maxBatchItems},
	} {
		if l.n > l.most {
			return invalid("a batch can hold at most %d %s, this one holds %d", l.most, l.what, l.n)
		}
	}
	for _, m := range b.Metrics {
		if err := checkMetric(m); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, p := range b.Params {
		if err := checkKey("param", p.Key); err != nil {
			return err
		}
		if seen[p.Key] {
			return invalid("the batch has param %q twice", p.Key)
		}
		seen[p.Key] = true
	}
	for _, t := range b.Tags {
		if err := checkKey("tag", t.Key); err != nil {
			return err
		}
	}
	return nil
}

func checkLength(what, text string, most int) error {
	if n := utf8.RuneCountInString(text); n > most {
		return invalid("%s has %d characters, more than %d", what, n, most)
	}
	return nil
}

// cut shortens a text to n characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	r := []rune(text)
	return string(r[:min(n, len(r))])
}

func checkRunID(id string) error {
	if !runIDPattern.MatchString(id) {
		return invalid("%q is no run id", id)
	}
	return nil
}

func checkExperimentID(id string) error {
	if !experimentIDPattern.MatchString(id) {
		return invalid("%q is no experiment id", id)
	}
	return nil
}

func checkModelName(name string) error {
	switch {
	case name == "":
		return invalid("a registered model needs a name")
	case strings.ContainsAny(name, "/:"):
		return invalid("the model name %q must not hold / or :", name)
	}
	return checkLength("the model name", name, maxModelName)
}

func checkAlias(alias string) error {
	switch {
	case !aliasPattern.MatchString(alias):
		return invalid("the alias %q may only hold letters, digits, _ and -", alias)
	case strings.EqualFold(alias, "latest"):
		return invalid("the alias \"latest\" is reserved")
	case versionAlias.MatchString(alias):
		return invalid("the alias %q looks like a version number and is reserved", alias)
	}
	return checkLength("the alias", alias, maxAlias)
}

// canonicalStage writes a stage as MLflow does.
func canonicalStage(stage string) (string, error) {
	for _, s := range []string{StageNone, StageStaging, StageProduction, StageArchived} {
		if strings.EqualFold(s, stage) {
			return s, nil
		}
	}
	return "", invalid("there is no stage %q: want None, Staging, Production or Archived", stage)
}

// storedValue is how a SQLite file holds a number: NaN apart, infinities as the largest numbers.
func storedValue(v float64) (value float64, nan bool) {
	switch {
	case math.IsNaN(v):
		return 0, true
	case math.IsInf(v, 1):
		return math.MaxFloat64, false
	case math.IsInf(v, -1):
		return -math.MaxFloat64, false
	}
	return v, false
}

// loadedValue is the opposite of storedValue; infinities stay what they were stored as, as MLflow leaves them.
func loadedValue(v float64, nan bool) float64 {
	if nan {
		return math.NaN()
	}
	return v
}

// checkArtifactPath takes slash-separated relative paths that do not lead out
// of their folder. "" is the folder itself.
func checkArtifactPath(p string) error {
	bad := func(why string) error { return fmt.Errorf("mlflow: artifact path %q %s", p, why) }
	switch {
	case p == "":
		return nil
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
		return bad("holds characters that cannot be printed")
	case strings.ContainsAny(p, `\`):
		return bad("holds a backslash; folders are separated by /")
	case path.IsAbs(p) || len(p) > 1 && p[1] == ':':
		return bad("must be relative")
	case strings.Contains(p, "%2e") || strings.Contains(p, "%2E") || strings.Contains(p, "%2f") || strings.Contains(p, "%2F"):
		return bad("holds an encoded dot or slash")
	case path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return bad("must be in its normal form and stay inside its folder")
	}
	return nil
}
