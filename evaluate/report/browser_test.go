//go:build parity

package report

import (
	"bytes"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// browser finds a Chromium.
func browser(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no Chromium on this machine")
	return ""
}

// A real browser shows the page from a file URL, with plots and pictures, and
// the page asks for nothing outside. The log of the network names for each
// request its initiator; the browser's own have none.
func TestParityReportInABrowser(t *testing.T) {
	program := browser(t)
	dir := t.TempDir()
	in, _ := herd(t, []string{"impala", "waterbuck", "zebra"})
	page, err := Write(dir, in)
	require.NoError(t, err)
	shot, log := filepath.Join(dir, "page.png"), filepath.Join(dir, "net.json")
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--log-net-log="+log, "--window-size=1250,5200", "--screenshot="+shot, "file://"+page)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))

	b, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(b), `"initiator"`, "the log names initiators")
	for _, m := range regexp.MustCompile(`"initiator":"([^"]*)"`).FindAllSubmatch(b, -1) {
		require.Equal(t, "not an origin", string(m[1]), "the page asked for something")
	}

	b, err = os.ReadFile(shot)
	require.NoError(t, err)
	im, err := png.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	ground, curves := 0, 0 // of the pictures, and lines and bars of the plots
	for y := range im.Bounds().Dy() {
		for x := range im.Bounds().Dx() {
			c, _ := color.RGBAModel.Convert(im.At(x, y)).(color.RGBA)
			if c.R > 130 && c.R < 215 && int(c.R)-int(c.B) > 40 && int(c.R)-int(c.G) < 20 && c.R > c.G {
				ground++
			}
			if c == inkOf(0) {
				curves++
			}
		}
	}
	require.Greater(t, ground, 6*300*100, "six pictures are seen")
	require.Greater(t, curves, 3000, "plots are seen")
}
