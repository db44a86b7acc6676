#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The vdisk tool as a user meets it: words, output, exit statuses, signals, closed pipes, odd names."""
import argparse
import json
import os
import pathlib
import pty
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import vhd_maker as maker  # noqa: E402

VDISK = ""
MIB = 1024 * 1024
FULL = b"\xff" * 512
COMMANDS = ["info", "map", "check", "create", "convert", "diff", "io", "attach", "detach", "list", "restart", "serve", "mount",
            "umount", "open", "demo", "help", "version"]
INFO_NAMES = {"path", "format", "type", "virtual_size_bytes", "file_size_bytes", "allocated_bytes", "block_size_bytes",
              "logical_sector_bytes", "physical_sector_bytes", "identifier", "virtual_disk_id", "creator", "dirty_log",
              "change_tracking_files", "parent"}
SETTINGS = {"VDISK_PARENT_DIRS", "VDISK_MAP_DRIVES", "VDISK_CONFINE", "VIRTDISK_CONTRACT"}


def vdisk(*words, env=None, **options):
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    if "stdout" not in options:
        options["capture_output"] = True
    return subprocess.run([VDISK, *words], env={**environment, **(env or {})}, check=False, timeout=300, **options)


class ToolTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = bytes(range(1, 256)) * 257
        self.base_content = self.data + bytes(4 * MIB - len(self.data))
        self.base = self.folder / "base.vhd"
        self.base_id = maker.write_sparse(self.base, 4 * MIB, {0: (FULL, self.data)})
        self.child = self.folder / "child.vhd"
        # The first sector alone is the child's own.
        maker.write_sparse(self.child, 4 * MIB, {1: (b"\x80", b"child")}, self.base_id, ".\\base.vhd")
        self.child_content = self.base_content[:2 * MIB] + b"child" + bytes(2 * MIB - 5)

    def expect(self, status, *words, **options):
        result = vdisk(*words, **options)
        self.assertEqual(result.returncode, status, f"{words}: {result.stdout!r} {result.stderr!r}")
        return result

    def expect_json(self, status, *words, **options):
        result = self.expect(status, *words, "--json", **options)
        self.assertEqual(result.stderr, b"")
        return json.loads(result.stdout.decode("utf-8"))


class Words(ToolTest):
    def test_help_names_every_command_and_gives_examples(self):
        text = self.expect(0, "--help").stdout.decode()
        self.assertEqual(re.findall(r"^  ([a-z]+) {3,}[A-Z]", text, re.M), COMMANDS)
        self.assertEqual(self.expect(0, "help").stdout.decode(), text)
        for command in COMMANDS:
            result = self.expect(0, command, "--help")
            self.assertEqual(result.stderr, b"")
            self.assertIn(f"Examples:\n  vdisk {command}", result.stdout.decode())
            self.assertEqual(self.expect(0, "help", command).stdout, result.stdout)
            for line in result.stdout.decode().split("Examples:")[0].splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_version(self):
        self.assertRegex(self.expect(0, "--version").stdout.decode(), r"\Avdisk \d+\.\d+\.\d+\n\Z")
        self.assertEqual(self.expect(0, "version").stdout, self.expect(0, "--version").stdout)

    def test_wrong_usage(self):
        image = str(self.base)
        for words in ([], ["nonsense"], ["--nonsense"], ["info"], ["info", image, "--nonsense"], ["map"],
                      ["map", image, image], ["check"], ["convert", image], ["convert", image, "out", "--jobs", "0"],
                      ["convert", image, "out", "--format", "vhd", "--fix-gpt"], ["convert", image, "out", "--zeros", "x"],
                      ["convert", image, "out", "--format", "bogus"],
                      ["io"], ["io", image, "-c", "nonsense"], ["io", image, "-c", "write 0 512"], ["io", image, "-c", ""],
                      ["io", image, "-c", "write -P 256 0 512"], ["io", image, "-c", "read 0"],
                      ["diff", image], ["help", "nonsense"], ["info", image, "--format", "vmdk"],
                      ["info", image, "--map-drive", "C:"], ["info", image, "--map-drive", "dir=/x"],
                      ["info", image, "--map-drive", "C:="], ["open", image, "--access", "bogus"],
                      ["open", image, "--flags", "bogus"], ["open", image, "--version", "x"],
                      ["open", image, "--rw-depth", "1", "--version", "2"], ["open", image, "--contract", "windows95"],
                      ["open", image, "--format", "raw"]):
            with self.subTest(words=words):
                result = self.expect(2, *words, cwd=self.folder)
                self.assertEqual(result.stdout, b"")
                self.assertRegex(result.stderr.decode(), r"\Avdisk: .*\nvdisk: try 'vdisk .*'\n\Z")
        self.assertFalse((self.folder / "out").exists())

    def test_repeatable_options_do_not_eat_the_image(self):
        self.expect(0, "info", "--parent-dir", "/nowhere", "--map-drive", "C:=/nowhere", str(self.base))

    def test_two_dashes_end_the_options(self):
        os.rename(self.base, self.folder / "--json")
        result = self.expect(0, "info", "--format", "vhd", "--", "--json", cwd=self.folder)
        self.assertTrue(result.stdout.startswith(b"--json\n"))

    def test_locale_changes_nothing(self):
        plain = self.expect(0, "info", str(self.base), env={"LC_ALL": "C"}).stdout
        for locale in ("de_DE", "de_DE.UTF-8", "tr_TR.UTF-8"):
            environment = {"LC_ALL": locale, "LANG": locale}
            self.assertEqual(self.expect(0, "info", str(self.base), env=environment).stdout, plain)


