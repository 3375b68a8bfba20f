# Everything is set up by two commands on a fresh machine with Rust and a C compiler: `make demo` and `make test`.

FIXTURE ?= tests/fixtures/rich101-full-tgz.mbz

.PHONY: demo test check bench lint postgres

# The main job on a real archive, with a table at the end.
demo:
	cargo run --release --quiet -- try $(FIXTURE)

# All tests. PostgreSQL is installed from the distribution's packages where it is missing.
test: postgres
	cargo test --quiet

postgres:
	scripts/postgres.sh

# What needs more than the tests: formatting and lints, strict.
check: lint

lint:
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings

# Speed and memory, as ratios against peers in the same run.
bench:
	cargo bench --bench transfer
