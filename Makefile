# Everything is set up by two commands on a fresh machine with Rust and a C compiler: `make demo` and `make test`.

FIXTURE ?= tests/fixtures/rich101-full-tgz.mbz

.PHONY: demo test check bench lint postgres chaos tools protos deploy clients docs release-protos

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

# What needs more than the tests: formatting and lints, the protos against their last release, manifests, clients, examples.
check: lint protos deploy clients

lint:
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	cargo clippy --quiet --features otlp -- -D warnings

# buf, Python's gRPC and the schemas of Kubernetes, into target/tools.
tools:
	scripts/tools.sh

protos: tools
	target/tools/buf lint
	target/tools/buf breaking --against proto/released.binpb

deploy: tools
	target/tools/python/bin/python scripts/check_deploy.py

clients: tools
	cargo build --quiet
	scripts/check_clients.sh

# The pages of docs/ that are made of the code; tests hold them to it.
docs:
	UPDATE_DOCS=1 cargo test --quiet --test reference

# What `make check` holds later changes of the protos to. For a release only.
release-protos: tools
	target/tools/buf build --exclude-source-info -o proto/released.binpb

# Speed and memory, as ratios against peers in the same run.
bench:
	cargo bench --bench transfer
