#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/packages.sh installs what is missing, as root and not otherwise. apt and dpkg are stand-ins here."""
import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "tools" / "packages.sh"
NOBODY = 65534


class PackagesScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.root.chmod(0o777)
        self.bin = self.root / "bin"
        self.bin.mkdir()
        self.program("sleep", "exit 0")
        (self.root / "script").write_bytes(SCRIPT.read_bytes())
        # Installed is what the file `installed` lists, known what `known` lists; every call of apt-get is noted.
        (self.root / "installed").write_text("")
        (self.root / "known").write_text("g++ ccache")
        self.program("dpkg-query", 'for p in $(cat "$DIR/installed"); do printf "%s:installed " "$p"; done; exit 1')
        self.program("apt-cache", 'for p in "$@"; do case $p in show|-*) ;; *) grep -qwF -- "$p" "$DIR/known" || exit 100;; esac; done')
        self.program("apt-get", 'echo "$*" >>"$DIR/calls"; [ -x "$DIR/trouble" ] && { "$DIR/trouble" "$@" || exit; }; exit 0')

    def program(self, name, text):
        path = self.bin / name
        path.write_text(f"#!/bin/bash\nDIR={self.root}\n{text}\n")
        path.chmod(0o755)

    def trouble(self, text):
        path = self.root / "trouble"
        path.write_text(f"#!/bin/bash\nDIR={self.root}\n{text}\n")
        path.chmod(0o755)

    def need(self, packages="g++ ccache", **how):
        command = f'set -euo pipefail; source {self.root}/script; VDISK_PACKAGES=([x]="{packages}"); vdisk_need_packages x'
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "TMPDIR": str(self.root)}
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=environment,
                                stdin=subprocess.DEVNULL, cwd=self.root, **how)
        calls = (self.root / "calls").read_text().splitlines() if (self.root / "calls").exists() else []
        verbs = [next(word for word in call.split() if word in ("install", "update")) for call in calls]
        return result.returncode, result.stderr, verbs, calls

    def as_nobody(self):
        return {"user": NOBODY} if os.geteuid() == 0 else {}

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")

    def test_nothing_is_missing(self):
        (self.root / "installed").write_text("g++ ccache")
        self.assertEqual(self.need(), (0, "", [], []))
        self.assertEqual(self.need(**self.as_nobody()), (0, "", [], []))

    def test_without_root_it_says_the_command(self):
        (self.root / "installed").write_text("g++")
        status, errors, verbs, _ = self.need(**self.as_nobody())
        self.assertEqual((status, verbs), (1, []))
        self.assertIn("sudo apt-get update && sudo apt-get install --no-install-recommends ccache\n", errors)

    def test_root_installs_what_is_missing_and_no_more(self):
        self.need_root()
        (self.root / "installed").write_text("g++")
        status, _, verbs, calls = self.need()
        self.assertEqual((status, verbs), (0, ["install"]))
        self.assertTrue(calls[0].endswith("--yes ccache"), calls)

    def test_an_unknown_package_needs_an_update_first(self):
        self.need_root()
        (self.root / "known").write_text("")
        self.assertEqual(self.need()[0::2], (0, ["update", "install"]))

    def test_stale_lists_are_updated(self):
        self.need_root()
        self.trouble('grep -q update "$DIR/calls" || { echo "404 Not Found" >&2; exit 100; }')
        status, errors, verbs, _ = self.need()
        self.assertEqual((status, verbs), (0, ["install", "update", "install"]))

    def test_a_held_lock_is_waited_for(self):
        self.need_root()
        self.trouble('[ $(wc -l <"$DIR/calls") -gt 3 ] || { echo "E: Could not get lock /var/lib/dpkg/lock" >&2; exit 100; }')
        status, errors, verbs, _ = self.need()
        self.assertEqual((status, verbs), (0, ["install"] * 4))
        self.assertIn("another program holds the package database", errors)

    def test_failure_is_told_with_the_command(self):
        self.need_root()
        self.trouble("echo no network >&2; exit 100")
        status, errors, verbs, _ = self.need()
        self.assertEqual(status, 1)
        self.assertIn("no network", errors)
        self.assertIn("apt-get update && apt-get install --no-install-recommends g++ ccache", errors)

    def test_the_real_list_names_each_package_once_per_group(self):
        output = subprocess.run(["bash", "-c", f'source {SCRIPT}; for g in "${{!VDISK_PACKAGES[@]}}"; do echo "$g:" ${{VDISK_PACKAGES[$g]}}; done'],
                                capture_output=True, text=True, check=True).stdout
        groups = {line.split(":")[0]: line.split(":")[1].split() for line in output.splitlines()}
        self.assertEqual(set(groups), {"build", "test", "clang", "bench"})
        for name, words in groups.items():
            self.assertEqual(len(words), len(set(words)), name)


if __name__ == "__main__":
    unittest.main()
