package main

import (
	"debug/elf"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInspectReadsWhatTheFilesSay(t *testing.T) {
	header := "include/torch/csrc/api/include/torch/"
	macros := "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 4\n#define TORCH_VERSION_PATCH 1\n"
	for name, c := range map[string]struct {
		tree tree
		want install
	}{
		"wheel":            {libtorch("2.7.1"), install{Version: version{2, 7, 1}, Standard: "c++17"}},
		"official archive": {libtorch("9.9.9").with("version.py", "").with("build-version", "2.3.0+cpu\n"), install{Version: version{2, 3, 0}, Standard: "c++17"}},
		"headers only tell": {libtorch("9.9.9").with("version.py", "").with(header+"version.h", macros),
			install{Version: version{2, 4, 1}, Standard: "c++17"}},
		"C++20": {libtorch("2.15.0").with(header+"all.h", "#if __cplusplus < 202002L\n"),
			install{Version: version{2, 15, 0}, Standard: "c++20"}},
		"old ABI": {libtorch("2.1.2").with("lib/libc10.so", string(elfFile(ownMachine(), oldABISymbol))),
			install{Version: version{2, 1, 2}, Standard: "c++17", OldABI: true}},
		"CUDA": {libtorch("2.7.1").with("lib/libtorch_cuda.so", "x"), install{Version: version{2, 7, 1}, Standard: "c++17", CUDA: true}},
		"no named tensors": {libtorch("2.15.0").with("include/ATen/core/TensorBody.h", "at::Tensor alias() const;"),
			install{Version: version{2, 15, 0}, Standard: "c++17", NoAlignAs: true}},
	} {
		t.Run(name, func(t *testing.T) {
			root := c.tree.write(t, t.TempDir())
			got, err := inspect(root, "here")
			require.NoError(t, err)
			c.want.Origin, c.want.Root, c.want.Library, c.want.Include = "here", root, root+"/lib", root+"/include"
			assert.Equal(t, c.want, *got)
		})
	}
}

func TestInspectSaysWhatIsWrong(t *testing.T) {
	other := elf.EM_AARCH64
	if ownMachine() == other {
		other = elf.EM_X86_64
	}
	for name, c := range map[string]struct {
		tree tree
		want string
	}{
		"nothing there": {tree{"README": "hello"}, "no libtorch in"},
		"no headers":    {libtorch("2.7.1").with("include/torch/csrc/api/include/torch/all.h", ""), "headers are missing"},
		"no tensor":     {libtorch("2.7.1").with("include/ATen/core/TensorBody.h", ""), "headers are missing"},
		"no version":    {libtorch("2.7.1").with("version.py", ""), "cannot tell the version"},
		"too old":       {libtorch("2.0.1"), "libtorch 2.0.1 in"},
		"too new":       {libtorch("2.16.0"), "use a release from 2.1 to 2.15"},
		"major":         {libtorch("1.13.1"), "not supported"},
		"architecture":  {libtorch("2.7.1").with("lib/libc10.so", string(elfFile(other, newABISymbol))), "libc10.so is for " + other.String()},
		"not a library": {libtorch("2.7.1").with("lib/libc10.so", "version https://git-lfs"), "cannot use the libraries"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := inspect(c.tree.write(t, t.TempDir()), "here")
			assert.ErrorContains(t, err, c.want)
		})
	}
}