class Info(ToolTest):
    def test_json_names(self):
        info = self.expect_json(0, "info", str(self.base))
        self.assertLessEqual(INFO_NAMES, set(info))
        self.assertNotIn("error", info)
        self.assertEqual((info["format"], info["type"], info["virtual_size_bytes"]), ("vhd", "dynamic", 4 * MIB))
        self.assertEqual((info["block_size_bytes"], info["logical_sector_bytes"]), (2 * MIB, 512))
        self.assertEqual(info["file_size_bytes"], self.base.stat().st_size)
        self.assertEqual(info["allocated_bytes"], 2 * MIB)
        self.assertEqual(info["identifier"], str(self.base_id))
        self.assertIsNone(info["parent"])
        self.assertIs(info["dirty_log"], False)

    def test_text_has_exact_and_human_sizes(self):
        text = self.expect(0, "info", str(self.base)).stdout.decode()
        self.assertRegex(text, r"(?m)^  Virtual size {2,}4194304 bytes \(4\.00 MiB\)$")
        self.assertRegex(text, r"(?m)^  Format {2,}vhd, dynamic$")

    def test_values_stand_in_one_column(self):
        for image in (self.base, self.child):
            lines = self.expect(0, "info", str(image)).stdout.decode().splitlines()[1:]
            labelled = [re.match(r"  ( *\S+(?: \S+)*)  +\S", line) for line in lines if not line.startswith("   ")]
            self.assertNotIn(None, labelled)
            self.assertEqual(len({match.end() for match in labelled}), 1, lines)
            self.assertEqual(sum("win" in line for line in lines), 1, "the creator stands there once")
            self.assertTrue(any(re.search(r"Timestamp +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", line) for line in lines))

    def test_parent_and_chain(self):
        info = self.expect_json(0, "info", str(self.child), "--chain")
        self.assertEqual(set(info["parent"]), {"path", "resolved", "identifier", "candidates"})
        self.assertIs(info["parent"]["resolved"], True)
        self.assertTrue(os.path.samefile(info["parent"]["path"], self.base))
        self.assertEqual(info["parent"]["identifier"], str(self.base_id))
        self.assertEqual([layer["type"] for layer in info["chain"]], ["differencing", "dynamic"])
        text = self.expect(0, "info", str(self.child), "--chain").stdout.decode()
        self.assertEqual(len(re.findall(r"(?m)^  Format ", text)), 2)

    def test_missing_parent_is_told_but_only_the_chain_fails(self):
        self.base.rename(self.folder / "moved.vhd")
        info = self.expect_json(0, "info", str(self.child))
        self.assertIs(info["parent"]["resolved"], False)
        self.assertNotEqual(info["parent"]["candidates"], [])
        self.assertIn("(not found)", self.expect(0, "info", str(self.child)).stdout.decode())
        chain = self.expect_json(1, "info", str(self.child), "--chain")
        self.assertEqual(chain["error"]["code"], 0xC03A000D)
        self.assertEqual(chain["error"]["name"], "ERROR_VHD_PARENT_VHD_NOT_FOUND")

    def test_parent_options(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        self.base.rename(elsewhere / "base.vhd")
        self.expect(1, "info", str(self.child), "--chain")
        self.expect(0, "info", str(self.child), "--chain", "--parent-dir", "/nowhere", "--parent-dir", str(elsewhere))
        self.expect(0, "info", str(self.child), "--chain", env={"VDISK_PARENT_DIRS": f"/nowhere:{elsewhere}"})
        self.expect(0, "info", str(self.child), "--chain", "--no-parents")
        self.expect(0, "map", str(self.child), "--no-parents")
        self.expect(1, "map", str(self.child))

    def test_several_images_go_on_after_an_error(self):
        images = [str(self.base), str(self.folder / "missing.vhd"), str(self.child)]
        result = self.expect(1, "info", *images)
        self.assertEqual(len(re.findall(rb"(?m)^  Format ", result.stdout)), 2)
        self.assertRegex(result.stderr.decode(), r"\Avdisk: .*missing\.vhd.* \[io\.not_found, 2 ERROR_FILE_NOT_FOUND\]\n\Z")
        infos = self.expect_json(1, "info", *images)
        self.assertEqual([info.get("error", {}).get("code") for info in infos], [None, 2, None])
        self.assertEqual(set(infos[1]["error"]), {"code", "name", "fault", "message"})

    def test_damaged_image_tells_what_is_known(self):
        raw = bytearray(self.base.read_bytes())
        raw[512 + 60] ^= 0xFF  # inside the dynamic header: its checksum fails
        self.base.write_bytes(raw)
        info = self.expect_json(1, "info", str(self.base))
        self.assertEqual(info["virtual_size_bytes"], 4 * MIB)
        self.assertEqual(info["identifier"], str(self.base_id))
        self.assertEqual(info["error"]["name"], "ERROR_VHD_SPARSE_HEADER_CHECKSUM_MISMATCH")
        result = self.expect(1, "info", str(self.base))
        self.assertIn(b"4194304 bytes", result.stdout)
        self.assertIn(b"0xC03A0006 ERROR_VHD_SPARSE_HEADER_CHECKSUM_MISMATCH", result.stderr)

    def test_change_tracking_files_are_named(self):
        for extension in ("rct", "mrt"):
            (self.folder / f"base.vhd.{extension}").write_bytes(b"")
        info = self.expect_json(0, "info", str(self.base))
        self.assertEqual([os.path.basename(name) for name in info["change_tracking_files"]],
                         ["base.vhd.rct", "base.vhd.mrt"])

    def test_odd_names(self):
        for name in ("Größe-日本.vhd".encode(), b"bad\xff\xfe.vhd", b"escape\x1b[31m\n.vhd", b"[a,b]", b" .vhd"):
            path = os.path.join(os.fsencode(self.folder), name)
            maker.write_fixed(path, self.data[:512 * 100])
            for argument, where in ((path, None), (name, self.folder)):
                with self.subTest(argument=argument):
                    result = self.expect(0, "info", "--format", "vhd", "--json", argument, cwd=where)
                    self.assertEqual(json.loads(result.stdout.decode("utf-8"))["format"], "vhd")
                    text = self.expect(0, "info", "--format", "vhd", argument, cwd=where).stdout
                    self.assertNotIn(b"\x1b", text)
                    text.decode("utf-8")
        self.assertIn("Größe-日本.vhd", self.expect(0, "info", str(self.folder / "Größe-日本.vhd")).stdout.decode())


class Map(ToolTest):
    def test_ranges_and_totals(self):
        ranges = self.expect_json(0, "map", str(self.child))
        position = 0
        for item in ranges:
            self.assertEqual(set(item), {"start_bytes", "length_bytes", "source", "layer", "file_offset_bytes", "path"})
            self.assertEqual(item["start_bytes"], position)
            position += item["length_bytes"]
            expected = self.child_content[item["start_bytes"]:position]
            if item["source"] == "data":
                with open(item["path"], "rb") as file:
                    file.seek(item["file_offset_bytes"])
                    self.assertEqual(file.read(item["length_bytes"]), expected)
            else:
                self.assertEqual((item["source"], expected.count(0)), ("zero", len(expected)))
        self.assertEqual(position, 4 * MIB)
        self.assertEqual([item["layer"] for item in ranges if item["source"] == "data"], [1, 0])
        text = self.expect(0, "map", str(self.child)).stdout.decode()
        self.assertRegex(text, r"(?m)^Totals\n  layer 0     512 bytes  .*child\.vhd$")

    def test_unresolved_without_parents(self):
        ranges = self.expect_json(0, "map", "--no-parents", str(self.child))
        self.assertEqual({item["source"] for item in ranges}, {"unresolved", "data"})

    def test_error_is_an_object(self):
        error = self.expect_json(1, "map", str(self.folder / "missing.vhd"))
        self.assertEqual(error["error"]["fault"], "io.not_found")


class Check(ToolTest):
    def faults(self, status, *words):
        findings = self.expect_json(status, "check", *words)["findings"]
        return {finding["fault"]: finding["severity"] for finding in findings if finding["severity"] != "note" or
                finding["fault"].startswith("check.")}

    def test_clean(self):
        report = self.expect_json(0, "check", str(self.child), "--chain")
        self.assertIs(report["damaged"], False)
        self.assertEqual(len(report["findings"]), report["findings_total"])
        self.assertEqual((report["blocks_total"], report["blocks_allocated"]), (4, 2))

    def test_damage_is_3_and_changes_nothing(self):
        maker.write_sparse(self.base, 4 * MIB, {0: (FULL, b"a"), 1: (FULL, b"b")}, overlap=True)
        before = self.base.read_bytes(), self.base.stat().st_mtime_ns
        result = self.expect(3, "check", str(self.base))
        self.assertIn(b"  damage   ", result.stdout)
        self.assertIs(self.expect_json(3, "check", str(self.base))["damaged"], True)
        self.assertEqual((self.base.read_bytes(), self.base.stat().st_mtime_ns), before)

    def test_only_damage_has_a_code(self):
        maker.write_sparse(self.child, 4 * MIB, {}, self.base_id, ".\\base.vhd", time=5)
        text = self.expect(0, "check", str(self.child), "--chain").stdout.decode()
        self.assertRegex(text, r"  note .*\[check\.link\.time\]\n")
        self.assertIn("2000-01-01 00:00:05 UTC", text)
        finding = self.expect_json(0, "check", str(self.child), "--chain")["findings"][0]
        self.assertEqual((finding["code"], finding["name"]), (None, None))
        self.base.unlink()
        text = self.expect(3, "check", str(self.child), "--chain").stdout.decode()
        self.assertIn("[chain.parent_not_found, 0xC03A000D ERROR_VHD_PARENT_VHD_NOT_FOUND]", text)
        finding = self.expect_json(3, "check", str(self.child), "--chain")["findings"][0]
        self.assertEqual((finding["code"], finding["name"]), (0xC03A000D, "ERROR_VHD_PARENT_VHD_NOT_FOUND"))

    def test_unreadable_is_1(self):
        self.expect(1, "check", str(self.folder / "missing.vhd"))

    def test_links(self):
        maker.write_sparse(self.child, 4 * MIB, {}, self.base_id, ".\\base.vhd", time=5)
        self.assertEqual(self.faults(0, str(self.child), "--chain"), {"check.link.time": "note"})
        maker.write_sparse(self.child, 6 * MIB, {}, self.base_id, ".\\base.vhd")
        self.assertEqual(self.faults(0, str(self.child), "--chain"), {"check.link.size": "warning"})
        maker.write_sparse(self.child, 4 * MIB, {}, self.base_id, ".\\old\\base.vhd")
        self.assertEqual(self.faults(0, str(self.child), "--chain"), {"check.link.stale_path": "note"})
        self.assertEqual(self.faults(0, str(self.child)), {})

    def test_wrong_and_missing_parents_are_damage(self):
        maker.write_sparse(self.base, 4 * MIB, {})
        self.assertEqual(self.faults(3, str(self.child), "--chain"), {"chain.identity_mismatch": "damage"})
        self.base.unlink()
        self.assertEqual(self.faults(3, str(self.child), "--chain"), {"chain.parent_not_found": "damage"})

    def test_damaged_child_with_a_missing_parent(self):
        blocks = {0: (FULL, b"a"), 1: (FULL, b"b")}
        maker.write_sparse(self.child, 4 * MIB, blocks, self.base_id, ".\\base.vhd", overlap=True)
        self.assertNotIn("check.link.not_followed", self.faults(3, str(self.child), "--chain"))
        self.base.unlink()
        self.assertEqual(self.faults(3, str(self.child), "--chain")["check.link.not_followed"], "damage")


class Convert(ToolTest):
    def convert(self, status, source, out, *words, **options):
        return self.expect(status, "convert", str(source), str(out), "--format", "raw", *words, **options)

    def test_to_a_file(self):
        out = self.folder / "out.raw"
        self.convert(0, self.child, out, preexec_fn=lambda: os.umask(0o027))
        self.assertEqual(out.read_bytes(), self.child_content)
        self.assertEqual(out.stat().st_mode & 0o777, 0o640)
        self.assertLess(out.stat().st_blocks * 512, MIB)
        result = self.expect_json(1, "convert", str(self.child), str(out), "--format", "raw")
        self.assertEqual((result["error"]["code"], result["error"]["fault"]), (80, "io.exists"))
        self.assertEqual(out.read_bytes(), self.child_content)

    def test_an_existing_symlink_is_kept(self):
        out = self.folder / "out.raw"
        out.symlink_to("nowhere")
        self.convert(1, self.child, out)
        self.assertTrue(out.is_symlink())
        self.assertFalse((self.folder / "nowhere").exists())

    def test_to_a_stream(self):
        result = self.convert(0, self.child, "-")
        self.assertEqual((result.stdout, result.stderr), (self.child_content, b""))

    def test_failures_leave_nothing(self):
        before = sorted(os.listdir(self.folder))
        missing = self.expect_json(1, "convert", str(self.base), str(self.folder / "no/out"), "--format", "raw")
        self.assertEqual(missing["error"]["code"], 3)
        self.convert(1, self.base, f"{self.folder}/")
        limited = self.expect_json(1, "convert", str(self.base), str(self.folder / "out"), "--format", "raw",
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB)))
        self.assertEqual(limited["error"]["fault"], "io.too_large")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_full_and_closed_output(self):
        stream = ["convert", str(self.base), "-", "--format", "raw"]
        with open("/dev/full", "wb") as full:
            for words in (stream, ["info", str(self.base)], ["map", str(self.base), "--json"], ["--help"]):
                result = self.expect(1, *words, stdout=full, stderr=subprocess.PIPE)
                self.assertIn(b"No space left on device", result.stderr)
        for words in (stream, ["info", str(self.base)]):
            reader, writer = os.pipe()
            os.close(reader)
            result = self.expect(1, *words, stdout=writer, stderr=subprocess.PIPE)
            os.close(writer)
            self.assertRegex(result.stderr.decode(), r"\Avdisk: .*Broken pipe.*\n\Z")

    def test_errors_of_a_stream_stay_off_it(self):
        result = self.convert(1, self.folder / "missing.vhd", "-", "--json")
        self.assertEqual(result.stdout, b"")
        self.assertEqual(json.loads(result.stderr)["error"]["code"], 2)

    def test_interrupted_stream(self):
        process = subprocess.Popen([VDISK, "convert", str(self.base), "-", "--format", "raw"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        with process:
            os.read(process.stdout.fileno(), 1)  # it is writing, and soon waits for a reader
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(60), 130)
            self.assertIn(b"995 ERROR_OPERATION_ABORTED", process.stderr.read())

    def test_interrupted_file_leaves_nothing(self):
        source = self.folder / "big.raw"
        chunk = os.urandom(MIB)
        with open(source, "wb") as file:
            for _ in range(256):
                file.write(chunk)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([VDISK, "convert", str(source), str(self.folder / "out"), "--format", "raw",
                                        "--source-format", "raw"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.wait_for_target(process.pid)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, errors)
            self.assertEqual([name for name in os.listdir(self.folder) if "out" in name], [])

    def wait_for_target(self, pid):
        """Until the process has its nameless target open."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for number in os.listdir(f"/proc/{pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{number}")
                except OSError:
                    continue
                if target.startswith(str(self.folder)) and target.endswith(("(deleted)", ".part")):
                    return
        self.fail("the target never appeared")

    def test_progress_on_a_terminal_only(self):
        master, terminal = pty.openpty()
        self.convert(0, self.base, self.folder / "out", stdout=subprocess.PIPE, stderr=terminal)
        drawn = os.read(master, 65536)
        self.assertIn(b"100%  4.00 MiB of 4.00 MiB", drawn)
        self.assertTrue(drawn.endswith(b"\r\x1b[K"), drawn)
        self.convert(0, self.base, self.folder / "out2", "--quiet", stdout=subprocess.PIPE, stderr=terminal)
        os.set_blocking(master, False)
        self.assertRaises(BlockingIOError, os.read, master, 1)
        os.close(master)
        os.close(terminal)
        quiet = self.convert(0, self.base, self.folder / "out3", "--quiet")
        self.assertEqual((quiet.stdout, quiet.stderr), (b"", b""))

    def test_no_disk_content_on_a_terminal(self):
        master, terminal = pty.openpty()
        self.convert(2, self.base, "-", stdout=terminal, stderr=subprocess.PIPE)
        os.close(master)
        os.close(terminal)


class ConvertToImages(ToolTest):
    def test_there_and_back(self):
        vhdx, vhd, raw = (self.folder / name for name in ("a.vhdx", "b.vhd", "c.raw"))
        made = self.expect_json(0, "convert", "-q", str(self.child), str(vhdx), "--block-size", "1M", "--jobs", "3")
        self.assertEqual((made["format"], made["type"], made["virtual_size_bytes"]), ("vhdx", "dynamic", len(self.child_content)))
        self.expect(0, "convert", str(vhdx), str(vhd), "--type", "fixed", "--prealloc", "full")
        self.assertEqual(vhd.read_bytes()[:-512], self.child_content)
        self.assertGreaterEqual(vhd.stat().st_blocks * 512, len(self.child_content))
        self.expect(0, "convert", str(vhd), str(raw), "--format", "raw")
        self.assertEqual(raw.read_bytes(), self.child_content)
        for image in (vhdx, vhd):
            self.expect(0, "check", str(image))

    def test_child_of_a_parent(self):
        out = self.folder / "again.vhd"
        self.expect(0, "convert", str(self.child), str(out), "--parent", str(self.base))
        self.assertEqual(self.expect(0, "convert", str(out), "-", "--format", "raw").stdout, self.child_content)

    def test_streams(self):
        fixed = self.expect(0, "convert", str(self.child), "-", "--format", "vhd", "--type", "fixed").stdout
        self.assertEqual(fixed[:-512], self.child_content)
        (self.folder / "s.vhdx").write_bytes(self.expect(0, "convert", str(self.child), "-", "--format", "vhdx").stdout)
        self.expect(0, "check", str(self.folder / "s.vhdx"))
        refused = self.expect(1, "convert", str(self.child), "-", "--format", "vhd", "--json")
        self.assertEqual(json.loads(refused.stderr)["error"]["fault"], "convert.stream_kind")

    def test_azure(self):
        out = self.folder / "up.vhd"
        self.expect(0, "convert", str(self.base), str(out), "--azure")
        judged = self.expect_json(3, "check", str(out), "--azure")  # the disk is only 4 MiB
        self.assertEqual([finding["fault"] for finding in judged["findings"]], ["check.azure.range"])
        self.expect(0, "check", str(out))
        self.expect(1, "convert", str(self.base), str(self.folder / "no.vhdx"), "--azure", "--format", "vhdx")

    def test_json_progress(self):
        result = self.expect(0, "convert", str(self.base), str(self.folder / "o.vhdx"), "--json")
        json.loads(result.stdout)
        lines = [json.loads(line)["progress"] for line in result.stderr.splitlines()]
        self.assertEqual((lines[-1]["done"], lines[-1]["total"]), (len(self.base_content), len(self.base_content)))
        self.assertEqual(self.expect(0, "convert", str(self.base), str(self.folder / "p.vhdx"), "--json", "-q").stderr, b"")


class Devices(ToolTest):
    """Raw files and block devices, as sources, as targets, and written to in place."""

    def device(self, backing):
        if os.geteuid() != 0:
            self.skipTest("needs root for a loop device")
        made = subprocess.run(["losetup", "--find", "--show", str(backing)], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            self.skipTest("no loop device can be had here: " + made.stderr.strip())
        device = made.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=True)
        return device

    def test_a_raw_file_is_written(self):
        raw = self.folder / "disk.raw"
        raw.write_bytes(bytes(1 * MIB))
        self.expect(1, "io", str(raw), "-c", "flush")  # never raw by guess
        self.expect(0, "io", str(raw), "--format", "raw", "-c", "write -P 0xa5 4K 8K", "-c", "zero 4K 512", "-c",
                    "trim 8K 4K", "-c", "flush", "-c", "read -P 0xa5 4608 3584", "-c", "read -P 0 8K 4K")
        self.assertEqual(raw.read_bytes(), bytes(4608) + b"\xa5" * 3584 + bytes(1 * MIB - 8192))

    def test_there_and_back(self):
        backing = self.folder / "backing"
        backing.write_bytes(b"\xcd" * (6 * MIB))
        device = self.device(backing)
        result = self.expect(0, "convert", str(self.child), device)
        self.assertIn(b"its last 2097152 bytes are as they were", result.stderr)
        self.assertIn(b"fixed raw, 6291456 bytes", result.stdout)
        with open(device, "rb") as file:
            self.assertEqual(file.read(), self.child_content + b"\xcd" * (2 * MIB))
        self.assertEqual(self.expect_json(0, "info", device)["format"], "raw")
        self.expect(0, "convert", device, "back.vhdx", cwd=self.folder)
        self.expect(0, "diff", device, str(self.folder / "back.vhdx"))
        self.expect(0, "io", device, "-c", "write -P 1 0 512", "-c", "read -P 1 0 512")
        self.expect(1, "diff", device, str(self.folder / "back.vhdx"))

    def test_refusals(self):
        backing = self.folder / "backing"
        backing.write_bytes(b"\xcd" * (4 * MIB))
        device = self.device(backing)
        for words, code in (((str(self.base), device, "--format", "vhd"), 87), ((str(self.base), device, "--azure"), 87),
                            ((str(self.base), str(backing), "--format", "raw"), 80), ((device, device), 32)):
            with self.subTest(words=words):
                self.assertEqual(self.expect_json(1, "convert", *words)["error"]["code"], code)
        self.assertEqual(backing.read_bytes(), b"\xcd" * (4 * MIB))

    def test_what_is_mounted_is_left_alone(self):
        backing = self.folder / "backing"
        backing.write_bytes(bytes(8 * MIB))
        device = self.device(backing)
        mounted = self.folder / "mounted"
        mounted.mkdir()
        for command in (["mkfs.ext4", "-q", device], ["mount", device, str(mounted)]):
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                self.skipTest(command[0] + " does not work here")
        try:
            for words in (("convert", str(self.base), device), ("io", device, "-c", "flush")):
                self.assertEqual(self.expect_json(1, *words)["error"]["code"], 32)
        finally:
            subprocess.run(["umount", str(mounted)], check=True)


class Io(ToolTest):
    def io(self, status, image, text, *words, **options):
        result = self.expect(status, "io", str(image), *words, input=text.encode(), **options)
        return result.stdout.decode().splitlines()

    def make(self, name):
        path = self.folder / name
        self.expect(0, "create", str(path), "--size", "16M", "-q")
        return path

    def test_commands(self):
        for name in ("a.vhd", "a.vhdx"):
            image = self.make(name)
            (self.folder / "bytes").write_bytes(os.urandom(8192))
            lines = self.io(0, image, "write -P 0xa5 1M 64k\n\n# nothing\nread -P 0xa5 1M 64k\nflush\nread -P 0 0 1M\n"
                            f"write -s {self.folder}/bytes 4M 8192\nzero 1M 4096\nread -P 0x00 1M 4K\nextents\n")
            self.assertEqual([line.split()[:2] for line in lines],
                             [["ok", word] for word in "write read flush read write zero read extents".split()])
            self.assertIn("data:", lines[-1])
            self.expect(0, "check", str(image))
            content = self.expect(0, "convert", str(image), "-", "--format", "raw").stdout
            self.assertEqual(content[4 * MIB:4 * MIB + 8192], (self.folder / "bytes").read_bytes())
            self.assertEqual(content[MIB + 4096:MIB + 65536], b"\xa5" * 61440)
            self.assertEqual(content[MIB:MIB + 4096], bytes(4096))

    def test_trim_gives_back(self):
        for name in ("a.vhd", "a.vhdx"):
            image = self.folder / name
            self.expect(0, "create", str(image), "--size", "16M", "-q", "--block-size", "2M")
            self.io(0, image, "write -P 1 0 8M\n")
            before = image.stat().st_blocks
            lines = self.io(0, image, "trim 0 8M\nread -P 0 0 16M\n")
            self.assertEqual(len(lines), 2)
            self.assertLess(image.stat().st_blocks, before - 8000)

    def test_failures(self):
        image = self.make("a.vhdx")
        bad = ["read -P 1 0 512", "write -P 1 0 100", "write -P 1 16M 512", "nonsense", "write -s /nowhere 0 512",
               "write -s /dev/null 0 512"]
        for command in bad:
            lines = self.io(1, image, f"{command}\nflush\n")
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith(f"failed {command}: "), lines)
        lines = self.io(1, image, "\n".join(bad) + "\nwrite -P 7 0 512\n", "--keep-going")
        self.assertEqual([line.split()[0] for line in lines], ["failed"] * len(bad) + ["ok"])
        self.assertEqual(self.io(1, image, "write -P 1 0 512\n", "--read-only")[0].split()[0], "failed")
        self.assertEqual(self.io(0, image, "read -P 7 0 512\n", "--read-only")[0].split()[0], "ok")

    def test_json(self):
        image = self.make("a.vhdx")
        result = self.expect(1, "io", str(image), "--json", "-c", "write -P 1 0 4K", "-c", "extents", "-c", "read 16M 512")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([line["ok"] for line in lines], [True, True, False])
        self.assertEqual(sum(extent["length"] for extent in lines[1]["extents"]), 16 * MIB)
        self.assertEqual(lines[2]["error"]["fault"], "disk.past_end")

    def test_tracking_files(self):
        image = self.make("a.vhdx")
        (self.folder / "a.vhdx.rct").touch()
        result = self.expect(1, "io", str(image), "--strict-tracking", "-c", "write -P 1 0 512")
        self.assertIn(b"disk.stale_tracking", result.stdout)
        result = self.expect(0, "io", str(image), "-c", "write -P 1 0 512")
        self.assertIn(b"warning", result.stderr)

    def test_lines_come_at_once_and_an_interrupt_closes(self):
        image = self.make("a.vhdx")
        process = subprocess.Popen([VDISK, "io", str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with process:
            for command in ("write -P 3 0 4K", "flush"):
                process.stdin.write(f"{command}\n".encode())
                process.stdin.flush()
                self.assertEqual(process.stdout.readline().decode(), f"ok {command}\n")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(60), 130)
        self.io(0, image, "read -P 3 0 4K\n")
        self.expect(0, "check", str(image))

    def test_what_was_flushed_survives_a_kill(self):
        image = self.make("a.vhd")
        process = subprocess.Popen([VDISK, "io", str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with process:
            process.stdin.write(b"write -P 3 0 4K\nflush\nwrite -P 4 8M 4K\n")
            process.stdin.flush()
            self.assertEqual([process.stdout.readline().split()[0] for _ in range(3)], [b"ok"] * 3)
            process.kill()
            process.wait(60)
        self.io(0, image, "read -P 3 0 4K\n")


class Demo(ToolTest):
    def test_all_of_it_holds_and_nothing_is_left(self):
        place = self.folder / "place"
        place.mkdir()
        result = self.expect(0, "demo", cwd=self.folder, env={"TMPDIR": str(place)})
        self.assertEqual(result.stderr, b"")
        text = result.stdout.decode()
        self.assertTrue(text.endswith("\nAll of it held.\n"))
        for shown in ("$ vdisk create child.vhdx --parent base.vhdx\n", "> flush\nok flush\n", "\nKilled\n",
                      "$ vdisk diff child.vhdx whole.vhd\nsame: "):
            self.assertIn(shown, text)
        self.assertEqual(list(place.iterdir()), [])

    def test_kept(self):
        self.expect(0, "demo", "--keep", "tour", cwd=self.folder)
        self.assertEqual({path.name for path in (self.folder / "tour").iterdir()}, {"base.vhdx", "child.vhdx", "whole.vhd"})
        self.expect(0, "check", str(self.folder / "tour" / "child.vhdx"), "--chain")
        result = self.expect(1, "demo", "--keep", "tour", cwd=self.folder)
        self.assertRegex(result.stderr.decode(), r"\Avdisk: demo: tour: .*\n\Z")

    def test_a_folder_that_cannot_be_had(self):
        result = self.expect(1, "demo", env={"TMPDIR": "/proc"})
        self.assertRegex(result.stderr.decode(), r"\Avdisk: demo: /proc/vdisk-demo-.*\n\Z")


class Diff(ToolTest):
    def test_same_different_error(self):
        fixed = self.folder / "fixed.vhd"
        maker.write_fixed(fixed, self.base_content)
        base, fixed = str(self.base), str(fixed)
        self.assertEqual(self.expect(0, "diff", base, fixed).stdout, b"same: 4194304 bytes (4.00 MiB)\n")
        self.assertEqual(self.expect_json(0, "diff", base, fixed),
                         {"same": True, "first_difference_bytes": None, "different_bytes": 0})
        self.assertEqual(self.expect_json(1, "diff", base, str(self.child)),
                         {"same": False, "first_difference_bytes": 2 * MIB, "different_bytes": 512})
        maker.write_fixed(fixed, self.base_content + bytes(MIB))
        self.assertEqual(self.expect_json(1, "diff", base, fixed),
                         {"same": False, "first_difference_bytes": 4 * MIB, "different_bytes": MIB})
        self.assertEqual(self.expect(1, "diff", "--quiet", base, fixed).stdout, b"")
        error = self.expect_json(2, "diff", base, str(self.folder / "missing.vhd"))
        self.assertEqual(error["error"]["code"], 2)

    def test_an_image_against_a_raw_file(self):
        raw = self.folder / "copy.img"
        raw.write_bytes(self.child_content)
        self.expect(0, "diff", str(self.child), str(raw), "--format-b", "raw")
        self.expect(2, "diff", str(self.child), str(raw), "--format-b", "row")
        self.expect(2, "diff", str(self.child), str(raw))

    def test_first_byte_inside_a_sector(self):
        a, b = self.folder / "a.vhd", self.folder / "b.vhd"
        content = bytearray(self.base_content)
        maker.write_fixed(a, bytes(content))
        content[1000] ^= 1
        content[3 * MIB + 7] ^= 1
        maker.write_fixed(b, bytes(content))
        self.assertEqual(self.expect_json(1, "diff", str(a), str(b)),
                         {"same": False, "first_difference_bytes": 1000, "different_bytes": 1024})


class Open(ToolTest):
    def test_codes(self):
        image = str(self.base)
        self.assertEqual(self.expect(0, "open", image).stdout, b"0 ERROR_SUCCESS\n")
        self.assertEqual(self.expect_json(0, "open", image), {"code": 0, "name": "ERROR_SUCCESS"})
        self.assertEqual(self.expect(1, "open", str(self.folder / "missing.vhd")).stdout, b"2 ERROR_FILE_NOT_FOUND\n")
        for words in (["--access", "0x1"], ["--access", "get-info,1"], ["--version", "99"], ["--flags", "cached-io"],
                      ["--version", "2", "--access", "read"], ["--version", "2", "--contract", "page2018"]):
            self.assertEqual(self.expect(1, "open", image, *words).stdout, b"87 ERROR_INVALID_PARAMETER\n", words)
        for words in (["--access", "attach-ro,detach,get-info"], ["--access", "0xd0000"], ["--access", "851968"],
                      ["--version", "1", "--rw-depth", "0"], ["--rw-depth", "1"], ["--version", "2"], ["--version", "3"],
                      ["--version", "2", "--flags", "cached-io"], ["--flags", "0x1"], ["--format", "vhd"],
                      ["--contract", "windows7"]):
            self.assertEqual(self.expect(0, "open", image, *words).stdout, b"0 ERROR_SUCCESS\n", words)

    def test_error_object(self):
        error = self.expect_json(1, "open", str(self.folder / "missing.vhd"))["error"]
        self.assertEqual((error["code"], error["name"], error["fault"]), (2, "ERROR_FILE_NOT_FOUND", "io.not_found"))
        self.assertNotEqual(error["message"], "")

    def test_parents(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        self.base.rename(elsewhere / "base.vhd")
        missing = self.expect(1, "open", str(self.child)).stdout
        self.assertEqual(missing, b"0xC03A000D ERROR_VHD_PARENT_VHD_NOT_FOUND\n")
        self.assertIn(b" 0xC03A000D [chain.parent_not_found]: ", vdisk("open", str(self.child)).stderr)
        self.expect(0, "open", str(self.child), "--flags", "no-parents")
        self.expect(0, "open", str(self.child), "--parent-dir", str(elsewhere))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--vdisk", required=True)
    arguments, rest = parser.parse_known_args()
    VDISK = os.path.abspath(arguments.vdisk)
    unittest.main(argv=[sys.argv[0], *rest])
