// SPDX-License-Identifier: Apache-2.0
#include "testing/temp_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "io/memory_file.h"

namespace vdisk::testing {

namespace fs = std::filesystem;

TempFolder::TempFolder() {
  std::error_code error;
  std::string name = fs::temp_directory_path(error).string() + "/vdisk_test_XXXXXX";
  VDISK_ASSERT(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TempFolder::save(const std::string& name, File& file) const {
  const std::string target = path(name);
  fs::create_directories(fs::path(target).parent_path());
  save_sparse(file, target);
  return target;
}

std::string TempFolder::save(const std::string& name, std::span<const std::byte> bytes) const {
  MemoryFile file(bytes);
  return save(name, file);
}

std::size_t TempFolder::count() const {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(path_), {}));
}

void save_sparse(File& file, const std::string& path) {
  ::unlink(path.c_str());
  const UniqueFd fd(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
  VDISK_ASSERT(fd);
  const std::uint64_t size = file.size().value();
  VDISK_ASSERT(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  std::vector<std::byte> piece(1 << 20);
  for (std::uint64_t at = file.next_data({0}).value().bytes; at < size;) {
    const std::uint64_t end = std::min(file.next_hole({at}).value().bytes, size);
    while (at < end) {
      const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), end - at));
      VDISK_ASSERT(read_exactly(file, {at}, std::span(piece).first(length)).has_value());
      VDISK_ASSERT(::pwrite(fd.get(), piece.data(), length, static_cast<off_t>(at)) ==
                   static_cast<ssize_t>(length));
      at += length;
    }
    at = file.next_data({at}).value().bytes;
  }
}

FileState state_of(const std::string& path) {
  FileState state;
  struct stat facts{};
  VDISK_ASSERT(::stat(path.c_str(), &facts) == 0);
  const auto nanoseconds = [](const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  state.mtime_nanoseconds = nanoseconds(facts.st_mtim);
  state.atime_nanoseconds = nanoseconds(facts.st_atim);
  state.ctime_nanoseconds = nanoseconds(facts.st_ctim);
  state.bytes.resize(static_cast<std::size_t>(facts.st_size));
  // Looking must not change what is looked at.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOATIME));
  VDISK_ASSERT(fd);
  for (std::size_t done = 0; done < state.bytes.size();) {
    const ssize_t got =
        ::pread(fd.get(), state.bytes.data() + done, state.bytes.size() - done, static_cast<off_t>(done));
    VDISK_ASSERT(got > 0);
    done += static_cast<std::size_t>(got);
  }
  return state;
}

}  // namespace vdisk::testing
