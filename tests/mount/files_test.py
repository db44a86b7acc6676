#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`vdisk mount --as-files` and `vdisk umount`, as root and as a user who is nobody."""
import argparse
import ctypes
import errno
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

VDISK = ""
MIB = 1024 * 1024
NOBODY = 65534


def run(*words, user=None, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=120,
                          user=user, group=user, extra_groups=[] if user else None, **options)


def servers():
    """Process numbers of the servers that run in the background."""
    found = run("pgrep", "-f", "-x", f"{VDISK} mount .*").stdout.split()
    return {int(number) for number in found}


def wait_until(condition):
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_mounted(folder):
    return f" {folder} " in pathlib.Path("/proc/self/mountinfo").read_text()


def leave_mounts_alone():
    """From now on this process has mounts of its own, and a /dev/fuse that everyone may open, as udev makes it."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns = 0x20000
    if libc.unshare(clone_newns) != 0 or run("mount", "--make-rprivate", "/").returncode != 0:
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    if run("mount", "-t", "tmpfs", "-o", "mode=755", "none", folder).returncode == 0:
        node = folder / "fuse"
        os.mknod(node, stat.S_IFCHR, os.makedev(10, 229))
        node.chmod(0o666)
        run("mount", "--bind", node, "/dev/fuse")
        run("umount", "-l", folder)
    folder.rmdir()


class MountTest(unittest.TestCase):
    user = None

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            self.skipTest("no /dev/fuse")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vdisk_mount_"))
        self.addCleanup(self.clean_up)
        self.place = self.folder / "place"
        self.place.mkdir()
        self.image = self.folder / "disk.vhdx"
        if self.user:
            for path in (self.folder, self.place):
                os.chown(path, self.user, self.user)
        self.vdisk(0, "create", self.image, "--size", "64M")

    def clean_up(self):
        if is_mounted(self.place):
            subprocess.run(["umount", "-l", self.place], check=False)
        shutil.rmtree(self.folder)

    def vdisk(self, status, *words):
        result = run(VDISK, *words, user=self.user)
        self.assertEqual(result.returncode, status, f"{words}: {result.stdout} {result.stderr}")
        return result.stdout + result.stderr

    def mount(self, *words, image=None):
        """Mounts; the number of the server's process."""
        before = servers()
        self.vdisk(0, "mount", "--as-files", image or self.image, self.place, *words)
        new = servers() - before
        self.assertEqual(len(new), 1)
        return new.pop()

    def as_user(self, *words, status=0):
        result = run(*words, user=self.user)
        self.assertEqual(result.returncode, status, f"{words}: {result.stderr}")
        return result.stdout

    def check_clean(self):
        # A log that a killed server left is a note.
        self.assertRegex(self.vdisk(0, "check", self.image), r"no problems found|0 damage, 0 warnings")


