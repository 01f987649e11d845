package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
)

// ErrLicense tells that weights are under a licence that the user has not accepted.
var ErrLicense = errors.New("weights: the licence has not been accepted")

// permissive licences ask for no more than attribution.
var permissive = []string{"apache-2.0", "bsd-2-clause", "bsd-3-clause", "mit", "isc", "cc0-1.0", "cc-by-4.0", "unlicense"}

// Accept refuses a licence (an SPDX identifier) that is not permissive, unless
// accepted names it. An unknown licence, "", is the user's own affair: they have
// pointed to the file.
func Accept(license, accepted string) error {
	if license == "" || slices.Contains(permissive, strings.ToLower(license)) || strings.EqualFold(license, accepted) {
		return nil
	}
	return fmt.Errorf("%w: these weights are under %s, which may bind what you make with them: set model.accept_license=%s if you agree", ErrLicense, license, license)
}

// Record is what FILE.license.json tells of a fetched file.
type Record struct {
	License      string    `json:"license"` // SPDX identifier; "" where unknown
	Architecture string    `json:"architecture,omitempty"`
	Tag          string    `json:"tag,omitempty"`
	Address      string    `json:"address"`
	SHA256       string    `json:"sha256"`
	Fetched      time.Time `json:"fetched"`
}

const recordSuffix = ".license.json"

func (r Record) write(file string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteFile(file+recordSuffix, writeAll(append(b, '\n')))
}

// readRecord reads what stands beside a file; the zero Record where nothing does.
func readRecord(file string) (r Record, err error) {
	b, err := os.ReadFile(file + recordSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("weights: read %s: %w", file+recordSuffix, err)
	}
	return r, nil
}
