package evaluate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkCOCOFiles measures the files of bench/cocoeval/cocoeval.py in the folder
// that WILDTRAIN_COCO_BENCH names.
func BenchmarkCOCOFiles(b *testing.B) {
	dir := os.Getenv("WILDTRAIN_COCO_BENCH")
	if dir == "" {
		b.Skip("WILDTRAIN_COCO_BENCH names no folder")
	}
	for b.Loop() {
		s, err := DetectionFiles(filepath.Join(dir, "gt.json"), filepath.Join(dir, "dt.json"), DefaultDetectionConfig(nil))
		require.NoError(b, err)
		ap, _ := s.Values.Get("AP")
		ap50, _ := s.Values.Get("AP50")
		b.ReportMetric(ap, "AP")
		b.ReportMetric(ap50, "AP50")
	}
}
