//go:build parity

package datamodule_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/datamodule"
	"github.com/wildtrain/sdk/wildtrain"
)

// A real server with S3's interface (moto), filled by Amazon's own client (boto3):
// parity/s3.py serves and fills it. The dataset that comes here is the one that was put there.
func TestParityS3(t *testing.T) {
	python := os.Getenv("WILDTRAIN_PEER")
	if python == "" {
		t.Fatal("WILDTRAIN_PEER names no Python: run make parity")
	}
	source := "../testdata/wildata"
	cmd := exec.Command(python, "../parity/s3.py", source)
	var told bytes.Buffer
	cmd.Stderr = &told
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() }) //nolint:errcheck // it ends with its input
	line := make([]byte, 200)
	n, err := out.Read(line)
	require.NoError(t, err, "%s", told.String())
	env := map[string]string{"AWS_ENDPOINT_URL": strings.TrimSpace(string(line[:n])), "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
	s, err := datamodule.NewS3("s3://wild/sets/a b+c/", func(name string) string { return env[name] })
	require.NoError(t, err)
	s.Client = &http.Client{Timeout: time.Minute}
	folder := t.TempDir()
	done, err := datamodule.Mirror(context.Background(), s, folder)
	require.NoError(t, err)
	assert.Equal(t, files(t, source), files(t, folder))
	t.Logf("%+v", done)

	again, err := datamodule.Mirror(context.Background(), s, folder)
	require.NoError(t, err)
	assert.Equal(t, datamodule.Mirrored{Same: done.Fetched}, again)

	c := datamodule.DefaultConfig()
	c.Root = filepath.Join(folder)
	d, err := datamodule.NewDetection(c)
	require.NoError(t, err)
	require.NoError(t, d.Setup(context.Background(), wildtrain.Train))
	require.NoError(t, d.Close())

	wrong := *s
	wrong.Bucket = "none"
	_, err = datamodule.Mirror(context.Background(), &wrong, t.TempDir())
	assert.ErrorContains(t, err, "NoSuchBucket")
}
