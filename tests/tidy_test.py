#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/tidy catches planted breaches, and lets pass what is allowed."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

LOADER = importlib.machinery.SourceFileLoader("tidy", str(pathlib.Path(__file__).resolve().parent.parent / "tools" / "tidy"))
sys.dont_write_bytecode = True
TIDY = importlib.util.module_from_spec(importlib.util.spec_from_loader("tidy", LOADER))
LOADER.exec_module(TIDY)
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for name in ("base", "io", "format", "format/vhd", "format/vhdx", "chain", "disk", "attach", "capi", "cli", "testing"):
            self.write(f"src/{name}/README.md", "What it is.\n")
        self.write("include/virtdisk.h", SPDX)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def tidy(self, *arguments):
        output = io.StringIO()
        with mock.patch.object(sys, "argv", ["tidy", "--root", str(self.root), *arguments]), contextlib.redirect_stdout(output):
            status = TIDY.main()
        return status, output.getvalue()

    def assert_breach(self, expected, *arguments):
        status, output = self.tidy(*arguments)
        self.assertEqual(status, 1, output)
        self.assertIn(expected, output)
        self.assertIn("1 breaches", output)

    def assert_clean(self, *arguments):
        status, output = self.tidy(*arguments)
        self.assertEqual(status, 0, output)
        self.assertIn(" 0 breaches", output)

    def header(self, folder, name="thing"):
        """A header that is used within its own folder."""
        self.write(f"src/{folder}/{name}.h", SPDX)
        self.write(f"src/{folder}/{name}.cc", f'{SPDX}#include "{folder}/{name}.h"\n')

    def test_a_clean_tree_passes(self):
        self.header("base")
        self.write("src/io/file.cc", f'{SPDX}#include "base/thing.h"\n')
        self.assert_clean()

    def test_an_include_upward(self):
        self.header("io")
        self.write("src/base/low.cc", f'{SPDX}#include "io/thing.h"\n')
        self.assert_breach("src/base/low.cc:2: layers: base may not include io")

    def test_every_layer_knows_only_those_below(self):
        order = ["base", "io", "format", "format/vhd", "chain", "disk", "attach", "cli"]
        for folder in order:
            self.header(folder)
        for high in range(len(order)):
            for low in range(len(order)):
                if high == low:
                    continue
                name = f"src/{order[high]}/user.cc"
                self.write(name, f'{SPDX}#include "{order[low]}/thing.h"\n')
                status, output = self.tidy()
                self.assertEqual(status, 0 if low < high else 1, f"{order[high]} includes {order[low]}: {output}")
                (self.root / name).unlink()

    def test_one_format_includes_another(self):
        self.header("format/vhd")
        self.write("src/format/vhdx/parse.cc", f'{SPDX}#include "format/vhd/thing.h"\n')
        self.assert_breach("format/vhdx may not include format/vhd")

    def test_only_the_registry_lists_formats(self):
        self.header("format/vhd")
        self.write("src/format/registry.cc", f'{SPDX}#include "format/vhd/thing.h"\n')
        self.assert_clean()
        self.write("src/format/image.cc", f'{SPDX}#include "format/vhd/thing.h"\n')
        self.assert_breach("src/format/image.cc:2: layers: format may not include format/vhd")

    def test_virtdisk_h_below_capi(self):
        self.write("src/capi/api.cc", f"{SPDX}#include <virtdisk.h>\n")
        self.assert_clean()
        self.write("src/disk/open.cc", f"{SPDX}#include <virtdisk.h>\n")
        self.assert_breach("nothing below capi includes virtdisk.h")

    def test_testing_in_a_product(self):
        self.header("testing")
        self.write("src/disk/open_test.cc", f'{SPDX}#include "testing/thing.h"\n')
        self.assert_clean()
        self.write("src/disk/open.cc", f'{SPDX}#include "testing/thing.h"\n')
        self.assert_breach("src/testing is for tests alone")

    def test_headers_that_tests_share(self):
        self.header("testing")
        self.write("src/disk/test_support.h", f'{SPDX}#include "testing/thing.h"\n')
        self.write("src/disk/open_test.cc", f'{SPDX}#include "disk/test_support.h"\n')
        self.assert_clean()
        self.write("src/disk/open.cc", f'{SPDX}#include "disk/test_support.h"\n')
        self.assert_breach("disk/test_support.h is for tests alone")
        self.write("src/disk/open.cc", f'{SPDX}#include "disk/write_test_support.h"\n')
        self.write("src/disk/write_test_support.h", f'{SPDX}#include "testing/thing.h"\n')
        self.assert_breach("disk/write_test_support.h is for tests alone")

    def test_a_public_header_that_needs_a_private_one(self):
        self.header("base")
        self.write("include/vdisk/disk.h", f'{SPDX}#include "base/thing.h"\n')
        self.assert_breach("a public header includes base/thing.h")

    def test_a_folder_without_a_layer(self):
        self.write("src/extra/README.md", "x\n")
        self.write("src/extra/extra.cc", SPDX)
        self.assert_breach("the folder extra is in no layer")

    def test_a_long_file(self):
        self.write("src/base/long.cc", SPDX + "int x;\n" * 999)
        self.assert_clean()
        self.write("src/base/long.cc", SPDX + "int x;\n" * 1000)
        self.assert_breach("1001 lines")
        self.write("src/base/long.cc", SPDX + "// size: a table\n" + "int x;\n" * 1000)
        self.assert_clean()

    def long_function(self, head, lines):
        return SPDX + f"namespace a {{\n{head} {{\n" + "  call();\n" * (lines - 2) + "}\n}\n"

    def test_a_long_function_in_each_form(self):
        for head in ("int f(int a)", "template <class T>\nT f(T a) requires(x)", "S::S(int a) : a_(a), b_{a}",
                     "auto S::f() const noexcept -> int", "Status f() VDISK_REQUIRES(mutex)", "TEST(Suite, Case)",
                     "struct S {\n  void f() override"):
            lines = 70 - head.count("\n") if not head.startswith("struct") else 70
            end = "};\n" if head.startswith("struct") else ""
            with self.subTest(head):
                self.write("src/base/f.cc", self.long_function(head, lines) + end)
                self.assert_clean()
                self.write("src/base/f.cc", self.long_function(head, lines + 1) + end)
                self.assert_breach("a function of 71 lines")

    def test_a_long_function_with_a_reason(self):
        self.write("src/base/f.cc", self.long_function("// size: one switch over all codes\nint f()", 99))
        self.assert_clean()

    def test_a_long_table_is_no_function(self):
        self.write("src/base/t.cc", SPDX + "constexpr int kTable[] = {\n" + "  1,\n" * 200 + "};\n")
        self.assert_clean()

    def test_braces_in_text_do_not_count(self):
        self.write("src/base/t.cc", SPDX + 'const char* kText = "{{{"; // }}}\nconst char kBrace = \'{\';\n'
                   'const char* kRaw = R"(}}})";\n' + self.long_function("int f()", 70).removeprefix(SPDX))
        self.assert_clean()

    def test_no_licence(self):
        self.write("src/base/x.cc", "int x;\n")
        self.assert_breach("src/base/x.cc:1: licence")

    def test_leftover_marker(self):
        self.write("src/base/x.cc", f"{SPDX}// TODO: finish\n")
        self.assert_breach("src/base/x.cc:2: marker")

    def test_path_of_a_machine(self):
        self.write("docs/x.md", "See [x](x.md) in /home/somebody/project.\n")
        self.write("README.md", "docs/x.md\n")
        self.assert_breach("docs/x.md:1: path")

    def test_banned_names(self):
        for text in ("auto* p = reinterpret_cast<int*>(q);", "std::regex r;", "o << std::endl;", "setlocale(0, s);",
                     "c = tolower(c);", "throw 1;", "n = std::stoul(s);", "std::cout << 1;", "printf(s);"):
            with self.subTest(text):
                self.write("src/base/x.cc", f"{SPDX}{text}\n")
                self.assert_breach("src/base/x.cc:2: banned")
                self.write("src/base/x.cc", f'{SPDX}// {text}\nconst char* k = "std::regex";\n')
                self.assert_clean()

    def test_no_readme(self):
        self.write("src/serve/x.cc", SPDX)
        self.assert_breach("src/serve:1: readme")

    def test_orphaned_header(self):
        self.write("src/base/x.h", SPDX)
        self.assert_breach("src/base/x.h:1: orphan")

    def test_orphaned_page(self):
        self.write("docs/x.md", "Text.\n")
        self.assert_breach("docs/x.md:1: orphan")

    def test_source_that_no_target_builds(self):
        self.write("src/base/x.cc", SPDX)
        self.write("src/base/y.cc", SPDX)
        commands = self.root / "build" / "compile_commands.json"
        commands.parent.mkdir()
        commands.write_text(json.dumps([{"directory": str(self.root), "file": "src/base/x.cc"}]))
        self.assert_breach("src/base/y.cc:1: orphan", "--compile-commands", str(commands))


if __name__ == "__main__":
    unittest.main()
