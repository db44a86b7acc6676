#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/fault_ledger and tools/test_summary notice what they are there to notice."""
import pathlib
import subprocess
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"
CATALOGUE = "a.one\t2\tERROR_FILE_NOT_FOUND\tOne.\na.two\t5\tERROR_ACCESS_DENIED\tTwo.\n"


class Scratch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run_tool(self, name, *arguments):
        result = subprocess.run([str(TOOLS / name), *map(str, arguments)], capture_output=True, text=True, check=False)
        self.assertEqual(result.stderr, "")
        return result.returncode, result.stdout


class FaultLedgerTest(Scratch):
    def ledger(self, catalogue=CATALOGUE, provoked="a.one\na.two\n", page="page\n", source="", extra=()):
        self.write("catalogue.txt", catalogue)
        program = self.write("gen_docs", f'#!/bin/sh\n[ $1 = errors ] && echo page || cat "{self.root}/catalogue.txt"\n')
        program.chmod(0o755)
        self.write("src/base/fault.h", source)
        return self.run_tool("fault_ledger", "--catalogue", program, "--ledger", self.write("ledger.txt", provoked),
                             "--errors", self.write("errors.md", page), "--source", self.root, *extra)

    def test_all_is_well(self):
        self.assertEqual(self.ledger()[0], 0)

    def test_ids_of_tests_are_not_rows(self):
        self.assertEqual(self.ledger(provoked="a.one\ntest.x\na.two\na.one\n")[0], 0)

    def assert_complaint(self, expected, **how):
        status, output = self.ledger(**how)
        self.assertEqual(status, 1)
        self.assertIn(expected, output)

    def test_row_never_provoked(self):
        self.assert_complaint("a.two: no test provokes", provoked="a.one\n")

    def test_provoked_but_in_no_row(self):
        self.assert_complaint("a.three: was provoked", provoked="a.one\na.two\na.three\n")

    def test_two_rows_with_one_id(self):
        self.assert_complaint("a.one: 2 rows", catalogue=CATALOGUE + "a.one\t2\tERROR_FILE_NOT_FOUND\tOne.\n")

    def test_code_without_name(self):
        self.assert_complaint("a.one: code 2 has no name", catalogue=CATALOGUE.replace("ERROR_FILE_NOT_FOUND", ""))

    def test_row_of_the_source_that_is_not_listed(self):
        self.assert_complaint("a.four: a row of", source='inline constexpr Fault kFour{"a.four", 1, "Four."};')

    def test_page_out_of_date_and_written(self):
        self.assert_complaint("out of date", page="old\n")
        self.assertEqual(self.ledger(page="old\n", extra=["--write"])[0], 0)
        self.assertEqual((self.root / "errors.md").read_text(), "page\n")

    def test_empty_catalogue(self):
        self.assertEqual(self.ledger(catalogue="", provoked="")[0], 1)


class TestSummaryTest(Scratch):
    def summary(self, tests, steps_passed=1, steps_failed=0):
        self.write("x.junit.xml", "<testsuite>" + "".join(
            f'<testcase name="{name}" status="{status}"/>' for name, status in tests) + "</testsuite>")
        status, output = self.run_tool("test_summary", "--results", self.root, "--steps-passed", steps_passed,
                                       "--steps-failed", steps_failed)
        return status, output.splitlines()[-1]

    def cases(self, name, passed, failed=0, skipped=0):
        case = '<testcase name="c" classname="s" status="run">{}</testcase>'
        self.write(f"x.cases/{name}.xml", "<testsuites><testsuite>" + case.format("") * passed +
                   case.format('<failure message="m"/>') * failed +
                   case.format('<skipped message="no such disk"/>') * skipped + "</testsuite></testsuites>")

    def test_counts(self):
        self.cases("a", 5, skipped=1)
        self.assertEqual(self.summary([("a", "run"), ("script", "run")]), (0, "7 passed, 0 failed"))

    def test_failed_case(self):
        self.cases("a", 5, failed=2)
        self.assertEqual(self.summary([("a", "fail")]), (1, "6 passed, 2 failed"))

    def test_crash_without_cases(self):
        self.assertEqual(self.summary([("a", "fail")]), (1, "1 passed, 1 failed"))

    def test_leak_at_exit(self):
        self.cases("a", 5)
        self.assertEqual(self.summary([("a", "fail")]), (1, "6 passed, 1 failed"))

    def test_failed_step(self):
        self.assertEqual(self.summary([], steps_failed=1), (1, "1 passed, 1 failed"))

    def test_skipped_is_neither(self):
        self.assertEqual(self.summary([("a", "notrun")]), (0, "1 passed, 0 failed"))

    def test_nothing_ran(self):
        self.assertEqual(self.summary([], steps_passed=0), (1, "0 passed, 0 failed"))


if __name__ == "__main__":
    unittest.main()
