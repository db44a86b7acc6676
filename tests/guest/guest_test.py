#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our disks in a virtual machine: the kernel's NBD client, the drivers of disc and FAT file systems, booting from our
export, and the tool itself on Debian's kernel.

    guest_test.py --vdisk PROGRAM --server PROGRAM --cache FOLDER [-v] [CASE…]
"""
import argparse
import hashlib
import json
import lzma
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from guest import Archive, Guest, Kernel, Udev, Unavailable  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
MIB = 1 << 20
# Where the guest's files come from.
NOISE = random.Random(5).randbytes(11 * MIB)
VDISK = SERVER = ""
KERNEL = UDEV = None
# Here and, some of them, in the guest.
NEEDED = ["qemu-system-x86_64", "busybox", "genisoimage", "mkudffs", "mkfs.vfat", "mcopy", "mtype", "syslinux", "nbd-client",
          "depmod", "modprobe", "mkfs.ext4", "debugfs", "sfdisk", "nbdkit", "7z", "ldd", "lsblk", "dpkg-deb", "apt-get", "apt-cache"]


def run(*words, check=True, **options):
    result = subprocess.run([str(word) for word in words], capture_output=True, check=False, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{words} gave {result.returncode}: {result.stdout!r}{result.stderr!r}")
    return result


def vdisk(*words):
    return run(VDISK, *words)


def content(image, first_mib=0, length_mib=None):
    """What a stretch of an image's disk shows."""
    raw = run(VDISK, "convert", image, "-", "--format", "raw", "--quiet").stdout
    return raw[first_mib * MIB:][:None if length_mib is None else length_mib * MIB]


def sum_of(data):
    return hashlib.md5(data).hexdigest()


def allocated(path):
    return os.stat(path).st_blocks * 512


def tree_sums(folder):
    """As md5sum -c reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  ./{path.relative_to(folder)}\n" for path in files)


def mbr(code, *partitions):
    """The first sector of a disk: boot code and (type, first MiB, MiB) of each partition, the first one active."""
    rows = b"".join(struct.pack("<B3sB3sII", 0x80 if number == 0 else 0, bytes(3), kind, bytes(3), first * 2048, length * 2048)
                    for number, (kind, first, length) in enumerate(partitions))
    return code.ljust(446, b"\0")[:446] + rows.ljust(64, b"\0") + b"\x55\xaa"


def filled_sums():
    """Of the files that cases.sh fills in."""
    sizes = {"below/flushed": (7, MIB)} | {f"file{number}": (number, number * 33333) for number in range(1, 7)}
    return "".join(f"{sum_of(NOISE[seed * 1000 - 1:][:size])}  ./folder/{name}\n" for name, (seed, size) in sizes.items())


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="vdisk-guest-")
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        self.archive = Archive()
        self.archive.system(KERNEL)
        self.servers = {}

    def create(self, name, *options):
        path = self.folder / name
        vdisk("create", path, *options, "--quiet")
        return path

    def serve(self, image, *where):
        """Until stop_serving. Returns how clients find it."""
        process = subprocess.Popen([VDISK, "serve", str(image), "--json", *map(str, where)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.servers[image] = process
        text = ""
        while "}" not in text:
            line = process.stdout.readline()
            self.assertTrue(line, f"no server for {image}: {text}")
            text += line
        return json.loads(text)["uri"]

    def serve_port(self, image):
        return int(self.serve(image, "--port", 0).rstrip("/").rpartition(":")[2])

    def stop_serving(self, image):
        process = self.servers.pop(image)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(120), 0, image)

    def assert_clean(self, image):
        vdisk("check", image, "--chain", "--quiet")

    def tree(self):
        """Files for file systems that keep names and content."""
        folder = self.folder / "tree"
        noise = random.Random(4)
        for name, size in (("short.txt", 5), ("empty", 0), ("a folder/A rather long name, with blanks.data", 70_000),
                           ("a folder/below/deeper/one block", 2048), ("large.bin", 3 * MIB + 17)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(noise.randbytes(size))
        self.archive.file("expected", tree_sums(folder))
        return folder

    def boot(self, scenario, tools=(), **options):
        self.archive.file("scenario", scenario)
        self.archive.file("noise", NOISE)
        for tool in tools:
            self.archive.program(tool)
        return self.finish(Guest(self.folder, kernel=KERNEL, archive=self.archive, **options))

    def finish(self, guest):
        report = guest.run()
        print(f"note: {self.id().rpartition('.')[2]}: the guest lived {report.seconds:.0f} s", file=sys.stderr)
        failed = {name: result for name, result in report.cases.items() if result != "ok"}
        self.assertEqual(failed, {}, report.console[-6000:])
        return report


class KernelNbd(Case):
    """Images served over TCP to the kernel's NBD client."""

    def filled(self, image):
        """What the guest filled in, on both partitions, as other tools find it."""
        raw = self.folder / "after.raw"
        raw.write_bytes(content(image))
        places = [self.folder / "from-ext4", self.folder / "from-vfat"]
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        run("debugfs", "-R", f"rdump /folder {places[0]}", f"{raw}?offset={1 * MIB}")
        run("mcopy", "-s", "-i", f"{raw}@@29M", "::folder", places[1])
        sums = [tree_sums(place) for place in places]
        self.assertEqual(sums[0], sums[1])
        return sums[0]

    def test_disks(self):
        images = {
            "vhdx": self.create("a.vhdx", "--size", "40M", "--block-size", "1M"),
            "vhd": self.create("a.vhd", "--size", "40M", "--block-size", "512K"),
            "large-sectors": self.create("l.vhdx", "--size", "40M", "--block-size", "1M", "--logical-sector-size", "4096"),
        }
        base = self.create("base.vhdx", "--size", "40M", "--block-size", "1M")
        vdisk("io", base, "-c", "write -P 7 20M 2M", "--quiet")
        middle = self.create("middle.vhdx", "--parent", base)
        vdisk("io", middle, "-c", "write -P 8 21M 10M", "--quiet")
        images["chain"] = self.create("leaf.vhdx", "--parent", middle)
        parents = {path: path.read_bytes() for path in (base, middle)}
        before = {name: sum_of(content(image, 20, 2)) for name, image in images.items()}
        self.assertNotEqual(before["chain"], before["vhdx"])
        scenario = ""
        for number, (name, image) in enumerate(images.items()):
            sector = 4096 if name == "large-sectors" else 512
            scenario += f"run_case {name} nbd_disk {name} nbd{number} {self.serve_port(image)} {sector}\n"
        sizes = {}

        def measure(what):
            sizes[what] = allocated(images[what.partition("-")[2]])

        report = self.boot(scenario, ["nbd-client", "sfdisk", "mkfs.ext4", "e2fsck", "mkfs.vfat"], on_ask=measure)
        self.assertEqual(list(report.cases), list(images))
        for name, image in images.items():
            self.stop_serving(image)
            with self.subTest(name):
                self.assert_clean(image)
                self.assertEqual(report.said[f"before-{name}"], before[name])
                self.assertEqual(self.filled(image), filled_sums())
                self.assertLess(sizes[f"trimmed-{name}"], sizes[f"full-{name}"] - 3 * MIB, "fstrim gives the space back")
        for path, kept in parents.items():
            self.assertEqual(path.read_bytes(), kept, "parents are never written")


