#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/attach_speed.py [--quick] [--only PART…]: attached disks, mounted files and NBD against their goals, beside the raw
file by the same route or beside other people's servers; prints the table of bench/README.md. Needs root, loop devices,
FUSE, fio, nbdfuse, nbdkit, nbdcopy.

All candidates of a row are measured one after another in each round, every other round backwards; a ratio is the median of
the rounds' ratios, and above 1 ours is faster."""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import nbd

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20
TOOLS = ("losetup", "fio", "nbdfuse", "nbdkit", "nbdcopy", "umount")
PATTERNS = {
    "sequential read 1 MiB": ("read", "1M", 8),
    "sequential write 1 MiB": ("write", "1M", 8),
    "random read 4 KiB, depth 32": ("randread", "4k", 32),
    "random write 4 KiB, depth 32": ("randwrite", "4k", 32),
}
SEQUENTIAL, RANDOM = list(PATTERNS)[:2], list(PATTERNS)[2:]


def run(*words, **options):
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        raise SystemExit(f"{words} gave {result.returncode}: {result.stdout}{result.stderr}")
    return result.stdout


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return path
        time.sleep(0.05)
    raise SystemExit(f"{path} does not appear")


class Bench:
    def __init__(self, arguments):
        self.build = arguments.build.resolve()
        self.vdisk = self.build / "vdisk"
        self.rounds = arguments.rounds
        self.seconds = arguments.seconds
        self.size = arguments.size_mib * MIB
        self.costs = arguments.costs
        self.missed = []

    def convert(self, raw, image, *options):
        run(self.vdisk, "convert", raw, image, "--source-format", "raw", "--quiet", *options)

    def raw_file(self, folder):
        """Full of data, and written as the images are: that decides how a file lies on its medium and in memory."""
        data, raw = folder / "data", folder / "raw"
        fill(data, self.size)
        self.convert(data, raw, "--format", "raw")
        data.unlink()
        return raw

    def row(self, title, medium, against, ours, theirs, goal, unit):
        """Lists of speeds, of the same rounds."""
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        name = f"{title}, {medium}"
        if ratio < goal:
            self.missed.append(f"{name}: {ratio:.2f} < {goal} beside {against}")
        print(f"| {name} | {statistics.median(ours):.0f} | {against} {statistics.median(theirs):.0f} | {unit} | {ratio:.2f} "
              f"| {goal} |", flush=True)

    def fio(self, device, pattern):
        """MiB/s or operations/s of the device; the processor seconds that a MiB or an operation cost the whole machine."""
        how, block, depth = PATTERNS[pattern]
        busy = self.busy_seconds()
        job = json.loads(run("fio", "--name=x", f"--filename={device}", "--ioengine=io_uring", "--direct=1", f"--rw={how}",
                             f"--bs={block}", f"--iodepth={depth}", f"--runtime={self.seconds}", "--time_based",
                             "--output-format=json"))["jobs"][0]
        count = job["read"]["total_ios"] + job["write"]["total_ios"]
        return job["read"]["iops"] + job["write"]["iops"], (self.busy_seconds() - busy) / max(count, 1)

    @staticmethod
    def busy_seconds():
        """Processor seconds that this machine has spent in programs and in the kernel; other work counts, too."""
        user, nice, system, _, _, irq, softirq = map(int, pathlib.Path("/proc/stat").read_text().split()[1:8])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")

    def compare(self, medium, pattern, devices, rows):
        """devices: name to node. rows: (our name, title, their name, goal)."""
        speeds = {name: [] for name in devices}
        costs = {name: [] for name in devices}
        for number in range(self.rounds):
            for name in sorted(devices, reverse=number % 2 == 1):
                speed, cost = self.fio(devices[name], pattern)
                speeds[name].append(speed)
                costs[name].append(cost)
        unit = "MiB/s" if pattern in SEQUENTIAL else "1/s"
        for ours, title, against, goal in rows:
            self.row(f"{title}: {pattern}", medium, against, speeds[ours], speeds[against], goal, unit)
        if self.costs:
            said = ", ".join(f"{name} {statistics.median(values) * 1e6:.1f}" for name, values in costs.items())
            print(f"costs of {pattern}, {medium}, processor µs each: {said}", file=sys.stderr, flush=True)


