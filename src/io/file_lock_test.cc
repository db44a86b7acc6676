// SPDX-License-Identifier: Apache-2.0
#include "io/file_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "io/faults.h"
#include "io/posix_file.h"

namespace vdisk {
namespace {

using ::testing::HasSubstr;

bool have(const char* program) {
  return std::system((std::string("command -v ") + program + " >/dev/null 2>&1").c_str()) == 0;
}

class FileLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "vdisk_lock_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    image_ = folder_ + "/image";
    std::ofstream(image_) << std::string(65536, 'a');
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Result<std::unique_ptr<File>> open(const std::string& path, bool writable) {
    return open_posix_file(path, {.writable = writable, .lock = true, .trace = {}});
  }
  static std::string id_of(const Result<std::unique_ptr<File>>& file) {
    return file ? "opened" : std::string(file.error().id());
  }

  std::string folder_;
  std::string image_;
};

TEST_F(FileLockTest, ManyReadersOrOneWriter) {
  {
    const auto reader = open(image_, false);
    const auto another = open(image_, false);
    EXPECT_EQ(id_of(another), "opened");
    const auto writer = open(image_, true);
    ASSERT_FALSE(writer);
    EXPECT_EQ(writer.error().id(), "io.locked");
    EXPECT_EQ(writer.error().code(), 32U);
    EXPECT_THAT(writer.error().message(), HasSubstr("reads it"));
    EXPECT_THAT(writer.error().message(), HasSubstr("open it read-only"));
  }
  const auto writer = open(image_, true);
  EXPECT_EQ(id_of(writer), "opened");
  EXPECT_EQ(id_of(open(image_, true)), "io.locked");
  const auto reader = open(image_, false);
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message(), HasSubstr("open for writing"));
  EXPECT_TRUE(open_posix_file(image_, {.writable = false, .lock = false, .trace = {}}));
}

TEST_F(FileLockTest, AFailedLockLeavesNothingBehind) {
  const int fd = ::open(image_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  {
    const auto reader = open(image_, false);
    EXPECT_FALSE(lock_image_file(fd, image_, LockRole::kWriter, {}));
  }
  EXPECT_EQ(id_of(open(image_, true)), "opened");
  ::close(fd);
}

TEST_F(FileLockTest, AProcessLockTellsItsOwner) {
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::open(image_.c_str(), O_RDWR);
    struct flock lock{};
    lock.l_type = F_RDLCK;
    lock.l_start = 101;  // as QEMU does for a writer where it has no OFD locks
    lock.l_len = 1;
    const char done = ::fcntl(fd, F_SETLK, &lock) == 0 ? 'y' : 'n';
    [[maybe_unused]] const ssize_t put = ::write(ready[1], &done, 1);
    ::pause();
    ::_exit(0);
  }
  char done = 0;
  ASSERT_EQ(::read(ready[0], &done, 1), 1);
  ASSERT_EQ(done, 'y');
  const auto reader = open(image_, false);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  ASSERT_FALSE(reader);
  EXPECT_THAT(reader.error().message(), HasSubstr("process " + std::to_string(child)));
}

