package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	gt, dt := filepath.Join(dir, "gt.json"), filepath.Join(dir, "dt.json")
	require.NoError(t, os.WriteFile(gt, []byte(`{"images":[{"id":1}],"categories":[{"id":7,"name":"kudu"}],
		"annotations":[{"id":1,"image_id":1,"category_id":7,"bbox":[0,0,50,50],"area":2500,"iscrowd":0}]}`), 0o644))
	require.NoError(t, os.WriteFile(dt, []byte(`[{"image_id":1,"category_id":7,"bbox":[0,0,50,40],"score":0.8}]`), 0o644))
	var out strings.Builder
	require.NoError(t, measure(&out, gt, dt))
	// an IoU of 0.8 passes the thresholds 0.5 to 0.8: 7 of 10
	require.Contains(t, out.String(), "AP      0.700\nAP50    1.000\nAP75    1.000\n")
	require.Contains(t, out.String(), "kudu                 AP 0.700 of 1 objects")
	require.ErrorContains(t, measure(&out, gt, filepath.Join(dir, "none.json")), "none.json")
}
