#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`vdisk mount IMAGE DIR` and `vdisk umount` by a user who is nobody."""
import argparse
import ctypes
import hashlib
import json
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
NOBODY = 65534
MIB = 1024 * 1024
SETTINGS = pathlib.Path("/etc/fuse.conf")


def run(*words, user=NOBODY, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=300,
                          user=user, group=user, extra_groups=[], **options)


def wait_until(condition):
    for _ in range(1200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_mounted(folder):
    return f" {str(folder).replace(' ', chr(92) + '040')} " in pathlib.Path("/proc/self/mountinfo").read_text()


def private_folders():
    return {str(path) for path in pathlib.Path("/tmp").glob("vdisk-mount-*") if path.stat().st_uid == NOBODY}


def file_hash(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def prepare_this_process():
    """Mounts of its own, a /dev/fuse for everyone, as udev makes it, and an /etc/fuse.conf to try things with. Why
    not, or None."""
    if os.geteuid() != 0:
        return "needs root, to become somebody else"
    for program in ("fusermount3", "fuse2fs"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    if not os.stat(shutil.which("fusermount3")).st_mode & stat.S_ISUID:
        return "fusermount3 is not setuid"
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns = 0x20000
    root = {"user": 0}
    if libc.unshare(clone_newns) != 0 or run("mount", "--make-rprivate", "/", **root).returncode != 0:
        return "no mounts of its own"
    folder = pathlib.Path(tempfile.mkdtemp())
    if run("mount", "-t", "tmpfs", "-o", "mode=755", "none", folder, **root).returncode != 0:
        return "no tmpfs"
    node = folder / "fuse"
    os.mknod(node, stat.S_IFCHR, os.makedev(10, 229))
    node.chmod(0o666)
    (folder / "fuse.conf").write_text("")
    run("mount", "--bind", node, "/dev/fuse", **root)
    run("mount", "--bind", folder / "fuse.conf", SETTINGS, **root)
    run("umount", "-l", folder, **root)
    folder.rmdir()
    if run(VDISK, "version").returncode != 0:
        return "the tool lies where others may not look"
    return None


class Case(unittest.TestCase):
    def setUp(self):
        if WHY_NOT:
            self.skipTest(WHY_NOT)
        SETTINGS.write_text("user_allow_other\n")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vdisk_rootless_"))
        self.addCleanup(self.clean_up)
        self.place = self.folder / "place"
        self.place.mkdir()
        for path in (self.folder, self.place):
            os.chown(path, NOBODY, NOBODY)
        self.image = self.folder / "disk.vhdx"
        self.before = private_folders()

    def clean_up(self):
        subprocess.run(["umount", "-q", "-l", self.place], check=False)
        shutil.rmtree(self.folder)

    def vdisk(self, *words, status=0, **options):
        result = run(VDISK, *words, **options)
        self.assertEqual(result.returncode, status, f"{words}: {result.stdout} {result.stderr}")
        return result.stdout + result.stderr

    def refused(self, code, *words, **options):
        error = json.loads(run(VDISK, *words, "--json", **options).stdout)["error"]
        self.assertEqual(error["code"], code, error)
        return error["message"]

    def user(self, *words):
        result = run(*words)
        self.assertEqual(result.returncode, 0, f"{words}: {result.stdout} {result.stderr}")
        return result.stdout

    def create(self, *words, size="96M"):
        self.vdisk("create", self.image, "--size", size, *words)

    def as_files(self, *commands):
        """Runs commands on the image's plain files, in their folder."""
        self.vdisk("mount", "--as-files", self.image, self.place)
        try:
            for command in commands:
                self.user("sh", "-c", f"cd {self.place} && PATH=$PATH:/usr/sbin && {command}")
        finally:
            self.vdisk("umount", self.place)

    def mount(self, image=None, *words):
        return json.loads(self.vdisk("mount", image or self.image, self.place, "--json", *words))

    def umount(self):
        self.vdisk("umount", self.place)
        self.assertFalse(is_mounted(self.place))
        self.assert_nothing_left()

    def assert_nothing_left(self):
        self.assertEqual(private_folders() - self.before, set())
        self.assertEqual(self.server(), None)

    def check_clean(self):
        self.assertRegex(self.vdisk("check", self.image), r"no problems found|0 damage, 0 warnings")

    def server(self):
        found = run("pgrep", "-f", f"^{VDISK} mount {self.folder}").stdout.split()
        return int(found[0]) if found else None

    def driver(self):
        return int(run("pgrep", "-f", f"vdisk-mount-.*{self.place}").stdout.split()[0])

    def fill(self, seed):
        """Writes a tree by the user's hand; its hashes."""
        source = self.folder / f"source{seed}"
        random_bytes = random.Random(seed).randbytes
        for name, size in (("small", 5), ("folder/large", 7 * MIB + 13), ("folder/deep/a name with blanks", 70000)):
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random_bytes(size))
        self.user("cp", "-r", source, self.place / f"tree{seed}")
        return self.hashes(source)

    def hashes(self, folder):
        return self.user("sh", "-c", f"cd '{folder}' && find . -type f | sort | xargs -d '\\n' sha256sum")

    def need(self, *programs):
        for program in programs:
            if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
                self.skipTest(f"{program} is not installed")


class FileSystems(Case):
    def round_trip(self, make, check, file_system, driver):
        self.as_files(make)
        said = self.mount()
        self.assertEqual((said["mounted"], said["file_system"], said["driver"]), ("disk.raw", file_system, driver))
        self.assertEqual(said["reason"], "the disk has no partitions")
        line = next(line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                    if f" {self.place} " in line)
        self.assertIn("nosuid,nodev", line)
        self.refused(32, "io", self.image, "-c", "read 0 512")
        trees = {1: self.fill(1)}
        self.umount()
        self.check_clean()
        self.as_files(check)
        self.mount()
        trees[2] = self.fill(2)
        self.user("rm", "-r", self.place / "tree1/folder/deep")
        trees[1] = self.hashes(self.place / "tree1")
        self.umount()
        self.check_clean()
        self.as_files(check)
        before = file_hash(self.image)
        self.assertTrue(self.mount(None, "--read-only")["read_only"])
        for seed, hashes in trees.items():
            self.assertEqual(self.hashes(self.place / f"tree{seed}"), hashes)
        self.assertNotEqual(run("touch", self.place / "new").returncode, 0)
        self.umount()
        self.assertEqual(file_hash(self.image), before, "reading changes nothing")

    def test_ext4(self):
        self.create()
        self.round_trip("mkfs.ext4 -q -F disk.raw", "e2fsck -fn disk.raw", "ext4", "fuse2fs")

    def test_ext2_on_a_fixed_vhd(self):
        self.image = self.folder / "disk.vhd"
        self.create("--type", "fixed")
        self.round_trip("mkfs.ext2 -q -F disk.raw", "e2fsck -fn disk.raw", "ext2", "fuse2fs")

    def test_ext4_with_large_sectors(self):
        self.create("--logical-sector-size", "4096")
        self.round_trip("mkfs.ext4 -q -F -b 4096 disk.raw", "e2fsck -fn disk.raw", "ext4", "fuse2fs")

    def test_ext4_on_a_child(self):
        self.create()
        self.as_files("mkfs.ext4 -q -F disk.raw")
        parent, self.image = self.image, self.folder / "child.vhdx"
        before = file_hash(parent)
        self.vdisk("create", self.image, "--parent", parent)
        self.round_trip("true", "e2fsck -fn disk.raw", "ext4", "fuse2fs")
        self.assertEqual(file_hash(parent), before)

    def test_ntfs(self):
        self.need("ntfs-3g", "mkntfs")
        self.create()
        self.round_trip("mkntfs -q -F -Q disk.raw", "ntfsfix -n disk.raw", "ntfs", "ntfs-3g")

    def test_ntfs_where_users_may_not_share(self):
        self.need("ntfs-3g", "mkntfs")
        if not os.stat(shutil.which("ntfs-3g")).st_mode & stat.S_ISUID:
            self.skipTest("this ntfs-3g is not setuid")
        self.create()
        self.as_files("mkntfs -q -F -Q disk.raw")
        SETTINGS.write_text("#user_allow_other\n")
        self.assertIn("user_allow_other", self.refused(50, "mount", self.image, self.place))
        self.assertFalse(is_mounted(self.place))
        self.assert_nothing_left()

    def test_exfat_is_for_root(self):
        self.need("mkfs.exfat", "mount.exfat-fuse")
        self.create()
        self.as_files("mkfs.exfat disk.raw")
        self.assertIn("serves root only", self.refused(50, "mount", self.image, self.place))
        self.assert_nothing_left()

    def test_fat_is_only_read(self):
        self.need("fusefat", "mkfs.vfat", "mcopy")
        self.create()
        name = self.folder / "a rather long name.text"
        name.write_bytes(random.Random(3).randbytes(3 * MIB))
        self.as_files("mkfs.vfat disk.raw", f"mcopy -i disk.raw '{name}' ::")
        self.assertIn("--read-only", self.refused(50, "mount", self.image, self.place))
        before = file_hash(self.image)
        self.assertEqual(self.mount(None, "--read-only")["driver"], "fusefat")
        self.user("cmp", name, self.place / name.name)
        self.umount()
        self.assertEqual(file_hash(self.image), before)

    def test_iso_9660(self):
        self.need("fuseiso", "xorriso")
        tree = self.folder / "tree"
        (tree / "folder").mkdir(parents=True)
        (tree / "folder/a rather long name.text").write_bytes(random.Random(4).randbytes(3 * MIB))
        self.image = self.folder / "disk.iso"
        self.user("xorriso", "-as", "mkisofs", "-quiet", "-J", "-R", "-o", self.image, tree)
        before = file_hash(self.image)
        said = self.mount()
        self.assertEqual((said["file_system"], said["driver"], said["read_only"]), ("iso9660", "fuseiso", True))
        self.assertEqual(self.hashes(self.place), self.hashes(tree))
        self.umount()
        self.assertEqual(file_hash(self.image), before)

    def test_squashfs(self):
        self.need("squashfuse", "mksquashfs")
        tree = self.folder / "tree"
        tree.mkdir()
        (tree / "file").write_bytes(random.Random(5).randbytes(2 * MIB))
        self.create()
        self.user("mksquashfs", tree, self.folder / "squashed", "-quiet", "-no-progress")
        self.as_files(f"dd if={self.folder}/squashed of=disk.raw bs=1M conv=notrunc")
        self.assertEqual(self.mount()["driver"], "squashfuse")
        self.assertEqual(self.hashes(self.place), self.hashes(tree))
        self.umount()

    def test_what_only_the_kernel_mounts(self):
        self.create("--block-size", "1M", size="400M")
        self.as_files("mkfs.xfs -q disk.raw")
        self.assertIn("xfs", self.refused(50, "mount", self.image, self.place))
        self.assert_nothing_left()


class Choice(Case):
    def setUp(self):
        super().setUp()
        self.create(size="128M")
        self.as_files("printf 'label: gpt\\nsize=32MiB\\nsize=16MiB\\nsize=64MiB\\n' | "
                      "sfdisk -q --no-reread --no-tell-kernel disk.raw")

    def test_the_largest_is_chosen_and_told(self):
        self.as_files("mkfs.ext4 -q -F partition1.raw", "mkfs.ext2 -q -F partition3.raw")
        said = self.vdisk("mount", self.image, self.place)
        self.assertEqual(said, "partition3.raw: ext2 by fuse2fs, chosen because it is the largest of 2 with a file "
                               "system\n")
        self.umount()
        self.assertEqual(self.mount(f"{self.image}:1")["reason"], "it was asked for")
        self.umount()
        self.assertEqual(self.vdisk("mount", f"{self.image}:1", self.place, "--quiet"), "")
        self.umount()
        self.assertIn("partition1.raw, partition2.raw, partition3.raw",
                      self.refused(1168, "mount", f"{self.image}:7", self.place))
        self.refused(50, "mount", f"{self.image}:2", self.place)
        self.assertFalse(is_mounted(self.place))
        self.assert_nothing_left()
        self.check_clean()

    def test_the_only_one(self):
        self.refused(50, "mount", self.image, self.place)
        self.as_files("mkfs.ext4 -q -F partition2.raw")
        said = self.mount()
        self.assertEqual((said["mounted"], said["reason"]), ("partition2.raw", "it is the only one with a file system"))
        self.umount()


class Failures(Case):
    def setUp(self):
        super().setUp()
        self.create()
        self.as_files("mkfs.ext4 -q -F disk.raw")

    def assert_undone(self):
        self.assertFalse(is_mounted(self.place))
        self.assert_nothing_left()
        self.check_clean()
        self.vdisk("io", self.image, "-c", "read 0 512")

    def programs(self, **scripts):
        """A PATH with what is needed, and scripts in the drivers' place."""
        folder = self.folder / "programs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("fusermount3", "sh"):
            (folder / name).symlink_to(shutil.which(name))
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        return {"env": {**os.environ, "PATH": str(folder)}}

    def test_a_missing_driver_is_named(self):
        message = self.refused(50, "mount", self.image, self.place, **self.programs())
        self.assertIn("install the package fuse2fs", message)
        self.assert_undone()

    def test_a_driver_that_fails_is_quoted(self):
        message = self.refused(5, "mount", self.image, self.place, **self.programs(fuse2fs="echo no luck >&2; exit 3"))
        self.assertIn("fuse2fs says: no luck", message)
        self.assert_undone()
        self.refused(5, "mount", self.image, self.place, **self.programs(fuse2fs="exit 0"))
        self.assert_undone()
        self.refused(5, "mount", self.image, self.place, **self.programs(fuse2fs="kill -9 $$"))
        self.assert_undone()

    def test_a_damaged_file_system(self):
        # A feature that no driver knows.
        self.as_files("mkfs.ext4 -q -F -E nodiscard -O ^metadata_csum disk.raw",
                      "printf '\\200' | dd of=disk.raw bs=1 seek=1123 conv=notrunc status=none")
        self.assertIn("fuse2fs says", self.refused(5, "mount", self.image, self.place))
        self.assert_undone()

    def test_places_that_cannot_be_used(self):
        self.refused(5, "mount", self.image, self.folder / "missing")
        self.refused(5, "mount", self.image, self.image)
        locked = self.folder / "locked"
        locked.mkdir(mode=0o755)
        self.refused(5, "mount", self.image, locked)
        self.refused(2, "mount", self.folder / "missing.vhdx", self.place)
        self.assertIn("no image is mounted", self.refused(3, "umount", self.place))
        self.assert_undone()

    def test_names_with_colons_and_blanks(self):
        self.image = self.image.rename(self.folder / "my disk, a:1.vhdx:2")
        place = self.folder / "my place"
        self.user("mkdir", place)
        self.vdisk("mount", self.image, place)
        self.user("touch", place / "file")
        self.vdisk("umount", place)
        self.assert_undone()

    def test_an_image_in_use(self):
        self.mount()
        other = self.folder / "other"
        self.user("mkdir", other)
        self.refused(32, "mount", self.image, other)
        self.refused(32, "mount", self.image, other, "--read-only")
        self.assertFalse(is_mounted(other))
        self.umount()

    def test_a_folder_in_use_stays(self):
        self.mount()
        self.user("touch", self.place / "file")
        holder = subprocess.Popen(["sh", "-c", f"exec 3<{self.place}/file; echo; exec sleep 300"],
                                  stdout=subprocess.PIPE, user=NOBODY, group=NOBODY)
        holder.stdout.readline()
        self.refused(170, "umount", self.place)
        self.assertTrue(is_mounted(self.place))
        holder.kill()
        holder.wait()
        holder.stdout.close()
        self.umount()


class Ends(Case):
    def setUp(self):
        super().setUp()
        self.create()
        self.as_files("mkfs.ext4 -q -F disk.raw")
        self.mount()

    def assert_mountable(self, hashes):
        self.as_files("e2fsck -fp disk.raw || [ $? = 1 ]")
        self.mount()
        self.assertEqual(self.hashes(self.place / "tree1"), hashes)
        self.umount()
        self.check_clean()

    def test_unmounted_by_hand(self):
        hashes = self.fill(1)
        self.user("fusermount3", "-u", self.place)
        self.assertTrue(wait_until(lambda: self.server() is None))
        self.assert_nothing_left()
        self.check_clean()
        self.assert_mountable(hashes)

    def test_a_killed_driver(self):
        self.fill(1)
        os.kill(self.driver(), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.server() is None))
        self.check_clean()
        self.assertIn("gone before", self.refused(1117, "umount", self.place))
        self.assertFalse(is_mounted(self.place))
        self.assert_nothing_left()
        before = file_hash(self.image)
        self.mount(None, "--read-only")
        self.user("ls", self.place)
        self.umount()
        self.assertEqual(file_hash(self.image), before, "no journal was replayed")

    def test_a_killed_server(self):
        os.kill(self.server(), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.server() is None))
        self.refused(1117, "umount", self.place)
        self.assertFalse(is_mounted(self.place))
        self.assert_nothing_left()
        self.vdisk("check", self.image)
        self.mount()
        self.umount()
        self.check_clean()

    def test_a_server_that_is_asked_to_end_waits_for_its_driver(self):
        for _ in range(3):
            os.kill(self.server(), signal.SIGTERM)
        hashes = self.fill(1)
        self.umount()
        self.assert_mountable(hashes)

    def test_a_driver_that_is_asked_to_end_writes_everything(self):
        hashes = self.fill(1)
        os.kill(self.driver(), signal.SIGTERM)
        self.assertTrue(wait_until(lambda: self.server() is None))
        self.assertFalse(is_mounted(self.place))
        self.assert_mountable(hashes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    arguments, rest = parser.parse_known_args()
    VDISK = str(pathlib.Path(arguments.vdisk).resolve())
    WHY_NOT = prepare_this_process()
    unittest.main(argv=[sys.argv[0], *rest])
