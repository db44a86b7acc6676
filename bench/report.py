#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the images, runs the benchmarks, prints the table of ratios. Called by bench/run."""
import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import time

SIZE = 256 << 20
LIMITS = {"4k/vhd-fixed": 1.05, "4k/vhd-dynamic": 1.05, "4k/vhdx": 1.05, "4k/ten-layers": 1.15,
          "1m/vhd-fixed": 1.0, "1m/vhd-dynamic": 1.0, "1m/vhdx": 1.0, "1m/ten-layers": 1.0}


def run(*command, **keywords):
    return subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL, **keywords)


def make_images(build, folder):
    if (folder / "layer10.vhdx").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    state, block = 1, bytearray()
    while len(block) < 1 << 20:  # xorshift: no two sectors alike, none zero
        state ^= state << 13 & (1 << 64) - 1
        state ^= state >> 7
        state ^= state << 17 & (1 << 64) - 1
        block += state.to_bytes(8, "little")
    with open(folder / "data.raw", "wb") as raw:
        for number in range(SIZE >> 20):
            block[0:8] = number.to_bytes(8, "little")
            raw.write(block)
    for name, words in {"fixed.vhd": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
                        "dynamic.vhd": ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"],
                        "dynamic.vhdx": ["-O", "vhdx"]}.items():
        run("qemu-img", "convert", "-f", "raw", *words, folder / "data.raw", folder / name)
    run(build / "bench/bench_images", folder, "dynamic.vhdx")


def read_pairs(build, folder, repetitions):
    """{pair: (pread ns, vdisk ns)}: medians of randomly interleaved repetitions."""
    output = run(build / "bench/bench_read", folder, "--benchmark_enable_random_interleaving=true",
                 f"--benchmark_repetitions={repetitions}", "--benchmark_min_time=0.05", "--benchmark_format=json",
                 capture_output=True).stdout
    times = {}
    for result in json.loads(output)["benchmarks"]:
        if result.get("run_type") == "iteration":
            times.setdefault(result["run_name"].split("/repeats")[0], []).append(result["real_time"])
    names = [name.removesuffix("/vdisk") for name in times if name.endswith("/vdisk")]
    return {name: tuple(statistics.median(times[f"{name}/{way}"]) for way in ("pread", "vdisk")) for name in names}


def race(repetitions, *commands):
    """Median seconds of each command, run in turns."""
    times = [[] for _ in commands]
    for _ in range(repetitions):
        for command, seconds in zip(commands, times):
            begin = time.perf_counter()
            run(*command, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in times]


def synced_race(repetitions, prepare, *sides):
    """Median seconds of each side's command, run in turns, each with the sync of its output. A side is (command, output);
    `prepare` makes or removes the outputs before each turn."""
    times = [[] for _ in sides]
    for _ in range(repetitions):
        for (command, output), seconds in zip(sides, times):
            prepare(output)
            os.sync()
            begin = time.perf_counter()
            run(*command, stdout=subprocess.DEVNULL)
            descriptor = os.open(output, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
            seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in times]


def remove(path):
    pathlib.Path(path).unlink(missing_ok=True)


