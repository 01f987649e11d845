//go:build parity

package config

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// TestParityHydra lets the real Hydra answer 2,000 generated compositions, 2,000
// overrides and 2,000 values, and compares. WILDTRAIN_PEER is a Python with
// hydra-core 1.3.8 and omegaconf 2.3.1; WILDTRAIN_SEED makes other cases.
func TestParityHydra(t *testing.T) {
	peer := os.Getenv("WILDTRAIN_PEER")
	if peer == "" {
		t.Skip("WILDTRAIN_PEER is not set")
	}
	if out, err := exec.Command(peer, "-c", "import hydra, omegaconf").CombinedOutput(); err != nil {
		t.Skipf("the peer lacks Hydra (pip install hydra-core==1.3.8 omegaconf==2.3.1): %s", out)
	}
	seed := os.Getenv("WILDTRAIN_SEED")
	if seed == "" {
		seed = "1"
	}
	cmd := exec.Command(peer, "testdata/hydra_peer.py", "--table", "--seed", seed, "--compositions", "2000", "--overrides", "2000", "--values", "2000")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the peer failed: %v", err)
	}
	comparePeer(t, bytes.NewReader(out))
}
