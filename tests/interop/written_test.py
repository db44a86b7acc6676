#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the tool writes at random, through chains of three on both formats, other people's programs read alike where they
are able; and images that QEMU made and wrote are written on by the tool, and read back and written on by QEMU."""
import argparse
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

VDISK = ""
MIB = 1 << 20
SIZE = 24 * MIB
BLOCK = 2 * MIB
CHAINS = (("vhd", 1, 512), ("vhdx", 2, 512), ("vhdx", 3, 4096))


def run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, check=False, timeout=300, **options)


def hash_file(path):
    result = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            result.update(piece)
    return result.hexdigest()


class Model:
    """What a disk must show, and random changes to it."""

    def __init__(self, seed, sector=512):
        self.random = random.Random(seed)
        self.sector = sector
        self.content = bytearray(SIZE)

    def range(self, most):
        at = self.random.randrange(SIZE // self.sector) * self.sector
        length = min(self.random.randrange(1, most // self.sector + 1) * self.sector, SIZE - at)
        return at, length

    def hash(self):
        return hashlib.sha256(self.content).hexdigest()

    def save(self, path):
        path.write_bytes(self.content)


class WrittenTest(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        self.raw = self.folder / "model.raw"

    def fine(self, *words, **options):
        result = run(*words, **options)
        self.assertEqual(result.returncode, 0, f"{words}: {result.stdout} {result.stderr}")
        return result

    def need(self, program):
        if shutil.which(program) is None:
            self.skipTest(f"{program} is not installed")

    def write(self, image, model, steps, trims=True, zeros=True):
        """Random commands of `vdisk io`."""
        commands = []
        for number in range(steps):
            what = model.random.randrange(12)
            if what < 7:
                at, length = model.range(300 << 10)
                data = model.random.randbytes(length)
                (self.folder / f"data{number}").write_bytes(data)
                model.content[at:at + length] = data
                commands.append(f"write -s {self.folder}/data{number} {at} {length}")
            elif what < 9 and zeros:
                at, length = model.range(5 * MIB)
                model.content[at:at + length] = bytes(length)
                commands.append(f"zero {at} {length}")
            elif what < 10 and trims:
                at = model.random.randrange(SIZE // BLOCK) * BLOCK
                model.content[at:at + BLOCK] = bytes(BLOCK)
                commands.append(f"trim {at} {BLOCK}")
            else:
                commands.append("flush")
        self.fine(VDISK, "io", image, input="\n".join(commands).encode())
        self.fine(VDISK, "check", image, "--chain")

    def make_chain(self, extension, seed, sector=512, zeros=True):
        """Three images, each written on after the one before it; (paths, what each shows). Without `zeros` the
        children are only written to."""
        for path in self.folder.iterdir():
            path.unlink()
        model, images, shown = Model(seed, sector), [], []
        for layer in range(3):
            image = self.folder / f"layer{layer}.{extension}"
            # A Windows path too, without which libvhdi does not find the parent of a VHDX.
            words = ["--parent", images[-1], "--map-drive", f"C:={self.folder}"] if images else ["--size", SIZE, "--block-size", BLOCK]
            if sector != 512 and extension == "vhdx" and not images:
                words += ["--logical-sector-size", sector, "--physical-sector-size", sector]
            self.fine(VDISK, "create", image, *words)
            # A trim cannot hide the parent of a differencing VHD where the child has no block.
            self.write(image, model, 40, not images or (extension == "vhdx" and zeros), not images or zeros)
            images.append(image)
            shown.append(model.hash())
        model.save(self.raw)
        return images, shown

    def test_the_tool_shows_what_it_wrote(self):
        for extension, seed, sector in CHAINS:
            images, shown = self.make_chain(extension, seed, sector)
            for image, content in zip(images, shown):
                result = self.fine(VDISK, "convert", image, "-", "--format", "raw")
                self.assertEqual(hashlib.sha256(result.stdout).hexdigest(), content, image)

    def test_libvhdi_reads_chains_of_three(self):
        self.need("vhdimount")
        with tempfile.TemporaryDirectory() as mount:
            for extension, seed, sector in CHAINS:
                # libvhdi 20210425 takes all bits behind a set one of a byte of a VHD's bitmap as set, and shows the
                # parent where a VHDX says that a block is zero: eight sectors at a time, and no zeros.
                images, shown = self.make_chain(extension, seed, 4096 if extension == "vhd" else sector, extension == "vhd")
                for image, content in zip(images, shown):
                    result = run("vhdimount", image, mount)
                    if result.returncode != 0 and not os.access("/dev/fuse", os.W_OK):
                        self.skipTest("vhdimount cannot mount here")
                    self.assertEqual(result.returncode, 0, result.stderr)
                    try:
                        layers = sorted(pathlib.Path(mount).iterdir(), key=lambda path: int(path.name[4:]))
                        self.assertEqual(hash_file(layers[-1]), content, image.name)
                    finally:
                        run("umount", mount)

    def test_7z_reads_the_bases(self):
        self.need("7z")
        for extension, seed, sector in CHAINS:
            images, shown = self.make_chain(extension, seed, sector)
            result = self.fine("7z", "e", "-so", "-t" + extension, images[0])
            self.assertEqual(hashlib.sha256(result.stdout).hexdigest(), shown[0])

    def test_qemu_reads_the_bases_and_flattened_chains(self):
        self.need("qemu-img")
        for extension, seed, _ in CHAINS[:2]:  # it refuses sectors of 4096 bytes
            images, shown = self.make_chain(extension, seed)
            kind = "vpc" if extension == "vhd" else "vhdx"
            flat = self.folder / ("flat." + extension)
            self.fine(VDISK, "convert", images[-1], flat)
            for image, content in ((images[0], shown[0]), (flat, shown[-1])):
                out = self.folder / "theirs.raw"
                # Without force_size_calc QEMU takes a VHD's size from its geometry.
                source = f"driver={kind},file.filename={image}" + (",force_size_calc=current_size" if kind == "vpc" else "")
                self.fine("qemu-img", "convert", "--image-opts", "-O", "raw", source, out)
                self.assertEqual(hash_file(out), content, image.name)
                if kind == "vhdx":
                    self.fine("qemu-img", "check", "-f", "vhdx", image)

    def qemu_writes(self, image, kind, model):
        words = ["qemu-io", "-f", kind]
        for _ in range(12):
            at, length = model.range(300 << 10)
            value = model.random.randrange(1, 256)
            model.content[at:at + length] = bytes([value]) * length
            words += ["-c", f"write -P {value} {at} {length}"]
        self.fine(*words, image)

    def test_both_write_on_what_the_other_wrote(self):
        self.need("qemu-io")
        for kind, extension, options in (("vhdx", "vhdx", "subformat=dynamic,block_size=2097152"),
                                         ("vhdx", "vhdx", "subformat=fixed"),
                                         ("vhdx", "vhdx", "subformat=dynamic,block_size=1048576,log_size=2097152"),
                                         ("vpc", "vhd", "subformat=dynamic,force_size=on"),
                                         ("vpc", "vhd", "subformat=fixed,force_size=on")):
            with self.subTest(format=kind, options=options):
                model = Model(options)
                image = self.folder / ("theirs." + extension)
                self.fine("qemu-img", "create", "-q", "-f", kind, "-o", options, image, SIZE)
                for _ in range(3):
                    self.qemu_writes(image, kind, model)
                    self.write(image, model, 20, trims="fixed" not in options)
                    model.save(self.raw)
                    self.fine(VDISK, "diff", image, self.raw, "--format-b", "raw")
                    self.fine("qemu-img", "compare", "-f", kind, "-F", "raw", image, self.raw)
                    if kind == "vhdx":
                        self.fine("qemu-img", "check", "-f", kind, image)
                image.unlink()


def main():
    global VDISK
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    arguments, rest = parser.parse_known_args()
    VDISK = os.path.abspath(arguments.vdisk)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=1)


if __name__ == "__main__":
    main()
