package pipeline

import (
	"os"

	"github.com/wildtrain/sdk/config"
)

// Tree composes a configuration without looking at what it says. The folder
// ./configs, where there is one and no other is named, is searched before the
// shipped tree.
func Tree(o config.Options) (*config.Config, error) {
	if o.Dirs == nil && !o.Foreign {
		if st, err := os.Stat("configs"); err == nil && st.IsDir() {
			o.Dirs = []string{"configs"}
		}
	}
	return config.Compose(o)
}

// runDir is the run folder that a configuration asks for in Hydra's way, by
// hydra.run.dir; "" where only Hydra's own default is there, for runs lie in
// runs/EXPERIMENT/NAME here.
func runDir(c *config.Config) (string, error) {
	n, err := c.Written("hydra.run.dir")
	if n == nil || err != nil {
		return "", err
	}
	return n.Text(), nil
}
