package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// fromPackages is the source that asks the machine's own package clients, with
// whatever proxy or mirror they are set up for.
func fromPackages(assets []asset, log io.Writer) source {
	log = &serial{to: log}
	return source{name: "the package clients", fill: func(ctx context.Context, downloads, partial string) error {
		problems := make([]error, len(assets))
		var group sync.WaitGroup
		for i, a := range assets {
			group.Go(func() { problems[i] = a.get(ctx, downloads, log) })
		}
		group.Wait()
		if err := errors.Join(problems...); err != nil {
			return err
		}
		for _, a := range assets {
			fmt.Fprintf(log, "libtorch: unpacking %s\n", a.name)
			if err := unzip(ctx, filepath.Join(downloads, a.name), partial, a.place); err != nil {
				return err
			}
		}
		return nil
	}}
}

// get runs the asset's client, twice at most, until the pinned bytes are there.
func (a asset) get(ctx context.Context, dir string, log io.Writer) error {
	if checkFile(filepath.Join(dir, a.name), a.sha256) == nil {
		return nil
	}
	command, err := a.client.find()
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		fmt.Fprintf(log, "libtorch: fetching %s with %s\n", a.name, command[0])
		err := a.getOnce(ctx, dir, command)
		if err == nil || ctx.Err() != nil || attempt == 2 {
			return err
		}
		fmt.Fprintf(log, "libtorch: once more: %v\n", err)
	}
}

func (a asset) getOnce(ctx context.Context, dir string, command []string) error {
	temp, err := os.MkdirTemp(dir, "get-*")
	if err != nil {
		return fmt.Errorf("libtorch: fetch %s: %w", a.name, err)
	}
	defer os.RemoveAll(temp)
	var said tail
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], a.client.args(temp)...)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return failed(err, "check the network and the settings of "+command[0]+" (proxy, mirror), or set LIBTORCH to an unpacked libtorch",
			"%s could not fetch %s: %s", command[0], a.name, said.gist())
	}
	got := filepath.Join(temp, a.name)
	if err := checkFile(got, a.sha256); err != nil {
		return failed(err, "what "+command[0]+" gave is not the pinned file; a mirror or proxy may have changed it",
			"fetch %s", a.name)
	}
	return os.Rename(got, filepath.Join(dir, a.name))
}

// find gives the first of the client's programs that this machine has.
func (c client) find() ([]string, error) {
	for _, p := range c.programs {
		if exec.Command(p[0], append(p[1:len(p):len(p)], "--version")...).Run() == nil {
			return p, nil
		}
	}
	return nil, failed(exec.ErrNotFound, c.hint+", or set LIBTORCH to an unpacked libtorch",
		"cannot fetch libtorch without %s", c.name)
}

// serial lets several goroutines write to what takes one write at a time.
type serial struct {
	mu sync.Mutex
	to io.Writer
}

// Write passes the bytes on.
func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(p)
}

// tail keeps the last few kilobytes that a client printed.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write appends and forgets what is too old.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - 8<<10; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(p), nil
}

// gist is the client's first line that speaks of an error (later ones are
// advice), or its last line.
func (t *tail) gist() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	for _, line := range lines {
		if line = strings.TrimSpace(line); strings.Contains(strings.ToUpper(line), "ERROR") && len(line) > len("[ERROR]") {
			return line
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
