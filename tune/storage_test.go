package tune_test

import (
	"testing"

	"github.com/wildtrain/sdk/tune"
	"github.com/wildtrain/sdk/tune/internal/storagetest"
)

func TestMemory(t *testing.T) {
	m := tune.NewMemory()
	storagetest.Run(t, func(*testing.T) tune.Storage { return m })
}
