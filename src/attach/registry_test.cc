// SPDX-License-Identifier: Apache-2.0
#include "attach/registry.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "attach/estate.h"
#include "attach/faults.h"

namespace vdisk::attach {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr FileIdentity kImage{0x1234, 77};
constexpr uid_t kStranger = 65534;

class Registry : public ::testing::Test {
 protected:
  Registry() {
    std::string name = fs::temp_directory_path() / "vdisk-registry-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    base_ = name;
    options_.folder = name + "/vdisk";
  }
  ~Registry() override { fs::remove_all(base_); }

  static AttachmentRecord record(FileIdentity image = kImage) {
    AttachmentRecord record;
    record.image_path = "/images/päth 100%\n.vhdx";
    record.device_node = "/dev/loop7";
    record.partitions = {"/dev/loop7p1", "/dev/loop7p5"};
    record.provider = AttachProvider::kFuse;
    record.format = FormatId::kVhdx;
    record.read_only = true;
    record.permanent = true;
    record.process = static_cast<std::uint64_t>(::getpid());
    record.size_bytes = 1ULL << 40;
    record.logical_sector_bytes = 4096;
    record.image = image;
    record.backing = {9, 2};
    return record;
  }
  std::string path_of(FileIdentity image = kImage) const {
    return fmt::format("{}/{:x}-{:x}.attachment", *options_.folder, image.device, image.inode);
  }
  Result<std::optional<AttachmentRecord>> find(FileIdentity image = kImage) const {
    return find_attachment(image, options_);
  }
  std::string find_fault() const {
    const auto found = find();
    if (found) return *found ? "found" : "none";
    return std::string(found.error().id());
  }
  void make_folder() const { ASSERT_EQ(::mkdir(options_.folder->c_str(), 0700), 0); }
  void write(const std::string& path, std::string_view text) const {
    std::ofstream(path, std::ios::binary) << text;
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  }
  // Holds the lock of a live attachment on a file that no publisher wrote.
  static UniqueFd hold(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_len = 1;
    EXPECT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
    return fd;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(*options_.folder), fs::directory_iterator()));
  }

  std::string base_;
  RegistryOptions options_;
};

