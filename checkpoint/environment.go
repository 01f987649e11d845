package checkpoint

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Environment is what environment.json tells about where and how a run was made.
type Environment struct {
	Started   time.Time         `json:"started"`
	Command   []string          `json:"command"` // values that look like secrets are masked
	Dir       string            `json:"dir"`
	Host      string            `json:"host"`
	OS        string            `json:"os"`
	Arch      string            `json:"arch"`
	CPUs      int               `json:"cpus"`
	Go        string            `json:"go"`
	SDK       string            `json:"sdk"`
	GitCommit string            `json:"git_commit,omitempty"` // of the working folder
	GitBranch string            `json:"git_branch,omitempty"`
	GitDirty  bool              `json:"git_dirty,omitempty"`
	Modules   map[string]string `json:"modules"`         // Go modules in this program
	Extra     map[string]string `json:"extra,omitempty"` // libtorch, device, threads: the caller knows
}

// CollectEnvironment gathers what Go can know. extra (libtorch's version, the
// device, say) may be nil. Where git is missing its fields stay empty.
func CollectEnvironment(ctx context.Context, extra map[string]string) Environment {
	e := Environment{
		Started: time.Now(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
		Go: runtime.Version(), SDK: versions()["wildtrain"], Modules: map[string]string{}, Extra: extra,
	}
	e.Host, _ = os.Hostname()
	e.Dir, _ = os.Getwd()
	for _, arg := range os.Args {
		e.Command = append(e.Command, maskSecret(arg))
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			e.Modules[m.Path] = m.Version
		}
	}
	e.GitCommit = git(ctx, "rev-parse", "HEAD")
	if e.GitCommit != "" {
		e.GitBranch = git(ctx, "rev-parse", "--abbrev-ref", "HEAD")
		e.GitDirty = git(ctx, "status", "--porcelain", "--untracked-files=no") != ""
	}
	return e
}

// WriteEnvironment collects the environment and writes it to the run's
// environment.json. extra is as in CollectEnvironment.
func (r *Run) WriteEnvironment(extra map[string]string) error {
	return r.WriteJSON("environment.json", CollectEnvironment(context.Background(), extra))
}

func git(ctx context.Context, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

var (
	secretKey = regexp.MustCompile(`(?i)^([^=]*(?:password|passwd|secret|token|api_?key|credential)[^=]*)=.+`)
	userinfo  = regexp.MustCompile(`(://[^/@:\s]*):[^/@\s]+@`)
)

// maskSecret hides the value of key=value arguments whose key speaks of
// secrets, and passwords inside addresses.
func maskSecret(arg string) string {
	return userinfo.ReplaceAllString(secretKey.ReplaceAllString(arg, "$1=***"), "$1:***@")
}
