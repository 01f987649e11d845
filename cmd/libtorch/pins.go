package main

import (
	"io"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// pinnedVersion is the release that is fetched where none is installed.
const pinnedVersion = "2.7.1"

// asset is one archive that holds part of the pinned libtorch.
type asset struct {
	name   string
	sha256 string
	client client
	// place gives the path below the install for an entry of the archive, "" to skip it.
	place func(entry string) string
}

// client gets one named archive into a folder through a program of this machine.
type client struct {
	name     string
	programs [][]string // alternatives, each a command prefix; the first that exists is used
	args     func(dir string) []string
	hint     string
}

// assets lists what the pinned libtorch is made of on a platform. The libraries
// for x86-64 come from the Maven artefact, which holds no headers; those are the
// same on all platforms and come from the wheel for aarch64, the smallest one
// without CUDA. For aarch64 that wheel has all.
func assets(platform string) []asset {
	wheel := asset{
		name:   "torch-2.7.1-cp311-cp311-manylinux_2_28_aarch64.whl",
		sha256: "236f501f2e383f1cb861337bdf057712182f910f10aeaf509065d54d339e49b2",
		client: pip("torch=="+pinnedVersion, "manylinux_2_28_aarch64"),
	}
	switch platform {
	case "linux/amd64":
		wheel.place = func(entry string) string { return below(entry, "torch/include/", "torch/include") }
		return []asset{{
			name:   "pytorch-native-cpu-2.7.1-linux-x86_64.jar",
			sha256: "1769928feaaa2389b4aa68390e7787ce1707290258b167d016a200fced4b8c39",
			client: maven("ai.djl.pytorch:pytorch-native-cpu:" + pinnedVersion + ":jar:linux-x86_64"),
			place:  func(entry string) string { return below(entry, "pytorch/cpu/linux-x86_64/", "torch/lib") },
		}, wheel}
	case "linux/arm64":
		wheel.place = func(entry string) string {
			if strings.HasSuffix(entry, "/libtorch_python.so") {
				return ""
			}
			return firstOf(below(entry, "torch/include/", "torch/include"),
				below(entry, "torch/lib/", "torch/lib"), below(entry, "torch.libs/", "torch.libs"))
		}
		return []asset{wheel}
	}
	return nil
}

// below moves an entry from one folder to another, "" if it is not in it.
func below(entry, from, to string) string {
	rest, ok := strings.CutPrefix(entry, from)
	if !ok || rest == "" || strings.HasSuffix(rest, "/") {
		return ""
	}
	return path.Join(to, rest)
}

func maven(artifact string) client {
	return client{
		name:     "Maven (mvn)",
		programs: [][]string{{"mvn"}},
		args: func(dir string) []string {
			return []string{"-B", "-q", "dependency:copy", "-Dartifact=" + artifact,
				"-DoutputDirectory=" + dir, "-Dmdep.overWriteReleases=true"}
		},
		hint: "install Maven (on Debian: apt-get install maven)",
	}
}

func pip(requirement, platform string) client {
	return client{
		name:     "pip",
		programs: [][]string{{"python3", "-m", "pip"}, {"python", "-m", "pip"}, {"pip3"}, {"pip"}},
		args: func(dir string) []string {
			return []string{"download", "--quiet", "--no-deps", "--only-binary=:all:", "--platform", platform,
				"--python-version", "311", "--implementation", "cp", "--abi", "cp311", "--dest", dir, requirement}
		},
		hint: "install Python 3 with pip (on Debian: apt-get install python3-pip)",
	}
}

// officialArchive is where the PyTorch project itself publishes the pinned release.
const officialArchive = "https://download.pytorch.org/libtorch/cpu/libtorch-cxx11-abi-shared-with-deps-" + pinnedVersion + "%2Bcpu.zip"

// officialFiles pins the libraries in it: they are the ones of the Maven artefact.
var officialFiles = map[string]string{
	"torch/lib/libc10.so":             "7c3bdb50fe83ab0041492ff747d948b52f26ece5e1102593f75e969210b0a34c",
	"torch/lib/libgomp-98b21ff3.so.1": "6b254201cafdc5389580d77139398a298f63ce3b139cfbcceade961ac0d721cb",
	"torch/lib/libtorch.so":           "aaa36e9d80c624fc796e0fd591ebe7a59262814f57bc639ec20f6ae91fadb760",
	"torch/lib/libtorch_cpu.so":       "8c4834a51853d0ee8cb7a8179709358bb3e8cb4c6a69994657486d46270a9d7d",
}

// sources lists the ways to the pinned libtorch for a platform, none where no
// libraries are published that were tried.
func sources(platform string, log io.Writer) []source {
	packages := assets(platform)
	switch {
	case platform == "linux/amd64":
		return []source{fromArchive(officialArchive, officialFiles, log), fromPackages(packages, log)}
	case packages != nil:
		return []source{fromPackages(packages, log)}
	}
	return nil
}

// pinnedDir is the folder of the fetched copy, pinnedRoot the libtorch in it.
func pinnedDir(cache string) string {
	return filepath.Join(cache, pinnedVersion+"-cpu-"+runtime.GOOS+"-"+runtime.GOARCH)
}

func pinnedRoot(cache string) string { return filepath.Join(pinnedDir(cache), "torch") }
