// SPDX-License-Identifier: Apache-2.0
//
// A server that is killed at any I/O, and its successor: everything that was answered shows, flushed or not.
#include <random>

#include "format/intent_memory.h"
#include "format/vhdx/write_test_support.h"
#include "testing/fault_file.h"

namespace vdisk::vhdx {
namespace {

using testing::FaultFile;
using testing::FaultPlan;

/// One disk, one memory, and servers one after the other.
class Servers {
 public:
  Servers(const Shape& shape, std::uint32_t seed)
      : shape_(shape), random_(seed), file_(shape.file()), model_(shape.disk_bytes, shape.initial()) {
    auto memory = IntentMemory::create();
    if (memory) memory_ = std::move(*memory);
  }

  /// Serves until the `n`-th I/O of this server's life kills it.
  void serve(std::uint64_t n) {
    const auto mortal = std::make_shared<FaultFile>(file_, FaultPlan{.fail_at = n, .sticky = true});
    auto image = open(std::make_unique<SharedFile>(mortal), true);
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
    auto image = open_shared(file_);
    const Status kept = image->keep_intents(*memory_);
    ASSERT_TRUE(kept) << kept.error().message();
    EXPECT_EQ(model_.compare_after_crash(*image, 0, shape_.disk_bytes, operations_), "");
    ASSERT_TRUE(image->close());
    image.reset();
    EXPECT_EQ(check_problem(*file_, /*after_crash=*/true), "");
  }

  int served() const { return served_; }
  std::uint64_t operations() const { return operations_; }

 private:
  bool step(Image& image) {
    const std::uint64_t op = ++operations_;
    const std::uint64_t sectors = shape_.disk_bytes / shape_.sector_bytes;
    const std::uint64_t first = random_() % sectors;
    const std::uint64_t most = random_() % 6 == 0 ? 3 * shape_.block_bytes / shape_.sector_bytes : 24;
    const std::uint64_t at = first * shape_.sector_bytes;
    const std::uint64_t length = std::min(1 + random_() % most, sectors - first) * shape_.sector_bytes;
    switch (random_() % 12) {
      case 0:
        return image.flush().has_value();
      case 1:
      case 2: {
        const std::uint64_t block = at / shape_.block_bytes * shape_.block_bytes;
        return note(discard_image(image, {DiskOffset{block}, shape_.block_bytes}, false), block,
                    shape_.block_bytes, op, true);
      }
      case 3:
        return note(discard_image(image, {DiskOffset{at}, length}, true), at, length, op, true);
      default:
        return note(write_image(image, at, stamped(at, length, op)), at, length, op, false);
    }
  }

  bool note(const Status& done, std::uint64_t at, std::uint64_t length, std::uint64_t op, bool zero) {
    if (zero) {
      model_.zero(at, length, op);
    } else {
      model_.write(at, length, op);
    }
    if (!done) model_.fail(op);
    return done.has_value();
  }

  const Shape shape_;
  std::mt19937 random_;
  const std::shared_ptr<File> file_;
  Model model_;
  std::unique_ptr<IntentMemory> memory_;
  std::uint64_t operations_ = 0;
  int served_ = 0;
};

TEST(VhdxAdopt, WhatWasAnsweredOutlivesKilledServers) {
  const auto seed = static_cast<std::uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::uint32_t number = seed * 1000;
  const int rounds = std::getenv("VDISK_LONG") != nullptr ? 400 : 12;
  int served = 0;
  for (const Shape& shape : all_shapes()) {
    for (int round = 0; round < rounds; ++round) {
      ++number;
      SCOPED_TRACE(::testing::Message() << shape.name() << ", seed " << number);
      Servers servers(shape, number);
      std::mt19937 random(number);
      for (int life = 0; life < 12 && !HasFatalFailure(); ++life) {
        servers.serve(1 + random() % (life % 3 == 0 ? 40 : 400));
        if (life % 4 == 3) servers.compare();
      }
      served += servers.served();
      if (HasFatalFailure() || HasNonfatalFailure()) return;
    }
  }
  EXPECT_GT(served, rounds * 4 * 6);  // most lives are long enough to serve
}

TEST(VhdxAdopt, RefusesAMemoryOfAnotherDisk) {
  const Shape small{};
  const Shape large{.disk_bytes = 64 * kMiB};
  auto memory = IntentMemory::create();
  ASSERT_TRUE(memory);
  const auto file = large.file();
  {
    auto image = open_shared(file);
    ASSERT_TRUE(image->keep_intents(**memory));
    ASSERT_TRUE(write_image(*image, 40 * kMiB, stamped(40 * kMiB, 4096, 1)));
  }
  const auto other = small.file();
  auto image = open_shared(other);
  const Status kept = image->keep_intents(**memory);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().fault().id, "format.intent.conflict");
  // Another file of the same disk: there is no payload where memory says.
  const auto twin = large.file();
  auto fresh = open_shared(twin);
  const Status twin_kept = fresh->keep_intents(**memory);
  ASSERT_FALSE(twin_kept);
  EXPECT_EQ(twin_kept.error().fault().id, "format.intent.conflict");
}

}  // namespace
}  // namespace vdisk::vhdx
