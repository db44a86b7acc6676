#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our disks, served by nbdkit's plugin and by `vdisk serve`, as other people's NBD clients find them."""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import servers  # noqa: E402
from servers import MIB, content_hash, hash_of, mbr, nbdkit, pattern, run, uri, vdisk, wait_for  # noqa: E402

MAKE = ""
FIO_SECONDS = 300 if os.environ.get("VDISK_LONG") else 3
CREATE = {
    "a.vhdx": ["--size", "64M"],
    "large-sectors.vhdx": ["--size", "64M", "--logical-sector-size", "4096"],
    "fixed.vhdx": ["--size", "64M", "--type", "fixed", "--prealloc", "none"],
    "a.vhd": ["--size", "64M"],
    "fixed.vhd": ["--size", "64M", "--type", "fixed", "--prealloc", "none"],
}


class Reading(servers.Case):
    def test_every_image_shows_its_content(self):
        subprocess.run([MAKE, self.folder], check=True)
        rows = [line.split("\t") for line in (self.folder / "list.tsv").read_text().splitlines()]
        self.assertGreater(len(rows), 20)
        for image, raw, _ in rows:
            if (self.folder / raw).stat().st_size > 256 * MIB:
                continue
            with self.subTest(image=image), nbdkit(self.socket, "-r", servers.PLUGIN, self.folder / image):
                out = self.folder / "out"
                run("nbdcopy", uri(self.socket), out)
                self.assertEqual(hash_of(out), hash_of(self.folder / raw))
                out.unlink()

    def test_what_a_server_says_of_itself(self):
        path = self.create("a.vhdx", "--size", "64M")
        with nbdkit(self.socket, servers.PLUGIN, path):
            text = run("nbdinfo", uri(self.socket))
        for fact in ("export-size: 67108864", "is_rotational: false", "is_read_only: false", "can_cache: true",
                     "can_fast_zero: true", "can_flush: true", "can_fua: true", "can_multi_conn: true",
                     "can_trim: true", "can_zero: true", "block_size_minimum: 512", "block_size_preferred: 4096",
                     "block_size_maximum: 33554432", "base:allocation"):
            self.assertIn(fact, text)

    def test_maps_agree(self):
        for name, options in CREATE.items():
            if name.startswith("fixed.vhd"):
                continue  # there nbdinfo sees the holes of the file, which the tool's map does not tell
            path = self.create(name, *options)
            vdisk("io", path, "-c", "write -P 7 0 4096", "-c", "write -P 8 40M 1M", "--quiet")
            extents = json.loads(vdisk("map", path, "--json"))
            data = sum(extent["length_bytes"] for extent in extents if "layer" in extent and extent["layer"] is not None)
            with self.subTest(image=name), nbdkit(self.socket, servers.PLUGIN, path):
                rows = [line.split() for line in run("nbdinfo", "--map", uri(self.socket)).splitlines()]
                self.assertEqual(sum(int(row[1]) for row in rows), 64 * MIB)
                self.assertEqual({row[3] for row in rows}, {"data", "hole,zero"})
                # A block's hole in the file is one of the disk.
                self.assertLessEqual(sum(int(row[1]) for row in rows if row[3] == "data"), data)
                self.assertGreaterEqual(sum(int(row[1]) for row in rows if row[3] == "data"), MIB + 4096)

    def test_exports_by_name(self):
        base = self.create("base.vhdx", "--size", "64M")
        vdisk("io", base, "-c", "write -P 1 0 1M", "--quiet")
        middle = self.create("middle.vhdx", "--parent", base)
        vdisk("io", middle, "-c", "write -P 2 1M 1M", "--quiet")
        leaf = self.create("leaf.vhdx", "--parent", middle)
        with nbdkit(self.socket, servers.PLUGIN, leaf):
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", "write -P 3 2M 1M", "-c", "read -P 1 0 1M", "-c",
                "read -P 2 1M 1M")
            run("qemu-io", "-r", "-f", "raw", uri(self.socket, "layer1"), "-c", "read -P 2 1M 1M", "-c", "read -P 0 2M 1M")
            run("qemu-io", "-r", "-f", "raw", uri(self.socket, "layer2"), "-c", "read -P 1 0 1M", "-c", "read -P 0 1M 1M")
            names = [row["export-name"] for row in json.loads(run("nbdinfo", "--list", "--json", uri(self.socket)))["exports"]]
            self.assertEqual(names, ["", "layer1", "layer2"])
            run("nbdinfo", uri(self.socket, "layer3"), status=1)
        self.expect_sound(leaf)

    def test_partitions_by_name(self):
        path = self.create("a.vhdx", "--size", "64M")
        raw = self.folder / "table.raw"
        raw.write_bytes(mbr((2048, 20480), (22528, 20480)).ljust(64 * MIB, b"\0"))
        with nbdkit(self.socket, servers.PLUGIN, path):
            run("nbdcopy", raw, uri(self.socket))
            run("qemu-io", "-f", "raw", uri(self.socket, "partition2"), "-c", "write -P 4 0 1M", "-c", "read -P 0 9M 1M")
            self.assertEqual(run("nbdinfo", "--size", uri(self.socket, "partition2")).strip(), str(10 * MIB))
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", "read -P 4 11M 1M", "-c", "read -P 0 1M 10M")
            found = json.loads(run("nbdinfo", "--list", "--json", uri(self.socket)))["exports"]
            self.assertEqual([row["export-name"] for row in found], ["", "partition1", "partition2"])
            self.assertIn("0x83", found[2]["description"])
            run("nbdinfo", uri(self.socket, "partition3"), status=1)
        self.expect_sound(path)

    def test_read_only_refuses_and_changes_nothing(self):
        path = self.create("a.vhdx", "--size", "64M")
        before = hash_of(path)
        with nbdkit(self.socket, "-r", servers.PLUGIN, path):
            self.assertIn("is_read_only: true", run("nbdinfo", uri(self.socket)))
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", "write 0 512", status=1)
            vdisk("info", path)  # others may read
        self.assertEqual(hash_of(path), before)

    def test_hostile_images_are_refused_before_there_is_a_socket(self):
        path = self.folder / "bad.vhdx"
        path.write_bytes(b"vhdxfile" + bytes(4 * MIB))
        for words in ((path,), (self.folder / "absent.vhdx",), ("format=qcow2", path), ()):
            with self.subTest(words=words):
                text = run("nbdkit", "-f", "-U", self.socket, servers.PLUGIN, *words, status=1)
                self.assertIn("error", text)
                self.assertFalse(self.socket.exists())


