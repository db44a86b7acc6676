#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attached disks with this machine's kernel.

    attach_test.py --vdisk PROGRAM --server PROGRAM [-v] [CASE…]
"""
import argparse
import contextlib
import gzip
import hashlib
import json
import lzma
import os
import pathlib
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
from disks import (MIB, PATIENCE_SECONDS, ROOT, Case, allocated, file_hash, run, sector_size,  # noqa: E402
                   tree_hash, wait_until)

VDISK = ""
SERVER = ""


class FileSystems(Case):
    """A disk is a disk: partitioned, formatted, filled, trimmed, taken away and brought back."""

    def partition(self, image, mib):
        disk = self.attach(image)
        first = mib // 2
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"],
            input=f"label: gpt\nsize={first}MiB, name=first\nname=second\n")
        disk = self.current(disk)
        self.assertEqual(disk["partitions"], [disk["device"] + "p1", disk["device"] + "p2"])
        return disk

    def fill(self, place):
        noise = random.Random(1)
        for number in range(12):
            folder = place / f"folder{number % 3}"
            folder.mkdir(exist_ok=True)
            (folder / f"file{number}").write_bytes(noise.randbytes(noise.randrange(1, 600_000)))

    def round_trip(self, image, mib, sector=512):
        with self.subTest("partition"):
            disk = self.partition(image, mib)
            self.assertEqual(sector_size(disk["device"]), sector)
        first, second = disk["partitions"]
        run("mkfs.ext4", "-q", "-F", first)
        run("mkntfs", "-q", "-F", "-Q", "-s", sector, second)
        place = self.mount(first)
        self.fill(place)
        wanted = tree_hash(place)
        bulk = place / "bulk"
        bulk.write_bytes(random.Random(2).randbytes(16 * MIB))
        os.sync()
        full = allocated(image)
        bulk.unlink()
        os.sync()
        run("fstrim", place)
        os.sync()
        self.assertLess(allocated(image), full - 8 * MIB, "fstrim gives the space back")
        self.umount(place)
        run("e2fsck", "-f", "-n", first)
        ntfs = self.folder / "ntfs"
        ntfs.mkdir()
        run("ntfs-3g", second, ntfs)
        self.mounted.append(ntfs)
        self.fill(ntfs)
        self.assertEqual(tree_hash(ntfs), wanted)
        self.umount(ntfs)
        # ntfs-3g goes on for a moment after umount.
        wait_until(lambda: self.vdisk("detach", image).returncode == 0, "the detach")
        self.assert_gone(disk["device"])
        self.assert_clean(image)
        disk = self.attach(image, "--read-only")
        place = self.mount(disk["partitions"][0], "-o", "ro,noload")
        self.assertEqual(tree_hash(place), wanted)
        self.umount(place)
        self.detach(disk["partitions"][0])

    def test_dynamic_vhdx(self):
        self.round_trip(self.create("disk.vhdx", "--size", "128M", "--block-size", "1M"), 128)

    def test_dynamic_vhd(self):
        self.round_trip(self.create("disk.vhd", "--size", "128M", "--block-size", "512K"), 128)

    def test_sectors_of_4096_bytes(self):
        image = self.create("disk.vhdx", "--size", "128M", "--block-size", "1M", "--logical-sector-size", "4096")
        self.round_trip(image, 128, sector=4096)

    def test_chain_of_three(self):
        base = self.create("base.vhdx", "--size", "128M", "--block-size", "1M")
        disk = self.attach(base)
        run("mkfs.ext4", "-q", "-F", disk["device"])
        self.detach(base)
        middle = self.create("middle.vhdx", "--parent", base)
        disk = self.attach(middle)
        place = self.mount(disk["device"])
        self.fill(place)
        wanted = tree_hash(place)
        self.umount(place)
        self.detach(middle)
        before = file_hash(base), file_hash(middle)
        leaf = self.create("leaf.vhdx", "--parent", middle)
        disk = self.attach(leaf)
        place = self.mount(disk["device"])
        self.assertEqual(tree_hash(place), wanted)
        (place / "more").write_bytes(b"x" * MIB)
        wanted = tree_hash(place)
        self.umount(place)
        run("e2fsck", "-f", "-n", disk["device"])
        self.detach(leaf)
        self.assertEqual((file_hash(base), file_hash(middle)), before, "parents are never written")
        self.assert_clean(leaf)
        disk = self.attach(leaf, "--read-only")
        place = self.mount(disk["device"], "-o", "ro,noload")
        self.assertEqual(tree_hash(place), wanted)

    def test_straight_on_the_file(self):
        for name, *options in (("fixed.vhd", "--type", "fixed"), ("fixed.vhdx", "--type", "fixed"),
                               ("4k.vhdx", "--type", "fixed", "--logical-sector-size", "4096"),
                               ("plain.raw", "--format", "raw")):
            with self.subTest(name):
                image = self.create(name, "--size", "64M", *options)
                extra = ["--format", "raw"] if name.endswith("raw") else []
                disk = self.attach(image, *extra)
                self.assertEqual(disk["provider"], "loop")
                self.assertEqual(sector_size(disk["device"]), disk["logical_sector_bytes"])
                self.assertEqual(run("losetup", "-nO", "DIO", disk["device"]).stdout.strip(), "1")
                run("mkfs.ext4", "-q", "-F", disk["device"])
                place = self.mount(disk["device"])
                self.fill(place)
                wanted = tree_hash(place)
                self.umount(place)
                self.detach(image)
                if not extra:
                    self.assert_clean(image)
                disk = self.attach(image, "--read-only", *extra)
                place = self.mount(disk["device"], "-o", "ro,noload")
                self.assertEqual(tree_hash(place), wanted)
                self.umount(place)
                self.detach(image)

    def test_image_of_the_collection(self):
        data = pathlib.Path(os.environ.get("VDISK_SHARED_DATA", ROOT.parent / "shared" / "data"))
        stored = data / "DiscUtils" / "btrfs.vhdx.gz"
        if not stored.exists():
            self.skipTest(f"{stored} is not there")
        image = self.folder / "btrfs.vhdx"
        image.write_bytes(gzip.decompress(stored.read_bytes()))
        disk = self.attach(image)
        device = (disk["partitions"] or [disk["device"]])[-1]
        place = self.mount(device)
        files = [path for path in place.rglob("*") if path.is_file()]
        named = [path for path in files if len(path.stem) == 32]
        self.assertEqual(len(named), 2, files)
        for path in named:
            self.assertEqual(hashlib.md5(path.read_bytes()).hexdigest(), path.stem.lower())
        (place / "written").write_bytes(b"by vdisk" * 100_000)
        # Mounted under a device number of btrfs' own; the user is named all the same.
        self.assertIn(f"{device} is mounted on {place}", self.refused(170, "detach", image)["message"])
        self.umount(place)
        self.detach(image)
        self.assert_clean(image)
        disk = self.attach(image, "--read-only")
        place = self.mount((disk["partitions"] or [disk["device"]])[-1], "-o", "ro")
        self.assertEqual((place / "written").read_bytes(), b"by vdisk" * 100_000)

    def test_disc(self):
        image = self.folder / "disc.iso"
        stored = ROOT / "tests/corpus/kdomanski-iso9660/test.iso.xz"
        image.write_bytes(lzma.decompress(stored.read_bytes()))
        disk = self.attach(image)
        self.assertEqual((disk["provider"], disk["read_only"], disk["logical_sector_bytes"]), ("loop", True, 2048))
        self.assertEqual(sector_size(disk["device"]), 2048)
        with self.assertRaises(OSError), open(disk["device"], "r+b", buffering=0) as device:
            device.write(b"x" * 2048)
        with open(disk["device"], "rb") as device:
            shown = device.read()
        self.assertEqual(shown, image.read_bytes()[:len(shown)])


class Options(Case):
    def test_cow_leaves_the_image_alone(self):
        base = self.create("base.vhdx", "--size", "64M")
        before = file_hash(base)
        changes = self.folder / "changes.vhdx"
        for content in (b"first", b"again"):
            disk = self.attach(base, "--cow", changes)
            self.assertEqual(disk["image"], str(changes))
            with open(disk["device"], "r+b") as device:
                device.write(content)
            self.detach(disk["device"])
        self.assertEqual(file_hash(base), before)
        self.assert_clean(changes)
        disk = self.attach(changes, "--read-only")
        with open(disk["device"], "rb") as device:
            self.assertEqual(device.read(5), b"again")

    def test_range(self):
        for kind in ("fixed", "dynamic"):
            image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
            disk = self.attach(image, "--restricted", "4M,8M")
            self.assertEqual(disk["size_bytes"], 8 * MIB)
            with open(disk["device"], "r+b") as device:
                self.assertEqual(device.seek(0, os.SEEK_END), 8 * MIB)
                device.seek(0)
                device.write(b"here")
            self.detach(image)
            disk = self.attach(image)
            with open(disk["device"], "rb") as device:
                device.seek(4 * MIB)
                self.assertEqual(device.read(4), b"here")
            self.detach(image)
            self.refused(87, "attach", image, "--restricted", "4M,64M")
            self.refused(87, "attach", image, "--restricted", "100,512")
            self.assertEqual(self.vdisk("attach", image, "--restricted", "5").returncode, 2)

    def test_partitions_or_not(self):
        image = self.create("disk.vhd", "--size", "64M", "--type", "fixed")
        disk = self.attach(image)
        # Logical partitions are numbered from 5.
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"],
            input="label: dos\n1:size=8MiB\n2:size=40MiB, type=5\n5:size=8MiB\n6:size=8MiB\n")
        self.detach(image)
        self.assertEqual(self.attach(image, "--no-partitions")["partitions"], [])
        self.detach(image)
        disk = self.attach(image)
        self.assertEqual([node.rpartition("p")[2] for node in disk["partitions"]], ["1", "5", "6"])
        for node in disk["partitions"]:
            self.assertTrue(stat.S_ISBLK(os.stat(node).st_mode))
            self.assertEqual(int(run("blockdev", "--getsize64", node).stdout), 8 * MIB)

    def test_partitions_follow_the_table(self):
        for kind in ("fixed", "dynamic"):
            image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
            disk = self.attach(image)
            self.assertEqual(disk["partitions"], [])

            def write(table, disk=disk):
                run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"], input=table)
                return [node.rpartition("p")[2] for node in self.current(disk)["partitions"]]

            self.assertEqual(write("label: dos\nsize=8MiB\nsize=8MiB\n"), ["1", "2"])
            first = disk["device"] + "p1"
            run("mkfs.ext4", "-q", "-F", first)
            place = self.mount(first)
            # The first is in use, and stays; the second grows, a third comes.
            self.assertEqual(write("label: dos\nsize=8MiB\nsize=16MiB\nsize=8MiB\n"), ["1", "2", "3"])
            self.assertEqual(int(run("blockdev", "--getsize64", disk["device"] + "p2").stdout), 16 * MIB)
            # A table that wants another first partition cannot have it as long as it is in use.
            self.assertEqual(write("label: dos\nstart=30MiB, size=4MiB\n"), ["1"])
            self.assertEqual(int(run("blockdev", "--getsize64", first).stdout), 8 * MIB)
            (place / "file").write_bytes(b"still there")
            self.umount(place)
            self.assertEqual(write("label: gpt\nstart=1MiB, size=4MiB\n"), ["1"])
            self.assertEqual(int(run("blockdev", "--getsize64", first).stdout), 4 * MIB)
            run("wipefs", "-q", "-a", disk["device"])
            self.assertEqual(self.current(disk)["partitions"], [])
            self.detach(image)
            self.assert_gone(disk["device"])

    def test_udev_is_told(self):
        image = self.create('a "disk"\n.vhdx', "--size", "64M", "--type", "fixed")
        partitioned = self.attach(image)
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", partitioned["device"], input="label: dos\nsize=8MiB\n")
        self.detach(image)
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)  # NETLINK_KOBJECT_UEVENT
        self.addCleanup(events.close)
        events.bind((0, 1))
        events.settimeout(60)

        def wait_for_change(node):
            name = node.rpartition("/")[2]
            while True:
                head = events.recv(65536).split(b"\0")[0].decode()
                if head.startswith("change@") and head.endswith("/" + name):
                    return

        def told(node):
            result = self.vdisk("list", "--udev", node)
            self.assertEqual((result.returncode, result.stderr), (0 if result.stdout else 1, ""))
            return dict(line.split("=", 1) for line in result.stdout.splitlines())

        disk = self.attach(image)
        for node in (disk["device"], disk["device"] + "p1"):
            wait_for_change(node)
            self.assertEqual(told(node), {
                "ID_VENDOR": "vdisk", "ID_MODEL": "VHDX", "ID_SERIAL": disk["disk_id"], "ID_SERIAL_SHORT": disk["disk_id"],
                "VDISK_IMAGE": str(image).replace('"', r"\x22").replace(" ", r"\x20").replace("\n", r"\x0a")})
        for node in (disk["device"] + "0", disk["device"] + "p", "/dev/null", "", str(image)):
            self.assertEqual(told(node), {}, node)
        # A server that does not answer holds nobody up.
        os.kill(disk["process"], signal.SIGSTOP)
        self.assertEqual(told(disk["device"])["ID_SERIAL"], disk["disk_id"])
        os.kill(disk["process"], signal.SIGCONT)
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"], input="label: dos\nsize=8MiB\nsize=8MiB\n")
        wait_for_change(disk["device"] + "p2")
        self.detach(image)
        wait_for_change(disk["device"])
        self.assertEqual(told(disk["device"]), {})

    def test_nothing_is_followed_without_partitions(self):
        image = self.create("disk.vhdx", "--size", "64M")
        disk = self.attach(image, "--no-partitions")
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"], input="label: dos\nsize=8MiB\n")
        self.assertEqual(self.current(disk)["partitions"], [])

    def test_several_and_all(self):
        images = [self.create(f"{n}.vhdx", "--size", "16M") for n in range(3)]
        self.assertEqual(len(json.loads(run(VDISK, "attach", *images, "--json").stdout)), 3)
        self.assertEqual(len(self.listed()), 3)
        self.assertEqual(len(run(VDISK, "list").stdout.splitlines()), 3)
        self.detach("--all")
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.vdisk("attach", images[0], self.folder / "missing.vhdx").returncode, 1)
        self.assertEqual(self.listed(), [], "all or nothing")

    def test_at_boot(self):
        image = self.create("disk.vhdx", "--size", "16M")
        disk = self.attach(image, "--at-boot")
        run(VDISK, "attach", "--at-boot-all")  # it is attached: nothing to do
        os.kill(disk["process"], signal.SIGTERM)
        wait_until(lambda: not self.listed(), "the end of the server")
        run(VDISK, "attach", "--at-boot-all")
        self.assertEqual([entry["image"] for entry in self.listed()], [str(image)])
        self.detach(image)
        run(VDISK, "attach", "--at-boot-all")
        self.assertEqual(self.listed(), [], "what was detached is forgotten")

    def test_the_choice_is_told(self):
        image = self.create("disk.vhdx", "--size", "16M")
        said = run(VDISK, "attach", image, "--verbose").stderr
        self.assertIn("provider loop: the disk's bytes do not lie in one run", said)
        self.assertIn("provider fuse serves", said)


class Lifetimes(Case):
    def test_a_command_finds_its_device(self):
        image = self.create("disk.vhdx", "--size", "16M")
        done = self.vdisk("attach", image, "--", "sh", "-c", 'test -b "$VDISK_DEVICE" && echo "$VDISK_DEVICE"; exit 7')
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertTrue(done.stdout.startswith("/dev/loop"))
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.vdisk("attach", image, "--", "/nowhere/at/all").returncode, 127)

    def foreground(self, image):
        process = subprocess.Popen([VDISK, "attach", image, "--foreground", "--json"], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        wait_until(self.listed, "the attachment")
        return process, self.listed()[0]

    def test_it_ends_with_its_owner(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            for kind in ("fixed", "dynamic"):
                with self.subTest(f"{number} {kind}"):
                    image = self.create(f"{kind}{number}.vhdx", "--size", "16M", "--type", kind)
                    process, disk = self.foreground(image)
                    self.assertFalse(disk["permanent"])
                    process.send_signal(number)
                    process.wait()
                    wait_until(lambda: not self.listed(), "the end")
                    self.assert_gone(disk["device"])
                    self.assert_clean(image)

    def test_in_use_it_outlives_its_owner(self):
        image = self.create("disk.vhdx", "--size", "64M")
        process, disk = self.foreground(image)
        run("mkfs.ext4", "-q", "-F", disk["device"])
        place = self.mount(disk["device"])
        process.kill()
        process.wait()
        (place / "file").write_bytes(b"still here")
        self.umount(place)
        wait_until(lambda: not self.listed(), "the end")
        self.assert_clean(image)

    def test_a_foreground_attachment_ends_when_it_is_detached(self):
        image = self.create("disk.vhdx", "--size", "16M")
        process, disk = self.foreground(image)
        self.detach(disk["device"])
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)

    def test_in_use_it_stays_and_says_who(self):
        for kind in ("fixed", "dynamic"):
            image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
            disk = self.attach(image)
            run("mkfs.ext4", "-q", "-F", disk["device"])
            place = self.mount(disk["device"])
            error = self.refused(170, "detach", image)
            self.assertIn(str(place), error["message"])
            self.umount(place)
            with open(disk["device"], "rb"):
                error = self.refused(170, "detach", image)
                self.assertIn(f"process {os.getpid()}", error["message"])
            self.detach(image)

    def test_sigterm_detaches_in_order(self):
        for kind in ("fixed", "dynamic"):
            image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
            disk = self.attach(image)
            with open(disk["device"], "r+b") as device:
                device.write(b"x" * MIB)
                os.kill(disk["process"], signal.SIGTERM)
                time.sleep(0.3)
                self.assertEqual(len(self.listed()), 1, "it waits for its users")
            wait_until(lambda: not self.listed(), "the end")
            self.assert_clean(image)


class FullHost(Case):
    """The file system under the image has no room left: errors for who writes, a good image, no stuck device."""

    def setUp(self):
        super().setUp()
        self.small = self.folder / "small"
        self.small.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=24m", "none", self.small)
        self.mounted.append(self.small)

    def fill(self, device):
        """Writes past what there is room for; how much was flushed before."""
        piece = random.Random(5).randbytes(MIB)
        flushed = 0
        with open(device, "r+b", buffering=0) as disk, self.assertRaises(OSError):
            while True:
                disk.write(piece)
                os.fsync(disk.fileno())
                flushed += MIB
        self.assertLess(flushed, 24 * MIB)
        return piece, flushed

    def assert_shown(self, image, piece, flushed):
        disk = self.attach(image, "--read-only")
        with open(disk["device"], "rb") as device:
            for _ in range(flushed // MIB):
                self.assertEqual(device.read(MIB), piece)
        self.detach(image)

    def test_writes_fail_and_what_was_flushed_stays(self):
        for name in ("disk.vhdx", "disk.vhd"):
            for killed in (False, True):
                with self.subTest(f"{name} {killed}"):
                    image = self.small / name
                    run(disks.VDISK, "create", image, "--size", "256M")
                    disk = self.attach(image)
                    piece, flushed = self.fill(disk["device"])
                    self.assertGreater(flushed, 4 * MIB)
                    if killed:
                        self.kill_worker(disk)
                    # The end of a VHD's session has a footer to write: it says that it could not, and is detached.
                    if self.vdisk("detach", image).returncode != 0 and self.listed():
                        self.detach(image, "--force")
                    wait_until(lambda path=image: self.vdisk("info", path).returncode == 0, "the lock")
                    self.assertEqual(self.listed(), [])
                    self.assert_gone(disk["device"])
                    self.assert_clean(image)
                    self.assert_shown(image, piece, flushed)
                    image.unlink()

    def test_with_room_again_it_goes_on(self):
        ballast = self.small / "ballast"
        ballast.write_bytes(bytes(14 * MIB))
        image = self.small / "disk.vhdx"
        run(disks.VDISK, "create", image, "--size", "256M", "--block-size", "1M")
        disk = self.attach(image)
        piece, flushed = self.fill(disk["device"])
        ballast.unlink()
        with open(disk["device"], "r+b", buffering=0) as device:
            device.seek(flushed)
            for _ in range(4):
                device.write(piece)
            os.fsync(device.fileno())
        self.detach(image)
        self.assert_clean(image)
        self.assert_shown(image, piece, flushed + 4 * MIB)


class LittleMemory(Case):
    """Server and writer share a memory limit that dirty pages fill: the server must not wait for memory that only it can
    free."""

    def setUp(self):
        super().setUp()
        self.group = pathlib.Path(f"/sys/fs/cgroup/memory/vdisk-test-{os.getpid()}")
        try:
            self.group.mkdir()
            (self.group / "memory.limit_in_bytes").write_text(str(160 * MIB))
        except OSError as error:
            self.skipTest(f"no memory cgroup (version 1) can be made: {error}")

    def clean_up(self):
        super().clean_up()
        with contextlib.suppress(OSError, AttributeError):
            wait_until(lambda: not (self.group / "cgroup.procs").read_text(), "the group's end")
            self.group.rmdir()

    def inside(self, *words):
        script = 'echo $$ > "$0" && exec "$@"'
        return subprocess.run(["sh", "-c", script, self.group / "cgroup.procs", *map(str, words)], check=True,
                              capture_output=True, text=True, timeout=120)

    def test_no_deadlock(self):
        image = self.create("disk.vhdx", "--size", "1G")
        disk = json.loads(self.inside(VDISK, "attach", image, "--json").stdout)
        run("mkfs.ext4", "-q", "-F", disk["device"])
        place = self.mount(disk["device"])
        self.inside("dd", "if=/dev/zero", f"of={place}/file", "bs=1M", "count=500", "conv=fsync", "status=none")
        self.umount(place)
        self.detach(image)


class Refusals(Case):
    def test_one_attachment_at_a_time(self):
        image = self.create("disk.vhdx", "--size", "16M")
        disk = self.attach(image)
        error = self.refused(32, "attach", image)
        self.assertIn(disk["device"], error["message"])
        self.refused(32, "attach", image, "--read-only")
        self.detach(image)
        self.refused(1168, "detach", image)
        self.refused(1168, "detach", "/dev/loop-control")

    def test_what_is_no_image(self):
        (self.folder / "bad.vhdx").write_bytes(b"vhdxfile" + b"\0" * MIB)
        self.refused(2, "attach", self.folder / "missing.vhdx")
        self.assertNotEqual(self.vdisk("attach", self.folder / "bad.vhdx").returncode, 0)
        self.assertEqual(self.listed(), [])

    def test_providers_that_cannot(self):
        image = self.create("disk.vhdx", "--size", "16M")
        self.assertIn("one run", self.refused(50, "attach", image, "--provider", "loop")["message"])
        if not pathlib.Path("/sys/module/nbd").exists():  # else tests/guest tries it
            self.assertIn("modprobe nbd", self.refused(50, "attach", image, "--provider", "nbd")["message"])
        self.assertEqual(self.vdisk("attach", image, "--provider", "magic").returncode, 2)
        fixed = self.create("disk.vhd", "--size", "16M", "--type", "fixed")
        self.assertEqual(self.attach(fixed, "--provider", "fuse")["provider"], "fuse")

    def test_without_root(self):
        image = self.create("disk.vhdx", "--size", "16M")
        os.chmod(self.folder, 0o777)
        os.chmod(image, 0o666)
        result = subprocess.run([VDISK, "attach", image, "--json"], capture_output=True, text=True, check=False,
                                user=65534, group=65534, extra_groups=[],
                                env={**os.environ, "VDISK_RUNTIME_DIR": str(self.folder / "nobody")})
        error = json.loads(result.stdout)["error"]
        self.assertEqual(error["code"], 1314, error)
        self.assertIn("--as-files", error["message"])

    def test_without_a_server(self):
        image = self.create("disk.vhdx", "--size", "16M")
        tool = self.folder / "vdisk"
        shutil.copy(VDISK, tool)
        os.environ["VDISK_SERVER"] = str(self.folder / "nothing")
        result = run(tool, "attach", image, "--json", check=False)
        if result.returncode == 0:
            self.skipTest("vdisk-server is installed on this machine")
        self.assertIn("vdisk-server", json.loads(result.stdout)["error"]["message"])

    def test_the_server_alone(self):
        result = run(SERVER, check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 2)
        self.assertIn("vdisk attach", result.stderr)


class Mounts(Case):
    def disk_with_two(self):
        image = self.create("disk.vhdx", "--size", "128M")
        disk = self.attach(image)
        run("sfdisk", "-q", "--no-reread", "--no-tell-kernel", disk["device"],
            input="label: gpt\nsize=32MiB\nsize=16MiB\nsize=64MiB\n")
        self.detach(image)
        disk = self.attach(image)
        run("mkfs.ext4", "-q", "-F", disk["partitions"][0])
        run("mkntfs", "-q", "-F", "-Q", disk["partitions"][2])
        self.detach(image)
        return image

    def mount_image(self, *words):
        place = pathlib.Path(tempfile.mkdtemp(prefix="mnt", dir=self.folder))
        said = json.loads(run(VDISK, "mount", *words, place, "--json").stdout)
        self.mounted.append(place)
        return place, said

    def umount_image(self, place):
        run(VDISK, "umount", place)
        self.mounted.remove(place)

    def test_a_partition_is_chosen_and_told(self):
        image = self.disk_with_two()
        place, said = self.mount_image(image)
        self.assertEqual((said["file_system"], said["mounted"]), ("ntfs", said["device"] + "p3"))
        self.assertIn("largest", said["reason"])
        (place / "file").write_bytes(b"ntfs")
        self.umount_image(place)
        self.assertEqual(self.listed(), [])
        place, said = self.mount_image(f"{image}:1")
        self.assertEqual(said["file_system"], "ext4")
        (place / "file").write_bytes(b"ext4")
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        line = next(line for line in mounts.splitlines() if f" {place} " in line)
        self.assertIn("nosuid", line)
        self.assertIn("nodev", line)
        self.umount_image(place)
        before = file_hash(image)
        place, said = self.mount_image(f"{image}:1", "--read-only")
        self.assertEqual((place / "file").read_bytes(), b"ext4")
        self.umount_image(place)
        self.assertEqual(file_hash(image), before, "reading changes nothing")
        self.assert_clean(image)

    def test_what_cannot_be_mounted(self):
        image = self.disk_with_two()
        self.refused(1168, "mount", f"{image}:7", self.folder)
        self.refused(50, "mount", f"{image}:2", self.folder)
        self.refused(5, "mount", f"{image}:1", self.folder / "missing")
        blank = self.create("blank.vhdx", "--size", "16M")
        self.refused(50, "mount", blank, self.folder)
        self.assertEqual(self.listed(), [], "nothing stays attached")

    def need_foreign(self, file_system, *programs):
        if any(line.split()[-1] == file_system for line in pathlib.Path("/proc/filesystems").read_text().splitlines()):
            self.skipTest(f"this kernel has {file_system}")
        for program in programs:
            if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") is None:
                self.skipTest(f"{program} is not installed")

    def test_an_iso_by_a_program_where_the_kernel_has_no_driver(self):
        self.need_foreign("iso9660", "fuseiso", "xorriso")
        tree = self.folder / "tree"
        tree.mkdir()
        (tree / "a rather long name.text").write_bytes(random.Random(6).randbytes(3 * MIB))
        image = self.folder / "disk.iso"
        run("xorriso", "-as", "mkisofs", "-quiet", "-J", "-R", "-o", image, tree)
        place, said = self.mount_image(image)
        self.assertEqual((said["file_system"], said["driver"], said["mounted"]), ("iso9660", "fuseiso", said["device"]))
        self.assertIn("this kernel has no driver", said["reason"])
        self.assertEqual(tree_hash(place), tree_hash(tree))
        self.assert_no_rights_on(place)
        self.umount_image(place)
        self.assertEqual(self.listed(), [])

    def test_exfat_by_a_program_where_the_kernel_has_no_driver(self):
        self.need_foreign("exfat", "mount.exfat-fuse", "mkfs.exfat")
        image = self.create("disk.vhdx", "--size", "64M")
        run("mkfs.exfat", self.attach(image)["device"])
        self.detach(image)
        place, said = self.mount_image(image)
        self.assertEqual((said["file_system"], said["driver"]), ("exfat", "mount.exfat-fuse"))
        content = random.Random(7).randbytes(5 * MIB)
        (place / "file").write_bytes(content)
        self.assert_no_rights_on(place)
        self.umount_image(place)
        self.assertEqual(self.listed(), [])
        self.assert_clean(image)
        before = file_hash(image)
        place, _ = self.mount_image(image, "--read-only")
        self.assertEqual((place / "file").read_bytes(), content)
        self.umount_image(place)
        self.assertEqual(file_hash(image), before, "reading changes nothing")

    def assert_no_rights_on(self, place):
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        line = next(line for line in mounts.splitlines() if f" {place} " in line)
        self.assertIn("nosuid,nodev", line)

    def test_a_disk_in_use_stays_mounted(self):
        image = self.disk_with_two()
        place, _ = self.mount_image(f"{image}:1")
        with open(place / "file", "wb"):
            self.refused(5, "umount", place)
        self.assertEqual(len(self.listed()), 1)
        self.umount_image(place)


class Races(Case):
    def test_one_of_many_wins(self):
        image = self.create("disk.vhd", "--size", "16M", "--type", "fixed")
        several = [subprocess.Popen([VDISK, "attach", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                   for _ in range(8)]
        outcomes = [process.communicate() and process.returncode for process in several]
        self.assertEqual(outcomes.count(0), 1, outcomes)
        self.assertEqual(len(self.listed()), 1)

    def test_many_at_once(self):
        images = [self.create(f"{n}.vhdx", "--size", "16M") for n in range(10)]
        several = [subprocess.Popen([VDISK, "attach", image], stdout=subprocess.PIPE) for image in images]
        devices = {process.communicate()[0] for process in several}
        self.assertEqual([process.returncode for process in several], [0] * 10)
        self.assertEqual(len(devices), 10)
        self.detach("--all")
        self.assertEqual(self.listed(), [])


class Speed(Case):
    def test_attach_until_the_device_answers(self):
        best = {}
        for kind in ("fixed", "dynamic"):
            image = self.create(f"{kind}.vhdx", "--size", "64M", "--type", kind)
            times = []
            for _ in range(5):
                begin = time.monotonic()
                device = run(VDISK, "attach", image).stdout.strip()
                with open(device, "rb") as disk:
                    disk.read(512)
                times.append(time.monotonic() - begin)
                self.detach(image)
            best[kind] = min(times)
        print("note: attach until the device answers:",
              ", ".join(f"{kind} {seconds * 1000:.0f} ms" for kind, seconds in best.items()), file=sys.stderr)


def main():
    global VDISK, SERVER
    arguments = disks.main(argparse.ArgumentParser(description=__doc__))
    VDISK, SERVER = disks.VDISK, disks.SERVER
    return disks.run_cases(arguments)


if __name__ == "__main__":
    sys.exit(main())
