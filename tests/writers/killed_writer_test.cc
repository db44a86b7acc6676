// SPDX-License-Identifier: Apache-2.0
//
// Writers that are killed with SIGKILL at any moment: while they open, write, trim, flush or close. What the
// kernel holds survives, what the process held does not.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "base/fault.h"
#include "testing/disk_story.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::DiskKind;
using testing::DiskStory;
using testing::Narrator;
using testing::TempFolder;

int scale() { return std::getenv("VDISK_LONG") == nullptr ? 1 : 20; }

OpenOptions writable() {
  OpenOptions options;
  options.writable = true;
  return options;
}

/// A process that does `work`, and then waits to be killed.
class Victim {
 public:
  template <class Work>
  explicit Victim(Work work) {
    void* const page =
        ::mmap(nullptr, sizeof *done_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    VDISK_ASSERT(page != MAP_FAILED);
    done_ = new (page) std::atomic<bool>(false);
    process_ = ::fork();
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (const Status status = work(); !status) {
        fmt::print(stderr, "{}\n", status.error().message());
        ::_exit(1);
      }
      *done_ = true;
      for (;;) ::pause();
    }
  }
  ~Victim() {
    kill();
    ::munmap(done_, sizeof *done_);
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  bool done() const { return *done_; }
  bool alive() { return process_ > 0 && ::waitpid(process_, &status_, WNOHANG) == 0; }
  /// False when it had ended by itself, which it never should.
  bool kill() {
    if (process_ <= 0) return true;
    ::kill(process_, SIGKILL);
    if (::waitpid(process_, &status_, 0) < 0) return false;
    process_ = -1;
    return WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL;
  }

 private:
  std::atomic<bool>* done_ = nullptr;
  pid_t process_ = -1;
  int status_ = 0;
};

constexpr unsigned kNarrators = 3;
constexpr unsigned kSteps = 30;

Status write_all(const std::string& path, DiskStory& story, std::uint64_t seed) {
  Disk disk = VDISK_TRY(Disk::open(path, writable()));
  std::atomic<bool> fine = true;
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < kNarrators; ++number) {
    threads.emplace_back([&, number] {
      Narrator narrator(disk, story, number, kNarrators, seed * kNarrators + number);
      for (unsigned i = 0; i < kSteps && fine; ++i) {
        if (const Status status = narrator.step(); !status) {
          fmt::print(stderr, "{}\n", status.error().message());
          fine = false;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!fine) ::_exit(1);
  return disk.close();
}

void kill_at_some_moment(Victim& victim, const DiskStory& story, std::mt19937_64& random) {
  // A tenth of them while they open, as many while they close.
  const std::uint64_t target = random() % (kNarrators * kSteps * 5 / 4);
  const bool at_the_end = random() % 10 == 0;
  while (victim.alive() && !victim.done() && (at_the_end || story.begun() < target))
    std::this_thread::yield();
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 800);
  while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
}

/// "" when the disk is what a killed writer may leave, now and after the next session.
std::string judge(const std::string& path, const DiskStory& story) {
  std::string wrong = testing::check_flaws(path);
  if (!wrong.empty()) return "check: " + wrong;
  {
    const auto disk = Disk::open(path);
    if (!disk) return "does not open: " + disk.error().message();
    wrong = story.judge(*disk, DiskStory::Certain::kFlushed);
    if (!wrong.empty()) return wrong;
  }
  auto disk = Disk::open(path, writable());
  if (!disk) return "does not open for writing: " + disk.error().message();
  wrong = story.judge(*disk, DiskStory::Certain::kFlushed);
  if (!wrong.empty()) return "after recovery: " + wrong;
  if (const Status closed = disk->close(); !closed) return "does not close: " + closed.error().message();
  wrong = testing::check_flaws(path);
  return wrong.empty() ? "" : "check after recovery: " + wrong;
}

class KilledWriter : public ::testing::TestWithParam<DiskKind> {};
INSTANTIATE_TEST_SUITE_P(
    Kinds, KilledWriter,
    ::testing::Values(DiskKind{.format = FormatId::kVhdx},
                      DiskKind{.format = FormatId::kVhdx, .sector_bytes = 4096},
                      DiskKind{.format = FormatId::kVhdx, .depth = 3},
                      DiskKind{.format = FormatId::kVhd, .block_bytes = 512 << 10},
                      DiskKind{.format = FormatId::kVhd, .depth = 3, .block_bytes = 512 << 10}),
    [](const auto& kind) { return kind.param.name(); });

TEST_P(KilledWriter, LeavesADiskThatHoldsWhatWasFlushed) {
  const int kills = 20 * scale();
  constexpr std::uint64_t kFirstSeed = 1;
  const TempFolder folder;
  const std::string path = testing::make_disk(folder.path(), GetParam(), kFirstSeed);
  std::vector<testing::FileState> parents;
  for (int layer = 0; layer + 1 < GetParam().depth; ++layer) {
    parents.push_back(testing::state_of(folder.path(GetParam().file_name(layer))));
  }
  DiskStory story(GetParam());
  std::uint64_t deeds = 0;
  for (int round = 0; round < kills; ++round) {
    const std::uint64_t seed = kFirstSeed + static_cast<std::uint64_t>(round);
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    story.begin(*Disk::open(path));
    std::mt19937_64 random(seed);
    Victim victim([&] { return write_all(path, story, seed); });
    kill_at_some_moment(victim, story, random);
    ASSERT_TRUE(victim.kill()) << "the writer ended by itself";
    deeds += story.begun();
    ASSERT_EQ(judge(path, story), "");
  }
  for (int layer = 0; layer + 1 < GetParam().depth; ++layer) {
    EXPECT_EQ(testing::state_of(folder.path(GetParam().file_name(layer))),
              parents[static_cast<std::size_t>(layer)]);
  }
  RecordProperty("kills", kills);
  RecordProperty("seeds",
                 fmt::format("{} to {}", kFirstSeed, kFirstSeed + static_cast<std::uint64_t>(kills) - 1));
  fmt::print("{} kills after {} operations, seeds from {}\n", kills, deeds, kFirstSeed);
  EXPECT_GT(deeds, static_cast<std::uint64_t>(kills));
}

int run(const std::string& command) {
  const int status = std::system((command + " >/dev/null 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// QEMU replays logs of one entry right (formats.md 5.2), which is what a session leaves that flushed once.
TEST(KilledWriterInterop, QemuReplaysWhatItLeavesToTheSameDisk) {
  if (run("qemu-img --version") != 0) GTEST_SKIP() << "qemu-img is not installed";
  const DiskKind kind;
  int dirty = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const TempFolder folder;
    const std::string path = testing::make_disk(folder.path(), kind, seed);
    DiskStory story(kind);
    std::mt19937_64 random(seed);
    Victim victim([&]() -> Status {
      const Disk disk = VDISK_TRY(Disk::open(path, writable()));
      Narrator narrator(disk, story, 0, 1, seed);
      for (std::uint64_t i = 0; i < 40; ++i) {
        if (i == 20) VDISK_TRY(narrator.flush());
        VDISK_TRY(narrator.write(i * 797 % (kind.disk_bytes / 512 - 9), 1 + i % 9));
      }
      for (;;) ::pause();  // closing would empty the log
    });
    const std::uint64_t target = 18 + random() % 22;
    while (victim.alive() && story.begun() < target) std::this_thread::yield();
    ASSERT_TRUE(victim.kill());
    ASSERT_EQ(testing::check_flaws(path), "");
    dirty += inspect(path).info.dirty_log ? 1 : 0;
    const std::string theirs = folder.path("theirs.vhdx");
    const std::string ours = folder.path("ours.raw");
    std::filesystem::copy_file(path, theirs);
    {
      const auto disk = Disk::open(path);
      ASSERT_TRUE(disk);
      ASSERT_EQ(story.judge(*disk, DiskStory::Certain::kFlushed), "");
      ConvertOptions options;
      options.target.format = FormatId::kRaw;
      const Status converted = convert(*disk, ours, options);
      ASSERT_TRUE(converted) << converted.error().message();
    }
    EXPECT_EQ(run("qemu-img check -r all -f vhdx " + theirs), 0);
    EXPECT_EQ(run("qemu-img compare -f vhdx -F raw " + theirs + " " + ours), 0);
  }
  EXPECT_GE(dirty, 4) << "few writers left a log";
}

}  // namespace
}  // namespace vdisk
