// SPDX-License-Identifier: Apache-2.0
#include "format/intent_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace vdisk {
namespace {

BlockChange change(std::uint64_t block, std::uint64_t place, std::uint32_t first, std::uint32_t count,
                   bool fresh) {
  return {block, FileOffset{place}, first, count, fresh};
}

std::unique_ptr<IntentMemory> successor(const IntentMemory& memory) {
  auto opened = IntentMemory::open(UniqueFd(::dup(memory.fd())));
  EXPECT_TRUE(opened);
  return opened ? std::move(*opened) : nullptr;
}

TEST(IntentMemory, TakesAllChangesOfABlockTogether) {
  auto memory = IntentMemory::create();
  ASSERT_TRUE(memory);
  (*memory)->record(change(5, 1 << 20, 10, 2, true));
  (*memory)->record(change(5, 1 << 20, 14, 2, false));
  (*memory)->record(change(5, 1 << 20, 12, 2, false));
  (*memory)->record(change(5, 1 << 20, 1, 1, false));
  (*memory)->record(change(2, 7 << 20, 0, 8, false));
  (*memory)->record_discard(9);
  (*memory)->record(change(9, 9 << 20, 3, 1, true));
  (*memory)->record(change(1, 3 << 20, 3, 1, true));
  (*memory)->record_discard(1);

  const auto pending = successor(**memory)->pending();
  ASSERT_TRUE(pending);
  ASSERT_EQ(pending->size(), 4u);
  EXPECT_EQ((*pending)[0].block, 1u);
  EXPECT_TRUE((*pending)[0].discarded);
  EXPECT_FALSE((*pending)[0].place);
  EXPECT_EQ((*pending)[1].block, 2u);
  EXPECT_FALSE((*pending)[1].fresh);
  EXPECT_FALSE((*pending)[1].discarded);
  const PendingBlock& five = (*pending)[2];
  EXPECT_TRUE(five.fresh);
  EXPECT_EQ(five.place->bytes, 1u << 20);
  EXPECT_EQ(five.written, (std::vector<PendingBlock::Sectors>{{1, 1}, {10, 6}}));
  EXPECT_TRUE((*pending)[3].discarded && (*pending)[3].fresh);
}

TEST(IntentMemory, ForgetsWhatIsDurable) {
  auto memory = IntentMemory::create();
  ASSERT_TRUE(memory);
  (*memory)->record(change(1, 1 << 20, 0, 1, true));
  const std::uint64_t durable = (*memory)->position();
  (*memory)->record(change(2, 2 << 20, 0, 1, true));
  (*memory)->forget_before(durable);
  const auto pending = (*memory)->pending();
  ASSERT_TRUE(pending);
  ASSERT_EQ(pending->size(), 1u);
  EXPECT_EQ(pending->front().block, 2u);
}

TEST(IntentMemory, RunningOverIsToldAndNeverHidden) {
  auto memory = IntentMemory::create();
  ASSERT_TRUE(memory);
  std::uint64_t recorded = 0;
  for (; !(*memory)->nearly_full(); ++recorded) (*memory)->record_discard(recorded % 7);
  EXPECT_LT(recorded, IntentMemory::kCapacity);
  EXPECT_TRUE((*memory)->pending());
  for (; recorded < IntentMemory::kCapacity + 1; ++recorded) (*memory)->record_discard(recorded % 7);
  const auto pending = (*memory)->pending();
  ASSERT_FALSE(pending);
  EXPECT_EQ(pending.error().fault().id, "format.intent.memory");
}

TEST(IntentMemory, RefusesWhatIsNoRing) {
  UniqueFd empty(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_FALSE(IntentMemory::open(UniqueFd(::dup(empty.get()))));
  auto memory = IntentMemory::create();
  ASSERT_TRUE(memory);
  struct {
    std::uint64_t magic = 1;
  } other;
  ASSERT_EQ(::pwrite((*memory)->fd(), &other, sizeof other, 0), static_cast<ssize_t>(sizeof other));
  const auto opened = IntentMemory::open(UniqueFd(::dup((*memory)->fd())));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().fault().id, "format.intent.memory");
}

}  // namespace
}  // namespace vdisk