class FileSystems(Case):
    """Discs and FAT, in images of ours, read by the kernel's own drivers."""

    def partitioned(self, tree):
        raw = self.folder / "parts.raw"
        disc, bridge = self.folder / "disc.iso", self.folder / "bridge.iso"
        run("genisoimage", "-quiet", "-R", "-J", "-joliet-long", "-o", disc, tree)
        run("genisoimage", "-quiet", "-R", "-udf", "-allow-limited-size", "-o", bridge, tree)
        rows = [(0x96, 1, 8), (0x07, 9, 8), (0x0c, 17, 16), (0x07, 33, 16)]
        with open(raw, "wb") as out:
            out.write(mbr(b"", *rows))
            for path, (_, first, _) in zip((disc, bridge), rows):
                out.seek(first * MIB)
                out.write(path.read_bytes())
            out.truncate(50 * MIB)
        for kind, (_, first, length) in (("vfat", rows[2]), ("udf", rows[3])):
            part = self.folder / "part"
            with open(part, "wb") as out:
                out.truncate(length * MIB)
            if kind == "vfat":
                run("mkfs.vfat", part)
                run("mcopy", "-s", "-i", part, *tree.iterdir(), "::")
            else:
                run("mkudffs", "-b", 512, "-l", "vdisk", part)
            with open(raw, "r+b") as out:
                out.seek(first * MIB)
                out.write(part.read_bytes())
        return disc, bridge, raw

    def test_discs_and_partitions(self):
        disc, bridge, raw = self.partitioned(self.tree())
        scenario = ""
        discs = {disc: "iso9660", bridge: "udf"}
        for number, (image, kind) in enumerate(discs.items()):
            scenario += f"run_case {image.name} disc nbd{number} {self.serve_port(image)} {kind}\n"
        images = [self.folder / "parts.vhdx", self.folder / "parts.vhd"]
        for number, image in enumerate(images, len(discs)):
            vdisk("convert", raw, image, "--source-format", "raw", "--quiet")
            scenario += f"run_case {image.name} partitions nbd{number} {self.serve_port(image)}\n"
        kept = disc.read_bytes()
        report = self.boot(scenario, ["nbd-client"])
        self.assertEqual(len(report.cases), len(discs) + len(images))
        for number, image in enumerate(images, len(discs)):
            self.stop_serving(image)
            self.assert_clean(image)
            self.assertEqual(report.said[f"after-nbd{number}"], sum_of(content(image, 33, 16)))
        self.assertEqual(disc.read_bytes(), kept)


