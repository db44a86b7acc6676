#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attached disks at work: every kind of request, long enough for what is rare, and everything compared.

    soak_test.py --vdisk PROGRAM --server PROGRAM --exerciser PROGRAM [-v] [CASE…]

With VDISK_LONG each takes minutes.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
from disks import MIB, Case, run, tree_hash  # noqa: E402

LONG = bool(os.environ.get("VDISK_LONG"))
EXERCISE_SECONDS = 120 if LONG else 4
FIO_SECONDS = 300 if LONG else 5
KILLS = 50 if LONG else 6
# An operation may wait for a flush, and a busy machine for everything.
END_SECONDS = 300
EXERCISER = ""


def start_exerciser(file, *options):
    return subprocess.Popen([EXERCISER, "--file", str(file), *map(str, options)], stdout=subprocess.PIPE, text=True)


class Exercised(Case):
    """The exerciser on two files of a file system on the device."""

    def expect_no_difference(self, several):
        for process in several:
            said = process.communicate(timeout=EXERCISE_SECONDS + END_SECONDS)[0]
            self.assertEqual(process.returncode, 0, said)
            self.assertIn("no difference", said)
            print("note:", said.splitlines()[-1].removeprefix("file_exerciser: "), file=sys.stderr)

    def attach_and_make(self, image):
        disk = self.attach(image)
        self.assertEqual(disk["provider"], "fuse")
        run("mkfs.ext4", "-q", "-F", disk["device"])
        return disk, self.mount(disk["device"], "-o", "discard,commit=1")

    def expect_kept(self, image, disk, place):
        """Whole by every account: the file system, the image, and what both show once they are back."""
        wanted = tree_hash(place)
        self.assertEqual(len(wanted), 2)
        self.umount(place)
        run("e2fsck", "-f", "-n", disk["device"])
        self.detach(image)
        self.assert_clean(image)
        disk = self.attach(image, "--read-only")
        place = self.mount(disk["device"], "-o", "ro,noload")
        self.assertEqual(tree_hash(place), wanted)


class FileSystems(Exercised):
    def ext4(self, image):
        disk, place = self.attach_and_make(image)
        self.expect_no_difference([start_exerciser(place / name, "--seconds", EXERCISE_SECONDS, "--all")
                                   for name in ("first", "second")])
        self.expect_kept(image, disk, place)

    def test_dynamic_vhdx(self):
        self.ext4(self.create("disk.vhdx", "--size", "128M", "--block-size", "1M"))

    def test_dynamic_vhd(self):
        self.ext4(self.create("disk.vhd", "--size", "128M", "--block-size", "512K"))

    def test_sectors_of_4096_bytes(self):
        self.ext4(self.create("disk.vhdx", "--size", "128M", "--block-size", "1M", "--logical-sector-size", "4096"))

    def test_children(self):
        for kind in ("vhdx", "vhd"):
            base = self.create(f"base.{kind}", "--size", "128M")
            run(disks.VDISK, "io", base, "-c", "write -P 90 0 128M", "--quiet")
            before = disks.file_hash(base)
            self.ext4(self.create(f"child.{kind}", "--parent", base))
            self.assertEqual(disks.file_hash(base), before, "a parent is never written")
            self.clean_up_mounts()

    def clean_up_mounts(self):
        for place in list(self.mounted):
            self.umount(place)
        self.detach("--all")

    def test_ntfs(self):
        image = self.create("disk.vhdx", "--size", "128M", "--block-size", "1M")
        disk = self.attach(image)
        run("mkntfs", "-q", "-F", "-Q", disk["device"])
        place = self.folder / "ntfs"
        place.mkdir()
        run("ntfs-3g", disk["device"], place)
        self.mounted.append(place)
        self.expect_no_difference([start_exerciser(place / "file", "--seconds", EXERCISE_SECONDS)])
        wanted = tree_hash(place)
        self.umount(place)
        # ntfs-3g goes on for a moment after umount.
        disks.wait_until(lambda: self.vdisk("detach", image).returncode == 0, "the detach")
        self.assert_clean(image)
        disk = self.attach(image)
        run("ntfsfix", "--no-action", disk["device"])
        run("ntfs-3g", "-o", "ro", disk["device"], place)
        self.mounted.append(place)
        self.assertEqual(tree_hash(place), wanted)


