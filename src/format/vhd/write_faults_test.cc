// SPDX-License-Identifier: Apache-2.0
//
// Every single I/O of a session fails, once or from then on: what was flushed stays, the disk opens, and what
// can go on goes on.
#include <cerrno>

#include "format/vhd/write_crash_support.h"
#include "testing/fault_file.h"

namespace vdisk::vhd {
namespace {

/// One session; goes on after a failure as a guest does.
class FaultySession {
 public:
  FaultySession(const Shape& shape, std::unique_ptr<File> file)
      : shape_(shape),
        disk_(std::shared_ptr<File>(std::move(file)), shape.type, shape.sectors(), shape.block_bytes),
        flushed_(disk_.history.moment()) {}

  Status run() {
    if (Status opened = disk_.open(kStepwise); !opened) return opened;
    const std::uint64_t per_block = shape_.block_bytes / 512;
    note(disk_.write(1, 3));
    note(disk_.write(4 * per_block - 1, 2));
    flush();
    note(disk_.write(2, 4));
    note(disk_.trim(4 * per_block, 2 * per_block));
    note(disk_.zero(0, per_block));
    note(disk_.write(6 * per_block + 1, 1));
    flush();
    note(disk_.write(7 * per_block, per_block));
    note(disk_.write(3, 1));
    flush();
    note(disk_.write(5 * per_block, 1));
    const auto moment = disk_.history.moment();
    const Status closed = disk_.image().close();
    if (closed) flushed_ = moment;
    note(closed);
    disk_.drop();
    return std::move(first_);
  }

  const History& history() const { return disk_.history; }
  const History::Moment& flushed() const { return flushed_; }

 private:
  void note(Status status) {
    if (status) return;
    // What a failed write left is what is there now.
    for (std::uint64_t s = 0; s < disk_.history.sectors(); ++s) {
      const Mark mark = mark_at(disk_.image(), s);
      if (mark != disk_.history.now(s) && mark != kGarbageMark) disk_.history.add(s, mark);
    }
    if (first_) first_ = std::move(status);
  }
  void flush() {
    const auto moment = disk_.history.moment();
    Status status = disk_.image().flush();
    if (status) {
      flushed_ = moment;
      return;
    }
    const Status again = disk_.image().flush();
    EXPECT_FALSE(again) << "a flush after a failed one must fail";
    EXPECT_FALSE(disk_.write(0, 1)) << "as must a write";
    note(std::move(status));
  }

  const Shape shape_;
  MarkedDisk disk_;
  History::Moment flushed_;
  Status first_;
};

void fail_everything(const Shape& shape, int os_errno, bool sticky, std::uint64_t& runs) {
  const std::shared_ptr<File> base = shape.builder().file();
  std::unique_ptr<FaultySession> session;
  const auto report = testing::run_fault_loop(
      base, {.os_errno = os_errno, .sticky = sticky},
      [&](std::unique_ptr<File> file) {
        session = std::make_unique<FaultySession>(shape, std::move(file));
        return session->run();
      },
      [&](const std::shared_ptr<File>& left, const Status&) -> std::string {
        const History& history = session->history();
        std::string wrong = judge_disk(left, history, session->flushed(), history.interesting());
        if (!wrong.empty()) return wrong;
        // The next session goes on from there.
        const auto image = open_shared(left, true, kStepwise);
        if (!image) return image.error().message();
        const std::uint64_t last = shape.sectors() - 1;
        if (const Status written = fill_disk(**image, last * 512, 512, 0x51); !written)
          return written.error().message();
        if (const Status closed = (*image)->close(); !closed) return closed.error().message();
        if (byte_at(**image, last * 512) != 0x51) return "the next session's write is gone";
        return flaws(left);
      });
  EXPECT_EQ(report.failure, "");
  runs += report.runs;
}

TEST(VhdWriteFaults, AnyIoMayFail) {
  std::uint64_t runs = 0;
  for (const DiskType type : {DiskType::kDynamic, DiskType::kDifferencing}) {
    for (int variant = 0; variant < 8; ++variant) {
      for (const int os_errno : {EIO, ENOSPC}) {
        for (const bool sticky : {false, true}) {
          SCOPED_TRACE(::testing::Message() << "type " << static_cast<int>(type) << ", variant " << variant
                                            << ", errno " << os_errno << (sticky ? ", sticky" : ""));
          fail_everything({type, 4096, 10, variant}, os_errno, sticky, runs);
          if (HasNonfatalFailure()) return;
        }
      }
    }
  }
  EXPECT_GE(runs, 1000u);
}

TEST(VhdWriteFaults, AFullHostCostsOneWriteAndNotTheDisk) {
  // Writes fail, flushes do not: nothing is poisoned, and when there is room again the disk goes on.
  const std::shared_ptr<File> file = VhdBuilder::dynamic(16 * 4096, 4096).file();
  int went_on = 0;
  for (std::uint64_t fail_at = 1; fail_at < 6; ++fail_at) {
    const auto view = std::make_shared<testing::CowFile>(file);
    const auto faulty = std::make_shared<testing::FaultFile>(
        view, testing::FaultPlan{.fail_at = fail_at, .os_errno = ENOSPC});
    const auto image = open_shared(faulty, true, kStepwise);
    ASSERT_TRUE(image);
    const Status first = fill_disk(**image, 0, 4096, 0x11);
    if (first) continue;  // the flush of the growth was hit, or nothing
    if (fault_of((*image)->flush()) != "") continue;
    const Status again = fill_disk(**image, 0, 4096, 0x22);
    ASSERT_TRUE(again) << fail_at << ": " << again.error().message();
    ASSERT_TRUE((*image)->close());
    EXPECT_EQ(byte_at(**image, 4095), 0x22);
    EXPECT_EQ(flaws(view), "");
    ++went_on;
  }
  EXPECT_GE(went_on, 3);
}

}  // namespace
}  // namespace vdisk::vhd
