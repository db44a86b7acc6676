#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loop devices over our FUSE file, as attachments use it: file systems, sector sizes, and too little memory.

A kernel that waits for a server that waits for the kernel hangs for ever: a watchdog aborts the connection then.
"""
import argparse
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

VDISK = SERVER = ""
MIB = 1024 * 1024
MEMORY = pathlib.Path("/sys/fs/cgroup/memory")
CONNECTIONS = pathlib.Path("/sys/fs/fuse/connections")


def run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)


def good(*words, **options):
    result = run(*words, **options)
    assert result.returncode == 0, f"{words}: {result.stdout} {result.stderr}"
    return result.stdout.strip()


class Watchdog:
    """Aborts the connection when the test takes too long."""

    def __init__(self, connection, seconds):
        self.bitten = False
        self.path = CONNECTIONS / str(connection) / "abort"
        if not self.path.exists():
            run("mount", "-t", "fusectl", "none", CONNECTIONS)
        self.timer = threading.Timer(seconds, self.bite)
        self.timer.start()

    def bite(self):
        self.bitten = True
        self.path.write_text("1")


class LoopTest(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
            self.skipTest("needs root, FUSE and loop devices")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vdisk_loop_"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.place, self.inside = self.folder / "place", self.folder / "inside"
        self.place.mkdir()
        self.inside.mkdir()
        self.image = self.folder / "disk.vhdx"
        self.loop = self.server = None
        self.addCleanup(self.clean_up)

    def clean_up(self):
        run("umount", self.inside)
        if self.loop:
            run("losetup", "-d", self.loop)
        run("umount", self.place)
        if self.server:
            self.server.wait(60)

    def serve(self, *create, sector=512, group=None):
        good(VDISK, "create", self.image, *create)

        def join():
            if group:
                (group / "cgroup.procs").write_text(str(os.getpid()))
        self.server = subprocess.Popen([SERVER, self.image, self.place], preexec_fn=join)
        for _ in range(200):
            if os.path.ismount(self.place):
                break
            time.sleep(0.05)
        self.watchdog = Watchdog(os.stat(self.place).st_dev & 0xFF, 120)
        self.addCleanup(self.watchdog.timer.cancel)
        self.loop = good("losetup", "-f", "--show", "--direct-io=on", "--sector-size", sector, self.place / "disk.raw")

    def end(self):
        good("losetup", "-d", self.loop)
        self.loop = None
        for _ in range(100):  # the device goes when its last user has gone
            if run("umount", self.place).returncode == 0:
                break
            time.sleep(0.05)
        self.assertEqual(self.server.wait(60), 0)
        self.server = None
        self.assertFalse(self.watchdog.bitten, "the kernel and the server waited for one another")
        good(VDISK, "check", self.image)

    def test_file_systems_live_on_it(self):
        for sector in (512, 4096):
            with self.subTest(sector=sector):
                self.serve("--size", "200M", "--logical-sector-size", sector, "--block-size", "1M", sector=sector)
                self.assertEqual(good("blockdev", "--getss", self.loop), str(sector))
                good("mkfs.ext4", "-q", self.loop)
                good("mount", "-o", "discard", self.loop, self.inside)
                content = random.Random(sector).randbytes(30 * MIB)
                (self.inside / "file").write_bytes(content)
                good("umount", self.inside)
                good("e2fsck", "-fn", self.loop)
                good("mount", self.loop, self.inside)
                self.assertEqual(hashlib.md5((self.inside / "file").read_bytes()).digest(), hashlib.md5(content).digest())
                used = self.image.stat().st_blocks
                (self.inside / "file").unlink()
                good("sync", "-f", self.inside)  # what is freed can be trimmed once the journal says so
                good("fstrim", self.inside)
                good("umount", self.inside)
                self.end()
                self.assertLess(self.image.stat().st_blocks, used - 20 * MIB // 512)
                self.image.unlink()

    def test_verified_random_writes(self):
        if shutil.which("fio") is None:
            self.skipTest("fio is not installed")
        self.serve("--size", "64M", "--block-size", "1M")
        good("fio", "--verify_state_save=0", "--name=x", f"--filename={self.loop}", "--rw=randwrite", "--bsrange=512-128k", "--ioengine=io_uring",
             "--iodepth=32", "--direct=1", "--size=64M", "--verify=crc32c", "--fsync=100", cwd=self.folder)
        self.end()

    def test_a_server_short_of_memory_goes_on(self):
        group = MEMORY / f"vdisk_test_{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            self.skipTest(f"memory cgroups (v1) cannot be made here: {error}")
        self.addCleanup(group.rmdir)
        (group / "memory.limit_in_bytes").write_text(str(160 * MIB))
        self.serve("--size", "1G", "--block-size", "1M", group=group)
        good("mkfs.ext4", "-q", self.loop)
        good("mount", self.loop, self.inside)

        def join():
            (group / "cgroup.procs").write_text(str(os.getpid()))
        writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={self.inside}/file", "bs=1M", "count=500", "status=none",
                                   "conv=fsync"], preexec_fn=join)
        try:
            self.assertEqual(writer.wait(100), 0)
        finally:
            if writer.poll() is None:
                self.watchdog.bite()
                writer.send_signal(signal.SIGKILL)
                writer.wait()
        self.assertGreater(int((group / "memory.failcnt").read_text()), 0)
        good("umount", self.inside)
        good("e2fsck", "-fn", self.loop)
        self.end()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    parser.add_argument("--server", required=True)
    arguments, rest = parser.parse_known_args()
    VDISK, SERVER = arguments.vdisk, arguments.server
    unittest.main(argv=[sys.argv[0], *rest])
