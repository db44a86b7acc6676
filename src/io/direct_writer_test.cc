// SPDX-License-Identifier: Apache-2.0
#include "io/direct_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "base/checked.h"
#include "io/memory_file.h"
#include "io/posix_file.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

/// Page-aligned memory with random bytes.
class Pages {
 public:
  explicit Pages(std::size_t size)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, size))), size_(size) {
    std::mt19937 random(1);
    for (std::size_t i = 0; i < size_; ++i) memory_.get()[i] = static_cast<std::byte>(random());
  }
  std::span<const std::byte> bytes() const { return {memory_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_;
};

void expect_whole(File& file) {
  const Pages pages(2 * kMiB);
  std::vector<std::byte> model(4 * kMiB);
  ASSERT_TRUE(file.resize(model.size()));
  DirectWriter writer(file);
  struct Piece {
    std::uint64_t at;
    std::size_t from;
    std::size_t length;
  };
  for (const Piece& piece : {Piece{0, 0, kMiB}, Piece{kMiB + 512, 0, 512 * kKiB},
                             Piece{2 * kMiB, 512, 256 * kKiB}, Piece{2560 * kKiB, 4096, 300 * kKiB + 512},
                             Piece{3 * kMiB, 8192, 4096}, Piece{3 * kMiB + 8192, 0, 1}}) {
    const auto bytes = pages.bytes().subspan(piece.from, piece.length);
    ASSERT_TRUE(writer.write(FileOffset{piece.at}, bytes));
    std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<std::ptrdiff_t>(piece.at));
  }
  ASSERT_TRUE(file.flush());
  std::vector<std::byte> shown(model.size());
  ASSERT_TRUE(read_exactly(file, FileOffset{0}, shown));
  EXPECT_TRUE(shown == model);
}

TEST(DirectWriter, WritesWhatIsAlignedAndWhatIsNot) {
  const testing::TempFolder folder;
  const auto file = create_posix_file(folder.path("file"));
  ASSERT_TRUE(file);
  expect_whole(**file);
}

TEST(DirectWriter, AFileWithoutADescriptorIsWrittenAsAnyOther) {
  MemoryFile file;
  expect_whole(file);
  EXPECT_FALSE(DirectWriter(file).direct());
}

TEST(DirectWriter, AReadOnlyFileRefusesAsItsFileDoes) {
  const testing::TempFolder folder;
  const std::string path = folder.save("file", std::vector<std::byte>(4096));
  const auto file = open_posix_file(path, {.writable = false, .lock = true, .trace = {}});
  ASSERT_TRUE(file);
  const Pages pages(kMiB);
  EXPECT_EQ(DirectWriter(**file).write(FileOffset{0}, pages.bytes()).error().id(), "io.read_only");
}

}  // namespace
}  // namespace vdisk
