//go:build parity

package tune

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Pythons lists the programs of parity/setup_optuna.sh, which WILDTRAIN_OPTUNA names
// with colons between them: Optuna 5.0's first, then 4.9's.
func Pythons(t *testing.T) []string {
	t.Helper()
	list := os.Getenv("WILDTRAIN_OPTUNA")
	if list == "" {
		t.Skip("WILDTRAIN_OPTUNA names no Python with Optuna (parity/setup_optuna.sh)")
	}
	return strings.Split(list, ":")
}

// golden has a script of testdata make its file anew, of so many seeds or tables.
func golden(t *testing.T, program, script, count, file string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(program, filepath.Join("testdata", script), count, dir)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return filepath.Join(dir, file)
}

// TestParitySuggestions compares 50 seeds of 60 trials with both Optunas.
func TestParitySuggestions(t *testing.T) {
	programs := Pythons(t)
	t.Run("5.0.0", func(t *testing.T) {
		runCases(t, golden(t, programs[0], "suggestions.py", "50", "suggestions-5.0.0.bin.gz"), goldenTrials, casesOfOptuna5())
	})
	t.Run("4.9.0", func(t *testing.T) {
		if len(programs) < 2 {
			t.Skip("WILDTRAIN_OPTUNA names one Python only")
		}
		runCases(t, golden(t, programs[1], "suggestions.py", "50", "suggestions-4.9.0.bin.gz"), goldenTrials, casesOfOptuna4())
	})
}

// TestParityCMAES compares 50 seeds of 120 trials with Optuna's CmaEsSampler.
func TestParityCMAES(t *testing.T) {
	runCases(t, golden(t, Pythons(t)[0], "suggestions_cmaes.py", "50", "suggestions-cmaes.bin.gz"), 2*goldenTrials, casesOfCMAES())
}

// TestParityDecisions compares every pruner on 1,000 random tables.
func TestParityDecisions(t *testing.T) {
	sameDecisions(t, golden(t, Pythons(t)[0], "decisions.py", "1000", "decisions.gz"))
}
