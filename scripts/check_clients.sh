#!/usr/bin/env bash
# Runs the examples of the documentation against a server of their own: the Python client, and every grpcurl line in README.md and
# docs/ (through buf curl where grpcurl is not installed).
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${BINARY:-target/debug/coursevault}
[ -x "$binary" ] || cargo build --quiet
folder=$(mktemp -d)
server=
leave() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap leave EXIT

"$binary" serve --json --listen 127.0.0.1:0 --data "$folder/data" 2>"$folder/log" &
server=$!
for _ in $(seq 300); do
    address=$(sed -n 's/.*"message":"listening","address":"\([^"]*\)".*/\1/p' "$folder/log" | head -n 1)
    [ -z "$address" ] || break
    kill -0 "$server" || { cat "$folder/log"; exit 1; }
    sleep 0.1
done
[ -n "$address" ] || { cat "$folder/log"; exit 1; }

target/tools/python/bin/python scripts/check_walkthroughs.py "$binary" "http://$address"

mkdir "$folder/stubs"
target/tools/python/bin/python -m grpc_tools.protoc -I proto --python_out="$folder/stubs" --grpc_python_out="$folder/stubs" \
    proto/coursevault/v1/*.proto
COURSEVAULT_STUBS="$folder/stubs" target/tools/python/bin/python examples/python/course_backup.py --server "$address" \
    tests/fixtures/rich101-full-tgz.mbz "$folder/restored.mbz"
"$binary" inspect "$folder/restored.mbz" >/dev/null
"$binary" health --server "http://$address" >/dev/null

target/tools/python/bin/python scripts/check_grpcurl.py "$address"
