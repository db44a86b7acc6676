#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/formats/corner-cases.md names every corner case once, and only tests that are in the source."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CASES = 95


def tests_in_source():
    pattern = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)")
    found = set()
    for folder in ("src", "tests"):
        for file in (ROOT / folder).rglob("*_test.cc"):
            found |= {f"{suite}.{name}" for suite, name in pattern.findall(file.read_text())}
    return found


def main() -> int:
    rows = [line.strip("|").split("|") for line in
            (ROOT / "docs/formats/corner-cases.md").read_text().splitlines() if re.match(r"\| \d", line)]
    bad = []
    if [int(row[0]) for row in rows] != list(range(1, CASES + 1)):
        bad.append(f"the numbers are not 1 to {CASES}, each once")
    known = tests_in_source()
    for number, _, tests, later in rows:
        named = re.findall(r"`([^`]+)`", tests)
        bad += [f"{number.strip()}: there is no test {name}" for name in named if name not in known]
        if not named and not later.strip():
            bad.append(f"{number.strip()}: has no test, and no reason")
    for line in bad:
        print(line)
    print(f"corner cases: {len(rows)} rows, {len(bad)} complaints")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
