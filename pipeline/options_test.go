package pipeline

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

// Every architecture is an option of the group model, and names itself.
func TestEveryArchitectureCanBeChosen(t *testing.T) {
	for _, name := range Architectures() {
		if strings.Contains(name, "/") {
			continue // model.architecture=timm/…: a name without a folder is torchvision's
		}
		s, err := Compose(config.Options{Overrides: []string{"model=" + name}})
		require.NoError(t, err, name)
		assert.Equal(t, name, s.Model.Architecture)
	}
}