// Runs `body` in a child that then waits to be killed. The child says that it is ready through a pipe.
class Holder {
 public:
  template <class Body>
  explicit Holder(Body body) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    child_ = ::fork();
    if (child_ == 0) {
      auto held = body();
      const char good = held.has_value() ? 'y' : 'n';
      if (::write(ready[1], &good, 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    EXPECT_EQ(::read(ready[0], &answer_, 1), 1);
    ::close(ready[0]);
  }
  ~Holder() { kill(); }
  bool published() const { return answer_ == 'y'; }
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  pid_t child_ = -1;
  char answer_ = 0;
};

TEST_F(Registry, FindsWhatIsPublishedUntilItIsWithdrawn) {
  EXPECT_EQ(find_fault(), "none") << "without a folder nothing is attached";
  EXPECT_FALSE(fs::exists(*options_.folder)) << "looking changes nothing";
  {
    const auto published = publish(record(), options_);
    ASSERT_TRUE(published) << published.error().message();
    const auto found = find();
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(*found, record());
    EXPECT_EQ(find_attachment({kImage.device, 78}, options_).value_or(record()), std::nullopt);
    EXPECT_EQ(fs::status(path_of()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(fs::status(*options_.folder).permissions(), fs::perms::owner_all);
    EXPECT_EQ(entries(), 1U) << "no temporary file stays";
  }
  EXPECT_EQ(find_fault(), "none");
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Registry, ModesDoNotDependOnTheUmask) {
  const mode_t before = ::umask(0);
  const auto published = publish(record(), options_);
  ::umask(before);
  ASSERT_TRUE(published);
  EXPECT_EQ(fs::status(path_of()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(Registry, AnImageIsAttachedOnce) {
  auto published = publish(record(), options_);
  ASSERT_TRUE(published);
  const auto second = publish(record(), options_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().id(), faults::kAlreadyAttached.id);
  EXPECT_EQ(second.error().code(), 32U);
  EXPECT_EQ(entries(), 1U);
  const auto other = publish(record({1, 1}), options_);
  EXPECT_TRUE(other);
  published->withdraw();
  published->withdraw();
  EXPECT_TRUE(publish(record(), options_));
}

TEST_F(Registry, AnUpdateIsSeenAtOnceAndNeverADeadRecord) {
  AttachmentRecord changing = record();
  auto published = publish(changing, options_);
  ASSERT_TRUE(published) << published.error().message();
  std::atomic<bool> done{false};
  std::thread looking([&] {
    while (!done) {
      const auto all = all_records(options_);
      ASSERT_TRUE(all);
      ASSERT_EQ(all->size(), 1U);
      ASSERT_TRUE(all->front().alive);
      const auto found = find();
      ASSERT_TRUE(found) << found.error().message();
      ASSERT_TRUE(*found);
    }
  });
  for (std::uint64_t i = 0; i < 500; ++i) {
    changing.companion_process = i;
    const Status updated = published->update(changing);
    ASSERT_TRUE(updated) << updated.error().message();
    const auto found = find();
    ASSERT_TRUE(found && *found);
    EXPECT_EQ(**found, changing);
  }
  done = true;
  looking.join();
  published->withdraw();
  EXPECT_TRUE(fs::is_empty(*options_.folder));
}

TEST_F(Registry, ARecordThatWasHandedOnLivesWithItsHeir) {
  Estate estate;
  {
    auto published = publish(record(), options_);
    ASSERT_TRUE(published) << published.error().message();
    published->bequeath(estate);
    published->forget();
  }
  ASSERT_TRUE(find() && *find());
  auto heir = PublishedRecord::inherit(estate);
  ASSERT_TRUE(heir) << heir.error().message();
  EXPECT_FALSE(PublishedRecord::inherit(estate)) << "there is one";
  ASSERT_TRUE(find() && *find());
  heir->withdraw();
  EXPECT_FALSE(*find());
}

TEST_F(Registry, MovingARecordKeepsIt) {
  auto published = publish(record(), options_);
  ASSERT_TRUE(published);
  PublishedRecord moved = *std::move(published);
  EXPECT_EQ(find_fault(), "found");
  auto other = publish(record({1, 1}), options_);
  ASSERT_TRUE(other);
  moved = *std::move(other);
  EXPECT_EQ(find_fault(), "none") << "the record that was replaced is withdrawn";
  EXPECT_EQ(find_attachment({1, 1}, options_).value_or(std::nullopt), record({1, 1}));
}

TEST_F(Registry, AKilledHoldersRecordIsStaleAndHealed) {
  Holder holder([this] { return publish(record(), options_); });
  ASSERT_TRUE(holder.published());
  EXPECT_EQ(find_fault(), "found") << "the lock of another process counts";
  EXPECT_FALSE(publish(record(), options_));
  holder.kill();
  EXPECT_TRUE(fs::exists(path_of()));
  EXPECT_EQ(find_fault(), "none");
  AttachmentRecord mine = record();
  mine.device_node = "/dev/loop9";
  const auto published = publish(mine, options_);
  ASSERT_TRUE(published) << published.error().message();
  EXPECT_EQ(find().value_or(std::nullopt), mine);
  EXPECT_EQ(entries(), 1U);
}

TEST_F(Registry, LitterOfAPublisherKilledHalfWayIsSwept) {
  make_folder();
  write(*options_.folder + "/.new-0123456789abcdef", "vdisk-att");
  write(*options_.folder + "/.new-fedcba9876543210", "vdisk-att");
  const UniqueFd alive = hold(*options_.folder + "/.new-fedcba9876543210");
  const auto published = publish(record(), options_);
  ASSERT_TRUE(published);
  EXPECT_FALSE(fs::exists(*options_.folder + "/.new-0123456789abcdef"));
  EXPECT_TRUE(fs::exists(*options_.folder + "/.new-fedcba9876543210")) << "another publisher is at work";
}

// Many publish, hold and withdraw one image while others look: at no moment do two hold it, and whoever finds
// a record finds a whole one.
TEST_F(Registry, RacesLetOneWinAndShowWholeRecords) {
  std::atomic<int> holders{0};
  std::atomic<int> most{0};
  std::atomic<int> published{0};
  std::atomic<bool> stop{false};
  std::vector<std::string> unexpected(6);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 150; ++i) {
        auto mine = publish(record(), options_);
        if (!mine) {
          const std::string_view id = mine.error().id();
          if (id != faults::kAlreadyAttached.id && id != faults::kRegistryBusy.id)
            unexpected[t] = mine.error().message();
          continue;
        }
        ++published;
        most = std::max(most.load(), ++holders);
        --holders;
      }
    });
  }
  for (std::size_t t = 4; t < 6; ++t) {
    threads.emplace_back([&, t] {
      while (!stop) {
        const auto found = find();
        if (!found && found.error().id() != faults::kRegistryBusy.id) unexpected[t] = found.error().message();
        if (found && *found && **found != record()) unexpected[t] = "a torn record";
      }
    });
  }
  for (std::size_t t = 0; t < 4; ++t) threads[t].join();
  stop = true;
  for (std::size_t t = 4; t < 6; ++t) threads[t].join();
  EXPECT_THAT(unexpected, ::testing::Each(""));
  EXPECT_EQ(most, 1);
  EXPECT_GT(published, 0);
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Registry, RacesOfHealersAfterAKillLetOneWin) {
  for (int round = 0; round < 20; ++round) {
    Holder holder([this] { return publish(record(), options_); });
    ASSERT_TRUE(holder.published());
    holder.kill();
    std::vector<std::optional<PublishedRecord>> winners(4);
    std::vector<std::thread> threads;
    for (auto& winner : winners) {
      threads.emplace_back([&winner, this] {
        if (auto mine = publish(record(), options_)) winner.emplace(*std::move(mine));
      });
    }
    for (std::thread& thread : threads) thread.join();
    const auto won = std::ranges::count_if(winners, [](const auto& winner) { return winner.has_value(); });
    EXPECT_EQ(won, 1) << "round " << round;
    EXPECT_EQ(find_fault(), "found");
  }
}

TEST_F(Registry, HostileEntriesAreRefused) {
  make_folder();
  write(base_ + "/elsewhere", format_record(record()));
  ASSERT_EQ(::symlink((base_ + "/elsewhere").c_str(), path_of().c_str()), 0);
  EXPECT_EQ(find_fault(), faults::kRecordUntrusted.id);
  const auto published = publish(record(), options_);
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().id(), faults::kRecordUntrusted.id);
  EXPECT_EQ(published.error().code(), 5U);
  EXPECT_EQ(entries(), 1U) << "a failed publish leaves nothing";
  fs::remove(path_of());

  ASSERT_EQ(::mkfifo(path_of().c_str(), 0600), 0);
  EXPECT_EQ(find_fault(), faults::kRecordUntrusted.id) << "and does not block";
  fs::remove(path_of());

  fs::create_directory(path_of());
  EXPECT_EQ(find_fault(), faults::kRecordUntrusted.id);
  EXPECT_FALSE(publish(record(), options_));
  fs::remove(path_of());

  if (::geteuid() != 0) GTEST_SKIP() << "the files of another user need root to make";
  write(path_of(), format_record(record()));
  ASSERT_EQ(::chown(path_of().c_str(), kStranger, kStranger), 0);
  EXPECT_EQ(find_fault(), faults::kRecordUntrusted.id);
}

TEST_F(Registry, AFolderThatOthersCanWriteIsRefused) {
  make_folder();
  for (const mode_t mode : {0770, 0707, 01777}) {
    ASSERT_EQ(::chmod(options_.folder->c_str(), mode), 0);
    EXPECT_EQ(find_fault(), faults::kFolderUntrusted.id) << std::oct << mode;
    const auto published = publish(record(), options_);
    ASSERT_FALSE(published);
    EXPECT_EQ(published.error().code(), 5U);
  }
  fs::remove(*options_.folder);
  ASSERT_EQ(::symlink(base_.c_str(), options_.folder->c_str()), 0);
  EXPECT_EQ(find_fault(), faults::kFolderUntrusted.id);
  fs::remove(*options_.folder);
  write(*options_.folder, "a file");
  EXPECT_EQ(find_fault(), faults::kFolderUntrusted.id);
  if (::geteuid() != 0) GTEST_SKIP() << "the folder of another user needs root to make";
  fs::remove(*options_.folder);
  make_folder();
  ASSERT_EQ(::chown(options_.folder->c_str(), kStranger, kStranger), 0);
  EXPECT_EQ(find_fault(), faults::kFolderUntrusted.id);
}

TEST_F(Registry, DamageMattersOnlyInALiveRecord) {
  make_folder();
  const std::string good = format_record(record());
  std::string newer = good;
  newer.replace(newer.find("handshake=3"), 11, "handshake=4");
  for (const std::string& text :
       {std::string(), std::string("garbage"), good.substr(0, good.size() - 4), newer,
        format_record(record({9, 9})),  // another image's record under this image's name
        std::string(kMostRecordBytes + 1, 'x'), good + std::string(kMostRecordBytes, '\n')}) {
    write(path_of(), text);
    EXPECT_EQ(find_fault(), "none") << "stale, so it does not matter what it says";
    const UniqueFd lock = hold(path_of());
    const auto found = find();
    ASSERT_FALSE(found) << text.substr(0, 200);
    EXPECT_EQ(found.error().id(), faults::kRecordUnreadable.id);
    EXPECT_EQ(found.error().code(), 32U);
  }
  write(path_of(), good);
  const UniqueFd lock = hold(path_of());
  EXPECT_EQ(find().value_or(std::nullopt), record());
}

TEST_F(Registry, ATooLongPathIsRefused) {
  AttachmentRecord longest = record();
  longest.image_path = std::string(4096, '\n');
  EXPECT_TRUE(publish(longest, options_)) << "PATH_MAX bytes fit, whatever they are";
  longest.image_path = std::string(kMostRecordBytes, 'x');
  const auto published = publish(longest, options_);
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().id(), faults::kRecordLimits.id);
}

TEST_F(Registry, AMissingOrUnusableFolderIsSaid) {
  RegistryOptions nowhere;
  nowhere.folder = base_ + "/a/b/c";
  const auto published = publish(record(), nowhere);
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().id(), "io.not_found");
}

