package mlflow

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/wildtrain/sdk/checkpoint"
)

// sourceTags tell who ran which program of which commit: of the working folder,
// else of the build.
func sourceTags(ctx context.Context) map[string]string {
	tags := map[string]string{tagSourceIs: "LOCAL", tagUser: userName()}
	if name, err := os.Executable(); err == nil {
		tags[tagSource] = filepath.Base(name)
	}
	e := checkpoint.CollectEnvironment(ctx, nil)
	tags["wildtrain.go"], tags["wildtrain.host"] = e.Go, e.Host
	if e.GitCommit != "" {
		tags[tagCommit], tags[tagBranch] = e.GitCommit, e.GitBranch
		if e.GitDirty {
			tags["wildtrain.git.dirty"] = "true"
		}
		if repo := origin(ctx); repo != "" {
			tags[tagRepo] = repo
		}
		return tags
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				tags[tagCommit] = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				tags["wildtrain.git.dirty"] = "true"
			}
		}
	}
	return tags
}

// origin is the address of the repository, without a password.
func origin(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "config", "--get", "remote.origin.url").Output()
	if err != nil {
		return ""
	}
	text := strings.TrimSpace(string(out))
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if i := strings.LastIndex(strings.SplitN(rest, "/", 2)[0], "@"); i >= 0 {
			text = scheme + "://" + rest[i+1:]
		}
	}
	return text
}

func userName() string {
	if name := first(os.Getenv("LOGNAME"), os.Getenv("USER"), os.Getenv("USERNAME")); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
