package main

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// version is a libtorch release, without patch level where the headers do not tell.
type version struct{ major, minor, patch int }

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch) }

// supported says whether the forced-include header was tried with the release.
func (v version) supported() bool {
	return v.major == 2 && v.minor >= oldestMinor && v.minor <= newestMinor
}

const oldestMinor, newestMinor = 1, 15

// install is one libtorch on this machine, as its files describe it.
type install struct {
	Origin   string // how it was found, for people
	Root     string
	Library  string // folder of libtorch_cpu.so
	Include  string // folder of ATen/ and torch/
	Version  version
	Standard string // C++ standard that the headers ask for: c++17 or c++20
	OldABI   bool   // built with _GLIBCXX_USE_CXX11_ABI=0
	CUDA     bool   // libtorch_cuda.so is there

	NoAlignAs bool // Tensor::align_as is gone, with the named tensors of old
}

const headersHint = "the libraries are there but the headers are not; use a full libtorch or PyTorch"

// inspect reads what lies under root: an unpacked libtorch or the folder of the
// Python package torch. It returns errAbsent if there is none.
func inspect(root, origin string) (*install, error) {
	found := &install{Origin: origin, Root: root,
		Library: filepath.Join(root, "lib"), Include: filepath.Join(root, "include")}
	core := filepath.Join(found.Library, "libtorch_cpu.so")
	if _, err := os.Stat(core); err != nil {
		return nil, failed(errAbsent, "name the folder that holds lib/libtorch_cpu.so and include/",
			"%s: no libtorch in %s", origin, root)
	}
	header := filepath.Join(found.Include, "torch/csrc/api/include/torch/all.h")
	text, err := os.ReadFile(header)
	if err != nil {
		return nil, failed(err, headersHint, "%s: headers are missing", origin)
	}
	found.Standard = "c++17"
	if strings.Contains(string(text), "< 202002L") {
		found.Standard = "c++20"
	}
	tensor, err := os.ReadFile(filepath.Join(found.Include, "ATen/core/TensorBody.h"))
	if err != nil {
		return nil, failed(err, headersHint, "%s: headers are missing", origin)
	}
	found.NoAlignAs = !strings.Contains(string(tensor), " align_as(")
	if found.Version, err = readVersion(root); err != nil {
		return nil, failed(err, "", "%s: cannot tell the version of %s", origin, root)
	}
	if !found.Version.supported() {
		return nil, failf(fmt.Sprintf("use a release from 2.%d to 2.%d; %q gets %s", oldestMinor, newestMinor, "libtorch -fetched env", pinnedVersion),
			"%s: libtorch %s in %s is not supported", origin, found.Version, root)
	}
	if found.OldABI, err = readABI(filepath.Join(found.Library, "libc10.so")); err != nil {
		return nil, failed(err, "", "%s: cannot use the libraries in %s", origin, found.Library)
	}
	_, err = os.Stat(filepath.Join(found.Library, "libtorch_cuda.so"))
	found.CUDA = err == nil
	return found, nil
}

var (
	versionText  = regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)`)
	versionMacro = regexp.MustCompile(`(?m)^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) (\d+)`)
)

// readVersion looks where the different packages write the release: version.py
// (wheel), build-version (official archive), then the header version.h.
func readVersion(root string) (version, error) {
	for _, name := range []string{"version.py", "build-version"} {
		file, err := os.Open(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return version{}, err
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name == "version.py" && !strings.HasPrefix(lines.Text(), "__version__") {
				continue
			}
			if m := versionText.FindStringSubmatch(lines.Text()); m != nil {
				return version{number(m[1]), number(m[2]), number(m[3])}, nil
			}
		}
	}
	var v version
	for _, name := range []string{"torch/csrc/api/include/torch/version.h", "torch/headeronly/version.h"} {
		text, err := os.ReadFile(filepath.Join(root, "include", name))
		if err != nil {
			continue
		}
		for _, m := range versionMacro.FindAllStringSubmatch(string(text), -1) {
			switch m[1] {
			case "MAJOR":
				v.major = number(m[2])
			case "MINOR":
				v.minor = number(m[2])
			case "PATCH":
				v.patch = number(m[2])
			}
		}
		if v.major != 0 {
			return v, nil
		}
	}
	return v, errors.New("no version.py, build-version or version.h")
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // the regular expression admits digits only
	return n
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// readABI tells from the exported symbols of libc10 whether std::string is the
// pre-2011 one: such a library never names namespace std::__cxx11.
func readABI(library string) (old bool, err error) {
	file, err := elf.Open(library)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if want, ok := machines[runtime.GOARCH]; ok && file.Machine != want {
		return false, failf("get the libraries for "+runtime.GOARCH, "%s is for %s", library, file.Machine)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return false, err
	}
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "_ZN3c10") && s.Section != elf.SHN_UNDEF && strings.Contains(s.Name, "__cxx11") {
			return false, nil
		}
	}
	return true, nil
}
