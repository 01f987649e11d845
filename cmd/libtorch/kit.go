package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var (
	//go:embed kit/compat.h
	compatHeader string
	//go:embed kit/cxx.sh
	driverScript string
)

// hardwired are the CUDA libraries which gotch's libtch names in its linker flags.
var hardwired = []string{"cuda", "cudart", "cublas", "cudnn", "caffe2_nvrtc", "nvrtc-builtins",
	"nvrtc", "nvToolsExt", "c10_cuda", "torch_cuda"}

// kit is a small folder that stands beside one install: compiler driver, forced
// include and stub archives. Its name holds a hash of all it contains, so cgo's
// cache, which sees only the path in CXX, rebuilds exactly when something changed.
type kit struct {
	dir    string
	driver string // the value of CXX
}

// makeKit writes the kit for an install below cache, or finds it written.
func makeKit(cache string, in *install, compiler string) (*kit, error) {
	name, script := renderKit(cache, in, compiler)
	dir := filepath.Join(cache, name)
	made := &kit{dir: dir, driver: filepath.Join(dir, "cxx")}
	if _, err := os.Stat(made.driver); err == nil {
		return made, nil
	}
	temp, err := os.MkdirTemp(cache, "kit-*.partial")
	if err != nil {
		return nil, fmt.Errorf("libtorch: write kit: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := writeKit(temp, in, script); err != nil {
		return nil, fmt.Errorf("libtorch: write kit: %w", err)
	}
	// Two processes may get here at once; they write the same, so losing is fine.
	if err := os.Rename(temp, dir); err != nil {
		if _, lost := os.Stat(made.driver); lost != nil {
			return nil, fmt.Errorf("libtorch: write kit: %w", err)
		}
	}
	return made, nil
}

// renderKit gives the folder's name and the driver's text, with that name in it.
func renderKit(cache string, in *install, compiler string) (name, script string) {
	settings := func(dir string) string {
		abi := "-D_GLIBCXX_USE_CXX11_ABI=1"
		if in.OldABI {
			abi = "-D_GLIBCXX_USE_CXX11_ABI=0"
		}
		var text strings.Builder
		for _, s := range [][2]string{
			{"compiler", compiler}, {"kit", dir}, {"include", in.Include}, {"library", in.Library},
			{"standard", in.Standard}, {"abi", abi}, {"defines", strings.Join(in.defines(), " ")},
			{"link_flags", strings.Join(linkFlags(in), " ")},
		} {
			fmt.Fprintf(&text, "%s=%s\n", s[0], quote(s[1]))
		}
		return strings.Replace(driverScript, "@SETTINGS@\n", text.String(), 1)
	}
	sum := sha256.Sum256([]byte(settings("") + "\x00" + compatHeader + "\x00" + strings.Join(stubs(in), " ")))
	name = fmt.Sprintf("kit-%s-%s", in.Version, hex.EncodeToString(sum[:6]))
	return name, settings(filepath.Join(cache, name))
}

// defines tell the forced include what it cannot ask the compiler.
func (in *install) defines() []string {
	var names []string
	if in.NoAlignAs {
		names = append(names, "-DWILDTRAIN_NO_ALIGN_AS")
	}
	if in.CUDA {
		names = append(names, "-DWILDTRAIN_CUDA")
	}
	return names
}

// linkFlags are the linker's orders beyond -L and -rpath. A CUDA build of
// libtorch refers to driver symbols which a machine without the NVIDIA driver
// lacks: they may stay open inside shared libraries, and what the program does
// not use is not loaded.
func linkFlags(in *install) []string {
	if !in.CUDA {
		return nil
	}
	return []string{"-Wl,--as-needed", "-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"}
}

// stubs are the hardwired libraries which the install lacks.
func stubs(in *install) []string {
	var names []string
	for _, name := range hardwired {
		if _, err := os.Stat(filepath.Join(in.Library, "lib"+name+".so")); err != nil {
			names = append(names, name)
		}
	}
	return names
}

func writeKit(dir string, in *install, script string) error {
	if err := os.Mkdir(filepath.Join(dir, "stubs"), 0o755); err != nil {
		return err
	}
	const emptyArchive = "!<arch>\n"
	for _, name := range stubs(in) {
		if err := os.WriteFile(filepath.Join(dir, "stubs", "lib"+name+".a"), []byte(emptyArchive), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "compat.h"), []byte(compatHeader), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cxx"), []byte(script), 0o755)
}

// quote makes one shell word.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
