// SPDX-License-Identifier: Apache-2.0
//
// Random writes, zeros, trims, flushes and reopenings against a map of sectors, for disks of every shape.
#include <random>

#include "base/checked.h"
#include "format/vhd/test_write_support.h"

namespace vdisk::vhd {
namespace {

/// What a sector may show: its value, and after a trim of a differencing disk either of two.
struct ModelSector {
  std::uint8_t value = 0;
  bool own = true;  ///< False: the parent's.
};

class ModelDisk {
 public:
  ModelDisk(DiskType type, std::uint32_t block_bytes, std::uint64_t sectors, std::uint32_t seed)
      : type_(type), block_sectors_(block_bytes / 512), random_(seed) {
    auto builder = type == DiskType::kDynamic ? VhdBuilder::dynamic(sectors * 512, block_bytes)
                                              : VhdBuilder::differencing(sectors * 512, block_bytes);
    if (type == DiskType::kDifferencing) builder.parent(vhd_id(2), ".\\a.vhd");
    const bool own = type == DiskType::kDynamic;
    sectors_.assign(sectors, {0, own});
    // Blocks of other writers: any alignment, bits of their own choice.
    if (random_() % 2 == 0) builder.windows_alignment();
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t first = random_() % sectors;
      const std::uint64_t count = std::min<std::uint64_t>(1 + random_() % 30, sectors - first);
      builder.fill(first, count, 0x77);
      for (std::uint64_t s = first; s < first + count; ++s) sectors_[s] = {0x77, true};
      if (random_() % 3 != 0) continue;
      builder.mark(first, 1, false);
      sectors_[first] = {0, own};
    }
    file_ = builder.file();
    growth_ = random_() % 2 == 0 ? kStepwise : Growth{};
  }

  void run(int steps) {
    open();
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) step();
    compare();
    ASSERT_TRUE(image_->close());
    EXPECT_EQ(flaws(file_), "");
    image_.reset();
    open();
    compare();
  }

 private:
  std::uint64_t bytes() const { return sectors_.size() * 512; }

  void open() {
    auto opened = open_shared(file_, true, growth_);
    ASSERT_TRUE(opened) << opened.error().message();
    image_ = std::move(*opened);
  }

  void step() {
    const std::uint64_t first = random_() % sectors_.size();
    const std::uint64_t most = random_() % 8 == 0 ? 3 * block_sectors_ : 40;
    const std::uint64_t count = std::min<std::uint64_t>(1 + random_() % most, sectors_.size() - first);
    switch (random_() % 16) {
      case 0:
        return reopen();
      case 1:
      case 2:
        ASSERT_TRUE(image_->flush());
        return;
      case 3:
      case 4:
        return trim(first, std::min<std::uint64_t>(count * 50, sectors_.size() - first));
      case 5:
      case 6: {
        const Status zeroed = zero_disk(*image_, first * 512, count * 512);
        ASSERT_TRUE(zeroed) << zeroed.error().message();
        std::fill_n(sectors_.begin() + static_cast<std::ptrdiff_t>(first), count, ModelSector{0, true});
        return;
      }
      case 7:
        return compare();
      default: {
        const auto value = static_cast<std::uint8_t>(1 + random_() % 100);
        const Status written = fill_disk(*image_, first * 512, count * 512, value);
        ASSERT_TRUE(written) << written.error().message();
        std::fill_n(sectors_.begin() + static_cast<std::ptrdiff_t>(first), count, ModelSector{value, true});
        return;
      }
    }
  }

  void trim(std::uint64_t first, std::uint64_t count) {
    ASSERT_TRUE(trim_disk(*image_, first * 512, count * 512));
    // Whole blocks read as zeros now, but for sectors that show the parent.
    for (std::uint64_t block = divide_up(first, block_sectors_); block * block_sectors_ < first + count;
         ++block) {
      const std::uint64_t start = block * block_sectors_;
      const std::uint64_t end = std::min<std::uint64_t>(start + block_sectors_, sectors_.size());
      if (end > first + count) break;
      for (std::uint64_t s = start; s < end; ++s) {
        if (sectors_[s].own) sectors_[s].value = 0;
      }
    }
  }

  void reopen() {
    if (random_() % 2 == 0) {
      ASSERT_TRUE(image_->close());
      image_.reset();
      EXPECT_EQ(flaws(file_), "");
    } else {
      ASSERT_TRUE(image_->flush());
      image_.reset();  // as after kill -9
      EXPECT_EQ(flaws(file_), "");
    }
    open();
  }

  void compare() {
    const auto shown = read_disk(*image_, 0, bytes());
    ASSERT_EQ(shown.size(), bytes());
    for (std::uint64_t s = 0; s < sectors_.size(); ++s) {
      const std::byte expected = sectors_[s].own ? std::byte{sectors_[s].value} : kParentByte;
      for (const std::uint64_t at : {s * 512, s * 512 + 511}) {
        ASSERT_EQ(std::to_integer<int>(shown[at]), std::to_integer<int>(expected)) << "sector " << s;
      }
    }
  }

  const DiskType type_;
  const std::uint64_t block_sectors_;
  std::mt19937 random_;
  std::vector<ModelSector> sectors_;
  std::shared_ptr<File> file_;
  Growth growth_;
  std::unique_ptr<Image> image_;
};

TEST(VhdWriteModel, RandomOperationsShowWhatTheModelSays) {
  const auto seed = static_cast<std::uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::uint32_t number = seed * 1000;
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    for (const std::uint32_t block : {512u, 1024u, 4096u, 65536u, 512u << 10, 2u << 20}) {
      for (int round = 0; round < (block < 100'000 ? 8 : 3); ++round) {
        ++number;
        SCOPED_TRACE(::testing::Message() << "seed " << number << ", block size " << block);
        const std::uint64_t blocks = block < 4096 ? 700 : block < 100'000 ? 60 : 6;
        ModelDisk disk(type, block, blocks * (block / 512) - (block > 512 ? 1 : 0), number);
        disk.run(150);
        if (HasFatalFailure() || HasNonfatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace vdisk::vhd