def written_by(*command):
    """Bytes that a command writes through system calls, and its seconds."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    seconds = time.perf_counter() - begin
    counts = dict(line.split(": ") for line in pathlib.Path(f"/proc/{process.pid}/io").read_text().splitlines())
    if process.wait() != 0:
        raise RuntimeError(f"{command} failed")
    return int(counts["wchar"]), seconds


def overwrites(build, folder, repetitions):
    vdisk = build / "vdisk"
    for name in ("write.raw", "write.vhd", "write.vhdx"):
        if not (folder / name).exists():
            run(vdisk, "convert", "-q", folder / "data.raw", folder / name, "--source-format", "raw", "--format",
                name.split(".")[1])
    output = run(build / "bench/bench_write", folder, "--benchmark_enable_random_interleaving=true",
                 f"--benchmark_repetitions={repetitions}", "--benchmark_min_time=0.05", "--benchmark_format=json",
                 capture_output=True).stdout
    times = {}
    for result in json.loads(output)["benchmarks"]:
        if result.get("run_type") == "iteration":
            times.setdefault(result["run_name"].split("/repeats")[0], []).append(result["cpu_time"])
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("\n| 4 KiB random overwrites, allocated and cached, processor time | raw file | vdisk | ratio | wanted |\n|---|---|---|---|---|")
    for name in ("vhd-dynamic", "vhdx"):
        print(f"| {name} | {medians['raw'] / 1000:.2f} µs | {medians[name] / 1000:.2f} µs | "
              f"{medians[name] / medians['raw']:.3f} | 1.05 |")


def first_writes(vdisk, folder, repetitions):
    """1000 writes of 4 KiB, 2 MiB apart, to a new image of 4 GiB; on disk."""
    commands = folder / "first-writes"
    commands.write_text("".join(f"write -P 0x5a {number * 2}M 4K\n" for number in range(1000)))

    def prepare(path):
        remove(path)
        if path.suffix == ".qcow2":
            run("qemu-img", "create", "-q", "-f", "qcow2", path, "4G")
        else:
            run(vdisk, "create", "-q", path, "--size", "4G", "--block-size", "2M")

    print("\n| 1000 first writes of 4 KiB, 2 MiB apart, synced at the end | qcow2, qemu-img bench | vdisk io | ratio | wanted |\n|---|---|---|---|---|")
    theirs = ["qemu-img", "bench", "-w", "-c", "1000", "-d", "1", "-s", "4096", "-S", "2M", "-f", "qcow2", folder / "first.qcow2"]
    for name in ("first.vhdx", "first.vhd"):
        ours = ["sh", "-c", f"'{vdisk}' io '{folder / name}' < '{commands}'"]
        seconds = synced_race(repetitions, prepare, (theirs, folder / "first.qcow2"), (ours, folder / name))
        print(f"| {name.split('.')[1]} | {seconds[0] * 1000:.1f} ms | {seconds[1] * 1000:.1f} ms | {seconds[1] / seconds[0]:.2f} | 0.80 |")
    for name in ("first.qcow2", "first.vhdx", "first.vhd"):
        remove(folder / name)


def make_half_random(path, size):
    """Stretches of 1 MiB, every other one random."""
    source = random.Random(1)
    with open(path, "wb") as file:
        for at in range(0, size, 2 << 20):
            file.seek(at)
            file.write(source.randbytes(1 << 20))
        file.truncate(size)


def conversions(vdisk, folder, repetitions, size):
    raw, vhd, vhdx = folder / "half.raw", folder / "half.vhd", folder / "half.vhdx"
    if not raw.exists() or raw.stat().st_size != size:
        make_half_random(raw, size)
        remove(vhd)
        remove(vhdx)
    for image in (vhd, vhdx):
        if not image.exists():
            run(vdisk, "convert", "-q", raw, image, "--source-format", "raw")
    print(f"\n| convert {size >> 30} GiB, half random, synced | qemu-img | vdisk | ratio | wanted |\n|---|---|---|---|---|")
    for source, target in ((raw, "vhdx"), (vhdx, "raw"), (vhd, "vhdx")):
        out_theirs, out_ours = folder / f"out-theirs.{target}", folder / f"out-ours.{target}"
        theirs = ["qemu-img", "convert", "-f", {".raw": "raw", ".vhd": "vpc", ".vhdx": "vhdx"}[source.suffix], "-O", target, source,
                  out_theirs]
        ours = [vdisk, "convert", "-q", source, out_ours, "--format", target]
        if source == raw:
            ours += ["--source-format", "raw"]
        with open(source, "rb") as file:  # into the cache, for both
            while file.read(16 << 20):
                pass
        seconds = synced_race(repetitions, remove, (theirs, out_theirs), (ours, out_ours))
        remove(out_theirs)
        remove(out_ours)
        print(f"| {source.suffix[1:]} to {target} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {seconds[1] / seconds[0]:.2f} | 0.70 |")


def small_work(vdisk, folder, repetitions):
    print("\n| What costs next to nothing | time | wanted | written | wanted |\n|---|---|---|---|---|")
    remove(folder / "empty.vhdx")
    run(vdisk, "create", "-q", folder / "empty.vhdx", "--size", "1T")
    for what, out, words, limit in (
            ("convert an empty vhdx of 1 TiB to vhdx", "copy.vhdx", ["convert", "-q", folder / "empty.vhdx", folder / "copy.vhdx"], 20),
            ("create a vhdx of 64 TiB with 1 MiB blocks", "new.vhdx",
             ["create", "-q", folder / "new.vhdx", "--size", "64T", "--block-size", "1M"], 10)):
        rows = []
        for _ in range(repetitions):
            remove(folder / out)
            os.sync()
            rows.append(written_by(vdisk, *words))
        remove(folder / out)
        print(f"| {what} | {statistics.median(row[1] for row in rows) * 1000:.1f} ms | < {limit} ms | {rows[0][0] / 1024:.0f} KiB | < 1024 KiB |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    folder = build / "images"
    make_images(build, folder)
    repetitions = 5 if arguments.quick else 21

    print(f"{platform.machine()}, Linux {platform.release()}; medians of {repetitions} interleaved repetitions\n")
    print("| Read, allocated and cached | pread | vdisk | ratio | wanted |\n|---|---|---|---|---|")
    for name, (plain, ours) in sorted(read_pairs(build, folder, repetitions).items(), key=lambda pair: pair[0]):
        print(f"| {name} | {plain / 1000:.2f} µs | {ours / 1000:.2f} µs | {ours / plain:.3f} | {LIMITS[name]:.2f} |")

    opened = [run(build / "bench/bench_open", folder / "huge.vhdx", capture_output=True, text=True).stdout.split()
              for _ in range(repetitions)]
    empty = [run(build / "bench/bench_open", capture_output=True, text=True).stdout.split() for _ in range(repetitions)]
    resident = statistics.median(int(row[1]) for row in opened) - statistics.median(int(row[1]) for row in empty)
    print("\n| Open a VHDX of 64 TiB with 1 MiB blocks | measured | wanted |\n|---|---|---|")
    print(f"| time in the process | {statistics.median(float(row[0]) for row in opened):.0f} µs | < 1000 µs |")
    print(f"| resident memory above an empty process | {resident:.0f} KiB | < 8192 KiB |")

    vdisk = build / "vdisk"
    if not vdisk.exists():
        return
    print("\n| Whole program | qemu-img | vdisk | ratio |\n|---|---|---|---|")
    few = max(3, repetitions // 3)
    for image in ("fixed.vhd", "dynamic.vhd", "dynamic.vhdx", "huge.vhdx"):
        theirs = ["qemu-img", "info", "-f", "vpc" if image.endswith("vhd") else "vhdx", folder / image]
        seconds = race(few, theirs, [vdisk, "info", folder / image])
        print(f"| info {image} | {seconds[0] * 1000:.1f} ms | {seconds[1] * 1000:.1f} ms | {seconds[1] / seconds[0]:.2f} |")
    for image in ("fixed.vhd", "dynamic.vhd", "dynamic.vhdx"):
        # Both read everything and throw it away.
        theirs = ["qemu-img", "convert", "-n", "-f", "vpc" if image.endswith("vhd") else "vhdx", folder / image,
                  "--target-image-opts", f"driver=null-co,size={SIZE}"]
        seconds = race(few, theirs, [vdisk, "convert", folder / image, "-", "--format", "raw"])
        print(f"| convert {image} to nowhere | {seconds[0] * 1000:.0f} ms | {seconds[1] * 1000:.0f} ms | {seconds[1] / seconds[0]:.2f} |")

    overwrites(build, folder, repetitions)
    first_writes(vdisk, folder, few)
    conversions(vdisk, folder, few, (1 if arguments.quick else 4) << 30)
    small_work(vdisk, folder, few)


if __name__ == "__main__":
    main()
