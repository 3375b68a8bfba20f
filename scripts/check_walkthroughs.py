#!/usr/bin/env python3
"""Runs the commands of docs/walkthroughs.md against a server, and finds every line of the output on the page again.

A number on the page stands for any number, a word in capitals after `archives/` or `jobs/` for the id that stands there (later commands
use it by that name), and a line `…` for any lines.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
binary, server = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
names = {}
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
WORD = re.compile(r"\b[A-Z]{3,}\b")
SIZE = re.compile(r"\\?\d[\d.]*(?:\\ (?:[KMGT]i)?B\b)?")


def pattern(line):
    """The line as an expression; names that are not known yet become groups."""
    text = re.escape(line)
    text = SIZE.sub(lambda _: r"[0-9.]+(?: (?:[KMGT]i)?B)?", text)
    text = re.sub(r"(?:\\ )+", r"\\s+", text)

    def name(found):
        word = found.group()
        if word in names:
            return re.escape(names[word])
        before = text[: found.start()]
        if before.endswith(("archives/", "jobs/")):
            return f"(?P<{word}>{UUID})"
        return word

    return re.compile(WORD.sub(name, text) + r"\s*")


def run(command, folder):
    words = shlex.split(command, comments=True)
    if words.pop(0) != "cv":
        raise SystemExit(f"{command}: not one of ours")
    expected = re.search(r"# exits with (\d+)", command)
    words = [names.get(word, word) for word in words]
    environment = {**os.environ, "COURSEVAULT_SERVER": server}
    done = subprocess.run(
        [binary, *words], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != int(expected.group(1) if expected else 0):
        raise SystemExit(f"$ {command}\n{done.stdout}\nleft with {done.returncode}")
    return done.stdout.splitlines()


def compare(command, page, told):
    at, may_skip = 0, False
    for line in page:
        if line == "…":
            may_skip = True
            continue
        wanted = pattern(line)
        while True:
            if at >= len(told):
                raise SystemExit(f"$ {command}\n" + "\n".join(told) + f"\n\nhas no line (any more): {line}")
            found = wanted.fullmatch(told[at])
            at += 1
            if found:
                names.update(found.groupdict())
                break
            if not may_skip and told[at - 1].strip():
                raise SystemExit(f"$ {command}\n{told[at - 1]}\nis not: {line}")
        may_skip = False
    if not may_skip and any(line.strip() for line in told[at:]):
        raise SystemExit(f"$ {command}\ntells more than the page: {told[at]}")


ran = 0
with tempfile.TemporaryDirectory() as folder:
    os.symlink(ROOT / "tests", pathlib.Path(folder) / "tests")
    text = (ROOT / "docs/walkthroughs.md").read_text()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, *page = part.splitlines()
            compare(command, page, run(command, folder))
            ran += 1
print(f"{ran} commands of docs/walkthroughs.md ran")
