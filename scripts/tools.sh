#!/usr/bin/env bash
# Brings what `make check` needs beside Rust into target/tools: buf from npm, gRPC for Python and the schemas of Kubernetes from
# PyPI, each of one version. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/tools
for program in python3 npm kubectl; do
    if ! command -v "$program" >/dev/null; then
        echo "$program is missing: install it (Debian: python3-venv, npm, kubernetes-client)" >&2
        exit 1
    fi
done
wanted=$(sha256sum scripts/tools.sh scripts/requirements.txt | sha256sum)
if [ -x "$tools/buf" ] && [ "$(cat "$tools/installed" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
rm -rf "$tools"
mkdir -p "$tools"
python3 -m venv "$tools/python"
"$tools/python/bin/pip" install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
# The binary is in the package of the platform: no install script is needed.
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$tools/node" @bufbuild/buf@1.75.0
buf=$(find "$PWD/$tools/node" -type f -path '*/@bufbuild/buf-*/bin/buf' | head -n 1)
ln -sf "$buf" "$tools/buf"
"$tools/buf" --version >/dev/null
echo "$wanted" >"$tools/installed"
