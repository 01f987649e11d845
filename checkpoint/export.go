package checkpoint

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// Export writes a State, less its auxiliary tensors, as a weights file, by the extension of path:
// .safetensors, or .pt/.pth as a bare state dict for torch.load. The file is
// written as a whole or not at all. metadata, which may be nil, goes into
// safetensors' own map, or beside a .pt's state dict (WriteTorch): Open finds it.
func Export(path string, s wildtrain.State, metadata map[string]string) error {
	s = Inference(s)
	var write func(io.Writer) error
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".safetensors":
		write = func(w io.Writer) error { return WriteSafetensors(w, s, withFormat(metadata)) }
	case ".pt", ".pth":
		write = func(w io.Writer) error { return WriteTorch(w, s, "", nil, metadata) }
	default:
		return fmt.Errorf("checkpoint: export %s: extension %q is none of .safetensors, .pt, .pth", path, ext)
	}
	if err := WriteFile(path, write); err != nil {
		return fmt.Errorf("checkpoint: export %s: %w", path, err)
	}
	return nil
}

// withFormat adds the entry that Hugging Face's loaders ask for.
func withFormat(metadata map[string]string) map[string]string {
	out := map[string]string{"format": "pt"}
	for k, v := range metadata {
		out[k] = v
	}
	return out
}
