// SPDX-License-Identifier: Apache-2.0
#include "disk/async.h"

#include <gtest/gtest.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/checked.h"
#include "disk/impl.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::TempFolder;

constexpr std::uint64_t kDiskBytes = 8 * kMiB;
constexpr std::size_t kPieceBytes = 64 * kKiB;

struct Piece {
  alignas(4096) std::array<std::byte, kPieceBytes> bytes;
};

struct Transfer : AsyncTransfer {
  int ended = 0;
  bool fine = false;
  Transfer() {
    done = [](AsyncTransfer& transfer, bool moved) {
      auto& own = static_cast<Transfer&>(transfer);
      ++own.ended;
      own.fine = moved;
    };
  }
};

class AsyncTest : public ::testing::Test {
 protected:
  void SetUp() override {
    engine_ = IoEngine::make(32);
    if (!engine_) GTEST_SKIP() << "the kernel denies io_uring here";
    CreateOptions how;
    how.format = FormatId::kVhdx;
    how.virtual_size_bytes = kDiskBytes;
    how.block_bytes = kMiB;
    ASSERT_TRUE(create(path_, how));
  }
  Disk open(bool direct) {
    OpenOptions options;
    options.writable = true;
    options.direct_io = direct;
    auto disk = Disk::open(path_, options);
    EXPECT_TRUE(disk);
    return *std::move(disk);
  }
  void finish(Transfer& transfer) {
    engine_->submit();
    while (transfer.ended == 0) engine_->drive();
  }

  TempFolder folder_;
  std::string path_ = folder_.path("disk.vhdx");
  std::unique_ptr<IoEngine> engine_;
  std::unique_ptr<Piece> piece_ = std::make_unique<Piece>();
};

TEST_F(AsyncTest, MovesWhatHasItsPlace) {
  const Disk disk = open(true);
  if (!can_transfer(disk)) GTEST_SKIP() << "the file system here cannot bypass the page cache";
  Transfer transfer;
  piece_->bytes.fill(std::byte{7});
  // No place yet: that is for Disk::write.
  EXPECT_FALSE(start_write(disk, *engine_, {0}, piece_->bytes, transfer));
  EXPECT_FALSE(start_read(disk, *engine_, {0}, piece_->bytes, transfer)) << "zeros need no engine";
  piece_->bytes.fill(std::byte{7});
  ASSERT_TRUE(disk.write({0}, piece_->bytes));
  piece_->bytes.fill(std::byte{8});
  ASSERT_TRUE(start_write(disk, *engine_, {4096}, std::span(piece_->bytes).first(8192), transfer));
  finish(transfer);
  EXPECT_TRUE(transfer.fine);
  piece_->bytes.fill(std::byte{0});
  Transfer back;
  ASSERT_TRUE(start_read(disk, *engine_, {0}, piece_->bytes, back));
  finish(back);
  EXPECT_TRUE(back.fine);
  EXPECT_EQ(std::ranges::count(piece_->bytes, std::byte{8}), 8192);
  EXPECT_EQ(std::ranges::count(piece_->bytes, std::byte{7}), static_cast<long>(kPieceBytes - 8192));
  EXPECT_EQ(engine_->room(), 32U);
}

TEST_F(AsyncTest, LeavesTheRestToTheDisk) {
  Transfer transfer;
  {
    const Disk disk = open(true);
    if (!can_transfer(disk)) GTEST_SKIP() << "the file system here cannot bypass the page cache";
    ASSERT_TRUE(disk.write({0}, piece_->bytes));
    const std::span<std::byte> bytes(piece_->bytes);
    EXPECT_FALSE(start_read(disk, *engine_, {0}, bytes.subspan(1, 512), transfer)) << "memory is not aligned";
    EXPECT_FALSE(start_read(disk, *engine_, {7}, bytes.first(512), transfer)) << "offset is not aligned";
    EXPECT_FALSE(start_write(disk, *engine_, {0}, bytes.first(100), transfer)) << "not whole sectors";
    EXPECT_FALSE(start_read(disk, *engine_, {kDiskBytes - 512}, bytes, transfer)) << "past the end";
    EXPECT_FALSE(start_read(disk, *engine_, {0}, {}, transfer));
  }
  {
    const Disk disk = open(true);
    EXPECT_FALSE(start_write(disk, *engine_, {0}, piece_->bytes, transfer)) << "the session has not begun";
  }
  const Disk cached = open(false);
  EXPECT_FALSE(can_transfer(cached));
  ASSERT_TRUE(cached.write({0}, piece_->bytes));
  EXPECT_FALSE(start_read(cached, *engine_, {0}, piece_->bytes, transfer));
  EXPECT_EQ(transfer.ended, 0);
}

TEST_F(AsyncTest, AReadPastAFileThatWasCutIsLeftToTheDisk) {
  const Disk disk = open(true);
  if (!can_transfer(disk)) GTEST_SKIP() << "the file system here cannot bypass the page cache";
  ASSERT_TRUE(disk.write({0}, piece_->bytes));
  ASSERT_TRUE(disk.impl().chain.leaf().file().resize(kMiB));
  Transfer transfer;
  ASSERT_TRUE(start_read(disk, *engine_, {0}, piece_->bytes, transfer));
  finish(transfer);
  EXPECT_FALSE(transfer.fine);
}

}  // namespace
}  // namespace vdisk
