// SPDX-License-Identifier: Apache-2.0
#include "attach/at_boot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/crc32c.h"
#include "base/fault.h"
#include "base/unique_fd.h"
#include "io/faults.h"
#include "io/posix_file.h"

namespace vdisk::attach {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".at-boot";

fs::path state_folder() {
  const char* named = ::secure_getenv("VDISK_STATE_DIR");
  return named != nullptr && named[0] == '/' ? named : "/var/lib/vdisk";
}

/// One file per path; the name need only tell paths apart, and the content says which it is.
fs::path file_of(const std::string& image_path) {
  const auto bytes = std::as_bytes(std::span(image_path.data(), image_path.size()));
  return state_folder() / fmt::format("{}-{:08x}{}", fs::path(image_path).filename().string().substr(0, 100),
                                      crc32c(bytes), kSuffix);
}

std::optional<AttachRequest> read_request(const fs::path& path) {
  struct stat status{};
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  // What someone else can write is not to be attached by root.
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid() ||
      (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return std::nullopt;
  }
  std::ifstream file(fmt::format("/proc/self/fd/{}", fd.get()));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto fields = Fields::parse(text);
  return fields ? parse_request(*fields) : std::nullopt;
}

}  // namespace

Status remember_at_boot(const AttachRequest& request) {
  const fs::path path = file_of(request.path);
  const std::string fresh = path.string() + ".new";
  if (::mkdir(state_folder().c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno(io::faults::fault_for_errno(errno), errno, "making {}", state_folder().string());
  }
  const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  const std::string text = to_fields(request).format();
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(fd.get()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(fresh.c_str());
    return fail_errno(io::faults::fault_for_errno(error), error, "writing {}", path.string());
  }
  return flush_parent_directory(path);
}

Status forget_at_boot(const std::string& image_path) {
  const fs::path path = file_of(image_path);
  if (::unlink(path.c_str()) == 0) return flush_parent_directory(path);
  if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) return {};
  return fail_errno(io::faults::fault_for_errno(errno), errno, "removing {}", path.string());
}

std::vector<AttachRequest> remembered_at_boot() {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(state_folder(), error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().string().ends_with(kSuffix)) paths.push_back(entry->path());
  }
  std::ranges::sort(paths);
  std::vector<AttachRequest> requests;
  for (const fs::path& path : paths) {
    if (auto request = read_request(path)) requests.push_back(*std::move(request));
  }
  return requests;
}

}  // namespace vdisk::attach
