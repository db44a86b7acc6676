// SPDX-License-Identifier: Apache-2.0
//
// Other people's tools read what is written here. Skipped where they are not installed.
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "format/vhdx/write_crash_support.h"
#include "io/posix_file.h"

namespace vdisk::vhdx {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "vdisk-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

int run(const std::string& command) {
  const int status = std::system((command + " >/dev/null 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(WritingInterop, QemuFindsNoFaultAndReadsTheSame) {
  if (run("qemu-img --version") != 0) GTEST_SKIP() << "qemu-img is not installed";
  const Folder folder;
  const Shape shape;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const std::string path = folder / "disk.vhdx";
    const std::string raw = folder / "disk.raw";
    std::filesystem::remove(path);
    std::filesystem::remove(raw);
    std::shared_ptr<File> file = *create_posix_file(path);
    {
      // The builder's file, byte by byte, on a real file system.
      const std::shared_ptr<File> built = shape.file();
      std::vector<std::byte> bytes(*built->size());
      ASSERT_TRUE(built->read(FileOffset{0}, bytes));
      ASSERT_TRUE(file->write(FileOffset{0}, bytes));
    }
    Model model(shape.disk_bytes, shape.initial());
    Player player(shape, model);
    ASSERT_EQ(message_of(player.play(file, random_script(shape, seed, 80), nullptr)), "");
    {
      const auto image = open_shared(file);
      const auto stamps = shown_stamps(*image, 0, shape.disk_bytes);
      ASSERT_TRUE(stamps);
      ASSERT_EQ(model.compare(*image, 0, shape.disk_bytes), "");
      std::vector<std::byte> bytes(shape.disk_bytes);
      for (std::uint64_t at = 0; at < bytes.size(); at += 8) {
        store(std::span(bytes).subspan(at), Le<std::uint64_t>((*stamps)[at / kUnit]));
      }
      ASSERT_TRUE((*create_posix_file(raw))->write(FileOffset{0}, bytes));
    }
    EXPECT_EQ(check_problem(*file, true), "");
    file.reset();
    EXPECT_EQ(run("qemu-img check -f vhdx " + path), 0) << "seed " << seed;
    EXPECT_EQ(run("qemu-img compare -f vhdx -F raw " + path + " " + raw), 0) << "seed " << seed;
  }
}

// What an unclean end leaves is replayed by qemu as by us; of a log of one entry qemu is able
// (formats.md 5.2).
TEST(WritingInterop, QemuReplaysTheLogThatAKilledWriterLeaves) {
  if (run("qemu-img --version") != 0) GTEST_SKIP() << "qemu-img is not installed";
  const Folder folder;
  const Shape shape;
  const std::string path = folder / "disk.vhdx";
  std::shared_ptr<File> file = *create_posix_file(path);
  {
    const std::shared_ptr<File> built = shape.file();
    std::vector<std::byte> bytes(*built->size());
    ASSERT_TRUE(built->read(FileOffset{0}, bytes));
    ASSERT_TRUE(file->write(FileOffset{0}, bytes));
  }
  Model model(shape.disk_bytes, 0);
  {
    auto image = open_shared(file);
    ASSERT_EQ(message_of(write_image(*image, 3 * kMiB, stamped(3 * kMiB, 8192, 1))), "");
    model.write(3 * kMiB, 8192, 1);
    ASSERT_EQ(message_of(image->flush()), "");
  }  // Dies without close.
  file.reset();
  ASSERT_EQ(run("qemu-img check -r all -f vhdx " + path), 0);
  const std::shared_ptr<File> repaired =
      *open_posix_file(path, {.writable = true, .lock = true, .allow_block_device = false, .trace = {}});
  const auto image = open_shared(repaired);
  EXPECT_FALSE(image->properties().dirty_log);
  EXPECT_EQ(model.compare(*image, 0, shape.disk_bytes), "");
}

}  // namespace
}  // namespace vdisk::vhdx
