#!/usr/bin/env python3
"""Runs every grpcurl line of README.md and docs/ against a server; where grpcurl is not installed, as the same call of buf."""

import pathlib
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
address = sys.argv[1]
ran = 0


def as_buf(words):
    """`buf curl` for the arguments of a `grpcurl -plaintext`."""
    buf = [str(ROOT / "target/tools/buf"), "curl", "--http2-prior-knowledge", "--protocol", "grpc"]
    data, rest, words = None, [], words[:]
    while words:
        word = words.pop(0)
        if word == "-d":
            data = words.pop(0)
        elif word == "-H":
            buf += ["-H", words.pop(0)]
        elif word == "-plaintext":
            pass
        elif word.startswith("-"):
            raise SystemExit(f"{word} has no counterpart in buf curl")
        else:
            rest.append(word)
    rest.pop(0)
    if rest[0] == "list":
        return buf + ["--list-methods", f"http://{address}"] if len(rest) == 1 else None
    if rest[0] == "describe":
        return None
    return buf + ["-d", data or "{}", f"http://{address}/{rest[0]}"]


for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
    for line in page.read_text().splitlines():
        line = line.strip()
        if not line.startswith("grpcurl "):
            continue
        words = [word.replace("127.0.0.1:50051", address) for word in shlex.split(line)]
        command = words if shutil.which("grpcurl") else as_buf(words[1:])
        if command is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{page.name}: {line}\n{done.stdout}{done.stderr}")
        ran += 1
if ran < 2:
    raise SystemExit("hardly any example was found")
print(f"{ran} grpcurl examples ran")
