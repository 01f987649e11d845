package report

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/wildtrain"
)

// sample is a study with every kind of trial and parameter.
func sample(t *testing.T, directions ...tune.Direction) *tune.View {
	t.Helper()
	ctx := context.Background()
	s, err := tune.Create(ctx, tune.NewMemory(), `a<b>&"c"`, tune.Options{Sampler: tune.NewTPE(1), Directions: directions})
	require.NoError(t, err)
	err = s.Optimize(ctx, tune.Plan{Trials: 40}, func(_ context.Context, l *tune.Live) ([]float64, error) {
		x, err := l.Float("training.lr0", 1e-5, 1e-1, true)
		require.NoError(t, err)
		n, err := l.Int("batch", 1, 32, false)
		require.NoError(t, err)
		c, err := l.Categorical("<model>", "yolo11n", "yolo11s", nil)
		require.NoError(t, err)
		v := math.Pow(math.Log10(x)+3, 2) + float64(n)/16
		if c == "yolo11s" {
			v--
		}
		if len(s.Directions()) > 1 {
			return []float64{v, float64(n)}, nil
		}
		for step := range 4 {
			require.NoError(t, l.Report(int64(step), v+4/float64(step+1)))
			if step == 2 && l.Number()%5 == 4 {
				return nil, wildtrain.ErrPruned
			}
		}
		return []float64{v}, nil
	})
	require.NoError(t, err)
	v, err := s.View(ctx)
	require.NoError(t, err)
	return v
}

func TestWrite(t *testing.T) {
	for name, v := range map[string]*tune.View{
		"one":     sample(t, tune.Minimize),
		"several": sample(t, tune.Minimize, tune.Maximize),
		"empty":   {Study: "none", Directions: []tune.Direction{tune.Maximize}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if keep := os.Getenv("WILDTRAIN_REPORT_DIR"); keep != "" {
				dir = filepath.Join(keep, name)
				require.NoError(t, os.MkdirAll(dir, 0o755))
			}
			require.NoError(t, Write(dir, v, []string{"loss"}))
			page, err := os.ReadFile(filepath.Join(dir, "report.html"))
			require.NoError(t, err)
			text := string(page)
			require.NotContains(t, text, "<model>", "names are escaped")
			require.NotRegexp(t, `(src|href)=`, text, "the page needs nothing else")
			for _, svg := range strings.SplitAfter(text, "</svg>") {
				if i := strings.Index(svg, "<svg"); i >= 0 {
					wellFormed(t, svg[i:])
				}
			}
			table, err := os.Open(filepath.Join(dir, "trials.csv"))
			require.NoError(t, err)
			defer table.Close()
			rows, err := csv.NewReader(table).ReadAll()
			require.NoError(t, err)
			require.Len(t, rows, 1+len(v.Trials))
			data, err := os.ReadFile(filepath.Join(dir, "study.json"))
			require.NoError(t, err)
			var all struct {
				Study  string
				Best   []int
				Trials []struct{ Params map[string]any }
			}
			require.NoError(t, json.Unmarshal(data, &all))
			require.Equal(t, v.Study, all.Study)
			require.Len(t, all.Trials, len(v.Trials))
			if name != "empty" {
				require.NotEmpty(t, all.Best)
				for _, title := range []string{"Importance", "History", "Slices", "Parallel coordinates", "Contours", "Timeline"} {
					require.Contains(t, text, "<h2>"+title+"</h2>")
				}
				require.Equal(t, name == "several", strings.Contains(text, "<h2>Pareto front</h2>"))
				require.Equal(t, name == "one", strings.Contains(text, "<h2>Intermediate values</h2>"))
			}
		})
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	require.NotContains(t, svg, "NaN")
	require.NotContains(t, svg, "Inf")
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
	}
}
