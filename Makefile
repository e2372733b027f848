# SPDX-License-Identifier: Apache-2.0
# The front-door commands, thin over Meson. `make help` lists them.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
MESON_FLAGS ?=
PYTHON ?= /usr/bin/python3
# Meson before 1.7 counts test programs to `all`.
PROGRAMS = volantd volar fledge volant-shim volant-fetch kestrel

.PHONY: all
all: $(BUILD)/build.ninja ## Build the programs into BUILD=build (under a minute)
	@ninja -C $(BUILD) $(PROGRAMS)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo 'meson is missing: run scripts/install-deps' >&2; exit 1; }
	@meson setup --prefix=$(PREFIX) $(MESON_FLAGS) $(BUILD)

.PHONY: kernel
kernel: $(BUILD)/build.ninja ## Build the guest kernels (about 6 minutes the first time, then cached)
	@kernel/build.sh --output $(BUILD)/kernel
	@ninja -C $(BUILD) --quiet kestrel
	@kernel/bake.sh --kestrel $(BUILD)/kestrel --kernel $(BUILD)/kernel

.PHONY: quickstart
quickstart: ## From nothing to a page served by a microVM
	@BUILD=$(BUILD) scripts/quickstart

.PHONY: check
check: all kernel ## Unit and short end-to-end tests (about 8 minutes on two idle cores)
	@$(PYTHON) scripts/run-checks --build $(BUILD) unit e2e

.PHONY: check-all
check-all: all kernel ## All tests: also sanitizers, lint and the long ones
	@$(PYTHON) scripts/run-checks --build $(BUILD) unit e2e lint sanitizers threads long proof

.PHONY: conformance
conformance: all kernel ## MCP against its conformance suite and official clients, which npm fetches
	@$(PYTHON) scripts/run-checks --build $(BUILD) conformance

.PHONY: fuzz-api
fuzz-api: all ## 10,000 cases of schemathesis, which pip fetches, against a volantd (some minutes)
	@VOLANT_BUILD_DIR=$(abspath $(BUILD)) tests/fuzz/api

.PHONY: format
format: ## Format the C and C++ sources as CI wants them
	@find src tests examples -name '*.[ch]' -o -name '*.cc' | xargs clang-format-14 -i

.PHONY: bench
bench: all kernel ## Boot time and a fleet against bare QEMU, memory and sizes
	@VOLANT_BUILD_DIR=$(abspath $(BUILD)) tests/bench/boot
	@VOLANT_BUILD_DIR=$(abspath $(BUILD)) tests/bench/fleet

.PHONY: bench-build
bench-build: all ## Building images: fledge against skopeo, umoci and mksquashfs
	@VOLANT_BUILD_DIR=$(abspath $(BUILD)) tests/bench/build

.PHONY: bench-api
bench-api: all ## The API: requests per second beside nginx, memory, readers of events
	@VOLANT_BUILD_DIR=$(abspath $(BUILD)) tests/bench/api

.PHONY: install
install: $(BUILD)/build.ninja ## Install what is built, kernel included, below DESTDIR= PREFIX=/usr/local
	@test -e $(BUILD)/kernel/vmlinux-generic || { echo 'no kernel is built: run make kernel first' >&2; exit 1; }
	@meson configure -Dprefix=$(PREFIX) $(BUILD)
	@ninja -C $(BUILD) $(PROGRAMS)
	@D="$(DESTDIR)"; DESTDIR="$${D:+$$(realpath -m "$$D")}" meson install -C $(BUILD) --no-rebuild --strip
	install -m 0644 $(BUILD)/kernel/vmlinux-generic* $(BUILD)/kernel/bzImage-volant* "$(DESTDIR)$(PREFIX)/share/volant/"

.PHONY: clean
clean: ## Remove what was built; the kernel stays in its cache
	rm -rf $(BUILD) $(BUILD)-*

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14
