//go:build !linux

package mlflow

// disk is not known here.
func disk(string) (total, free float64) { return 0, 0 }
