// SPDX-License-Identifier: Apache-2.0
//
// Hosts that can do less: no hole punching, no way to find holes, no locks, no nameless files, no sharing of
// blocks, and none of them. A seccomp filter answers the system calls as such file systems, old kernels and
// containers do; everything still works, and shows the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "testing/disk_story.h"
#include "testing/temp_folder.h"

namespace vdisk {
namespace {

using testing::DiskKind;
using testing::DiskStory;
using testing::Narrator;

/// A system call that this host answers with an error; with `mask`, only where its argument has just those
/// bits.
struct Refusal {
  std::uint32_t call;
  int error;
  unsigned argument = 0;
  std::uint32_t mask = 0;
  std::uint32_t bits = 0;
};

struct Poverty {
  const char* name;
  std::vector<Refusal> refusals;
};

const std::vector<Poverty>& poverties() {
  constexpr std::uint32_t kAll = ~std::uint32_t{0};
  static const std::vector<Poverty> kPoverties = [] {
    std::vector<Poverty> list = {
        {"no_fallocate", {{SYS_fallocate, EOPNOTSUPP}}},
        {"no_seek_hole", {{SYS_lseek, EINVAL, 2, kAll, SEEK_DATA}, {SYS_lseek, EINVAL, 2, kAll, SEEK_HOLE}}},
        {"no_locks", {{SYS_fcntl, ENOLCK, 1, kAll, F_OFD_SETLK}, {SYS_fcntl, ENOLCK, 1, kAll, F_OFD_GETLK}}},
        {"no_nameless_files",
         {{SYS_openat, EOPNOTSUPP, 2, O_TMPFILE & ~O_DIRECTORY, O_TMPFILE & ~O_DIRECTORY},
          {SYS_openat2, ENOSYS}}},
        {"no_renameat2", {{SYS_renameat2, EINVAL}}},
        {"no_sharing",
         {{SYS_copy_file_range, ENOSYS},
          {SYS_ioctl, EOPNOTSUPP, 1, kAll, static_cast<std::uint32_t>(FICLONERANGE)}}},
    };
    Poverty all{"nothing", {}};
    for (const Poverty& one : list)
      all.refusals.insert(all.refusals.end(), one.refusals.begin(), one.refusals.end());
    list.push_back(all);
    return list;
  }();
  return kPoverties;
}

constexpr std::uint32_t low_half(unsigned argument) {
  return static_cast<std::uint32_t>(offsetof(struct seccomp_data, args) + argument * sizeof(std::uint64_t));
}

/// From here on this process lives there.
bool move_to(const Poverty& poverty) {
  std::vector<sock_filter> filter;
  for (const Refusal& refusal : poverty.refusals) {
    const std::uint8_t skip = refusal.mask == 0 ? 1 : 4;
    filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal.call, 0, skip));
    if (refusal.mask != 0) {
      filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half(refusal.argument)));
      filter.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, refusal.mask));
      filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal.bits, 0, 1));
    }
    filter.push_back(
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(refusal.error)));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Result<Disk> open_disk(const std::string& path, bool writable) {
  OpenOptions options;
  options.writable = writable;
  return Disk::open(path, options);
}

constexpr Fault kWrong{"test.wrong", 0, "Something is not as it is on other hosts."};

Status expect(bool fine, const std::string& what) { return fine ? Status() : fail(kWrong, "{}", what); }

/// Two sessions of writing, and conversions of what they wrote.
Status live_there(const std::string& folder, const DiskKind& kind) {
  const std::string path = testing::make_disk(folder, kind, 1);
  for (std::uint64_t session = 1; session <= 2; ++session) {
    DiskStory story(kind);
    {
      Disk disk = VDISK_TRY(open_disk(path, true));
      story.begin(disk);
      Narrator narrator(disk, story, 0, 1, session);
      for (int i = 0; i < 60; ++i) VDISK_TRY(narrator.step());
      VDISK_TRY(disk.close());
    }
    const Disk disk = VDISK_TRY(open_disk(path, false));
    const std::string wrong = story.judge(disk, DiskStory::Certain::kDone);
    VDISK_TRY(expect(wrong.empty(), wrong));
    const std::string flaws = testing::check_flaws(path);
    VDISK_TRY(expect(flaws.empty(), flaws));
  }
  const Disk source = VDISK_TRY(open_disk(path, false));
  for (const FormatId format : {FormatId::kRaw, FormatId::kVhd, FormatId::kVhdx}) {
    for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic}) {
      if (format == FormatId::kRaw && type == DiskType::kDynamic) continue;
      ConvertOptions options;
      options.target.format = format;
      options.target.type = type;
      const std::string target = fmt::format("{}/{}-{}", folder, to_string(format), to_string(type));
      VDISK_TRY(convert(source, target, options));
      OpenOptions how;
      how.format = format;
      const Disk copy = VDISK_TRY(Disk::open(target, how));
      const Difference difference = VDISK_TRY(diff(source, copy, {}));
      VDISK_TRY(expect(difference.same, target + " shows other bytes"));
      VDISK_TRY(expect(!convert(source, target, options), target + " was overwritten"));
    }
  }
  CreateOptions full;
  full.virtual_size_bytes = 4 * kMiB;
  full.type = DiskType::kFixed;
  return create(folder + "/full.vhdx", full);
}

class PoorHost : public ::testing::TestWithParam<Poverty> {};
INSTANTIATE_TEST_SUITE_P(Hosts, PoorHost, ::testing::ValuesIn(poverties()),
                         [](const auto& poverty) { return std::string(poverty.param.name); });

TEST_P(PoorHost, IsSlowerAndNothingElse) {
  constexpr int kNoFilter = 2;
  for (const DiskKind& kind :
       {DiskKind{.depth = 2}, DiskKind{.format = FormatId::kVhd, .depth = 2, .block_bytes = 512 * kKiB}}) {
    const testing::TempFolder folder;
    const pid_t process = ::fork();
    if (process == 0) {
      if (!move_to(GetParam())) ::_exit(kNoFilter);
      const Status status = live_there(folder.path(), kind);
      if (!status) fmt::print(stderr, "{}\n", status.error().message());
      ::_exit(status ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(process, &status, 0), process);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNoFilter)
      GTEST_SKIP() << "seccomp filters are not to be had here";
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << kind.name() << ": " << status;
  }
}

TEST(PoorHostFilter, AnswersAsSuchHostsDo) {
  const testing::TempFolder folder;
  const pid_t process = ::fork();
  if (process == 0) {
    if (!move_to(poverties().back())) ::_exit(2);
    const int fd = ::open(folder.path("file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    const bool file = fd >= 0 && ::write(fd, "text", 4) == 4;
    const bool space = ::fallocate(fd, 0, 0, 4096) != 0 && errno == EOPNOTSUPP;
    const bool hole = ::lseek(fd, 0, SEEK_HOLE) < 0 && errno == EINVAL && ::lseek(fd, 0, SEEK_END) == 4;
    struct flock lock{};
    lock.l_type = F_RDLCK;
    const bool locks = ::fcntl(fd, F_OFD_SETLK, &lock) != 0 && errno == ENOLCK;
    const bool nameless = ::open(folder.path().c_str(), O_TMPFILE | O_RDWR, 0600) < 0 && errno == EOPNOTSUPP;
    ::_exit(file && space && hole && locks && nameless ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(process, &status, 0), process);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "seccomp filters are not to be had here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace vdisk
