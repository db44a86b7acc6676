#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images that nbdkit's own plugins export, opened by the tool under their URIs; servers that go away; and URIs that only
an image names, which are never followed."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import servers  # noqa: E402
import vhd_maker  # noqa: E402
from servers import MIB, content_hash, hash_of, nbdkit, pattern, run, uri, vdisk, wait_for  # noqa: E402


def error_of(*words, env=None):
    result = subprocess.run([servers.VDISK, *map(str, words), "--json"], capture_output=True, check=False, text=True,
                            timeout=120, env={**os.environ, **(env or {})})
    answer = json.loads(result.stdout)
    answer = answer[0] if isinstance(answer, list) else answer
    return answer["error"]["fault"], answer["error"]["message"]


class Source(servers.Case):
    def setUp(self):
        super().setUp()
        raw = self.folder / "in.raw"
        raw.write_bytes(pattern(7 * MIB, 1) + bytes(40 * MIB) + pattern(17 * MIB, 2))
        self.hash = hash_of(raw)
        self.images = {}
        for name, options in {"a.vhdx": [], "a.vhd": [], "fixed.vhd": ["--type", "fixed"]}.items():
            self.images[name] = self.folder / name
            vdisk("convert", raw, self.images[name], "--source-format", "raw", "--quiet", *options)

    def test_every_reading_command_takes_a_uri(self):
        for name, image in self.images.items():
            with self.subTest(image=name), nbdkit(self.socket, "-r", "file", image):
                here = uri(self.socket)
                self.assertEqual(content_hash(here), self.hash)
                info = json.loads(vdisk("info", here, "--json"))
                self.assertEqual(info["virtual_size_bytes"], 64 * MIB)
                vdisk("check", here, "--quiet")
                ranges = [{**row, "path": ""} for row in json.loads(vdisk("map", here, "--json"))]
                self.assertEqual(ranges, [{**row, "path": ""} for row in json.loads(vdisk("map", image, "--json"))])
                run(servers.VDISK, "diff", here, image)

    def test_whatever_nbdkit_reaches(self):
        packed = self.folder / "a.vhdx.xz"
        packed.write_bytes(run_bytes("xz", "-0", "--block-size=1MiB", "-c", self.images["a.vhdx"]))
        with nbdkit(self.socket, "-r", "--filter=xz", "file", packed):
            self.assertEqual(content_hash(uri(self.socket)), self.hash)
        with nbdkit(self.socket, "--filter=blocksize-policy", "--filter=noparallel", "file", self.images["a.vhd"],
                    "blocksize-minimum=4096", "blocksize-error-policy=error", "blocksize-maximum=65536"):
            self.assertEqual(content_hash(uri(self.socket)), self.hash)
        with nbdkit(self.socket, "--filter=noextents", "--filter=multi-conn", "file", self.images["a.vhdx"],
                    "multi-conn-mode=disable"):
            self.assertEqual(content_hash(uri(self.socket)), self.hash)

    def test_our_own_server(self):
        inner = self.folder / "inner"
        with nbdkit(inner, "-r", "file", self.images["a.vhdx"]), nbdkit(self.socket, "-r", servers.PLUGIN, f"file={uri(inner)}"):
            run("nbdcopy", uri(self.socket), self.folder / "out")
        self.assertEqual(hash_of(self.folder / "out"), self.hash)

    def test_fixed_images_are_written(self):
        image = self.images["fixed.vhd"]
        for words in (["file", image], ["--filter=nozero", "file", image]):
            with self.subTest(words=words), nbdkit(self.socket, *words):
                vdisk("io", uri(self.socket), "-c", "write -P 5 1M 1M", "-c", "zero 2M 1M", "-c", "trim 3M 1M", "-c", "flush",
                      "--quiet")
                vdisk("io", uri(self.socket), "--read-only", "-c", "read -P 5 1M 1M", "-c", "read -P 0 2M 2M", "--quiet")
            vdisk("io", image, "--read-only", "-c", "read -P 5 1M 1M", "-c", "read -P 0 2M 2M", "--quiet")
            vdisk("io", image, "-c", "write -P 9 1M 3M", "--quiet")
        self.expect_sound(image)

    def test_an_export_cannot_grow(self):
        with nbdkit(self.socket, "file", self.create("small.vhd", "--size", "64M")):
            text = vdisk("io", uri(self.socket), "-c", "write -P 5 1M 1M", status=1)
        self.assertIn("io.nbd.fixed_size", text)

    def test_a_read_only_export_is_not_written(self):
        with nbdkit(self.socket, "-r", "file", self.images["fixed.vhd"]):
            self.assertEqual(error_of("io", uri(self.socket), "-c", "flush")[0], "io.read_only")

    def test_a_server_that_is_killed(self):
        with nbdkit(self.socket, "-r", "file", self.images["a.vhdx"], expect=-9) as server:
            client = subprocess.Popen([servers.VDISK, "io", uri(self.socket), "--read-only", "--keep-going"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            client.stdin.write("read 0 1M\n")
            client.stdin.flush()
            client.stdout.readline()
            server.kill()
            server.wait()
            text = client.communicate("read 1M 1M\nread 0 4K\n", timeout=60)[0]
        self.assertEqual(text.count("io.nbd.lost"), 2, text)
        self.assertEqual(client.returncode, 1)

    def test_no_server_and_no_library(self):
        self.assertEqual(error_of("info", uri(self.folder / "absent"))[0], "io.nbd.connect")
        self.assertEqual(error_of("info", "nbd://127.0.0.1:1/")[0], "io.nbd.connect")
        (self.folder / "libnbd.so.0").write_text("no library")
        fault, text = error_of("info", uri(self.folder / "absent"), env={"LD_LIBRARY_PATH": str(self.folder)})
        self.assertEqual(fault, "io.nbd.library")
        self.assertIn("install the package libnbd0", text)

    def test_a_parent_that_the_caller_names(self):
        for base in ("a.vhdx", "a.vhd"):
            with self.subTest(base=base):
                child = self.create("child." + base.split(".")[1], "--parent", self.images[base])
                away = self.folder / "away"
                away.mkdir()
                moved = self.images[base].rename(away / "other-name")
                with nbdkit(self.socket, "-r", "file", moved):
                    here = uri(self.socket)
                    self.assertEqual(content_hash(child, "--parent-dir", here), self.hash)
                    chain = json.loads(vdisk("info", child, "--chain", "--json", "--parent-dir", here))
                    self.assertEqual(chain["chain"][-1]["path"] if isinstance(chain, dict) else chain[-1]["path"], here)
                    vdisk("check", child, "--chain", "--quiet", "--parent-dir", here)
                    self.assertEqual(error_of("map", child)[0], "chain.parent_not_found")
                    with nbdkit(self.folder / "c", "-r", "file", child):
                        # A child on a server: what it records is not looked for here.
                        leaf = uri(self.folder / "c")
                        fault, text = error_of("map", leaf)
                        self.assertEqual(fault, "chain.parent_not_found")
                        self.assertIn("NBD server", text)
                        self.assertEqual(content_hash(leaf, "--parent-dir", here), self.hash)
                moved.unlink()
                away.rmdir()
                child.unlink()

    def test_a_uri_that_only_the_image_names_is_never_followed(self):
        base = self.folder / "base.vhd"
        identifier = vhd_maker.write_sparse(base, 4 * MIB, {0: (b"\xff" * 512, b"data")})
        with nbdkit(self.socket, "-r", "file", base) as server:
            for recorded in (uri(self.socket), uri(self.socket).replace("/", "\\")):
                child = self.folder / "child.vhd"
                vhd_maker.write_sparse(child, 4 * MIB, {}, identifier, recorded)
                for words in (["map", child], ["convert", child, self.folder / "out.vhdx"]):
                    self.assertEqual(error_of(*words)[0], "chain.parent_not_found")
            self.assertIsNone(server.poll())
        self.assertEqual(server.said, "")


def run_bytes(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True).stdout


if __name__ == "__main__":
    servers.main(argparse.ArgumentParser(description=__doc__))
    unittest.main(argv=[sys.argv[0]], verbosity=1)
