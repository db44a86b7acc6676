// SPDX-License-Identifier: Apache-2.0
//
// A server that is killed at any I/O, and its successor: everything that was answered shows, flushed or not.
#include <random>

#include "base/checked.h"
#include "format/intent_memory.h"
#include "format/vhd/test_write_support.h"
#include "testing/fault_file.h"

namespace vdisk::vhd {
namespace {

using testing::FaultFile;
using testing::FaultPlan;

/// What a sector may show: one value, or after an operation that was cut short one of several.
struct ModelSector {
  std::vector<int> values;
};

/// One disk, one memory, and servers one after the other.
class Servers {
 public:
  Servers(DiskType type, std::uint32_t block_bytes, std::uint64_t sectors, std::uint32_t seed)
      : type_(type), block_sectors_(block_bytes / 512), random_(seed) {
    auto builder = type == DiskType::kDynamic ? VhdBuilder::dynamic(sectors * 512, block_bytes)
                                              : VhdBuilder::differencing(sectors * 512, block_bytes);
    if (type == DiskType::kDifferencing) builder.parent(vhd_id(2), ".\\a.vhd");
    const int blank = type == DiskType::kDynamic ? 0 : std::to_integer<int>(kParentByte);
    sectors_.assign(sectors, {{blank}});
    file_ = builder.file();
    growth_ = random_() % 2 == 0 ? kStepwise : Growth{};
    auto memory = IntentMemory::create();
    if (memory) memory_ = std::move(*memory);
  }

  /// Serves until the `n`-th I/O of this server's life kills it.
  void serve(std::uint64_t n) {
    const auto mortal = std::make_shared<FaultFile>(file_, FaultPlan{.fail_at = n, .sticky = true});
    auto image = open_shared(mortal, true, growth_);
    if (!image || !(*image)->keep_intents(*memory_)) {
      ASSERT_NE(mortal->failed(), 0u) << "a server that nobody killed gave up";
      return;
    }
    ++served_;
    while (step(**image)) {
    }
    ASSERT_NE(mortal->failed(), 0u) << "an operation failed of itself";
  }

  /// The last one lives.
  void compare() {
    auto image = open_shared(file_, true, growth_);
    ASSERT_TRUE(image) << image.error().message();
    const Status kept = (*image)->keep_intents(*memory_);
    ASSERT_TRUE(kept) << kept.error().message();
    const auto shown = read_disk(**image, 0, sectors_.size() * 512);
    ASSERT_EQ(shown.size(), sectors_.size() * 512);
    for (std::uint64_t s = 0; s < sectors_.size(); ++s) {
      const auto& allowed = sectors_[s].values;
      const int value = std::to_integer<int>(shown[s * 512]);
      ASSERT_NE(std::ranges::find(allowed, value), allowed.end()) << "sector " << s << " shows " << value;
      ASSERT_EQ(value, std::to_integer<int>(shown[s * 512 + 511])) << "sector " << s;
      sectors_[s].values = {value};
    }
    ASSERT_TRUE((*image)->close());
    EXPECT_EQ(flaws(file_), "");
  }

  int served() const { return served_; }

 private:
  bool step(Image& image) {
    const std::uint64_t first = random_() % sectors_.size();
    const std::uint64_t most = random_() % 8 == 0 ? 3 * block_sectors_ : 24;
    const std::uint64_t count = std::min<std::uint64_t>(1 + random_() % most, sectors_.size() - first);
    switch (random_() % 12) {
      case 0:
        return image.flush().has_value();
      case 1:
      case 2:
        return trim(image, first, std::min<std::uint64_t>(count * 50, sectors_.size() - first));
      case 3:
        return note(zero_disk(image, first * 512, count * 512), first, count, 0);
      default: {
        const auto value = static_cast<std::uint8_t>(1 + random_() % 100);
        return note(fill_disk(image, first * 512, count * 512, value), first, count, value);
      }
    }
  }

  bool note(const Status& done, std::uint64_t first, std::uint64_t count, int value) {
    for (std::uint64_t s = first; s < first + count; ++s) {
      if (done) {
        sectors_[s].values = {value};
      } else {
        sectors_[s].values.push_back(value);
      }
    }
    return done.has_value();
  }

  bool trim(Image& image, std::uint64_t first, std::uint64_t count) {
    const Status done = trim_disk(image, first * 512, count * 512);
    const int parent = std::to_integer<int>(kParentByte);
    for (std::uint64_t block = divide_up(first, block_sectors_); block * block_sectors_ < first + count;
         ++block) {
      const std::uint64_t start = block * block_sectors_;
      const std::uint64_t end = std::min<std::uint64_t>(start + block_sectors_, sectors_.size());
      if (end > first + count) break;
      for (std::uint64_t s = start; s < end; ++s) {
        auto& values = sectors_[s].values;
        if (type_ == DiskType::kDynamic && done) {
          values = {0};
        } else if (!done || values.size() > 1) {
          values.push_back(0);
        } else if (values.front() != parent) {
          values = {0};
        }
      }
    }
    return done.has_value();
  }

  const DiskType type_;
  const std::uint64_t block_sectors_;
  std::mt19937 random_;
  std::vector<ModelSector> sectors_;
  std::shared_ptr<File> file_;
  Growth growth_;
  std::unique_ptr<IntentMemory> memory_;
  int served_ = 0;
};

TEST(VhdAdopt, WhatWasAnsweredOutlivesKilledServers) {
  const auto seed = static_cast<std::uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::uint32_t number = seed * 1000;
  const int rounds = std::getenv("VDISK_LONG") != nullptr ? 300 : 8;
  int served = 0;
  int disks = 0;
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    for (const std::uint32_t block : {512u, 4096u, 65536u, 2u << 20}) {
      for (int round = 0; round < rounds; ++round) {
        ++number;
        SCOPED_TRACE(::testing::Message() << "seed " << number << ", block size " << block);
        const std::uint64_t blocks = block < 4096 ? 300 : block < 100'000 ? 40 : 3;
        Servers servers(type, block, blocks * (block / 512) - (block > 512 ? 1 : 0), number);
        std::mt19937 random(number);
        for (int life = 0; life < 12 && !HasFatalFailure(); ++life) {
          servers.serve(1 + random() % (life % 3 == 0 ? 40 : 400));
          if (life % 4 == 3 && !HasFatalFailure()) servers.compare();
        }
        served += servers.served();
        ++disks;
        if (HasFatalFailure() || HasNonfatalFailure()) return;
      }
    }
  }
  EXPECT_GT(served, disks * 6);  // most lives are long enough to serve
}

TEST(VhdAdopt, RefusesAMemoryOfAnotherDisk) {
  auto memory = IntentMemory::create();
  ASSERT_TRUE(memory);
  const std::shared_ptr<File> file = VhdBuilder::dynamic(1 << 20, 4096).file();
  {
    auto image = open_shared(file);
    ASSERT_TRUE(image);
    ASSERT_TRUE((*image)->keep_intents(**memory));
    ASSERT_TRUE(fill_disk(**image, 900 << 10, 4096, 7));
  }
  for (const std::uint64_t bytes : {64u << 10, 1u << 20}) {
    // Too small for that block; or as large, with nothing where memory says.
    const std::shared_ptr<File> other = VhdBuilder::dynamic(bytes, 4096).file();
    auto image = open_shared(other);
    ASSERT_TRUE(image);
    const Status kept = (*image)->keep_intents(**memory);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().fault().id, "format.intent.conflict");
  }
}

}  // namespace
}  // namespace vdisk::vhd
