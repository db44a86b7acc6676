#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dirty logs, damaged copies, 4096-byte sectors and deep chains, read by the tool as they must be, and by qemu-img, 7z
and libvhdi where those are right; and no command that only reads changes an image."""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

VDISK = ""
MAKE = ""
PIECE = 1 << 20


def run(*words, timeout=300):
    return subprocess.run([str(word) for word in words], capture_output=True, check=False, timeout=timeout)


def hash_file(path):
    # Without touching the access time, which is compared too.
    result, fd = hashlib.sha256(), os.open(path, os.O_RDONLY | os.O_NOATIME)
    with open(fd, "rb") as file:
        while piece := file.read(PIECE):
            result.update(piece)
    return result.hexdigest()


def state(path):
    facts = os.stat(path)
    return hash_file(path), facts.st_mtime_ns, facts.st_atime_ns, facts.st_ctime_ns, facts.st_size


class InteropTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name)
        subprocess.run([MAKE, cls.folder], check=True)
        rows = [line.split("\t") for line in (cls.folder / "list.tsv").read_text().splitlines()]
        cls.rows = [(cls.folder / name, cls.folder / raw, set(filter(None, readers.split(","))))
                    for name, raw, readers in rows]
        cls.hashes = {raw: hash_file(raw) for _, raw, _ in cls.rows}

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def readers(self, program, name):
        if shutil.which(program) is None:
            self.skipTest(f"{program} is not installed")
        return [(image, raw) for image, raw, readers in self.rows if name in readers]

    def test_the_tool_reads_all_of_them(self):
        self.assertGreater(len(self.rows), 20)
        for image, raw, _ in self.rows:
            with self.subTest(image=image.name):
                process = subprocess.Popen([VDISK, "convert", image, "-", "--format", "raw"], stdout=subprocess.PIPE)
                content = hashlib.sha256()
                while piece := process.stdout.read(PIECE):
                    content.update(piece)
                process.stdout.close()
                self.assertEqual(process.wait(), 0)
                self.assertEqual(content.hexdigest(), self.hashes[raw])

    def test_reading_changes_nothing(self):
        files = sorted(path for path in self.folder.iterdir() if path.suffix in (".vhd", ".vhdx"))
        before = {path: state(path) for path in files}
        out = self.folder / "out.img"
        for image, raw, _ in self.rows:
            with self.subTest(image=image.name):
                for words in (("info", image, "--chain"), ("info", image, "--json"), ("map", image),
                              ("open", image, "--access", "read"), ("convert", image, out, "--format", "raw"),
                              ("diff", image, raw, "--format-b", "raw")):
                    result = run(VDISK, *words)
                    self.assertEqual(result.returncode, 0, f"{words}: {result.stdout} {result.stderr}")
                    out.unlink(missing_ok=True)
                result = run(VDISK, "check", image, "--chain")
                self.assertEqual(result.returncode, 0, result.stdout)
        for path in files:
            self.assertEqual(state(path), before[path], path.name)

    def test_dirty_logs_are_told(self):
        for image, _, _ in self.rows:
            if image.name.startswith("log-"):
                info = json.loads(run(VDISK, "info", image, "--json").stdout)
                self.assertIs(info["dirty_log"], True, image.name)
                found = json.loads(run(VDISK, "check", image, "--json").stdout)
                self.assertIn("vhdx.log.pending", [finding["fault"] for finding in found["findings"]], image.name)

    def test_qemu_reads_the_same(self):
        for image, raw in self.readers("qemu-img", "qemu"):
            with self.subTest(image=image.name):
                kind = "vpc" if image.suffix == ".vhd" else "vhdx"
                # Some formats take the disk's size from the geometry: then what there is must be equal.
                result = run("qemu-img", "compare", "-U", "-f", kind, "-F", "raw", image, raw)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_qemu_replays_the_same(self):
        """The logs that QEMU replays right (of one entry, also across the ring's end); it can only do so in place."""
        for image, raw in self.readers("qemu-img", "qemu-replay"):
            with self.subTest(image=image.name):
                copy = self.folder / ("replayed-" + image.name)
                shutil.copy(image, copy)
                self.addCleanup(copy.unlink)
                result = run("qemu-img", "check", "-f", "vhdx", "-r", "all", copy)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                result = run("qemu-img", "compare", "-f", "vhdx", "-F", "raw", copy, raw)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_7z_reads_the_same(self):
        for image, raw in self.readers("7z", "7z"):
            with self.subTest(image=image.name):
                process = subprocess.Popen(["7z", "e", "-so", "-t" + image.suffix[1:], image], stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL)
                content = hashlib.sha256()
                while piece := process.stdout.read(PIECE):
                    content.update(piece)
                process.stdout.close()
                self.assertEqual(process.wait(), 0)
                self.assertEqual(content.hexdigest(), self.hashes[raw])

    def test_libvhdi_tells_the_same_facts(self):
        for image, _ in self.readers("vhdiinfo", "vhdi"):
            with self.subTest(image=image.name):
                result = run("vhdiinfo", image)
                self.assertEqual(result.returncode, 0, result.stderr)
                text = result.stdout.decode()
                info = json.loads(run(VDISK, "info", image, "--json").stdout)
                self.assertRegex(text, {"fixed": "Fixed", "dynamic": "Dynamic", "differencing": "Differential"}
                                 [info["type"]])
                if info["virtual_size_bytes"] >= 1 << 20:
                    self.assertIn(f"({info['virtual_size_bytes']} bytes)", text)
                self.assertIn(info["identifier"], text.lower())

    def test_libvhdi_reads_the_same(self):
        images = self.readers("vhdimount", "vhdi")
        mount = self.folder / "mount"
        mount.mkdir(exist_ok=True)
        if run("vhdimount", images[0][0], mount).returncode != 0 or not os.path.ismount(mount):
            self.skipTest("vhdimount cannot mount here")
        run("umount", mount)
        for image, raw in images:
            with self.subTest(image=image.name):
                result = run("vhdimount", image, mount)
                self.assertEqual(result.returncode, 0, result.stderr)
                try:
                    # A chain has one file for each layer; the last is the leaf.
                    layers = sorted(mount.iterdir(), key=lambda path: int(path.name.removeprefix("vhdi")))
                    self.assertEqual(hash_file(layers[-1]), self.hashes[raw])
                finally:
                    run("umount", mount)


def main():
    global VDISK, MAKE
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    parser.add_argument("--make", required=True)
    arguments, rest = parser.parse_known_args()
    VDISK, MAKE = os.path.abspath(arguments.vdisk), os.path.abspath(arguments.make)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=1)


if __name__ == "__main__":
    main()