class Booting(Case):
    """A guest whose only disk is our export: SeaBIOS, boot loader, kernel, root file system."""

    BOOT = (0x0c, 1, 62)
    SYSTEM = (0x83, 63, 60)

    def disk(self):
        raw = self.folder / "boot.raw"
        # The boot partition's archive mounts the second one and goes on there.
        first = Archive()
        first.system(KERNEL, ["virtio_pci", "virtio_blk", "vfat", "nls_cp437", "nls_ascii", "nls_utf8"])
        first.file("init", (pathlib.Path(__file__).parent / "guest/boot-init").read_bytes(), 0o755)
        first.write(self.folder / "first")
        system = self.folder / "system"
        for name in ("bin", "proc", "dev", "sys", "boot", "sbin"):
            (system / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), system / "bin/busybox")
        shutil.copy(pathlib.Path(__file__).parent / "guest/boot-system", system / "sbin/init")
        (system / "words").write_text("from our image\n")
        with open(raw, "wb") as out:
            out.truncate(124 * MIB)
        for (_, first_mib, length_mib), words in ((self.SYSTEM, ["mkfs.ext4", "-q", "-F", "-d", system]), (self.BOOT, ["mkfs.vfat", "-F", 32])):
            part = self.folder / "part"
            with open(part, "wb") as out:
                out.truncate(length_mib * MIB)
            run(*words, part)
            if words[0] == "mkfs.vfat":
                run("syslinux", "--install", part)
                config = self.folder / "syslinux.cfg"
                config.write_text("DEFAULT linux\nLABEL linux\n  KERNEL vmlinuz\n  INITRD first\n"
                                  "  APPEND console=ttyS0 panic=-1 quiet\n")
                shutil.copy(KERNEL.image, self.folder / "vmlinuz")
                run("mcopy", "-i", part, config, self.folder / "vmlinuz", self.folder / "first", "::")
            with open(raw, "r+b") as out:
                out.seek(first_mib * MIB)
                out.write(part.read_bytes())
        with open(raw, "r+b") as out:
            out.write(mbr(pathlib.Path("/usr/lib/syslinux/mbr/mbr.bin").read_bytes(), self.BOOT, self.SYSTEM))
        return raw

    def found(self, image):
        """The proofs that the guest left, as other tools find them."""
        raw = self.folder / "after.raw"
        raw.write_bytes(content(image))
        system = run("debugfs", "-R", "cat /proof", f"{raw}?offset={self.SYSTEM[1] * MIB}").stdout
        return system, run("mtype", "-i", f"{raw}@@{self.BOOT[1]}M", "::proof").stdout

    def test_a_guest_boots_from_our_export(self):
        raw = self.disk()
        base = self.folder / "base.vhdx"
        vdisk("convert", raw, base, "--source-format", "raw", "--quiet")
        dynamic = self.folder / "boot.vhd"
        if os.environ.get("VDISK_LONG"):
            vdisk("convert", raw, dynamic, "--source-format", "raw", "--quiet")
        raw.unlink()
        kept = base.read_bytes()
        child = self.create("child.vhdx", "--parent", base)
        for image in [child] + ([dynamic] if dynamic.exists() else []):
            with self.subTest(image.name):
                socket = self.folder / "socket"
                self.serve(image, "--socket", socket)
                drive = f"file=nbd+unix:///?socket={socket},format=raw,if=virtio,discard=unmap"
                report = self.finish(Guest(self.folder, drives=[drive]))
                self.assertEqual(report.cases, {"boot": "ok"})
                self.stop_serving(image)
                self.assert_clean(image)
                self.assertEqual(self.found(image), (b"from our image\n", b"from our image\n"))
        self.assertEqual(base.read_bytes(), kept, "parents are never written")


