package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wildtrain/sdk/detection"
	"github.com/wildtrain/sdk/pipeline"
)

func (a *app) model() *cobra.Command {
	m := &cobra.Command{Use: "model", Short: "List, describe, run and convert models"}
	m.AddCommand(
		&cobra.Command{Use: "list", Short: "List the architectures", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.print(detection.Architectures())
			}
			for _, n := range detection.Architectures() {
				fmt.Fprintln(a.out, n)
			}
			return nil
		}},
		&cobra.Command{Use: "info [weights=FILE] [model=NAME] [model.classes=N]", Short: "Describe a model", RunE: a.info},
		&cobra.Command{Use: "forward weights=FILE in=X.safetensors out=Y.safetensors [model=NAME] [model.classes=N]", Short: "Run the raw network on stored tensors", RunE: a.forward},
		&cobra.Command{Use: "convert weights=FILE out=FILE", Short: "Rewrite weights as .safetensors or .pt", RunE: a.convert},
	)
	return m
}

// modelSettings composes settings in which the weights, if given, say what the
// command line does not.
func (a *app) modelSettings(args []string, own ...string) (pipeline.Settings, map[string]string, error) {
	mine, overrides, err := words(args, append(own, "weights")...)
	if err != nil {
		return pipeline.Settings{}, nil, err
	}
	for _, k := range own {
		if mine[k] == "" {
			return pipeline.Settings{}, nil, usagef("%s=… is missing", k)
		}
	}
	s, err := pipeline.ComposeFor(mine["weights"], a.options(overrides))
	return s, mine, err
}

func (a *app) info(_ *cobra.Command, args []string) error {
	s, _, err := a.modelSettings(args)
	if err != nil {
		return err
	}
	i, err := a.env().Info(s)
	if err != nil {
		return err
	}
	if a.json {
		return a.print(i)
	}
	fmt.Fprintf(a.out, "architecture  %s\nparameters    %d (%d when fused)\ntensors       %d\nstrides       %v\nclasses       %d %q\n",
		i.Architecture, i.Parameters, i.Fused, i.Tensors, i.Strides, len(i.Classes), i.Classes)
	if i.License != "" {
		fmt.Fprintf(a.out, "licence       %s\n", i.License)
	}
	return nil
}

func (a *app) forward(cmd *cobra.Command, args []string) error {
	s, mine, err := a.modelSettings(args, "in", "out")
	if err != nil {
		return err
	}
	if mine["weights"] == "" {
		return usagef("weights=… is missing")
	}
	return a.env().Forward(cmd.Context(), s, mine["in"], mine["out"])
}

func (a *app) convert(_ *cobra.Command, args []string) error {
	mine, rest, err := words(args, "weights", "out")
	if err != nil {
		return err
	}
	if len(rest) > 0 || mine["weights"] == "" || mine["out"] == "" {
		return usagef("convert wants weights=FILE out=FILE")
	}
	n, err := a.env().Convert(mine["weights"], mine["out"])
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%d tensors in %s\n", n, mine["out"])
	return nil
}
