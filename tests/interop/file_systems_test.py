#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""File systems that other people's tools made in a raw file become our VHD and VHDX, and raw files again: the same bytes,
which those tools find sound and which hold the same files."""
import argparse
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

VDISK = ""
MIB = 1 << 20
SIZE = 48 * MIB
KINDS = (("vhdx", "dynamic"), ("vhdx", "fixed"), ("vhd", "dynamic"), ("vhd", "fixed"), ("vhdx", "written"), ("vhd", "written"))


def run(*words):
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return subprocess.run([str(word) for word in words], capture_output=True, check=False, timeout=300,
                          env=os.environ | {"PATH": path})


class FileSystemsTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        self.raw = self.folder / "disk.raw"
        with open(self.raw, "wb") as file:
            file.truncate(SIZE)
        self.tree = self.folder / "tree"
        self.tree.mkdir()
        random_bytes = random.Random(1).randbytes
        self.files = {"empty": b"", "letter.txt": b"what was written\n" * 40, "large": random_bytes(5 * MIB + 123),
                      "zeros": bytes(2 * MIB), **{f"small{i}": random_bytes(i * 137) for i in range(30)}}
        for name, content in self.files.items():
            (self.tree / name).write_bytes(content)

    def fine(self, *words):
        result = run(*words)
        self.assertEqual(result.returncode, 0, f"{words}: {result.stdout} {result.stderr}")
        return result.stdout

    def need(self, *programs):
        for program in programs:
            if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
                self.skipTest(f"{program} is not installed")

    def there_and_back(self):
        """The raw files that come back, one for each kind of image."""
        before = hashlib.sha256(self.raw.read_bytes()).hexdigest()
        for number, (extension, kind) in enumerate(KINDS):
            image, back = self.folder / f"disk{number}.{extension}", self.folder / f"back{number}.raw"
            if kind == "written":
                self.fine(VDISK, "create", image, "--size", SIZE)
                self.fine(VDISK, "io", image, "-c", f"write -s {self.raw} 0 {SIZE}")
            else:
                self.fine(VDISK, "convert", self.raw, image, "--source-format", "raw", "--type", kind)
            self.fine(VDISK, "check", image)
            self.fine(VDISK, "convert", image, back, "--format", "raw")
            self.assertEqual(hashlib.sha256(back.read_bytes()).hexdigest(), before, image.name)
            yield back
            image.unlink()
            back.unlink()

    def test_ext4(self):
        self.need("mke2fs", "e2fsck", "debugfs")
        self.fine("mke2fs", "-q", "-t", "ext4", "-d", self.tree, self.raw)
        for back in self.there_and_back():
            self.fine("e2fsck", "-fn", back)
            out = self.folder / "out"
            out.mkdir()
            self.fine("debugfs", "-R", f"rdump / {out}", back)
            for name, content in self.files.items():
                self.assertEqual((out / name).read_bytes(), content, name)
            shutil.rmtree(out)

    def test_ntfs(self):
        self.need("mkntfs", "ntfscp", "ntfscat", "ntfsfix")
        self.fine("mkntfs", "-q", "-F", "-f", self.raw)
        for name, content in self.files.items():
            if content:
                self.fine("ntfscp", "-f", self.raw, self.tree / name, name)
        for back in self.there_and_back():
            self.fine("ntfsfix", "--no-action", back)
            for name, content in self.files.items():
                if content:
                    self.assertEqual(self.fine("ntfscat", "-f", back, name), content, name)


def main():
    global VDISK
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    arguments, rest = parser.parse_known_args()
    VDISK = os.path.abspath(arguments.vdisk)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=1)


if __name__ == "__main__":
    main()
