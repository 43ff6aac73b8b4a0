# make help tells what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-vm checks nocgo tests test-faults soak fuzz parsediff bench parity parity-l7 parity-ndpireader generate check-generate clean

# Looked up where it is used: setup may have installed it a line before.
GO = $(or $(shell tools/setup/go.sh),$(error no Go that is new enough: run tools/setup/setup.sh))
export PATH := $(PATH):/usr/sbin:/sbin

# NDPI_PREFIX=DIR takes the libndpi that was installed under DIR, for building
# and for running, instead of the one that pkg-config finds. CPPFLAGS as well, since
# what pkg-config says is no reason for Go to build a package anew.
ifdef NDPI_PREFIX
NDPI := $(shell tools/setup/ndpi.sh '$(NDPI_PREFIX)')
ifeq ($(NDPI),)
$(error no libndpi under NDPI_PREFIX=$(NDPI_PREFIX))
endif
export CGO_CPPFLAGS := -I$(word 1,$(NDPI)) $(filter -D%,$(NDPI)) $(CGO_CPPFLAGS)
export PKG_CONFIG_PATH := $(word 2,$(NDPI)):$(PKG_CONFIG_PATH)
endif

# Tests that need root get it by themselves; nothing is compiled as root.
AS_ROOT = $(if $(filter 0,$(shell id -u)),,-exec "sudo -E env PATH=$(dir $(GO)):$(PATH)")
TIMEOUT ?= 10m
T ?= 30s
N ?= 1000000
CAPTURES ?= ../shared/captures

help: ## Tell what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing, through apt
	@tools/setup/setup.sh

build: setup ## Build bin/weir
	$(GO) build -o bin/weir ./cmd/weir

demo: build ## Meter real servers and clients in two network namespaces
	@tools/demo/demo.sh bin/weir

test: checks $(if $(CI),shortfuzz) tests ## Run all checks and tests, those that need root included

checks: setup
	@bad=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) vet -tags nodpi ./...
	$(GO) build ./...
	CGO_ENABLED=0 $(GO) build ./...
	@tools/setup/generate.sh --check

# All tests, then those of the library and of the program once more as they are
# built without cgo. Packages one after the other: several make namespaces and
# measure. A skipped test fails the run, but for those that hold weir to the
# reference's answers, where these do not lie beside the repository.
REFERENCE = TestLabelsEqualTheReference,TestEveryDifferenceHasItsRule,TestCoreColumnsAreTheReferences,TestColumnsOfShortFlowsAreTheReferences,TestOrderOfColumnsIsTheReferences,TestReadingIsTheReferences
ALLOW = $(if $(wildcard ../shared/captures),,-allow $(REFERENCE))

tests: setup
	@run() { "$$@" $(GO) test -json -count=1 -p 1 -timeout $(TIMEOUT) $(AS_ROOT) $${packages}; }; \
	{ status=0; \
	  packages=./... run env || status=1; \
	  packages="./userspace/... ./cmd/weir/..." run env CGO_ENABLED=0 || status=1; \
	  exit $$status; } | $(GO) run ./tools/tally $(ALLOW)

# A line for each fault that weir has to survive; make test runs the same tests, and
# not what takes other commands: fuzzing, another kernel, measuring.
ROWS ?=
FAULTS = PATH="$(dir $(GO)):$(PATH)" $(GO) run ./tools/faults $(AS_ROOT)

test-faults: setup ## Show, row by row, what weir survives (ROWS="A1 B9": these only)
	@$(FAULTS) $(ROWS)

soak: setup ## The same at full strength: an hour or more on an idle machine
	@$(FAULTS) -soak -timeout 3h -to build/soak.txt $(ROWS)

# The machine is emulated and takes no root, but for what apt installs.
test-vm: setup ## Run the BPF tests on Linux 6.1 in qemu (KERNEL=IMAGE: on another)
	@image=$$(tools/vm/prepare.sh $(KERNEL)); \
	PATH="$(dir $(GO)):$$PATH" $(GO) run ./tools/vm -kernel "$$image" $(VMFLAGS) | $(GO) run ./tools/tally

# Targets below bpf/ load BPF programs.
FUZZ ?= Fuzz\w+
fuzz: setup ## Fuzz every target, each for T=30s (FUZZ='FuzzReader|FuzzDecode': these only)
	@git grep -hoE '^func ($(FUZZ))\b' -- '*_test.go' >/dev/null || { echo "no fuzz targets"; exit 1; }
	@git grep -oE '^func ($(FUZZ))\b' -- '*_test.go' | while IFS=: read -r file target; do \
		as_root=(); [[ $$file != bpf/* ]] || as_root=($(AS_ROOT)); \
		echo "fuzz $${target#func } in $$(dirname $$file) for $(T)"; \
		$(GO) test "$${as_root[@]}" -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(T) "./$$(dirname $$file)" </dev/null; \
	done

.PHONY: shortfuzz
shortfuzz: checks
	@$(MAKE) --no-print-directory fuzz T=30s

parsediff: setup ## Compare the decoders of kernel and Go on N=1000000 mutated frames
	$(GO) build -o bin/parsediff ./tools/parsediff
	$(if $(filter 0,$(shell id -u)),,sudo) bin/parsediff -n $(N) $(if $(SEED),-seed $(SEED)) testdata $(CAPTURES)

.PHONY: hostile
hostile: T = 60s
hostile: setup ## Show nDPI every truncation of captures, and anything for T=60s
	WEIR_TRUNCATE=all $(GO) test -count=1 -timeout 60m -v -run '^Test(Every|Foreign)' ./dpi
	$(GO) test -run '^$$' -fuzz '^FuzzSamples$$' -fuzztime $(T) -fuzzminimizetime 10x ./dpi

bench: setup ## Print ratios of speed, measured side by side
	$(GO) run $(AS_ROOT) ./tools/bench $(BENCHFLAGS)

# A folder of captures kept aside may hold the answers itself.
parity: setup ## Compare with nfstream's answers in CAPTURES
	$(GO) run ./tools/parity $(CAPTURES) $(CAPTURES)/nfstream $(CAPTURES)/cases

parity-l7: setup ## Compare labels with nfstream's answers in CAPTURES, by 20 dissections and by 8
	$(GO) run ./tools/parity -l7 $(firstword $(wildcard $(CAPTURES)/nfstream) $(CAPTURES))

parity-ndpireader: setup ## Compare labels with ndpiReader's over testdata and CAPTURES
	$(GO) run ./tools/parity -ndpireader testdata $(if $(filter file,$(origin CAPTURES)),$(wildcard $(CAPTURES)),$(CAPTURES))

generate: setup ## Compile the BPF objects anew
	tools/setup/generate.sh

check-generate: setup ## Tell whether the committed BPF objects are what the sources give
	tools/setup/generate.sh --check

clean: ## Remove what was built
	rm -rf bin build