class Attaching(Case):
    """The tool and its server on a kernel as others have it: modules, partition scanning."""

    MADE = {"leaf.vhdx": "--parent base.vhdx", "large.vhdx": "--size 64M --logical-sector-size 4096"}

    def run_cases(self, cases, before="", tools=()):
        """NAME: function, image, provider, further words. The images lie in a file system of the guest's."""
        self.scratch = self.folder / "scratch.raw"
        with open(self.scratch, "wb") as out:
            out.truncate(1024 * MIB)
        run("mkfs.ext4", "-q", "-F", self.scratch)
        scenario = "mkdir /scratch; mount /dev/vda /scratch; cd /scratch; export VDISK_SERVER=/usr/bin/vdisk-server\n" + before
        for image in dict.fromkeys(["base.vhdx", *(words[1] for words in cases.values())]):
            how = self.MADE.get(image, "--size 64M" + (" --type fixed" if image.startswith("fixed") else ""))
            scenario += f"vdisk create {image} {how} --quiet\n"
        for name, (function, image, *words) in cases.items():
            scenario += f"run_case {name} {function} /scratch/{image} {' '.join(words)}\n"
        scenario += "cd /; umount /scratch || echo CASE umount FAILED >&3\n"
        self.archive.program(VDISK, "usr/bin/vdisk")
        self.archive.program(SERVER, "usr/bin/vdisk-server")
        report = self.boot(scenario, ["sfdisk", "mkfs.ext4", "e2fsck", "mkfs.vfat", *tools],
                           drives=[f"file={self.scratch},format=raw,if=virtio,discard=unmap,cache=unsafe"])
        self.assertEqual(list(report.cases), list(cases))
        return report

    def from_guest(self, image):
        """A copy of an image as the guest left it."""
        copy = self.folder / image
        run("debugfs", "-R", f"dump /{image} {copy}", self.scratch)
        return copy

    def test_attach(self):
        cases = {"fuse-vhdx": ("attach_disk", "a.vhdx", "fuse"), "loop-vhd": ("attach_disk", "fixed.vhd", "loop"),
                 "nbd-chain": ("attach_disk", "leaf.vhdx", "nbd"), "nbd-killed": ("attach_killed", "c.vhdx", "nbd"),
                 "nbd-force": ("attach_force", "c.vhdx", "nbd")}
        if os.environ.get("VDISK_LONG"):
            cases |= {"fuse-vhd": ("attach_disk", "a.vhd", "fuse"), "loop-vhdx": ("attach_disk", "fixed.vhdx", "loop"),
                      "nbd-vhdx": ("attach_disk", "b.vhdx", "nbd"), "nbd-vhd": ("attach_disk", "b.vhd", "nbd"),
                      "nbd-large-sectors": ("attach_disk", "large.vhdx", "nbd"),
                      "nbd-killed-vhd": ("attach_killed", "c.vhd", "nbd")}
        report = self.run_cases(cases)
        print(f"note: a killed worker held writes up for at most {report.said['pause-nbd']} s", file=sys.stderr)

    @unittest.skipUnless(os.environ.get("VDISK_LONG"), "a boot of minutes: with VDISK_LONG")
    def test_udev_knows_our_disks(self):
        self.archive.udev(UDEV)
        cases = {"fuse-vhdx": ("identified", "a.vhdx", "fuse", "VHDX"), "fuse-vhd": ("identified", "a.vhd", "fuse", "VHD"),
                 "loop-vhd": ("identified", "fixed.vhd", "loop", "VHD"), "nbd-vhdx": ("identified", "b.vhdx", "nbd", "VHDX"),
                 "disk-nbd": ("attach_disk", "c.vhdx", "nbd"), "disk-loop": ("attach_disk", "fixed.vhdx", "loop")}
        self.run_cases(cases, before="(cd /; /lib/systemd/systemd-udevd --daemon); udevadm trigger; udevadm settle\n",
                       tools=["lsblk"])

    def test_the_system_s_moments(self):
        """Update, shutdown; and a kernel that sends nothing again to a FUSE server's successor."""
        cases = {"nbd-restarted": ("attach_restarted", "r.vhdx", "nbd"), "fuse-killed": ("attach_killed_unanswered", "k.vhdx", "fuse"),
                 "fuse-down": ("attach_shut_down", "d.vhdx", "fuse"), "nbd-down": ("attach_shut_down", "e.vhd", "nbd"),
                 "loop-down": ("attach_shut_down", "fixed.vhdx", "loop")}
        self.run_cases(cases)
        for image in ("k.vhdx", "d.vhdx", "e.vhd", "fixed.vhdx"):
            self.assert_clean(self.from_guest(image))


def missing():
    if os.uname().machine != "x86_64":
        return "the guest is made for x86-64"
    absent = [tool for tool in NEEDED if shutil.which(tool) is None]
    return f"not installed: {' '.join(absent)}" if absent else None


def main():
    global VDISK, SERVER, KERNEL, UDEV
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vdisk", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    reason = missing()
    if not reason:
        try:
            KERNEL, UDEV = Kernel(arguments.cache.resolve()), Udev(arguments.cache.resolve())
        except Unavailable as why:
            reason = str(why)
    if reason:
        print(f"skipped: there can be no guest here: {reason}")
        return SKIPPED
    VDISK, SERVER = os.path.abspath(arguments.vdisk), os.path.abspath(arguments.server)
    words = [sys.argv[0]] + (["-v"] if arguments.verbose else []) + arguments.cases
    return 0 if unittest.main(argv=words, exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
