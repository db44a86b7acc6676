// SPDX-License-Identifier: Apache-2.0
#include "io/io_engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/unique_fd.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::TempFolder;

constexpr unsigned kDepth = 8;
constexpr std::size_t kPieceBytes = 4096;

class IoEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    engine_ = IoEngine::make(kDepth);
    if (!engine_) GTEST_SKIP() << "the kernel denies io_uring here";
    file_ = UniqueFd(::open(folder_.path("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(file_);
  }
  IoOperation operation(IoOperation::Kind kind, std::uint64_t at, std::span<std::byte> bytes) {
    return {.kind = kind, .fd = file_.get(), .at = {at}, .bytes = bytes, .done = note, .context = this};
  }
  void wait_for(std::size_t results) {
    engine_->submit();
    while (results_.size() < results) {
      if (engine_->drive() != 0) continue;
      pollfd ready{engine_->event_fd(), POLLIN, 0};
      ::poll(&ready, 1, -1);
    }
  }
  static void note(IoOperation& operation, long result) {
    static_cast<IoEngineTest*>(operation.context)->results_.push_back(result);
  }

  TempFolder folder_;
  std::unique_ptr<IoEngine> engine_;
  UniqueFd file_;
  std::vector<long> results_;
};

TEST_F(IoEngineTest, MovesMoreThanItsRingHolds) {
  std::array<std::vector<std::byte>, kDepth> pieces;
  std::array<IoOperation, kDepth> operations;
  for (const auto kind : {IoOperation::Kind::kWrite, IoOperation::Kind::kRead}) {
    for (std::size_t i = 0; i < kDepth; ++i) {
      EXPECT_EQ(engine_->room(), kDepth - i);
      pieces[i].resize(kPieceBytes);
      std::ranges::fill(pieces[i],
                        kind == IoOperation::Kind::kWrite ? static_cast<std::byte>(i + 1) : std::byte{0});
      operations[i] = operation(kind, i * kPieceBytes, pieces[i]);
      engine_->start(operations[i]);
    }
    EXPECT_EQ(engine_->room(), 0U);
    wait_for(kDepth);
    EXPECT_EQ(engine_->room(), kDepth);
    EXPECT_EQ(results_, std::vector<long>(kDepth, kPieceBytes));
    results_.clear();
  }
  for (std::size_t i = 0; i < kDepth; ++i) {
    EXPECT_EQ(pieces[i], std::vector<std::byte>(kPieceBytes, static_cast<std::byte>(i + 1)));
  }
}

TEST_F(IoEngineTest, TellsEndsAndErrors) {
  std::vector<std::byte> bytes(kPieceBytes);
  ASSERT_EQ(::ftruncate(file_.get(), 100), 0);
  IoOperation at_end = operation(IoOperation::Kind::kRead, 0, bytes);
  engine_->start(at_end);
  wait_for(1);
  EXPECT_EQ(results_.back(), 100);
  file_.reset();
  IoOperation closed = operation(IoOperation::Kind::kRead, 0, bytes);
  engine_->start(closed);
  wait_for(2);
  EXPECT_EQ(results_.back(), -EBADF);
}

}  // namespace
}  // namespace vdisk
