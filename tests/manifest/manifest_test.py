#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real images through the tool: unpacks every row of a manifest, and compares what `vdisk` makes of it with the row,
with expectations.py and with other people's tools.

    manifest_test.py --vdisk PROGRAM [--only TEXT]

Reads the folder named by VDISK_SHARED_DATA, else ../shared/data beside the repository (the whole collection), and the
small images of tests/corpus where the collection is missing. Says loudly what it skipped.
"""
import argparse
import bz2
import csv
import gzip
import hashlib
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from expectations import EXPECTED, PARENT_NOT_FOUND, Expected  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
DISC_SUFFIXES = (".iso", ".img", ".raw")
LEAST_SIZE = 3 << 20   # that a new VHD or VHDX has
MOST_HASHED = 256 << 20  # larger ones are compared by extents
PIECE_BYTES = 1 << 20


class Failure(Exception):
    pass


def uudecode(data):
    """Both line lengths that exist: encoders may leave the last character of a line away."""
    out, inside = bytearray(), False
    for line in data.splitlines():
        if not inside:
            inside = line.startswith(b"begin ")
        elif line in (b"end", b"`", b" ", b""):
            continue
        else:
            count, text = (line[0] - 32) & 63, line[1:]
            need = (count + 2) // 3 * 4
            values = [(c - 32) & 63 for c in text.ljust(need, b" ")[:need]]
            piece = bytearray()
            for a, b, c, d in zip(*[iter(values)] * 4):
                piece += bytes([(a << 2 | b >> 4) & 255, (b << 4 | c >> 2) & 255, (c << 6 | d) & 255])
            out += piece[:count]
    return bytes(out)


def uncompress(data):
    """LZW as compress(1) writes it: codes of 9 to 16 bits, least significant bit first, padded in groups of eight."""
    if data[:2] != b"\x1f\x9d":
        raise Failure("not made by compress")
    most_bits, block_mode = data[2] & 31, bool(data[2] & 128)
    table = [bytes([i]) for i in range(256)] + ([b""] if block_mode else [])
    out, bits, at, group_start = [], 9, 24, 24
    previous = None

    def align():  # a change of width or a clear ends the group of eight codes
        group = bits * 8
        return group_start + -(-(at - group_start) // group) * group

    while at + bits <= len(data) * 8:
        code = int.from_bytes(data[at >> 3:(at >> 3) + 4], "little") >> (at & 7) & ((1 << bits) - 1)
        at += bits
        if block_mode and code == 256:
            at = group_start = align()
            del table[257:]
            bits, previous = 9, None
            continue
        if previous is None:
            entry = table[code]
        else:
            entry = table[code] if code < len(table) else previous + previous[:1]
            if len(table) < 1 << most_bits:
                table.append(previous + entry[:1])
        out.append(entry)
        previous = entry
        if len(table) == 1 << bits and bits < most_bits:
            at = group_start = align()
            bits += 1
    return b"".join(out)


UNPACKERS = {".xz": lzma.decompress, ".gz": gzip.decompress, ".bz2": bz2.decompress, ".uu": uudecode, ".Z": uncompress}


def unpack(stored):
    """The unpacked bytes, and the name without the packers' suffixes. The order of suffixes is not always the order
    of packing (x.uu.xz, but x.Z.uu), so it is taken from the end."""
    data, name = stored.read_bytes(), stored.name
    while pathlib.PurePath(name).suffix in UNPACKERS:
        suffix = pathlib.PurePath(name).suffix
        data, name = UNPACKERS[suffix](data), name[:-len(suffix)]
    return data, name


class Tool:
    def __init__(self, program):
        self.program = program

    def run(self, *words, expect=None):
        done = subprocess.run([self.program, *words], capture_output=True, timeout=600, check=False)
        if expect is not None and done.returncode != expect:
            raise Failure(f"vdisk {' '.join(words)}: exit status {done.returncode}, expected {expect}\n"
                          f"{done.stdout.decode(errors='replace')[-800:]}{done.stderr.decode(errors='replace')[-800:]}")
        return done

    def info(self, image, expect=0):
        return json.loads(self.run("info", "--json", str(image), expect=expect).stdout)

    def content_hash(self, image, *words):
        hasher = hashlib.sha256()
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen([self.program, "convert", str(image), "-", "--format", "raw", *words],
                                  stdout=subprocess.PIPE, stderr=errors) as child:
                length = 0
                while piece := child.stdout.read(PIECE_BYTES):
                    hasher.update(piece)
                    length += len(piece)
            errors.seek(0)
            if child.returncode != 0:
                raise Failure(f"convert: exit status {child.returncode}: {errors.read().decode(errors='replace')}")
        return hasher.hexdigest(), length


def same(what, got, wanted):
    if got != wanted:
        raise Failure(f"{what} is {got!r}, expected {wanted!r}")


def error_of(document):
    """The error in `info --json`, whatever stands around it."""
    if isinstance(document, list):
        document = document[0]
    return document.get("error") or {}


def sizes_of_others(image, expected):
    """(tool, virtual size) from every tool at hand that can be asked."""
    if shutil.which("qemu-img") and "qemu-img" not in expected.wrong:
        kind = "vhdx" if image.suffix == ".vhdx" else "vpc"
        done = subprocess.run(["qemu-img", "info", "--output=json", "-f", kind, str(image)], capture_output=True,
                              check=True, timeout=60)
        yield "qemu-img", json.loads(done.stdout)["virtual-size"]
    if shutil.which("vhdiinfo") and "vhdiinfo" not in expected.wrong:
        done = subprocess.run(["vhdiinfo", str(image)], capture_output=True, text=True, check=True, timeout=60)
        found = re.search(r"Media size\s*:.*?(\d+)(?: bytes\)|\s*bytes)", done.stdout)
        if not found:
            raise Failure(f"vhdiinfo shows no size: {done.stdout}")
        yield "vhdiinfo", int(found.group(1))


def check_refused(tool, image, expected):
    if expected.code == PARENT_NOT_FOUND:  # the image itself is sound, and `info` says so
        document = tool.info(image)
        same("parent.resolved", document["parent"]["resolved"], False)
        same("type", document["type"], expected.type)
        same("virtual_size_bytes", document["virtual_size_bytes"], expected.size)
    else:
        same("code of info", error_of(tool.info(image, expect=1)).get("code"), expected.code)
    done = tool.run("convert", str(image), "-", "--format", "raw", "--json", expect=1)
    same("bytes of a refused convert", len(done.stdout), 0)
    same("code of convert", json.loads(done.stderr)["error"]["code"], expected.code)


def check_large(tool, image, size, folder):
    """No stream, but a sparse file: the right length, and next to nothing in it."""
    out = folder / "sparse.raw"
    tool.run("convert", str(image), str(out), "--format", "raw", expect=0)
    same("length of the raw file", out.stat().st_size, size)
    if out.stat().st_blocks * 512 > 64 << 20:
        raise Failure(f"the raw file takes {out.stat().st_blocks * 512} bytes, but the disk is nearly empty")
    out.unlink()


def check_disc(tool, image, data):
    document = tool.info(image)
    for name, wanted in {"format": "iso", "type": "fixed", "virtual_size_bytes": len(data), "block_size_bytes": 0,
                         "logical_sector_bytes": 2048, "physical_sector_bytes": 2048, "parent": None}.items():
        same(name, document[name], wanted)
    same("content", tool.content_hash(image), (hashlib.sha256(data).hexdigest(), len(data)))
    if not shutil.which("blkid"):
        return
    probed = subprocess.run(["blkid", "-p", "-o", "export", str(image)], capture_output=True, text=True, check=False)
    if probed.returncode != 0:
        raise Failure(f"blkid does not know the disc: {probed.stderr}")
    fields = dict(line.split("=", 1) for line in probed.stdout.splitlines() if "=" in line)
    kinds, details = document["details"]["kinds"], document["details"]
    wanted_kind = {"udf": "udf-", "iso9660": "iso9660", "hfsplus": "", "hfs": ""}[fields["TYPE"]]
    if wanted_kind not in kinds:
        raise Failure(f"blkid says {fields['TYPE']}, info says {kinds}")
    if fields["TYPE"] == "udf" and "VERSION" in fields:
        same("UDF revision", kinds.split("udf-")[1].split(",")[0], fields["VERSION"])
    if fields["TYPE"] == "udf" and "BLOCK_SIZE" in fields:
        same("UDF block size", details.get("udf_block_bytes"), fields["BLOCK_SIZE"])
    label = fields.get("LOGICAL_VOLUME_ID", "")
    # blkid writes what is not ASCII as M-x and ^x.
    if fields["TYPE"] == "udf" and label and not re.search(r"M-|\^|\\", label):
        same("volume id", details["volume_id_udf"], label)


def check_disk(tool, image, data, row, expected, folder):
    document = tool.info(image)
    size = document["virtual_size_bytes"]
    if expected.size is not None:
        same("virtual_size_bytes", size, expected.size)
    if expected.type is not None:
        same("type", document["type"], expected.type)
    same("format", document["format"], image.suffix[1:])
    same("dirty_log", document["dirty_log"], expected.dirty_log)
    same("file_size_bytes", document["file_size_bytes"], len(data))
    for other, other_size in sizes_of_others(image, expected):
        same(f"virtual size by {other}", other_size, size)
    if expected.too_large:
        check_large(tool, image, size, folder)
        return
    wanted = row["disk_content_sha256"]
    if expected.fixed:
        wanted = hashlib.sha256(data[:-512]).hexdigest()
    got, length = tool.content_hash(image)
    same("bytes of content", length, size)
    if wanted:
        same("content", got, wanted)
    elif shutil.which("qemu-img") and "qemu-img" not in expected.wrong:
        raw = folder / "qemu.raw"
        subprocess.run(["qemu-img", "convert", "-f", "vpc", "-O", "raw", str(image), str(raw)], check=True, timeout=600)
        same("content by qemu-img", got, hashlib.sha256(raw.read_bytes()).hexdigest())
        raw.unlink()
    else:
        raise Failure("nothing says what the content must be")
    check_conversions(tool, image, got, size, folder)


def check_conversions(tool, image, content, size, folder):
    """To the other format, from there to this one, each whole and with the same bytes."""
    names = ["there.vhd", "back.vhdx"] if image.suffix in (".vhdx", ".avhdx") else ["there.vhdx", "back.vhd"]
    if size < LEAST_SIZE:
        refused = tool.run("convert", str(image), str(folder / names[0]), "--json", "-q", expect=1)
        same("fault of a small target", json.loads(refused.stdout)["error"]["fault"], "create.size.too_small")
        return
    last = image
    for name in names:
        out = folder / name
        tool.run("convert", str(last), str(out), "-q", expect=0)
        tool.run("check", str(out), expect=0)
        tool.run("diff", str(image), str(out), expect=0)
        if size <= MOST_HASHED:
            same(f"content of {name}", tool.content_hash(out), (content, size))
        last = out
    for name in names:
        (folder / name).unlink()


def check_row(tool, source, row, folder):
    data, name = unpack(source / row["stored"])
    same("unpacked length", len(data), int(row["unpacked_bytes"]))
    same("unpacked hash", hashlib.sha256(data).hexdigest(), row["unpacked_sha256"])
    image = folder / name
    image.write_bytes(data)
    before = image.stat().st_mtime_ns
    expected = EXPECTED.get(row["stored"], Expected())
    if expected.code is not None:
        check_refused(tool, image, expected)
    elif image.suffix in DISC_SUFFIXES:
        check_disc(tool, image, data)
    else:
        check_disk(tool, image, data, row, expected, folder)
    tool.run("check", "--json", str(image), expect=3 if expected.damaged else 0)
    same("mtime after reading", image.stat().st_mtime_ns, before)
    same("hash after reading", hashlib.sha256(image.read_bytes()).hexdigest(), row["unpacked_sha256"])


def check_family(tool, source, rows, folder):
    """win8-child.vhd beside its parent, which it names by a relative path: now it opens."""
    stored = {"go-vhd/win8.vhd.xz", "go-vhd/win8-child.vhd.xz"}
    if not stored <= {row["stored"] for row in rows}:
        return False
    for name in stored:
        data, short = unpack(source / name)
        (folder / short).write_bytes(data)
    child = folder / "win8-child.vhd"
    same("size of the child", tool.content_hash(child)[1], 41943040)
    parent = tool.info(child)["parent"]
    same("parent.resolved", parent["resolved"], True)
    same("parent.path", pathlib.Path(parent["path"]).name, "win8.vhd")
    tool.run("check", "--chain", str(child), expect=0)
    return True


def find_source():
    named = os.environ.get("VDISK_SHARED_DATA")
    folder = pathlib.Path(named) if named else ROOT.parent / "shared" / "data"
    if not named and not folder.is_dir():  # a linked work tree lies one level deeper
        folder = ROOT.parent.parent / "shared" / "data"
    if (folder / "manifest.tsv").is_file():
        return folder
    print(f"SKIPPED: {folder} with the whole collection is not here (VDISK_SHARED_DATA names it); only the small "
          "images of tests/corpus are tested", flush=True)
    return ROOT / "tests" / "corpus"


def run_rows(tool, source, rows):
    failures = 0
    for row in rows:
        with tempfile.TemporaryDirectory(prefix="vdisk-manifest-") as folder:
            try:
                check_row(tool, source, row, pathlib.Path(folder))
                print(f"ok      {row['stored']}", flush=True)
            except (Failure, KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
                failures += 1
                print(f"FAILED  {row['stored']}: {type(error).__name__}: {error}", flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vdisk", required=True)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    arguments = parser.parse_args()
    tool, source = Tool(arguments.vdisk), find_source()
    with open(source / "manifest.tsv", newline="", encoding="utf-8") as file:
        every = list(csv.DictReader(file, delimiter="\t"))
    for other in ("qemu-img", "vhdiinfo", "blkid"):
        if not shutil.which(other):
            print(f"SKIPPED: {other} is not installed; nothing is compared with it", flush=True)
    rows = [row for row in every if arguments.only in row["stored"]]
    failures = run_rows(tool, source, rows)
    if not arguments.only:
        with tempfile.TemporaryDirectory(prefix="vdisk-manifest-") as folder:
            try:
                if check_family(tool, source, rows, pathlib.Path(folder)):
                    print("ok      go-vhd/win8-child.vhd beside its parent")
            except (Failure, KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
                failures += 1
                print(f"FAILED  go-vhd/win8-child.vhd beside its parent: {error}")
    print(f"{len(rows)} images from {source.name}, {failures} failures")
    if not rows:
        return SKIPPED
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
