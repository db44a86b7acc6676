// SPDX-License-Identifier: Apache-2.0
#include "testing/fault_file.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "base/crc32c.h"
#include "base/fault.h"
#include "io/memory_file.h"
#include "testing/cow_file.h"

namespace vdisk::testing {
namespace {

int byte_at(File& file, std::uint64_t at) {
  std::byte byte{};
  const auto got = file.read(FileOffset{at}, std::span(&byte, 1));
  return got && *got == 1 ? static_cast<int>(byte) : -1;
}

std::shared_ptr<File> zeros(std::uint64_t length) {
  auto file = std::make_shared<MemoryFile>();
  EXPECT_TRUE(file->resize(length));
  return file;
}

Status copy_sector(std::unique_ptr<File> file) {
  std::vector<std::byte> sector(1024, std::byte{4});
  VDISK_TRY(file->write(FileOffset{0}, sector));
  VDISK_TRY(file->flush());
  VDISK_TRY(file->read(FileOffset{0}, sector));
  return file->write(FileOffset{1024}, sector);
}

TEST(FaultFile, TheLoopFailsEachOperationOnce) {
  std::vector<std::string> results;
  const auto report =
      run_fault_loop(zeros(2048), {.os_errno = EIO}, copy_sector,
                     [&](const std::shared_ptr<File>& left, const Status& result) -> std::string {
                       results.push_back(result ? "" : std::string(result.error().id()));
                       if (result && byte_at(*left, 2047) != 4) return "success without effect";
                       return {};
                     });
  EXPECT_EQ(report.failure, "");
  EXPECT_EQ(report.runs, 4u);
  const std::vector<std::string> expected = {"io.device", "io.device", "io.device", "io.device", ""};
  EXPECT_EQ(results, expected);
}

TEST(FaultFile, AFullFileSystemFailsNoReads) {
  const auto report =
      run_fault_loop(zeros(2048), {.os_errno = ENOSPC, .sticky = true}, copy_sector,
                     [](const std::shared_ptr<File>&, const Status& result) -> std::string {
                       return result || result.error().id() == "io.disk_full" ? "" : "other fault";
                     });
  EXPECT_EQ(report.failure, "");
  EXPECT_EQ(report.runs, 3u);
}

TEST(FaultFile, AFailingWriteLeavesItsFirstHalf) {
  const auto below = zeros(2048);
  FaultFile file(below, {.fail_at = 1});
  EXPECT_FALSE(file.write(FileOffset{0}, std::vector<std::byte>(1024, std::byte{1})));
  EXPECT_EQ(byte_at(*below, 511), 1);
  EXPECT_EQ(byte_at(*below, 512), 0);
  EXPECT_EQ(file.failed(), 1u);
}

TEST(FaultFile, TheLoopReportsWhatTheJudgeFinds) {
  const auto report =
      run_fault_loop(zeros(2048), {}, copy_sector,
                     [](const std::shared_ptr<File>& left, const Status& result) -> std::string {
                       return !result && byte_at(*left, 1024) == 4 ? "half a copy" : "";
                     });
  EXPECT_NE(report.failure.find("operation 4"), std::string::npos) << report.failure;
}

// The same random operations on a view and on a memory file of the same content must show the same bytes.
TEST(CowFile, BehavesAsAFileOfItsOwn) {
  std::mt19937_64 random(7);
  std::vector<std::byte> content(50'000);
  for (auto& byte : content) byte = static_cast<std::byte>(random());
  MemoryFile model(content);
  const auto base = std::make_shared<MemoryFile>(content);
  CowFile view(std::make_shared<CowFile>(base));
  for (int round = 0; round < 3000; ++round) {
    const std::uint64_t at = random() % 60'000;
    const std::uint64_t length = random() % 20'000;
    switch (random() % 4) {
      case 0: {
        std::vector<std::byte> bytes(length, static_cast<std::byte>(random()));
        ASSERT_TRUE(model.write(FileOffset{at}, bytes));
        ASSERT_TRUE(view.write(FileOffset{at}, bytes));
        break;
      }
      case 1:
        ASSERT_TRUE(model.resize(at));
        ASSERT_TRUE(view.resize(at));
        break;
      case 2:
        ASSERT_TRUE(model.punch(FileOffset{at}, length));
        ASSERT_TRUE(view.punch(FileOffset{at}, length));
        break;
      default: {
        std::vector<std::byte> expected(length), got(length);
        ASSERT_EQ(*model.read(FileOffset{at}, expected), *view.read(FileOffset{at}, got));
        ASSERT_EQ(expected, got) << round;
        // What is called a hole must read as zeros.
        const std::uint64_t hole = view.next_hole(FileOffset{at})->bytes;
        const std::uint64_t data = view.next_data(FileOffset{hole})->bytes;
        std::vector<std::byte> bytes(data - hole);
        ASSERT_TRUE(view.read(FileOffset{hole}, bytes));
        ASSERT_TRUE(is_all_zero(bytes));
      }
    }
    ASSERT_EQ(*model.size(), *view.size());
  }
  std::vector<std::byte> untouched(content.size());
  ASSERT_TRUE(base->read(FileOffset{0}, untouched));
  EXPECT_EQ(untouched, content);
}

}  // namespace
}  // namespace vdisk::testing
