#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the images, runs the benchmarks, prints the table of ratios. Called by bench/run."""
import argparse
import json
import pathlib
import platform
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


if __name__ == "__main__":
    main()
