// SPDX-License-Identifier: Apache-2.0
#include "io/memory_file.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/checked.h"

namespace vdisk {
namespace {

constexpr std::uint64_t kPage = MemoryFile::kPageBytes;

std::vector<std::byte> pattern(std::size_t length, std::uint8_t seed = 1) {
  std::vector<std::byte> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(seed + i * 7 + (i >> 8));
  return bytes;
}

std::vector<std::byte> read(File& file, std::uint64_t at, std::size_t length) {
  std::vector<std::byte> bytes(length);
  const auto got = file.read(FileOffset{at}, bytes);
  EXPECT_TRUE(got);
  bytes.resize(got.value_or(0));
  return bytes;
}

TEST(MemoryFile, ReadsBackWhatWasWrittenAcrossPages) {
  MemoryFile file;
  const auto bytes = pattern(3 * kPage + 17);
  ASSERT_TRUE(file.write(FileOffset{kPage - 5}, bytes));
  EXPECT_EQ(*file.size(), kPage - 5 + bytes.size());
  EXPECT_EQ(read(file, kPage - 5, bytes.size()), bytes);
  EXPECT_EQ(read(file, 0, 8), std::vector<std::byte>(8)) << "what was never written is zero";
  EXPECT_EQ(read(file, kPage - 5 + bytes.size() - 3, 100).size(), 3U) << "a read ends with the file";
  EXPECT_EQ(read(file, *file.size(), 1).size(), 0U);
  EXPECT_EQ(read(file, UINT64_MAX, 1).size(), 0U);
}

TEST(MemoryFile, HoldsTheBytesItIsGiven) {
  const auto bytes = pattern(2 * kPage + 1);
  MemoryFile file(bytes, "given", false);
  EXPECT_EQ(*file.size(), bytes.size());
  EXPECT_EQ(read(file, 0, bytes.size()), bytes);
  EXPECT_EQ(file.name(), "given");
}

TEST(MemoryFile, ReadOnlyRefusesEveryChange) {
  MemoryFile file(pattern(10), "fixed", false);
  EXPECT_FALSE(file.writable());
  for (const Status& status : {file.write(FileOffset{0}, pattern(1)), file.resize(0),
                               file.zero(FileOffset{0}, 1), file.punch(FileOffset{0}, 1)}) {
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().id(), "io.read_only");
  }
  EXPECT_EQ(read(file, 0, 10), pattern(10));
}

TEST(MemoryFile, RefusesAWriteBeyondAllOffsets) {
  MemoryFile file;
  const Status status = file.write(FileOffset{UINT64_MAX - 1}, pattern(2));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), "io.too_large");
  EXPECT_EQ(*file.size(), 0U);
}

TEST(MemoryFile, ShrinkingForgetsAndGrowingShowsZeros) {
  MemoryFile file;
  ASSERT_TRUE(file.write(FileOffset{0}, pattern(2 * kPage)));
  ASSERT_TRUE(file.resize(100));
  ASSERT_TRUE(file.resize(2 * kPage));
  EXPECT_EQ(read(file, 0, 100), pattern(100));
  EXPECT_EQ(read(file, 100, 2 * kPage), std::vector<std::byte>(2 * kPage - 100));
}

TEST(MemoryFile, PunchClearsExactlyItsRange) {
  for (const auto& [at, length] : {std::pair<std::uint64_t, std::uint64_t>{5, 10},
                                   {kPage, kPage},
                                   {kPage - 1, kPage + 2},
                                   {0, 4 * kPage},
                                   {3 * kPage, UINT64_MAX},
                                   {9 * kPage, 1}}) {
    MemoryFile file;
    const auto bytes = pattern(4 * kPage, 3);
    ASSERT_TRUE(file.write(FileOffset{0}, bytes));
    ASSERT_TRUE(file.punch(FileOffset{at}, length));
    auto expected = bytes;
    for (std::uint64_t i = at; i < expected.size() && i - at < length; ++i) expected[i] = std::byte{0};
    EXPECT_EQ(read(file, 0, bytes.size()), expected) << at << '+' << length;
    EXPECT_EQ(*file.size(), 4 * kPage);
  }
}

TEST(MemoryFile, KnowsItsHoles) {
  MemoryFile file;
  ASSERT_TRUE(file.resize(64 * kTiB));
  ASSERT_TRUE(file.write(FileOffset{10 * kPage + 5}, pattern(1)));
  EXPECT_EQ(file.next_data(FileOffset{0})->bytes, 10 * kPage);
  EXPECT_EQ(file.next_data(FileOffset{10 * kPage + 7})->bytes, 10 * kPage + 7);
  EXPECT_EQ(file.next_hole(FileOffset{10 * kPage + 7})->bytes, 11 * kPage);
  EXPECT_EQ(file.next_hole(FileOffset{3})->bytes, 3U);
  EXPECT_EQ(file.next_data(FileOffset{11 * kPage})->bytes, 64 * kTiB);
}

TEST(MemoryFile, EachFileIsItself) {
  MemoryFile a;
  MemoryFile b;
  EXPECT_NE(*a.identity(), *b.identity());
  EXPECT_EQ(*a.identity(), *a.identity());
  EXPECT_EQ(a.fd(), -1);
}

TEST(MemoryFile, ServesManyThreads) {
  MemoryFile file;
  std::vector<std::thread> threads;
  for (std::uint8_t t = 0; t < 6; ++t) {
    threads.emplace_back([&file, t] {
      for (std::uint64_t i = 0; i < 200; ++i) {
        const FileOffset at{(i * 6 + t) * 1000};
        EXPECT_TRUE(file.write(at, pattern(1000, t)));
        EXPECT_EQ(read(file, at.bytes, 1000), pattern(1000, t));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*file.size(), 1'200'000U);
}

TEST(ReadExactly, TellsAShortFileFromABrokenOne) {
  MemoryFile file(pattern(10), "short", false);
  std::vector<std::byte> into(11, std::byte{0xEE});
  const Status status = read_exactly(file, FileOffset{0}, into);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), "io.short_read");
  EXPECT_EQ(status.error().code(), 38U);
  EXPECT_TRUE(read_exactly(file, FileOffset{0}, std::span(into).first(10)));
  EXPECT_EQ(*read_zero_padded(file, FileOffset{4}, into), 6U);
  EXPECT_EQ(into[5], pattern(10)[9]);
  EXPECT_EQ(into[6], std::byte{0});
  EXPECT_EQ(into[10], std::byte{0});
}

}  // namespace
}  // namespace vdisk
