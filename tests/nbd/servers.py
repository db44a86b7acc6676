# SPDX-License-Identifier: Apache-2.0
"""Servers and clients for the tests of this folder."""
import contextlib
import hashlib
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

VDISK = ""
PLUGIN = ""
MIB = 1 << 20
NEEDED = ["nbdkit", "nbdinfo", "nbdcopy", "qemu-io", "qemu-img", "fio"]


def run(*words, status=0, timeout=300, **options):
    """Runs to the end; what it printed, as text."""
    result = subprocess.run([str(word) for word in words], capture_output=True, check=False, timeout=timeout, text=True,
                            **options)
    if status is not None and result.returncode != status:
        raise AssertionError(f"{words} gave {result.returncode}: {result.stdout} {result.stderr}")
    return result.stdout + (result.stderr if status != 0 else "")


def vdisk(*words, **options):
    return run(VDISK, *words, **options)


def uri(socket, export=""):
    return f"nbd+unix:///{export}?socket={socket}"


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come to pass")
        time.sleep(0.01)


@contextlib.contextmanager
def nbdkit(socket, *words, expect=0):
    """nbdkit on a socket until the block ends; its exit status is then compared. Yields the process."""
    process = subprocess.Popen(["nbdkit", "--foreground", "--exit-with-parent", "-U", str(socket), *map(str, words)],
                               stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: socket.exists() or process.poll() is not None)
        if process.poll() is not None:
            raise AssertionError(f"nbdkit {words}: {process.stderr.read()}")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.said = process.communicate(timeout=60)[1]
        pathlib.Path(socket).unlink(missing_ok=True)
    if process.returncode != expect:
        raise AssertionError(f"nbdkit {words} ended with {process.returncode}: {process.said}")


def hash_of(path):
    result = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            result.update(piece)
    return result.hexdigest()


def content_hash(image, *options):
    """Of what the disk of an image shows, by the tool."""
    process = subprocess.Popen([VDISK, "convert", str(image), "-", "--format", "raw", "--quiet", *options], stdout=subprocess.PIPE)
    result = hashlib.sha256()
    while piece := process.stdout.read(MIB):
        result.update(piece)
    process.stdout.close()
    assert process.wait() == 0
    return result.hexdigest()


def pattern(size, seed):
    """Bytes that no two seeds share."""
    block = hashlib.shake_256(str(seed).encode()).digest(MIB)
    return (block * (size // MIB + 1))[:size]


def mbr(*partitions):
    """The first sector of a disk with these (first sector, sectors) as partitions. (sfdisk would sync the whole host.)"""
    rows = b"".join(struct.pack("<8sII", b"\0\0\0\0\x83\0\0\0", *row) for row in partitions)
    return bytes(446) + rows.ljust(64, b"\0") + b"\x55\xaa"


class Case(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        self.socket = self.folder / "s"

    def create(self, name, *options):
        path = self.folder / name
        vdisk("create", path, *options, "--quiet")
        return path

    def expect_sound(self, path):
        vdisk("check", path, "--chain", "--quiet")


def main(parser):
    """Skips where a program is missing."""
    global VDISK, PLUGIN
    parser.add_argument("--vdisk", required=True)
    parser.add_argument("--plugin", required=True)
    arguments = parser.parse_args()
    VDISK, PLUGIN = arguments.vdisk, arguments.plugin
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        print("skipped: not installed: " + " ".join(missing))
        sys.exit(77)
    for name in ("VDISK_PARENT_DIRS", "VDISK_MAP_DRIVES", "VDISK_CONFINE"):
        os.environ.pop(name, None)
    return arguments
