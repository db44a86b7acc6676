#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The FUSE part of an attached disk against its bars (bench/README.md): needs root, fio, loop devices, nbdfuse.

Every round measures all candidates one after another; a ratio is the median of the rounds' ratios.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

MIB = 1024 * 1024


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **options).stdout


def fio(device, how, seconds):
    out = json.loads(run("fio", "--name=x", f"--filename={device}", "--ioengine=io_uring", "--direct=1", *how,
                         f"--runtime={seconds}", "--time_based", "--output-format=json"))
    job = out["jobs"][0]
    return job["read"]["iops"] + job["write"]["iops"]


def cat_speed(path):
    begin = time.monotonic()
    with open(path, "rb") as source:
        subprocess.run(["cat"], stdin=source, stdout=subprocess.DEVNULL, check=True)
    return os.path.getsize(path) / (time.monotonic() - begin) / MIB


def wait_for(path):
    for _ in range(200):
        if path.exists():
            return path
        time.sleep(0.05)
    raise SystemExit(f"{path} does not appear")


def row(title, ours, theirs, bar):
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    print(f"| {title} | {statistics.median(ours):.0f} | {statistics.median(theirs):.0f} | {ratio:.2f} | {bar} |", flush=True)


def measure(build, folder, size, rounds, seconds):
    raw, image = folder / "raw", folder / "disk.vhdx"
    ours, other, files = folder / "ours", folder / "other", folder / "files"
    for place in (ours, other, files):
        place.mkdir()
    block = bytes(range(256)) * 4096
    with open(raw, "wb") as out:
        for _ in range(size // MIB):
            out.write(block)
        os.fsync(out.fileno())
    run(build / "vdisk", "convert", raw, image, "--source-format", "raw", "--quiet")
    servers = [subprocess.Popen([build / "bench/bench_fuse_serve", image, ours]),
               subprocess.Popen(["nbdfuse", other / "disk", "--command", "nbdkit", "-s", "file", raw])]
    loops = []
    try:
        for file in (raw, wait_for(ours / "disk.raw"), wait_for(other / "disk")):
            loops.append(run("losetup", "-f", "--show", "--direct-io=on", file).strip())
        block_device = {"raw": loops[0], "ours": loops[1], "nbdfuse": loops[2]}
        run("dd", "if=" + str(raw), "of=" + loops[1], "bs=1M", "count=1", "oflag=direct")
        print("| | ours | other | ratio | bar |\n|---|---|---|---|---|")
        for title, how, against, bar in (
                ("sequential read 1 MiB, MiB/s; loop on raw", ["--rw=read", "--bs=1M", "--iodepth=8"], "raw", 0.9),
                ("sequential write 1 MiB, MiB/s; loop on raw", ["--rw=write", "--bs=1M", "--iodepth=8"], "raw", 0.9),
                ("random read 4 KiB, depth 32, 1/s; nbdfuse", ["--rw=randread", "--bs=4k", "--iodepth=32"], "nbdfuse", 0.95),
                ("random write 4 KiB, depth 32, 1/s; nbdfuse", ["--rw=randwrite", "--bs=4k", "--iodepth=32"], "nbdfuse",
                 0.95)):
            results = {"ours": [], against: []}
            for _ in range(rounds):
                for name, list_of in results.items():
                    list_of.append(fio(block_device[name], how, seconds))
            row(title, results["ours"], results[against], bar)
    finally:
        for loop in loops:
            subprocess.run(["losetup", "-d", loop], check=False)
        for place in (ours, other):
            subprocess.run(["umount", place], check=False)
        for server in servers:
            server.wait(30)
    run(build / "vdisk", "mount", "--as-files", image, files)
    try:
        mine, plain = [], []
        for _ in range(rounds):
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("1")
            mine.append(cat_speed(files / "disk.raw"))
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("1")
            plain.append(cat_speed(raw))
        row("cat of disk.raw, --as-files, MiB/s; raw file", mine, plain, 0.5)
    finally:
        run(build / "vdisk", "umount", files)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--folder", help="where the images are made; a file system that takes O_DIRECT")
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        measure(arguments.build.resolve(), folder, arguments.size_mib * MIB, arguments.rounds, arguments.seconds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