class FilesTest(MountTest):
    def test_a_disk_is_partitioned_written_and_read_again(self):
        self.mount()
        raw = self.place / "disk.raw"
        self.as_user("sh", "-c", f"printf ',16M\\n,\\n' | sfdisk -q -X gpt --no-reread --no-tell-kernel {raw}")
        self.vdisk(0, "umount", self.place)
        self.assertFalse(is_mounted(self.place))
        self.check_clean()

        self.mount()
        self.assertEqual(self.as_user("ls", self.place).split(), ["disk.raw", "partition1.raw", "partition2.raw"])
        content = random.Random(1).randbytes(3 * MIB + 77)
        source = self.folder / "source"
        source.write_bytes(content)
        source.chmod(0o644)
        self.as_user("dd", f"if={source}", f"of={self.place}/partition1.raw", "bs=1009", "seek=3", "conv=notrunc,fsync")
        self.assertEqual(self.as_user("sh", "-c", f"dd if={self.place}/partition1.raw bs=1009 skip=3 status=none | "
                                      f"head -c {len(content)} | cmp - {source} && echo same"), "same\n")
        whole = self.as_user("sh", "-c", f"tail -c +{MIB + 3 * 1009 + 1} {self.place}/disk.raw | head -c {len(content)} | "
                             f"cmp - {source} && echo same")
        self.assertEqual(whole, "same\n")
        self.vdisk(0, "umount", self.place)
        self.check_clean()

    def test_sparse_copies_stay_sparse(self):
        self.mount()
        raw = self.place / "disk.raw"
        self.as_user("dd", "if=/dev/urandom", f"of={raw}", "bs=1M", "count=1", "seek=40", "conv=notrunc")
        copy = self.folder / "copy.raw"
        self.as_user("cp", "--sparse=always", raw, copy)
        self.assertLess(copy.stat().st_blocks * 512, 2 * MIB)
        self.assertEqual(copy.stat().st_size, 64 * MIB)
        self.as_user("cmp", raw, copy)
        self.as_user("fallocate", "-p", "-o", 40 * MIB, "-l", MIB, raw)
        self.assertEqual(self.as_user("sh", "-c", f"tr -d '\\0' < {raw} | wc -c"), "0\n")
        self.vdisk(0, "umount", self.place)
        self.check_clean()

    def test_read_only_changes_nothing(self):
        before = self.image.read_bytes()
        self.mount("--read-only")
        raw = self.place / "disk.raw"
        self.as_user("dd", "if=/dev/zero", f"of={raw}", "count=1", "conv=notrunc", status=1)
        self.as_user("cat", raw)
        self.vdisk(0, "umount", self.place)
        self.assertEqual(self.image.read_bytes(), before)

    def test_a_folder_in_use_stays(self):
        self.mount()
        holder = subprocess.Popen(["sh", "-c", f"exec 3<{self.place}/disk.raw; echo; exec sleep 100"], stdout=subprocess.PIPE,
                                  user=self.user, group=self.user)
        holder.stdout.readline()
        self.assertIn("use", self.vdisk(1, "umount", self.place))
        self.assertTrue(is_mounted(self.place))
        holder.kill()
        holder.wait()
        holder.stdout.close()
        self.vdisk(0, "umount", self.place)

    def test_the_image_is_locked_meanwhile(self):
        self.mount()
        self.vdisk(1, "io", self.image, "-c", "read 0 512")
        self.vdisk(0, "umount", self.place)
        self.vdisk(0, "io", self.image, "-c", "read 0 512")

    def test_errors_are_told_before_anything_is_mounted(self):
        self.assertIn("absent", self.vdisk(1, "mount", "--as-files", self.folder / "absent.vhdx", self.place))
        self.assertIn("nowhere", self.vdisk(1, "mount", "--as-files", self.image, self.folder / "nowhere"))
        self.assertIn("no image is mounted", self.vdisk(1, "umount", self.place))
        self.vdisk(1, "mount", self.image, self.place)  # an empty disk
        self.assertFalse(is_mounted(self.place))

    def test_a_server_that_is_asked_to_end_unmounts_and_closes(self):
        server = self.mount()
        self.as_user("dd", "if=/dev/urandom", f"of={self.place}/disk.raw", "bs=1M", "count=4", "conv=notrunc")
        os.kill(server, signal.SIGTERM)
        self.assertTrue(wait_until(lambda: not is_mounted(self.place) and server not in servers()))
        self.check_clean()

    def test_what_was_synced_survives_a_killed_server(self):
        server = self.mount()
        raw = self.place / "disk.raw"
        source = self.folder / "source"
        source.write_bytes(random.Random(2).randbytes(5 * MIB))
        source.chmod(0o644)
        self.as_user("dd", f"if={source}", f"of={raw}", "bs=64k", "seek=100", "conv=notrunc,fsync")
        os.kill(server, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: server not in servers()))
        with self.assertRaises(OSError) as gone:
            os.stat(raw)
        self.assertIn(gone.exception.errno, (errno.ENOTCONN, errno.EIO, errno.EACCES))
        self.assertIn("after a crash", self.vdisk(1, "umount", self.place))
        self.assertFalse(is_mounted(self.place))
        self.check_clean()
        self.mount("--read-only")
        self.as_user("cmp", "-n", 5 * MIB, "-i", f"{100 * 65536}:0", raw, source)
        self.vdisk(0, "umount", self.place)

    def test_in_the_foreground_it_ends_with_its_signal(self):
        server = subprocess.Popen([VDISK, "mount", "--as-files", "--foreground", self.image, self.place],
                                  user=self.user, group=self.user)
        self.assertTrue(wait_until(lambda: is_mounted(self.place)))
        self.as_user("ls", self.place)
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(60), 0)
        self.assertFalse(is_mounted(self.place))


class UsersFilesTest(FilesTest):
    user = NOBODY

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become somebody else")
        if shutil.which("fusermount3") is None:
            self.skipTest("fusermount3 is not installed")
        if run(VDISK, "version", user=self.user).returncode != 0:
            self.skipTest("the tool lies where others may not look")
        super().setUp()


class FullHostTest(MountTest):
    """The host's disk is full: ENOSPC, and a good image."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root, to mount a small file system")
        self.small = self.folder / "small"
        self.small.mkdir()
        mounted = run("mount", "-t", "tmpfs", "-o", "size=24m", "none", self.small)
        if mounted.returncode != 0:
            self.skipTest(mounted.stderr)
        self.addCleanup(subprocess.run, ["umount", "-l", self.small], check=False)

    def test_no_space_is_no_space(self):
        self.image = self.small / "disk.vhdx"
        self.vdisk(0, "create", self.image, "--size", "1G", "--block-size", "1M")
        self.mount()
        with open(self.place / "disk.raw", "r+b", buffering=0) as raw:
            with self.assertRaises(OSError) as full:
                for _ in range(64):
                    raw.write(bytes([7]) * MIB)
            self.assertEqual(full.exception.errno, errno.ENOSPC)
            written = raw.tell()
        self.assertGreater(written, 4 * MIB)
        self.vdisk(0, "umount", self.place)
        self.check_clean()
        self.mount("--read-only")
        with open(self.place / "disk.raw", "rb") as raw:
            self.assertEqual(raw.read(written), bytes([7]) * written)
        self.vdisk(0, "umount", self.place)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    arguments, rest = parser.parse_known_args()
    if os.geteuid() == 0:
        leave_mounts_alone()
    VDISK = str(pathlib.Path(arguments.vdisk).resolve())
    unittest.main(argv=[sys.argv[0], *rest])
