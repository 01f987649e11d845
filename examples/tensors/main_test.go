package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestList(t *testing.T) {
	for file, want := range map[string]string{
		"module.pt": `classes ["lion" "zebra"]`, "nested_model.pt": "tensors", "dtypes.safetensors": "bfloat16",
	} {
		var out strings.Builder
		require.NoError(t, list(&out, "../../checkpoint/testdata/"+file))
		require.Contains(t, out.String(), want)
	}
	require.ErrorContains(t, list(&strings.Builder{}, "none.pt"), "none.pt")
	require.Error(t, list(&strings.Builder{}, "../../checkpoint/testdata/evil_system.pt"), "nothing is executed")
}
