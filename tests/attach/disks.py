# SPDX-License-Identifier: Apache-2.0
"""Attached disks, for the tests of this folder."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
MIB = 1 << 20
VDISK = ""
SERVER = ""
PATIENCE_SECONDS = 20


def run(*words, check=True, **options):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{words} gave {result.returncode}: {result.stdout}{result.stderr}")
    return result


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}")
        time.sleep(0.02)


def file_hash(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def tree_hash(folder):
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): file_hash(path)
            for path in sorted(folder.rglob("*")) if path.is_file() and "lost+found" not in path.parts}


def allocated(path):
    return os.stat(path).st_blocks * 512


def sector_size(device):
    return int(pathlib.Path(f"/sys/block/{pathlib.Path(device).name}/queue/logical_block_size").read_text())


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vdisk-attach-"))
        os.environ["VDISK_RUNTIME_DIR"] = str(self.folder / "run")
        os.environ["VDISK_STATE_DIR"] = str(self.folder / "state")
        os.environ["VDISK_SERVER"] = SERVER
        self.mounted = []
        self.addCleanup(self.clean_up)

    def clean_up(self):
        for place in reversed(self.mounted):
            run("umount", "-l", place, check=False)
        run(VDISK, "detach", "--all", "--force", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, name, *options):
        path = self.folder / name
        run(VDISK, "create", path, *options)
        return path

    def vdisk(self, *words):
        return run(VDISK, *words, check=False)

    def attach(self, image, *options):
        return json.loads(run(VDISK, "attach", image, "--json", *options).stdout)

    def detach(self, name, *options):
        run(VDISK, "detach", name, *options)

    def listed(self):
        return json.loads(run(VDISK, "list", "--json").stdout)

    def refused(self, code, *words):
        result = self.vdisk(*words, "--json")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        error = json.loads(result.stdout)["error"]
        self.assertEqual(error["code"], code, error)
        return error

    def mount(self, device, *options):
        place = pathlib.Path(tempfile.mkdtemp(prefix="mnt", dir=self.folder))
        run("mount", *options, device, place)
        self.mounted.append(place)
        return place

    def umount(self, place):
        run("umount", place)
        self.mounted.remove(place)

    def assert_clean(self, image):
        result = self.vdisk("check", "--chain", image)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def assert_gone(self, device):
        backing = pathlib.Path(f"/sys/block/{pathlib.Path(device).name}/loop/backing_file")
        shown = backing.read_text() if backing.exists() else ""
        self.assertNotIn(str(self.folder), shown)
        self.assertEqual(list(pathlib.Path("/dev").glob(pathlib.Path(device).name + "p*")), [])

    def current(self, disk):
        """The attachment as it is now."""
        return next(entry for entry in self.listed() if entry["device"] == disk["device"])

    def kill(self, disk, which):
        """Kills one of the two processes of an attachment; returns when there is another in its place."""
        before = self.current(disk)
        os.kill(before[which], signal.SIGKILL)
        try:
            wait_until(lambda: self.current(disk)[which] not in processes(before), "a successor")
        except StopIteration:
            run("umount", "-l", *self.mounted, check=False)
            raise AssertionError("nobody was left: " + self.vdisk("detach", disk["device"]).stderr) from None

    def kill_worker(self, disk):
        self.kill(disk, "companion_process")


def processes(disk):
    return disk["process"], disk["companion_process"]


def missing(tools):
    if os.geteuid() != 0:
        return "root is needed"
    for path in ("/dev/loop-control", "/dev/fuse"):
        try:
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            return str(error)
    for tool in ("sfdisk", "mkfs.ext4", "mkntfs", "ntfs-3g", "fstrim", "losetup", *tools):
        if shutil.which(tool) is None:
            return f"{tool} is needed"
    return None


def main(parser, *tools):
    """The arguments of a test program. Skips where something is missing."""
    global VDISK, SERVER
    parser.add_argument("--vdisk", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    reason = missing(tools)
    if reason:
        print(f"skipped: attached disks cannot be tried here: {reason}")
        sys.exit(SKIPPED)
    # A shell that starts this in the background has it ignored, and what a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    VDISK, SERVER = os.path.abspath(arguments.vdisk), os.path.abspath(arguments.server)
    return arguments


def run_cases(arguments):
    words = [sys.argv[0]] + (["-v"] if arguments.verbose else []) + arguments.cases
    return 0 if unittest.main(module="__main__", argv=words, exit=False).result.wasSuccessful() else 1
