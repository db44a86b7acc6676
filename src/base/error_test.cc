// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <vdisk/error.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/fault.h"
#include "base/fault_ledger.h"
#include "base/win32_codes.h"

namespace vdisk {
namespace {

constexpr Fault kRow{"test.row", 1392, "A row of the test's own."};

Status inner() { return fail(kRow, "block {} at {:#x}", 7, 4096); }
Result<int> middle() {
  VDISK_TRY(inner());
  return 1;
}
Result<int> outer(std::string_view name) { return VDISK_TRY_CONTEXT(middle(), "opening {}", name); }

TEST(Error, KnowsItsRowItsReasonAndItsBirthplace) {
  const Status status = inner();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), "test.row");
  EXPECT_EQ(status.error().code(), 1392U);
  EXPECT_EQ(&status.error().fault(), &kRow);
  EXPECT_EQ(status.error().reason(), "block 7 at 0x1000");
  EXPECT_EQ(status.error().os_errno(), 0);
  EXPECT_THAT(status.error().where().file_name(), ::testing::EndsWith("error_test.cc"));
  EXPECT_THAT(status.error().where().function_name(), ::testing::HasSubstr("inner"));
}

TEST(Error, GathersContextOutermostFirst) {
  auto result = outer("child.vhdx");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "opening child.vhdx: block 7 at 0x1000");
  result.error().add_context("checking");
  EXPECT_EQ(result.error().message(), "checking: opening child.vhdx: block 7 at 0x1000");
  EXPECT_EQ(result.error().reason(), "block 7 at 0x1000");
}

TEST(Error, CopiesAndMovesAsAValue) {
  Error first = inner().error();
  Error copy = first;
  copy.add_context("copy");
  EXPECT_EQ(first.message(), "block 7 at 0x1000");
  first = copy;
  EXPECT_EQ(first.message(), "copy: block 7 at 0x1000");
  const Error moved = std::move(copy);
  EXPECT_EQ(moved.message(), first.message());
  static_assert(sizeof(Error) == sizeof(void*));
}

TEST(Error, KeepsTheErrnoOfAFailedCall) {
  const Status status = fail_errno(kRow, ENOSPC, "writing {}", "x");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().os_errno(), ENOSPC);
  EXPECT_EQ(status.error().message(), "writing x: " + errno_text(ENOSPC));
}

TEST(Error, ValuesPassThroughTry) {
  const auto twice = [](Result<int> value) -> Result<int> { return 2 * VDISK_TRY(std::move(value)); };
  EXPECT_EQ(twice(21).value_or(0), 42);
}

TEST(Win32Names, NameTheCodesThatRowsUse) {
  EXPECT_EQ(win32_code_name(win32::kFileCorrupt), "ERROR_FILE_CORRUPT");
  EXPECT_EQ(win32_code_name(win32::kVhdParentVhdNotFound), "ERROR_VHD_PARENT_VHD_NOT_FOUND");
  EXPECT_EQ(win32_code_name(0xDEADBEEF), "");
  for (const Fault* row : faults::kBase) EXPECT_NE(win32_code_name(row->code), "") << row->id;
}

#ifdef VDISK_FAULT_LEDGER
// In a process of its own: the ledger's name is read once per process.
TEST(FaultLedgerDeathTest, RecordsEachIdOnceInTheNamedFile) {
  const std::string path = ::testing::TempDir() + "ledger_test_" + std::to_string(::getpid());
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const std::string in_child = ::testing::TempDir() + "ledger_test_" + std::to_string(::getppid());
        ::setenv("VDISK_FAULT_LEDGER", in_child.c_str(), 1);
        record_fault_in_ledger("test.first");
        record_fault_in_ledger("test.second");
        record_fault_in_ledger("test.first");
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
  std::ifstream file(path);
  std::multiset<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.insert(line);
  EXPECT_EQ(lines, (std::multiset<std::string>{"test.first", "test.second"}));
  ::unlink(path.c_str());
}
#endif

TEST(AssertDeathTest, ABrokenInvariantStopsTheProcessInReleaseToo) {
  EXPECT_DEATH(VDISK_ASSERT(1 + 1 == 3), "internal error: .*1 \\+ 1 == 3 does not hold");
}

}  // namespace
}  // namespace vdisk
