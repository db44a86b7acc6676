#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers of attached disks, killed, stopped and replaced.

    kills_test.py --vdisk PROGRAM --server PROGRAM [-v] [CASE…]
"""
import argparse
import contextlib
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
from disks import MIB, Case, processes, run, tree_hash, wait_until  # noqa: E402

LONG = bool(os.environ.get("VDISK_LONG"))
# Writes what it reads, piece by piece, each to a file of its own, flushed.
WRITER = """
import os, sys
number = 0
while True:
    size = int.from_bytes(sys.stdin.buffer.read(4), "little")
    if size == 0:
        break
    with open(os.path.join(sys.argv[1], str(number % 40)), "wb") as file:
        file.write(sys.stdin.buffer.read(size))
        file.flush()
        os.fsync(file.fileno())
    number += 1
"""


def feed(writer, pieces, enough):
    """Keeps the writer at work until there were enough kills."""
    number = 0
    while not enough.is_set() or number % 4:
        piece = pieces[number % 4]
        writer.stdin.write(len(piece).to_bytes(4, "little") + piece)
        number += 1
    writer.stdin.write(bytes(4))
    writer.stdin.close()


def kill_both(disk):
    """Neither has the time to replace the other."""
    os.kill(disk["process"], signal.SIGSTOP)
    os.kill(disk["companion_process"], signal.SIGKILL)
    os.kill(disk["process"], signal.SIGKILL)


class Killed(Case):
    """Whoever is killed is replaced; where nobody is left, the image is good and no device is stuck."""

    def mounted_disk(self, image):
        disk = self.attach(image)
        run("mkfs.ext4", "-q", "-F", disk["device"])
        place = self.mount(disk["device"])
        (place / "flushed").write_bytes(b"kept" * 10_000)
        os.sync()
        return disk, place

    def assert_kept(self, image):
        self.vdisk("list")  # who looks, heals
        disk = self.attach(image)
        place = self.mount(disk["device"])
        self.assertEqual((place / "flushed").read_bytes(), b"kept" * 10_000)
        self.umount(place)
        self.assertIn(run("e2fsck", "-f", "-p", disk["device"], check=False).returncode, (0, 1))
        self.detach(image)
        self.assert_clean(image)

    def hot_restart(self, image, kills, strike):
        disk = self.attach(image)
        run("mkfs.ext4", "-q", "-F", disk["device"])
        place = self.mount(disk["device"])
        noise = random.Random(3)
        pieces = [noise.randbytes(3 * MIB) for _ in range(4)]
        writer = subprocess.Popen([sys.executable, "-c", WRITER, place], stdin=subprocess.PIPE)
        enough = threading.Event()
        feeder = threading.Thread(target=feed, args=(writer, pieces, enough))
        feeder.start()
        for _ in range(kills):
            time.sleep(noise.uniform(0.02, 0.2))
            strike(disk)
        enough.set()
        feeder.join()
        self.assertEqual(writer.wait(), 0)
        wanted = {path.name: hashlib.sha256(pieces[int(path.name) % 4]).hexdigest() for path in place.glob("[0-9]*")}
        self.assertGreater(len(wanted), 0)
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("1")
        self.assertEqual(tree_hash(place), wanted)
        self.umount(place)
        run("e2fsck", "-f", "-n", disk["device"])
        self.detach(image)
        self.assert_clean(image)

    def either(self, disk):
        self.kill(disk, random.choice(["process", "companion_process"]))

    def test_either_of_two_processes(self):
        kills = 50 if LONG else 10
        self.hot_restart(self.create("disk.vhdx", "--size", "256M", "--block-size", "1M"), kills, self.either)
        self.hot_restart(self.create("disk.vhd", "--size", "256M", "--block-size", "512K"), kills, self.either)
        base = self.create("base.vhdx", "--size", "256M", "--block-size", "1M")
        self.hot_restart(self.create("child.vhdx", "--parent", base), kills, self.either)
        self.hot_restart(self.create("fixed.vhdx", "--size", "256M", "--type", "fixed"), kills, self.either)

    def test_another_version(self):
        def restart(disk):
            before = self.current(disk)
            run(disks.VDISK, "restart", disk["device"])
            wait_until(lambda: not {before["process"], before["companion_process"]} & set(processes(self.current(disk))),
                       "two new processes")
        kills = 20 if LONG else 4
        for kind in ("dynamic", "fixed"):
            self.hot_restart(self.create(f"{kind}.vhdx", "--size", "256M", "--type", kind), kills, restart)

    def test_a_program_that_cannot_take_over(self):
        image = self.create("disk.vhdx", "--size", "64M")
        disk, place = self.mounted_disk(image)
        for program in ("/bin/false", "/bin/cat", "/nowhere/at/all"):
            result = run(disks.VDISK, "restart", image, "--json", check=False, env={**os.environ, "VDISK_SERVER": program})
            # What is not there is looked for elsewhere.
            self.assertEqual(result.returncode, 0 if program.startswith("/nowhere") else 1, result.stdout)
        (place / "flushed").write_bytes(b"kept" * 10_000)
        self.umount(place)
        self.detach(image)
        self.assert_kept(image)
        self.refused(1168, "restart", image)
        self.assertEqual(self.vdisk("restart").returncode, 2)

    def test_its_owner_ends_after_its_keeper(self):
        for kind in ("fixed", "dynamic"):
            image = self.create(f"{kind}.vhdx", "--size", "16M", "--type", kind)
            owner = subprocess.Popen([disks.VDISK, "attach", image, "--foreground", "--json"], stdout=subprocess.PIPE)
            self.addCleanup(owner.stdout.close)
            wait_until(self.listed, "the attachment")
            (disk,) = self.listed()
            self.kill(disk, "process")
            owner.kill()
            owner.wait()
            wait_until(lambda: not self.listed(), "the end")
            self.assert_gone(disk["device"])
            self.assert_clean(image)

    def test_a_table_is_followed_by_a_successor(self):
        image = self.create("disk.vhdx", "--size", "64M")
        disk = self.attach(image)
        os.kill(disk["process"], signal.SIGSTOP)
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"], input="label: gpt\nsize=8MiB\n")
        os.kill(disk["process"], signal.SIGKILL)
        wait_until(lambda: self.current(disk)["partitions"] == [disk["device"] + "p1"], "the partition")
        self.detach(image)
        self.assert_gone(disk["device"])

    def test_nothing_is_left_of_both_while_the_table_is_read(self):
        """Whoever reads the device for a keeper does not keep the attachment alive."""
        image = self.create("disk.vhdx", "--size", "64M")
        for _ in range(5):
            disk = self.attach(image)
            os.kill(disk["companion_process"], signal.SIGSTOP)
            with open(disk["device"], "r+b") as device:
                os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            time.sleep(0.1)
            kill_both(disk)
            wait_until(lambda: not self.listed(), "the end")
            wait_until(lambda: self.vdisk("info", image).returncode == 0, "the lock")
            self.assert_gone(disk["device"])
            self.assert_clean(image)

    def test_the_registry_never_forgets(self):
        """Whoever looks while keepers are killed finds the attachment, and no image is attached twice."""
        image = self.create("disk.vhdx", "--size", "16M")
        disk = self.attach(image)
        for _ in range(10):
            os.kill(self.current(disk)["process"], signal.SIGKILL)
            self.refused(32, "attach", image)
            self.assertEqual([entry["device"] for entry in self.listed()], [disk["device"]])
        self.detach(image)
        self.assert_gone(disk["device"])

    def test_nothing_can_take_the_image_between_two_workers(self):
        image = self.create("disk.vhdx", "--size", "64M")
        disk = self.attach(image)
        os.kill(disk["process"], signal.SIGSTOP)
        os.kill(disk["companion_process"], signal.SIGKILL)
        time.sleep(0.1)
        self.assertEqual(self.refused(32, "info", image)["code"], 32)
        os.kill(disk["process"], signal.SIGCONT)
        with open(disk["device"], "rb") as device:
            device.read(MIB)

    def test_worker_without_a_successor(self):
        image = self.create("disk.vhdx", "--size", "64M")
        disk, place = self.mounted_disk(image)
        hidden = self.folder / "hidden.vhdx"
        image.rename(hidden)
        os.kill(disk["companion_process"], signal.SIGKILL)
        self.read_fails(disk["device"])
        self.umount(place)
        wait_until(lambda: not self.listed(), "the end")
        self.assert_gone(disk["device"])
        self.assert_kept(hidden)

    def read_fails(self, path):
        with self.assertRaises(OSError), open(path, "rb", buffering=0) as device:
            os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while device.read(MIB):
                pass

    def test_both(self):
        for kind in ("fixed", "dynamic"):
            with self.subTest(kind):
                image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
                disk, place = self.mounted_disk(image)
                kill_both(disk)
                wait_until(lambda: not self.listed(), "a dead record to count for nothing")
                run("umount", place)
                self.mounted.remove(place)
                wait_until(lambda: self.vdisk("info", image).returncode == 0, "the lock")
                self.assert_kept(image)

    def test_both_with_partitions(self):
        image = self.create("disk.vhd", "--size", "64M", "--type", "fixed")
        disk = self.attach(image)
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"], input="label: gpt\nsize=8MiB\nsize=8MiB\n")
        self.detach(image)
        disk = self.attach(image)
        self.assertEqual(len(disk["partitions"]), 2)
        with open(disk["partitions"][0], "rb"):
            kill_both(disk)
            wait_until(lambda: not self.listed(), "a dead record to count for nothing")
        self.assertEqual(self.listed(), [])
        self.assert_gone(disk["device"])
        self.assertEqual(os.listdir(self.folder / "run"), [])
        self.attach(image)

    def test_hung_worker_and_keeper(self):
        for who in ("worker", "keeper"):
            with self.subTest(who):
                image = self.create(f"{who}.vhdx", "--size", "64M")
                disk = self.attach(image)
                stopped = disk["companion_process" if who == "worker" else "process"]
                os.kill(stopped, signal.SIGSTOP)
                self.detach(image, "--force")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stopped, signal.SIGCONT)
                self.assertEqual(self.listed(), [])
                wait_until(lambda: self.vdisk("check", image).returncode == 0, "the image's lock")
                self.assert_gone(disk["device"])

    def test_force_takes_a_mounted_disk(self):
        for kind in ("fixed", "dynamic"):
            with self.subTest(kind):
                image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
                disk, place = self.mounted_disk(image)
                (place / "large").write_bytes(b"x" * (8 * MIB))
                os.sync()
                pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
                self.detach(image, "--force")
                self.assertEqual(self.listed(), [])
                with self.assertRaises(OSError):
                    (place / "large").read_bytes()
                self.umount(place)
                wait_until(lambda: self.vdisk("info", image).returncode == 0, "the lock")
                self.assert_kept(image)

    def test_force_takes_partitions_in_use(self):
        image = self.create("disk.vhd", "--size", "64M", "--type", "fixed")
        disk = self.attach(image)
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"], input="label: gpt\nsize=32MiB\nsize=8MiB\n")
        first, second = self.current(disk)["partitions"]
        run("mkfs.ext4", "-q", "-F", first)
        place = self.mount(first)
        (place / "large").write_bytes(b"x" * (8 * MIB))
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
        self.detach(image, "--force")
        with self.assertRaises(OSError):
            (place / "large").read_bytes()
        self.assertFalse(os.path.exists(second), "what nobody uses goes at once")
        self.umount(place)
        wait_until(lambda: not os.path.exists(first), "the last user's partition")
        self.assert_clean(image)


if __name__ == "__main__":
    sys.exit(disks.run_cases(disks.main(argparse.ArgumentParser(description=__doc__))))
