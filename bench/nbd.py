#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/nbd.py [--repeat N] [--mib N] [--folder DIR]: nbdcopy out of our nbdkit plugin beside nbdkit's file plugin on the
raw file of the same bytes, both sides taking turns; prints the table of bench/README.md. Ratios above 1 are faster than
the raw file."""
import argparse
import contextlib
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
PLUGIN = "nbdkit-vdisk-plugin.so"
MIB = 1 << 20


def run(*words, **options):
    subprocess.run([str(word) for word in words], check=True, **options)


@contextlib.contextmanager
def served(socket, *words):
    process = subprocess.Popen(["nbdkit", "-f", "-r", "--exit-with-parent", "-U", socket, *map(str, words)])
    while not os.path.exists(socket):
        time.sleep(0.01)
    yield f"nbd+unix:///?socket={socket}"
    process.terminate()
    process.wait()
    pathlib.Path(socket).unlink(missing_ok=True)


def seconds(uri):
    begin = time.perf_counter()
    run("nbdcopy", uri, "null:")
    return time.perf_counter() - begin


def copies(build, folder, raw, repeat):
    """For each kind of image of the raw file: its name, the seconds of nbdkit's file plugin, ours."""
    for name, options in (("fixed.vhd", ["--type", "fixed"]), ("dynamic.vhd", []), ("dynamic.vhdx", [])):
        image = pathlib.Path(folder, name)
        run(build / "vdisk", "convert", raw, image, "--source-format", "raw", "--quiet", *options)
        with served(f"{folder}/a", "file", raw) as theirs, served(f"{folder}/b", build / PLUGIN, image) as ours:
            # The first turn fills the page cache.
            times = [(seconds(theirs), seconds(ours)) for _ in range(repeat + 1)][1:]
        image.unlink()
        yield name, *zip(*times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--folder", default="/dev/shm")
    arguments = parser.parse_args()
    run("cmake", "--preset", "bench", cwd=ROOT, stdout=subprocess.DEVNULL)
    run("cmake", "--build", BUILD, "--target", "vdisk", "nbdkit_vdisk_plugin", stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        raw = pathlib.Path(folder, "disk.raw")
        block = os.urandom(MIB)
        with open(raw, "wb") as file:
            for i in range(arguments.mib):
                file.write(i.to_bytes(8, "little") + block[8:])
        print(f"nbdcopy of {arguments.mib} MiB of data, medians of {arguments.repeat} turns\n")
        print("| nbdcopy to null | nbdkit file, raw | our plugin | ratio | wanted |\n|---|---|---|---|---|")
        for name, theirs, ours in copies(BUILD, folder, raw, arguments.repeat):
            raw_time, our_time = statistics.median(theirs), statistics.median(ours)
            print(f"| {name} | {raw_time:.3f} s | {our_time:.3f} s | {raw_time / our_time:.3f} | 0.95 |", flush=True)


if __name__ == "__main__":
    main()