class Writing(servers.Case):
    def test_copies_in_and_out(self):
        raw = self.folder / "in.raw"
        raw.write_bytes(pattern(10 * MIB, 1) + bytes(30 * MIB) + pattern(24 * MIB, 2))
        for name, options in CREATE.items():
            path = self.create(name, *options)
            with self.subTest(image=name):
                with nbdkit(self.socket, servers.PLUGIN, path):
                    run("nbdcopy", raw, uri(self.socket))
                    run("nbdcopy", uri(self.socket), self.folder / "out")
                    run("qemu-img", "compare", "-f", "raw", "-F", "raw", uri(self.socket), raw)
                self.assertEqual(hash_of(self.folder / "out"), hash_of(raw))
                self.assertEqual(content_hash(path), hash_of(raw))
                self.expect_sound(path)

    def test_qemu_img_converts_into_a_chain(self):
        raw = self.folder / "in.raw"
        raw.write_bytes(pattern(5 * MIB, 3) + bytes(50 * MIB) + pattern(9 * MIB, 4))
        path = self.create("0.vhdx", "--size", "64M")
        vdisk("io", path, "-c", "write -P 9 0 64M", "--quiet")
        for i in (1, 2):
            path = self.create(f"{i}.vhdx", "--parent", path)
        with nbdkit(self.socket, servers.PLUGIN, path):
            run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, uri(self.socket))
        self.assertEqual(content_hash(path), hash_of(raw))
        self.expect_sound(path)

    def test_requests_smaller_than_a_sector(self):
        path = self.create("a.vhdx", "--size", "64M", "--logical-sector-size", "4096")
        with nbdkit(self.socket, servers.PLUGIN, path):
            target = f"driver=raw,file.driver=nbd,file.path={self.socket}"
            run("qemu-io", "--image-opts", target, "-c", "write -P 5 1M 64k", "-c", "write -P 6 1049000 3", "-c",
                "read -P 6 1049000 3", "-c", "read -P 5 1048576 424", "-c", "read -P 5 1049003 1000", "-c",
                "write -z 1100001 4999", "-c", "read -P 0 1100001 4999", "-c", "read -P 5 1100000 1")
        self.expect_sound(path)

    def test_trim_gives_the_space_back(self):
        for name in ("a.vhdx", "a.vhd", "fixed.vhd"):
            path = self.create(name, *CREATE[name])
            with self.subTest(image=name):
                with nbdkit(self.socket, servers.PLUGIN, path):
                    run("qemu-io", "-f", "raw", uri(self.socket), "-c", "write -P 5 0 64M", "-c", "flush")
                    full = path.stat().st_blocks
                    run("qemu-io", "-f", "raw", uri(self.socket), "-c", "discard 0 64M", "-c", "flush", "-c",
                        "read -P 0 0 64M", "-c", "write -P 6 0 1M")
                self.assertGreater(full * 512, 64 * MIB)
                self.assertLess(path.stat().st_blocks * 512, 40 * MIB)
                self.expect_sound(path)

    def test_zeroes_with_and_without_leave_to_free(self):
        path = self.create("a.vhdx", "--size", "256M")
        with nbdkit(self.socket, servers.PLUGIN, path):
            allocated = lambda: json.loads(run("nbdinfo", "--map", "--json", uri(self.socket)))  # noqa: E731
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", "write -P 5 0 128M", "-c", "write -z 0 32M", "-c",
                "write -z -u 64M 32M", "-c", "flush", "-c", "read -P 0 0 32M", "-c", "read -P 0 64M 32M", "-c",
                "read -P 5 32M 32M", "-c", "read -P 5 96M 32M")
            self.assertGreater(len(allocated()), 3)
        used = [extent for extent in json.loads(vdisk("map", path, "--json")) if extent.get("layer") is not None]
        self.assertEqual(sum(extent["length_bytes"] for extent in used), 96 * MIB)
        self.expect_sound(path)

    def until_prompt(self, client):
        text = b""
        while not text.endswith(b"qemu-io> "):
            piece = os.read(client.stdout.fileno(), 4096)
            self.assertTrue(piece, text)
            text += piece

    def test_flushed_data_survives_a_killed_server(self):
        for name, options in CREATE.items():
            path = self.create(name, *options)
            with self.subTest(image=name):
                with nbdkit(self.socket, servers.PLUGIN, path, expect=-signal.SIGKILL) as server:
                    client = subprocess.Popen(["qemu-io", "-f", "raw", uri(self.socket)], stdin=subprocess.PIPE,
                                              stdout=subprocess.PIPE, bufsize=0)
                    self.until_prompt(client)
                    for command in (b"write -P 5 1M 8M", b"flush", b"write -f -P 6 20M 64k", b"write -P 7 40M 64k"):
                        client.stdin.write(command + b"\n")
                        self.until_prompt(client)
                    server.kill()
                    server.wait()
                    client.communicate()
                self.expect_sound(path)
                checks = vdisk("io", path, "--read-only", "-c", "read -P 5 1M 8M", "-c", "read -P 6 20M 64K")
                self.assertNotIn("differs", checks)

    def test_filters_go_on_top(self):
        path = self.create("a.vhdx", "--size", "64M")
        with nbdkit(self.socket, servers.PLUGIN, path):
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", "write -P 5 1M 1M")
        raw = self.folder / "table.raw"
        raw.write_bytes(mbr((2048, 4096)))
        with nbdkit(self.socket, servers.PLUGIN, path):
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", f"write -s {raw} 0 512")
        before = hash_of(path)
        with nbdkit(self.socket, "--filter=partition", "--filter=cow", servers.PLUGIN, path, "partition=1"):
            self.assertEqual(run("nbdinfo", "--size", uri(self.socket)).strip(), str(2 * MIB))
            run("qemu-io", "-f", "raw", uri(self.socket), "-c", "read -P 5 0 1M", "-c", "write -P 6 0 1M", "-c",
                "read -P 6 0 1M")
        self.assertEqual(hash_of(path), before)

    def test_fio_verifies(self):
        # fio trims only what it then writes again, on the first bytes alone, and never flushes there: a second job does,
        # at the same time. Deeper than 1 it would not wait for a trim before it writes.
        for name in ("a.vhdx", "a.vhd"):
            path = self.create(name, *CREATE[name])
            with self.subTest(image=name):
                with nbdkit(self.socket, servers.PLUGIN, path):
                    said = run("fio", "--ioengine=nbd", f"--uri={uri(self.socket)}", "--verify=crc32c", "--verify_fatal=1",
                               "--verify_state_save=0", "--verify_backlog=64", "--bsrange=4k-256k", "--time_based",
                               f"--runtime={FIO_SECONDS}", "--output-format=json",
                               "--name=trims", "--rw=randtrimwrite", "--size=16M",
                               "--name=flushes", "--rw=randrw", "--offset=16M", "--size=48M", "--iodepth=16", "--fsync=32",
                               timeout=FIO_SECONDS + 600)
                trims, flushes = json.loads(said[said.index("{"):])["jobs"]
                counts = {"trims": trims["trim"], "writes of what was trimmed": trims["write"],
                          "read back of it": trims["read"], "flushes": flushes["sync"], "writes": flushes["write"],
                          "read back": flushes["read"]}
                counts = {what: kind["total_ios"] for what, kind in counts.items()}
                self.assertNotIn(0, counts.values(), counts)
                print(f"note: fio on {name}:", ", ".join(f"{count} {what}" for what, count in counts.items()), file=sys.stderr)
                self.expect_sound(path)


