//go:build parity

package evaluate

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// peer runs a script of testdata and returns the file that it wrote.
func peer(t *testing.T, script string, args ...string) string {
	t.Helper()
	python := os.Getenv("WILDTRAIN_PEER")
	require.NotEmpty(t, python, "WILDTRAIN_PEER names the Python that has the peers")
	out := filepath.Join(t.TempDir(), "problems.json.gz")
	cmd := exec.Command(python, append([]string{"testdata/" + script, out}, args...)...)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	return out
}

func TestParityCOCO(t *testing.T) {
	var problems []fileProblem
	readGolden(t, peer(t, "make_coco_files.py", "300", "20260801"), &problems)
	require.Len(t, problems, 300)
	for i, p := range problems {
		p.check(t, i)
	}
	t.Logf("%d problems equal to 1e-9", len(problems))
}

func TestParityErrorTypes(t *testing.T) {
	var problems []errorProblem
	readGolden(t, peer(t, "make_error_goldens.py", "300", "20260802"), &problems)
	for i, p := range problems {
		p.check(t, i)
	}
	t.Logf("%d problems equal to 1e-9", len(problems))
}

func TestParityClassification(t *testing.T) {
	var problems []classProblem
	readGolden(t, peer(t, "make_class_goldens.py", "300", "20260803"), &problems)
	for i, p := range problems {
		p.check(t, i)
	}
	t.Logf("%d problems equal to 1e-9", len(problems))
}

func TestParityLVIS(t *testing.T) {
	var problems []lvisProblem
	readGolden(t, peer(t, "make_lvis_goldens.py", "100", "20260804"), &problems)
	for i, p := range problems {
		p.check(t, i)
	}
	t.Logf("%d problems equal to 1e-9", len(problems))
}