class Exerciser(unittest.TestCase):
    """The exerciser itself: it must be able to fail."""

    def test_a_wrong_byte_is_caught(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "file")
            process = start_exerciser(file, "--seconds", END_SECONDS, "--seed", 5)
            noise = random.Random(5)
            while process.poll() is None:
                time.sleep(0.05)
                if file.exists() and file.stat().st_size > 0:
                    with open(file, "r+b") as stream:
                        stream.seek(noise.randrange(file.stat().st_size))
                        stream.write(noise.randbytes(1))
            said = process.communicate()[0]
            self.assertEqual(process.returncode, 1, said)
            self.assertRegex(said, "seed 5: .*(differs at|instead of|not zero)")
            self.assertRegex(said, r"the last operations:\n  \d+ ")

    def test_the_same_seed_does_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "file")
            said = [start_exerciser(file, "--operations", 300, "--seed", 6).communicate()[0] for _ in range(2)]
            self.assertEqual(said[0], said[1])
            self.assertIn("no difference", said[0])


class Killed(Exercised):
    """The worker is killed again and again; programs above notice a pause."""

    def killed(self, image):
        disk, place = self.attach_and_make(image)
        several = [start_exerciser(place / name, "--seconds", 100_000, "--all") for name in ("first", "second")]
        noise = random.Random(4)
        for _ in range(KILLS):
            time.sleep(noise.uniform(0.05, 0.6))
            self.assertEqual([process.poll() for process in several], [None, None], "the exercisers are at work")
            self.kill_worker(disk)
        for process in several:
            process.send_signal(signal.SIGTERM)
        self.expect_no_difference(several)
        self.expect_kept(image, disk, place)

    def test_dynamic_vhdx(self):
        self.killed(self.create("disk.vhdx", "--size", "128M", "--block-size", "1M"))

    def test_dynamic_vhd(self):
        self.killed(self.create("disk.vhd", "--size", "128M", "--block-size", "512K"))

    def test_child(self):
        base = self.create("base.vhdx", "--size", "128M")
        run(disks.VDISK, "io", base, "-c", "write -P 90 0 128M", "--quiet")
        self.killed(self.create("child.vhdx", "--parent", base))


class Fio(Case):
    """Writes of every size, trims and flushes on the device itself, each block read back and compared."""

    def fio(self, device, *jobs):
        return run("fio", f"--filename={device}", "--ioengine=io_uring", "--direct=1", "--iodepth=16", "--verify=crc32c",
                   "--bsrange=4k-256k", "--verify_fatal=1", "--verify_state_save=0", "--output-format=json", *jobs,
                   cwd=self.folder, check=False, timeout=FIO_SECONDS + END_SECONDS)

    def verified(self, image):
        disk = self.attach(image)
        self.assertEqual(disk["provider"], "fuse")
        # fio trims only what it then writes again, on the first bytes of a file alone, and never flushes there: a second
        # job does, at the same time. (Its trim_percentage ends with an assertion of its own.)
        done = self.fio(disk["device"], "--verify_backlog=64", "--time_based", f"--runtime={FIO_SECONDS}",
                        "--name=trims", "--rw=randtrimwrite", "--size=25%",
                        "--name=flushes", "--rw=randrw", "--offset=25%", "--size=75%", "--fsync=32")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        trims, flushes = json.loads(done.stdout[done.stdout.index("{"):])["jobs"]
        counts = {"trims": trims["trim"], "writes of what was trimmed": trims["write"], "read back of it": trims["read"],
                  "flushes": flushes["sync"], "writes": flushes["write"], "read back": flushes["read"]}
        counts = {what: kind["total_ios"] for what, kind in counts.items()}
        self.assertNotIn(0, counts.values(), counts)
        print("note: fio:", ", ".join(f"{count} {what}" for what, count in counts.items()), file=sys.stderr)
        self.detach(image)
        self.assert_clean(image)

    def test_dynamic_vhdx(self):
        self.verified(self.create("disk.vhdx", "--size", "256M", "--block-size", "1M"))

    def test_dynamic_vhd(self):
        self.verified(self.create("disk.vhd", "--size", "256M", "--block-size", "512K"))

    def test_sectors_of_4096_bytes(self):
        self.verified(self.create("disk.vhdx", "--size", "256M", "--logical-sector-size", "4096"))

    def test_a_wrong_byte_is_caught(self):
        disk = self.attach(self.create("disk.vhdx", "--size", "16M"))
        job = ("--name=once", "--rw=randwrite", "--randseed=7")
        self.assertEqual(self.fio(disk["device"], *job, "--do_verify=0").returncode, 0)
        self.assertEqual(self.fio(disk["device"], *job, "--verify_only").returncode, 0)
        with open(disk["device"], "r+b") as device:
            device.seek(5 * MIB + 1234)
            byte = device.read(1)[0]
            device.seek(-1, os.SEEK_CUR)
            device.write(bytes([byte ^ 1]))
        self.assertNotEqual(self.fio(disk["device"], *job, "--verify_only").returncode, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exerciser", required=True)
    arguments = disks.main(parser, "fio")
    EXERCISER = os.path.abspath(arguments.exerciser)
    sys.exit(disks.run_cases(arguments))
