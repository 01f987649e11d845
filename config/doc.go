// Package config composes hierarchical configurations from YAML files and
// command-line overrides with the semantics of Hydra 1.3 and OmegaConf 2.3, and
// decodes the result strictly into Go structs.
//
//	c, err := config.Compose(config.Options{Overrides: []string{"model=yolo11n", "training.epochs=3"}})
//	run := config.DefaultRun()
//	err = config.Decode(c.Root, &run)
//	err = run.Validate()
//
// The flow is: a search path of folders and the shipped tree (Options), the
// defaults list of the primary file, one merged tree of Nodes, overrides,
// lazily resolved interpolations, and last Decode. Each Node remembers the file,
// line and column it was written at and the value it replaced, so that every
// error names its place and Explain can show where a value came from.
//
// What differs from Hydra on purpose is listed in docs/configuration.md.
package config
