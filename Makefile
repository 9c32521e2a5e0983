# SPDX-License-Identifier: Apache-2.0
# `make help` explains every target. CI runs `make test` and nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup setup-demo setup-tests setup-reference build build-tests test demo arrows lint format sanitize bench exact clean

# One build configuration for demo, tests and benchmarks. An undeclared import of a sibling room is an error.
SWIFT_FLAGS := -c release --explicit-target-dependency-import-check error
VENV := .build/venv
REFERENCE_VENV := .build/venv-reference
# REFERENCE_PYTHON may name another Python that has the packages of training/requirements-reference.txt.
REFERENCE_PYTHON ?= $(REFERENCE_VENV)/bin/python
# Time limits in seconds, so that every command ends.
BUILD_LIMIT := 2700
TEST_LIMIT := 2400

# Debian packages that the build links with, and that demo and tests run.
BUILD_PACKAGES := g++ git libssl-dev zlib1g-dev libdcmtk-dev libopenblas-dev libdnnl-dev libre2-dev libpng-dev libjpeg-dev libopenjp2-7-dev libavcodec-dev libavformat-dev libsqlite3-dev
DEMO_PACKAGES := dcmtk orthanc python3
TEST_PACKAGES := $(DEMO_PACKAGES) openssl dicom3tools ffmpeg libfaketime nodejs strace python3-venv

help: ## Explain every target
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile
	@echo 'Missing Debian packages are installed with apt, as root or with sudo.'

setup: ## Install the Debian packages that the build needs
	@command -v swift >/dev/null || { echo 'swift is not in PATH: install Swift 6.2 or newer from swift.org/install' >&2; exit 1; }
	@scripts/packages.sh $(BUILD_PACKAGES)

setup-demo: setup
	@scripts/packages.sh $(DEMO_PACKAGES)

setup-tests: setup ## Install Orthanc, DICOM checkers and a Python environment (.build/venv) for the tests
	@scripts/packages.sh $(TEST_PACKAGES)
	@scripts/venv.sh $(VENV) conformance/requirements.txt

setup-reference: setup-tests ## Install PyTorch, segment-anything, ONNX Runtime and OpenVINO (several GB)
	@scripts/venv.sh $(REFERENCE_VENV) training/requirements-reference.txt

build: setup ## Build the executable: .build/release/kontur
	timeout $(BUILD_LIMIT) swift build $(SWIFT_FLAGS) --product kontur

build-tests: setup-tests
	timeout $(BUILD_LIMIT) swift build $(SWIFT_FLAGS) --build-tests

demo: setup-demo build ## Run the main job with a real archive; STUDY=folder uses your own files
	timeout --foreground 1800 /usr/bin/python3 conformance/demo.py $(if $(STUDY),--study '$(STUDY)')

# Tests run one after the other: many watch deadlines, which other tests would shift.
SWIFT_TEST := timeout --foreground $(TEST_LIMIT) swift test $(SWIFT_FLAGS) --skip-build --disable-xctest --no-parallel
test: build-tests arrows lint ## Run all tests, also end to end; CI runs this target
	$(SWIFT_TEST) --skip EndToEndTests
	$(SWIFT_TEST) --filter EndToEndTests

arrows: ## Check that every room imports only the modules that arrows.txt allows
	@scripts/arrows.sh --self-test
	@scripts/arrows.sh

# The formatters of other toolchains differ in details. The formatter of CI (Swift 6.3) decides.
lint: ## Check the format of all Swift files (needs Swift 6.3)
	@if swift --version 2>&1 | grep -q 'Swift version 6\.3'; then \
		timeout 300 swift format lint --strict --parallel --recursive Package.swift Sources Tests && echo 'format: all files follow .swift-format'; \
	else echo 'format: not checked, because this needs Swift 6.3'; fi

format: ## Format all Swift files
	timeout 300 swift format --in-place --parallel --recursive Package.swift Sources Tests

# The rooms with C, threads or parsers. Each sanitizer has its own build: .build-address and .build-thread.
SANITIZED ?= DICOMTests|ImagingTests|PersistenceTests|RoutingTests|SupervisionTests|PipelineTests
# The rooms of the kernels, which are too slow without optimization. Their threads keep memory to the end of the process,
# and the thread sanitizer does not know OpenMP.
SANITIZED_KERNELS ?= InferenceTests|SegmentationTests
sanitize: setup-tests ## Run the suites under the address and thread sanitizers (takes long)
	for kind in address thread; do \
		timeout 7200 swift test --sanitize=$$kind --scratch-path .build-$$kind --disable-xctest --filter '$(SANITIZED)' || exit 1; \
	done
	ASAN_OPTIONS=detect_leaks=0 timeout 7200 swift test -c release --sanitize=address --scratch-path .build-address --disable-xctest --no-parallel --filter '$(SANITIZED_KERNELS)'

bench: setup-tests build $(if $(findstring venv-reference,$(REFERENCE_PYTHON)),setup-reference) ## Measure hot paths, ingest, inference, and SAM beside its peers (takes long)
	timeout $(BUILD_LIMIT) swift build $(SWIFT_FLAGS) --product Benchmarks
	OMP_WAIT_POLICY=passive timeout --foreground 1800 .build/release/Benchmarks
	timeout --foreground 3600 $(VENV)/bin/python conformance/bench_inference.py
	timeout --foreground 7200 $(VENV)/bin/python conformance/bench_ingest.py
	timeout --foreground 900 $(VENV)/bin/python conformance/bench_backlog.py
	timeout --foreground 7200 $(REFERENCE_PYTHON) conformance/bench_encoder.py
	timeout --foreground 3600 $(REFERENCE_PYTHON) conformance/bench_encoder.py --prompt
	timeout --foreground 7200 $(REFERENCE_PYTHON) conformance/bench_encoder.py --automatic
	timeout --foreground 7200 $(REFERENCE_PYTHON) conformance/bench_tracker.py
	timeout --foreground 3600 $(REFERENCE_PYTHON) conformance/bench_tracker.py --sizes t:512 --volume 88

exact: build $(if $(findstring venv-reference,$(REFERENCE_PYTHON)),setup-reference) ## Compare full-size networks with the reference packages (takes long; ViT-H needs 12 GB of memory)
	timeout $(BUILD_LIMIT) swift build $(SWIFT_FLAGS) --product Benchmarks
	timeout --foreground 7200 $(REFERENCE_PYTHON) -m training.references.exact_sam .build/release/Benchmarks
	timeout --foreground 7200 $(REFERENCE_PYTHON) -m training.references.exact_sam .build/release/Benchmarks lite:bf16 vit_b:bf16
	timeout --foreground 7200 $(REFERENCE_PYTHON) -m training.references.exact_sam2 .build/release/Benchmarks
	for family in sam medsam lite-medsam medsam-compact; do \
		KONTUR_INFERENCE=fp32 timeout --foreground 1200 $(REFERENCE_PYTHON) conformance/checks/exact.py --family $$family || exit 1; \
	done

clean: ## Remove all build products and the demo output
	rm -rf .build .build-address .build-thread demo-output
