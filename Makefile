# Targets for people; `make help` lists them.
#
#   LIBTORCH_FLAGS  which libtorch: "" (whatever is installed, else the pinned one),
#                   "-fetched" (the pinned one), "-python /path/to/python" (that PyTorch)
#   TESTFLAGS       further flags for go test
#   FUZZTIME        time for each fuzz target

SHELL := /bin/sh
LIBTORCH_FLAGS ?=
TESTFLAGS ?=
FUZZTIME ?= 20s
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wildtrain

# The environment is made by the recipe that needs it, so `make quick` never asks for libtorch.
ENV = environment=$$(go run ./cmd/libtorch $(LIBTORCH_FLAGS) env) && eval "$$environment"

.PHONY: help quick test race parity soak matrix bench fuzz lint quickstart outside

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  %-12s %s\n' "$$name" "$$text"; done

quick: ## pure packages only: build, vet and test without cgo, then with the race detector
	@set -e; packages=$$(.ci/packages pure); set -x; \
	export CGO_ENABLED=0; go build $$packages; go vet $$packages; go test $(TESTFLAGS) $$packages; \
	CGO_ENABLED=1 go test -race $(TESTFLAGS) $$packages

test: quick ## everything, on checked-in goldens, without Python
	@set -e; $(ENV); packages=$$(.ci/packages cgo); set -x; \
	go vet $$packages; go test $(TESTFLAGS) $$packages

race: ## the torch packages under the race detector and a garbage collection at every chance
	@set -e; $(ENV); set -x; GOGC=1 go test -race -short $(TESTFLAGS) $$(.ci/packages cgo)

parity: ## live against the Python peers, in a virtual environment made here (needs pip)
	@set -e; sh parity/setup.sh "$(CACHE)/peers"; sh parity/setup_optuna.sh "$(CACHE)/optuna"; $(ENV); set -x; \
	WILDTRAIN_OPTUNA="$(CACHE)/optuna/bin/python:$(CACHE)/optuna-4.9/bin/python" \
	WILDTRAIN_PEER="$(CACHE)/peers/bin/python" go test -tags parity -count=1 -run Parity -timeout 60m $(TESTFLAGS) ./...

soak: ## memory over a thousand training steps
	@set -e; $(ENV); set -x; WILDTRAIN_SOAK=1 WILDTRAIN_STEPS=4000 go test -count=1 -v -run 'Memory' ./detection ./torch/optim

matrix: ## the torch tests on the oldest, the pinned and the newest libtorch (needs pip)
	@CACHE="$(CACHE)" .ci/matrix $(VERSIONS)

bench: ## the Go benchmarks; the comparison with the Python peers is described in bench/
	@set -e; $(ENV); set -x; go test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...

fuzz: ## each fuzz target for FUZZTIME
	@set -e; go list -f '{{.Dir}}|{{.ImportPath}}' $$(.ci/packages pure) | while IFS='|' read -r dir package; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go 2>/dev/null); do \
			echo "$$package $$name"; CGO_ENABLED=0 go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null; \
		done; done

lint: ## formatting, vet, staticcheck, and the rules of this project that are tests
	@set -e; unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }; \
	$(ENV); set -x; go vet ./...; go test -count=1 -run 'Structure|Rule' .; \
	go tool -modfile=tools/go.mod staticcheck ./...

quickstart: ## from nothing: train a small YOLO11n on the shipped data set, evaluate, predict
	@set -e; $(ENV); sh examples/quickstart.sh

outside: ## the README's program as a module outside this tree
	@LIBTORCH_FLAGS="$(LIBTORCH_FLAGS)" .ci/outside
