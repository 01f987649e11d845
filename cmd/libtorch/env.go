package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// environment is what a build needs. CXX alone makes gotch and the SDK compile,
// link and find their libraries at run time; the rest is for people and tools.
type environment struct {
	CXX        string `json:"CXX"`
	CGOEnabled string `json:"CGO_ENABLED"`
	Root       string `json:"root"`
	Library    string `json:"library"`
	Include    string `json:"include"`
	Version    string `json:"version"`
	CUDA       bool   `json:"cuda"`
}

// prepare resolves an install and writes its kit.
func prepare(ctx context.Context, find *resolver) (*install, *kit, error) {
	compiler, err := findCompiler(find.env)
	if err != nil {
		return nil, nil, err
	}
	found, err := find.resolve(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := checkStandard(ctx, compiler, found); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(find.cache, 0o755); err != nil {
		return nil, nil, fmt.Errorf("libtorch: make cache: %w", err)
	}
	made, err := makeKit(find.cache, found, compiler)
	return found, made, err
}

func printEnv(ctx context.Context, find *resolver, format string, out io.Writer) error {
	if !slices.Contains([]string{"sh", "fish", "json"}, format) {
		return failf("sh, fish or json", "env: unknown format %q", format)
	}
	found, made, err := prepare(ctx, find)
	if err != nil {
		return err
	}
	e := environment{CXX: made.driver, CGOEnabled: "1", Root: found.Root, Library: found.Library,
		Include: found.Include, Version: found.Version.String(), CUDA: found.CUDA}
	switch format {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e)
	case "fish":
		_, err = fmt.Fprintf(out, "set -gx CXX %s;\nset -gx CGO_ENABLED 1;\n", quote(e.CXX))
	default:
		_, err = fmt.Fprintf(out, "export CXX=%s\nexport CGO_ENABLED=1\n", quote(e.CXX))
	}
	return err
}

func printFetch(ctx context.Context, fetch *fetcher, out io.Writer) error {
	found, err := fetch.fetch(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, found.Root)
	return err
}

func printPath(ctx context.Context, find *resolver, out io.Writer) error {
	found, err := find.resolve(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, found.Root)
	return err
}