// The environment, read in children of their own: it names the folder, and a user without one is told what to
// set.
TEST_F(Registry, TheEnvironmentNamesTheFolder) {
  const auto in_child = [](auto body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body() ? 0 : 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  EXPECT_TRUE(in_child([this] {
    ::setenv("VDISK_RUNTIME_DIR", options_.folder->c_str(), 1);
    const auto published = publish(record());
    return published && fs::exists(path_of()) && find_attachment(kImage).value_or(std::nullopt) == record();
  }));
  if (::geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  fs::remove(*options_.folder);  // root's, from above
  ASSERT_EQ(::chown(base_.c_str(), kStranger, kStranger), 0);
  EXPECT_TRUE(in_child([this] {
    if (::setresuid(kStranger, kStranger, kStranger) != 0) return false;
    ::unsetenv("VDISK_RUNTIME_DIR");
    ::setenv("XDG_RUNTIME_DIR", base_.c_str(), 1);
    const auto published = publish(record());
    return published && fs::exists(path_of()) && find_attachment(kImage).value_or(std::nullopt) == record();
  }));
  EXPECT_TRUE(in_child([] {
    if (::setresuid(kStranger, kStranger, kStranger) != 0) return false;
    ::unsetenv("VDISK_RUNTIME_DIR");
    ::unsetenv("XDG_RUNTIME_DIR");
    const auto published = publish(record());
    const auto found = find_attachment(kImage);
    return !published && published.error().id() == faults::kNoFolder.id && found && !*found;
  }));
}

// A record that is never settled: its publisher's folder entry is replaced under the reader's and writer's
// hands.
TEST_F(Registry, AStaleRecordThatSomeoneElseIsHealingIsBusy) {
  make_folder();
  write(path_of(), format_record(record()));
  UniqueFd healer(::open(path_of().c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_start = 1;
  lock.l_len = 1;
  ASSERT_EQ(::fcntl(healer.get(), F_OFD_SETLK, &lock), 0);
  const auto published = publish(record(), options_);
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().id(), faults::kRegistryBusy.id);
  EXPECT_EQ(find_fault(), "none") << "a reader does not mistake the healer for the living";
  EXPECT_EQ(entries(), 1U);
}

TEST(RecordText, RoundTripsAndIsStrict) {
  AttachmentRecord record;
  record.image_path = "/a=b%c\td";
  record.image = {UINT64_MAX, 0};
  record.process = 3;
  const std::string text = format_record(record);
  EXPECT_EQ(parse_record(text), record);
  EXPECT_THAT(text, HasSubstr("image=/a=b%25c%09d\n"));
  EXPECT_EQ(parse_record(text + "later_key=whatever\n"), record) << "unknown keys are for later versions";

  const auto with = [&text](std::string_view from, std::string_view to) {
    std::string changed = text;
    const auto at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    return parse_record(changed);
  };
  EXPECT_FALSE(with("vdisk-attachment 1", "vdisk-attachment 2"));
  EXPECT_FALSE(with("read_only=0", "read_only=2"));
  EXPECT_FALSE(with("read_only=0", "read_only="));
  EXPECT_FALSE(with("permanent=0\n", ""));
  EXPECT_FALSE(with("permanent=0", "permanent=0\npermanent=0"));
  EXPECT_FALSE(with("image_inode=0", "image_inode=-1"));
  EXPECT_FALSE(with("image_inode=0", "image_inode=18446744073709551616"));
  EXPECT_FALSE(with("image_inode=0", "image_inode=0x1"));
  EXPECT_FALSE(with("handshake=3", "handshake=4294967296"));
  EXPECT_FALSE(with("%25c", "%2"));
  EXPECT_FALSE(with("%25", "%zz"));
  EXPECT_FALSE(with("%25", "%00"));
  EXPECT_FALSE(with("%09", "\t"));
  EXPECT_FALSE(with("process=3\n", "process=3"));
  EXPECT_FALSE(with("process=3\n", "process=3\nno equals sign\n"));
  EXPECT_FALSE(parse_record(""));
}

}  // namespace
}  // namespace vdisk::attach