// Makes every OFD lock request of this thread fail with `error`, as a file system without locks does.
bool deny_ofd_locks(unsigned error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_SETLK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Runs in a thread of its own, because a seccomp filter never goes away.
std::string open_where_locks_fail_with(unsigned error, const std::string& image, std::string& warning) {
  std::string outcome;
  std::thread([&] {
    if (!deny_ofd_locks(error)) {
      outcome = "no seccomp";
      return;
    }
    const TraceSink trace = [&](TraceLevel level, std::string_view text) {
      if (level == TraceLevel::kWarning) warning = text;
    };
    const auto file = open_posix_file(image, {.writable = true, .lock = true, .trace = trace});
    outcome = file ? "opened" : std::string(file.error().id());
  }).join();
  return outcome;
}

TEST_F(FileLockTest, AFileSystemWithoutLocksIsToldAndUsed) {
  for (const unsigned error : {ENOLCK, EINVAL, EOPNOTSUPP, ENOSYS}) {
    std::string warning;
    const std::string outcome = open_where_locks_fail_with(error, image_, warning);
    if (outcome == "no seccomp") GTEST_SKIP() << "SKIPPED: seccomp is not available";
    EXPECT_EQ(outcome, "opened");
    EXPECT_THAT(warning, HasSubstr("no locks"));
  }
}

TEST_F(FileLockTest, ALockThatFailsForAnotherReasonIsAFailure) {
  std::string warning;
  const std::string outcome = open_where_locks_fail_with(EIO, image_, warning);
  if (outcome == "no seccomp") GTEST_SKIP() << "SKIPPED: seccomp is not available";
  EXPECT_EQ(outcome, "io.device");
  EXPECT_EQ(warning, "");
}

// A qemu-io that keeps an image open until it dies.
class QemuHolder {
 public:
  QemuHolder(const std::string& image, std::vector<std::string> options) {
    int input[2], output[2];
    if (::pipe(input) != 0 || ::pipe(output) != 0) return;
    std::vector<std::string> words{"qemu-io"};
    words.insert(words.end(), options.begin(), options.end());
    words.push_back(image);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(input[0], 0);
      ::dup2(output[1], 1);
      for (const int fd : {input[0], input[1], output[0], output[1]}) ::close(fd);
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execvp("qemu-io", arguments.data());
      ::_exit(127);
    }
    ::close(input[0]);
    ::close(output[1]);
    input_ = input[1];
    output_ = output[0];
    // It answers commands only once the image is open.
    if (::write(input_, "length\n", 7) != 7) return;
    std::string text;
    char piece[256];
    for (ssize_t got; (got = ::read(output_, piece, sizeof piece)) > 0;) {
      text.append(piece, static_cast<std::size_t>(got));
      if (text.find("iB") != std::string::npos || text.find("KiB") != std::string::npos) {
        holds_ = true;
        break;
      }
    }
  }
  ~QemuHolder() {
    if (input_ >= 0) ::close(input_);
    if (output_ >= 0) ::close(output_);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  }
  bool holds() const { return holds_; }

 private:
  pid_t pid_ = -1;
  int input_ = -1, output_ = -1;
  bool holds_ = false;
};

class QemuLockTest : public FileLockTest {
 protected:
  void SetUp() override {
    FileLockTest::SetUp();
    if (!have("qemu-io") || !have("qemu-img"))
      GTEST_SKIP() << "SKIPPED: qemu-io and qemu-img are not installed";
    image_ = folder_ + "/image.vhdx";
    ASSERT_EQ(std::system(("qemu-img create -q -f vhdx " + image_ + " 8M").c_str()), 0);
  }
};

TEST_F(QemuLockTest, AQemuReaderSharesWithReadersOnly) {
  const QemuHolder qemu(image_, {"-r", "-f", "vhdx"});
  ASSERT_TRUE(qemu.holds());
  EXPECT_EQ(id_of(open(image_, false)), "opened");
  EXPECT_EQ(id_of(open(image_, true)), "io.locked");
}

TEST_F(QemuLockTest, AQemuWriterExcludesUs) {
  const QemuHolder qemu(image_, {"-f", "vhdx"});
  ASSERT_TRUE(qemu.holds());
  EXPECT_EQ(id_of(open(image_, false)), "io.locked");
  EXPECT_EQ(id_of(open(image_, true)), "io.locked");
}

TEST_F(QemuLockTest, AQemuRawWriterExcludesUs) {
  const QemuHolder qemu(image_, {"-f", "raw"});
  ASSERT_TRUE(qemu.holds());
  EXPECT_EQ(id_of(open(image_, false)), "io.locked");
  EXPECT_EQ(id_of(open(image_, true)), "io.locked");
}

TEST_F(QemuLockTest, OurReaderSharesWithQemuReadersOnly) {
  const auto ours = open(image_, false);
  ASSERT_TRUE(ours);
  EXPECT_TRUE(QemuHolder(image_, {"-r", "-f", "vhdx"}).holds());
  EXPECT_FALSE(QemuHolder(image_, {"-f", "vhdx"}).holds());
  EXPECT_FALSE(QemuHolder(image_, {"-f", "raw"}).holds());
}

TEST_F(QemuLockTest, OurWriterExcludesQemu) {
  const auto ours = open(image_, true);
  ASSERT_TRUE(ours);
  EXPECT_FALSE(QemuHolder(image_, {"-r", "-f", "vhdx"}).holds());
  EXPECT_FALSE(QemuHolder(image_, {"-f", "vhdx"}).holds());
  EXPECT_FALSE(QemuHolder(image_, {"-f", "raw"}).holds());
  // QEMU's way to look at an image that someone changes goes on working.
  EXPECT_EQ(std::system(("qemu-img info -U " + image_ + " >/dev/null 2>&1").c_str()), 0);
  EXPECT_NE(std::system(("qemu-img info " + image_ + " >/dev/null 2>&1").c_str()), 0);
}

}  // namespace
}  // namespace vdisk
