package main

import (
	"context"
	"fmt"
	"io"
)

// doctor goes through what a build needs and prints one line for each.
func doctor(ctx context.Context, find *resolver, out io.Writer) error {
	found, made, err := prepare(ctx, find)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "libtorch %s (%s) in %s\ndriver %s\n", found.Version, found.Origin, found.Root, made.driver)
	return err
}