def fill(path, size):
    block = bytes(range(256)) * 4096
    with open(path, "wb") as out:
        for number in range(size // MIB):
            out.write(number.to_bytes(8, "little") + block[8:])
        out.flush()
        os.fsync(out.fileno())


def make_disc(path, size):
    """A file whose volume descriptors make it an ISO image, full of data."""
    def both(value, width):
        return value.to_bytes(width, "little") + value.to_bytes(width, "big")

    fill(path, size)
    descriptor = bytearray(b"\x01CD001\x01".ljust(2048, b"\0"))
    descriptor[40:72] = b"BENCH".ljust(32)
    descriptor[80:88] = both(size // 2048, 4)
    descriptor[120:128] = both(1, 2) * 2
    descriptor[128:132] = both(2048, 2)
    with open(path, "r+b") as out:
        out.seek(16 * 2048)
        out.write(descriptor + b"\xffCD001\x01".ljust(2048, b"\0"))
        out.flush()
        os.fsync(out.fileno())


class Devices:
    """Everything that is measured, as block devices; taken away at the end."""

    def __init__(self, bench, folder, stack):
        self.bench, self.folder, self.stack = bench, folder, stack
        self.raw = bench.raw_file(folder)

    def loop(self, file):
        node = run("losetup", "-f", "--show", "--direct-io=on", file).strip()
        self.stack.callback(subprocess.run, ["losetup", "-d", node], check=False)
        return node

    def attach(self, image, provider):
        # A dynamic image that was converted in one go may lie in one run, too, and get a loop device straight on it.
        disk = json.loads(run(self.bench.vdisk, "attach", image, "--no-partitions", "--provider", provider, "--json"))
        self.stack.callback(run, self.bench.vdisk, "detach", image)
        return disk["device"]

    def convert(self, name, provider, *options):
        image = self.folder / name
        self.bench.convert(self.raw, image, *options)
        return self.attach(image, provider)

    def disc(self):
        image = self.folder / "disc.iso"
        make_disc(image, self.bench.size)
        return self.attach(image, "loop")

    def nbdfuse(self):
        place = self.folder / "nbdfuse"
        place.mkdir()
        copy = self.folder / "other"
        self.bench.convert(self.raw, copy, "--format", "raw")
        server = subprocess.Popen(["nbdfuse", place / "disk", "--command", "nbdkit", "-s", "file", copy])
        self.stack.callback(server.wait, 60)
        self.stack.callback(subprocess.run, ["umount", place], check=False)
        return self.loop(wait_for(place / "disk"))


def block_devices(bench, medium, parent):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdisk-bench-", dir=parent)))
        devices = Devices(bench, folder, stack)
        nodes = {
            "raw on loop": devices.loop(devices.raw),
            "dynamic VHDX": devices.convert("dynamic.vhdx", "fuse"),
            "dynamic VHD": devices.convert("dynamic.vhd", "fuse"),
            "fixed VHDX": devices.convert("fixed.vhdx", "loop", "--type", "fixed"),
            "fixed VHD": devices.convert("fixed.vhd", "loop", "--type", "fixed"),
            "ISO": devices.disc(),
            "nbdfuse on loop": devices.nbdfuse(),
        }
        for pattern in PATTERNS:
            random = pattern in RANDOM
            against, goal = ("nbdfuse on loop", 0.95) if random else ("raw on loop", 0.9)
            rows = [(name, f"attached {name}", against, goal) for name in ("dynamic VHDX", "dynamic VHD")]
            straight = ["fixed VHDX", "fixed VHD"] + ([] if "write" in pattern else ["ISO"])
            rows += [(name, f"attached {name}", "raw on loop", 1.0) for name in straight]
            wanted = {name for row in rows for name in (row[0], row[2])}
            bench.compare(medium, pattern, {name: node for name, node in nodes.items() if name in wanted}, rows)


def forget(path):
    """The next reader gets it from its medium."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cat_speed(path, image):
    forget(path)
    forget(image)
    begin = time.monotonic()
    with open(path, "rb") as source:
        subprocess.run(["cat"], stdin=source, stdout=subprocess.DEVNULL, check=True)
    return os.path.getsize(path) / (time.monotonic() - begin) / MIB


def files(bench, medium, parent):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vdisk-bench-", dir=parent)))
        raw = bench.raw_file(folder)
        for kind in ("vhdx", "vhd"):
            image, place = folder / f"disk.{kind}", folder / kind
            bench.convert(raw, image)
            place.mkdir()
            run(bench.vdisk, "mount", "--as-files", image, place)
            stack.callback(run, bench.vdisk, "umount", place)
            speeds = [], []
            for number in range(bench.rounds):
                for i in ((0, 1), (1, 0))[number % 2]:
                    speeds[i].append(cat_speed(*((place / "disk.raw", image), (raw, raw))[i]))
            bench.row(f"cat of disk.raw, --as-files, {kind.upper()}", medium, "raw file", *speeds, 0.5, "MiB/s")


def nbd_copies(bench, medium, parent):
    with tempfile.TemporaryDirectory(prefix="vdisk-bench-", dir=parent) as folder:
        raw = bench.raw_file(pathlib.Path(folder))
        for name, theirs, ours in nbd.copies(bench.build, folder, raw, 2 * bench.rounds):
            speeds = [[bench.size / MIB / seconds for seconds in column] for column in (ours, theirs)]
            bench.row(f"nbdcopy of {name} from our plugin", medium, "nbdkit file, raw", *speeds, 0.95, "MiB/s")


def attach_times(bench, medium, parent):
    with tempfile.TemporaryDirectory(prefix="vdisk-bench-", dir=parent) as folder:
        images = {}
        for name, options in (("dynamic VHDX", []), ("fixed VHDX", ["--type", "fixed"]), ("dynamic VHD", [])):
            images[name] = pathlib.Path(folder, name.lower().replace(" ", "."))
            run(bench.vdisk, "create", images[name], "--size", "1G", *options)
        times = {name: [] for name in images}
        for _ in range(4 * bench.rounds):
            for name, image in images.items():
                begin = time.monotonic()
                done = subprocess.run([bench.vdisk, "attach", image], stdout=subprocess.PIPE, check=True, close_fds=False)
                with open(done.stdout.decode().strip(), "rb", buffering=0) as device:
                    device.read(512)
                times[name].append((time.monotonic() - begin) * 1000)
                run(bench.vdisk, "detach", image)
        for name, column in times.items():
            median = statistics.median(column)
            if median >= 50:
                bench.missed.append(f"attach {name}, {medium}: {median:.0f} ms >= 50 ms")
            print(f"| attach {name} until the device answers, {medium} | {median:.1f} | best {min(column):.1f} | ms | | < 50 |",
                  flush=True)


PARTS = {"attach": attach_times, "devices": block_devices, "files": files, "nbd": nbd_copies}


def reason_to_skip(build):
    for name in ("vdisk", "vdisk-server", nbd.PLUGIN):
        if not (build / name).exists():
            return f"{build / name} is not built"
    if os.geteuid() != 0:
        return "root is needed"
    for path in ("/dev/loop-control", "/dev/fuse"):
        try:
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            return str(error)
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"not installed: {' '.join(missing)}" if missing else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller images: some five minutes")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on a disk's file system that takes O_DIRECT")
    parser.add_argument("--memory", default="/dev/shm", help="a tmpfs, where no medium limits; '' for none")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=1, help="of one measurement")
    parser.add_argument("--size-mib", type=int)
    parser.add_argument("--costs", action="store_true", help="tells the processor time of each candidate, too")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.rounds = arguments.rounds or (3 if quick else 11)
    arguments.size_mib = arguments.size_mib or (512 if quick else 1024)
    reason = reason_to_skip(arguments.build)
    if reason:
        print(f"\nattached disks are not measured: {reason}")
        return
    bench = Bench(arguments)
    print(f"\nmedians of {arguments.rounds} interleaved rounds, images of {arguments.size_mib} MiB\n")
    print("| | ours | other | unit | ratio | goal |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="vdisk-bench-run-") as state:
        os.environ.update(VDISK_RUNTIME_DIR=f"{state}/run", VDISK_STATE_DIR=f"{state}/state",
                          VDISK_SERVER=str(bench.build / "vdisk-server"))
        for part in arguments.only:
            for medium, parent in (("disk", arguments.folder), ("tmpfs", arguments.memory)):
                # cat is limited by the medium alone, and a tmpfs has no cache to drop.
                if parent and not (part == "files" and medium == "tmpfs"):
                    PARTS[part](bench, medium, parent)
    print("\nMissed: " + ("; ".join(bench.missed) if bench.missed else "nothing"))


if __name__ == "__main__":
    main()
