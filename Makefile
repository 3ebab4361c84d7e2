# The two commands that matter: `make demo` and `make test`. Each does all of its own set-up.
# What belongs to a command is passed on: make demo ARGS='-o ndjson'
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millrace/target
export CARGO_TARGET_DIR
# Tests on the ground mostly wait for it; what their services log is of interest when one fails.
export RUST_TEST_THREADS ?= 4
test: export RUST_LOG ?= off
ARGS ?=
SEEDS ?= 1..3

.PHONY: help demo dev test test-all chaos numbers bench bench-read plants lint fmt clippy doc setup

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: setup ## tell every story of an order on the real stack, and check it
	@cargo build --locked -p millrace-cli
	@cargo run --locked -q -p millrace-cli -- demo $(ARGS)

dev: setup ## start the ground and all services, and stay until Ctrl-C
	@cargo build --locked -p millrace-cli
	@cargo run --locked -q -p millrace-cli -- dev $(ARGS)

# What the embedded ground cannot show is in modules named `native`: there it is left out, not passed.
test: setup ## run every test, and the delivery contract on the embedded ground too
	@ground=$$(deploy/native/setup.sh --ground) && export RUST_BACKTRACE=0 && \
	if [ "$$ground" = embedded ]; then \
	  echo 'embedded ground: tests that need a real broker are left out (modules named native)'; \
	  MILLRACE_GROUND=embedded cargo test --workspace --locked $(ARGS) -- --skip native; \
	else \
	  MILLRACE_GROUND=native cargo test --workspace --locked $(ARGS) && \
	  MILLRACE_GROUND=embedded cargo test -p harness --locked --test it -- delivery --skip native; \
	fi

test-all: test ## the same, and chaos for the first seeds
	@$(MAKE) chaos

chaos: setup ## break the services while orders flow, and check: SEEDS=1..20 ARGS='-o ndjson'
	@ground=$$(deploy/native/setup.sh --ground) && \
	if [ "$$ground" = embedded ]; then \
	  echo 'embedded ground: no chaos, which needs a real broker; left out, not passed'; \
	else \
	  cargo run --locked -q -p harness --example chaos -- --seeds $(SEEDS) $(ARGS); \
	fi

numbers: setup ## measure what breakage costs, beside the goals: ARGS='--down 600'
	@cargo run --locked -q -p harness --example numbers -- $(ARGS)

bench: setup ## measure beside peers and limits, as ratios of one run: QUICK=1 ARGS='-o ndjson'
	@cargo build --release --locked -q -p bench -p slow-disk
	@"$(CARGO_TARGET_DIR)/release/bench" $(if $(QUICK),--quick) $(ARGS)

bench-read: setup ## measure what reading costs, beside the goals: ARGS='-o ndjson'
	@cargo run --release --locked -q -p harness --example reads -- $(ARGS)

plants: setup ## plant one defect after the other, and see that the checker finds each: ARGS=--list
	@ground=$$(deploy/native/setup.sh --ground) && \
	if [ "$$ground" = embedded ]; then \
	  echo 'embedded ground: nothing is planted, which needs a real broker; left out, not passed'; \
	else \
	  cargo run --locked -q -p harness --features plants --example plants -- $(ARGS); \
	fi

lint: setup ## check the format and every lint
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format all code
	@cargo fmt --all

clippy: setup ## check every lint
	@cargo clippy --workspace --all-targets --locked -- -D warnings

doc: setup ## build the documentation of the code
	@RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked $(ARGS)

setup: ## install what is missing on a fresh Debian
	@deploy/native/setup.sh
