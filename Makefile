# Everything is set up by two commands on a fresh machine with Rust and a C compiler: `make demo` and `make test`.

FIXTURE ?= tests/fixtures/rich101-full-tgz.mbz

.PHONY: demo test check bench lint postgres chaos

# The main job on a real archive, with a table at the end.
demo:
	cargo run --release --quiet -- try $(FIXTURE)

# All tests. PostgreSQL is installed from the distribution's packages where it is missing.
test: postgres
	cargo test --quiet

# The fault harness for long: so many rounds, each with a kill -9. A seed that failed: COURSEVAULT_TEST_SEED=… make chaos.
ROUNDS ?= 500
chaos: postgres
	COURSEVAULT_CHAOS_ROUNDS=$(ROUNDS) cargo test --quiet --test it chaos:: -- --nocapture

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
