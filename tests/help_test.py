#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages and the shell completions say what `vdisk CMD --help` says: the same commands, the same options.

An option that --help knows and a page or a completion lacks fails, and so does one that only the page knows.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*)")
# Every command has it; the pages of single commands leave it to vdisk(1).
COMMON = {"--help"}
# Commands that vdisk(1) describes itself.
SMALL = {"help", "version"}


def run_help(vdisk, *words):
    result = subprocess.run([vdisk, *words, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{words} --help gave {result.returncode}: {result.stderr}"
    return result.stdout


def commands_of(text):
    """The first words of the lines below a heading that ends in `ommands:`."""
    found, inside = [], False
    for line in text.splitlines():
        if re.match(r"^\s*(sub)?commands:?\s*$", line, re.I):
            inside = True
        elif inside and re.match(r"^ {1,4}[a-z]", line):  # deeper lines go on with a description
            found.append(line.split()[0])
        elif inside and line.strip() and not line.startswith(" "):
            inside = False
    return found


def options_of(text):
    """Options that have a line of their own in the help text."""
    found = set()
    for line in text.splitlines():
        if re.match(r"^ {1,6}-", line):
            head = re.split(r"\s{2,}", line.strip())[0]
            found |= set(OPTION.findall(head))
    return found


def page_options(name):
    """Options that have an entry (a line that begins with one in bold) in a man page."""
    text = (ROOT / "docs" / "man" / f"{name}.1.scd").read_text()
    found = set()
    for line in text.splitlines():
        if line.startswith("*-"):
            found |= set(OPTION.findall(line.replace("\\", "")))
    return found


def compare(where, wanted, got, bad):
    bad += [f"{where}: lacks {option}" for option in sorted(wanted - got)]
    bad += [f"{where}: has {option}, which --help does not know" for option in sorted(got - wanted)]


def bash_completions(text, command):
    match = re.search(rf"^\s*{command}\)\s*(?:local )?options='([^']*)'", text, re.M)
    return set(OPTION.findall(match.group(1))) if match else set()


def zsh_completions(text, command):
    match = re.search(rf"^_vdisk_{command}\(\) \{{(.*?)^\}}", text, re.M | re.S)
    return set(OPTION.findall(match.group(1))) if match else set()


def fish_completions(text, command):
    lines = [line for line in text.splitlines() if re.search(rf"seen {command}(?![\w-])", line)]
    return {f"--{option}" for line in lines for option in re.findall(r" -l ([a-z][a-z0-9-]*)", line)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vdisk", required=True)
    vdisk = parser.parse_args().vdisk
    bad = []
    top = run_help(vdisk)
    commands = commands_of(top)
    if not commands:
        bad.append("vdisk --help lists no commands")

    completions = {
        "completions/vdisk.bash": bash_completions,
        "completions/_vdisk": zsh_completions,
        "completions/vdisk.fish": fish_completions,
    }
    main_page = (ROOT / "docs/man/vdisk.1.scd").read_text()
    for command in commands:
        wanted = options_of(run_help(vdisk, command)) - COMMON
        if command in SMALL:
            if f"*vdisk {command}*" not in main_page:
                bad.append(f"vdisk.1: does not explain {command}")
            continue
        if f"*vdisk-{command}*(1)" not in main_page:
            bad.append(f"vdisk.1: does not name vdisk-{command}(1)")
        if not (ROOT / f"docs/man/vdisk-{command}.1.scd").exists():
            bad.append(f"vdisk-{command}.1: there is no such page")
        else:
            compare(f"vdisk-{command}.1", wanted, page_options(f"vdisk-{command}") - COMMON, bad)
        for file, options in completions.items():
            compare(f"{file}: {command}", wanted, options((ROOT / file).read_text(), command) - COMMON, bad)
    for page in (ROOT / "docs/man").glob("vdisk-*.1.scd"):
        command = page.name.removeprefix("vdisk-").removesuffix(".1.scd")
        if command not in commands:
            bad.append(f"{page.name}: there is no command {command}")

    for line in bad:
        print(line)
    print(f"{len(commands)} commands, {len(bad)} complaints")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