class Serve(servers.Case):
    def setUp(self):
        super().setUp()
        self.image = self.create("disk image.vhdx", "--size", "64M")

    def error(self, *words, status=1, **options):
        result = subprocess.run([servers.VDISK, "serve", *map(str, words), "--json"], capture_output=True, check=False,
                                text=True, timeout=60, **options)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return json.loads(result.stdout)["error"]["fault"]

    def serve(self, *words):
        process = subprocess.Popen([servers.VDISK, "serve", str(self.image), *map(str, words)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def end(self, process, number=signal.SIGINT):
        process.send_signal(number)
        self.assertEqual(process.wait(60), 0, process.stderr.read())

    def test_serves_until_ctrl_c(self):
        process = self.serve("--uri")
        address = process.stdout.readline().strip()
        self.assertRegex(address, r"^nbd\+unix:///\?socket=/.*/nbd\.sock$")
        socket = pathlib.Path(address.split("socket=")[1])
        self.assertEqual(socket.stat().st_mode & 0o777, 0o600)
        self.assertEqual(socket.parent.stat().st_mode & 0o777, 0o700)
        run("qemu-io", "-f", "raw", address, "-c", "write -P 5 1M 1M")
        self.assertEqual(self.error(self.image), "io.locked")
        self.end(process)
        self.assertFalse(socket.parent.exists())
        info = json.loads(vdisk("info", self.image, "--json"))
        self.assertFalse(info["dirty_log"], "it was closed")
        self.expect_sound(self.image)

    def test_says_where_in_every_way(self):
        process = self.serve("--socket", self.folder / "a b.sock")
        self.assertRegex(process.stdout.readline(), "writable, until Ctrl-C")
        self.assertEqual(process.stdout.readline().strip(), f"nbd+unix:///?socket={self.folder}/a%20b.sock")
        self.assertEqual((self.folder / "a b.sock").stat().st_mode & 0o777, 0o600)
        self.end(process, signal.SIGTERM)
        process = self.serve("--json", "--port", "0", "--read-only")
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        said = json.loads(text)
        self.assertEqual((said["exports"], said["read_only"], said["virtual_size_bytes"]), ([""], True, 64 * MIB))
        self.assertRegex(said["uri"], r"^nbd://127\.0\.0\.1:\d+/$")
        self.assertIn("is_read_only: true", run("nbdinfo", said["uri"]))
        self.end(process)

    def test_runs_a_command(self):
        out = self.folder / "out"
        text = vdisk("serve", self.image, "--run", f'nbdcopy "$uri" {out}; test -S "$unixsocket"; echo done; exit 5', status=5)
        self.assertEqual(text, "done\n")
        self.assertEqual(out.stat().st_size, 64 * MIB)

    def test_demands_tls(self):
        keys = self.folder / "keys.psk"
        keys.write_text("alice:" + "0123456789abcdef" * 4 + "\n")
        text = vdisk("serve", self.image, "--tls", keys, "--run", 'nbdinfo "$uri" && ! nbdinfo "nbd+unix:///?socket=$unixsocket"')
        self.assertIn("with TLS", text)

    def test_names_a_parent(self):
        child = self.create("child.vhdx", "--parent", self.image)
        text = vdisk("serve", child, "--export", "layer1", "--run", 'echo "$uri"; nbdinfo "$uri"')
        self.assertIn("nbd+unix:///layer1?socket=", text)
        self.assertIn("is_read_only: true", text)
        self.assertEqual(self.error(child, "--export", "layer2"), "nbd.no_export")

    def test_ends_with_its_parent(self):
        process = self.serve("--uri")
        socket = pathlib.Path(process.stdout.readline().strip().split("socket=")[1])
        process.kill()
        process.wait()
        wait_for(lambda: subprocess.run([servers.VDISK, "io", str(self.image), "-c", "flush"], capture_output=True,
                                        check=False).returncode == 0)
        # What is left is a socket that nobody listens on, which the next server replaces.
        vdisk("serve", self.image, "--socket", socket, "--run", "true")
        self.assertFalse(socket.exists())
        socket.parent.rmdir()

    def test_says_what_is_wrong(self):
        self.assertEqual(self.error(self.folder / "absent.vhdx"), "io.not_found")
        self.assertEqual(self.error(self.image, "--tls", self.folder / "absent"), "nbd.keys")
        self.assertEqual(self.error(self.image, "--socket", self.folder / ("x" * 120)), "nbd.socket_name")
        self.assertEqual(self.error(self.image, "--socket", self.folder / "absent" / "s"), "nbd.socket_name")
        self.assertEqual(self.error(self.image, "--socket", self.image), "nbd.socket_in_use")
        self.assertEqual(self.error(self.image, "--port", "1", "--address", "localhost"), "nbd.socket_name")
        self.assertEqual(self.error(self.image, "--port", "1", "--address", "192.0.2.1"), "nbd.socket_name")
        self.assertEqual(self.error(self.image, "--socket", "/sys/s"), "nbd.socket")
        self.assertEqual(self.error(self.image, env={**os.environ, "PATH": str(self.folder)}), "nbd.no_nbdkit")
        # A tool without a plugin near it. The build's own tool knows where it would be installed.
        lonely = self.folder / "bin" / "vdisk"
        lonely.parent.mkdir()
        shutil.copy(servers.VDISK, lonely)
        result = subprocess.run([lonely, "serve", self.image, "--json"], capture_output=True, check=False, text=True)
        if not pathlib.Path("/usr/local/lib/nbdkit/plugins/nbdkit-vdisk-plugin.so").exists():
            self.assertEqual(json.loads(result.stdout)["error"]["fault"], "nbd.no_plugin")
            self.assertIn("nbdkit-plugin-vdisk", result.stdout)

    def test_a_socket_may_be_refused(self):
        if os.geteuid() == 0:
            words = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all"]
            self.folder.chmod(0o755)
            self.image.chmod(0o666)
        else:
            words = []
        place = self.folder / "closed"
        place.mkdir(mode=0o555)
        result = subprocess.run([*words, servers.VDISK, "serve", self.image, "--socket", place / "s", "--json"],
                                capture_output=True, check=False, text=True)
        if result.returncode == 126 or not result.stdout:
            self.skipTest("the tool cannot be run by another user here")
        self.assertEqual(json.loads(result.stdout)["error"]["fault"], "nbd.socket")

    def test_a_server_that_fails_is_told(self):
        broken = self.folder / "nbdkit"
        broken.write_text("#!/bin/sh\necho 'not today' >&2\nexit 3\n")
        broken.chmod(0o755)
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        self.assertEqual(self.error(self.image, env=environment), "nbd.server_failed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", required=True)
    MAKE = servers.main(parser).make
    unittest.main(argv=[sys.argv[0], *os.environ.get("CASES", "").split()], verbosity=1)
