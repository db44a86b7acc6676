// SPDX-License-Identifier: Apache-2.0
#include "cli/mounted_at.h"

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::cli {

Result<std::optional<MountEntry>> mounted_at(const std::string& folder) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(folder.c_str(), nullptr), ::free);
  if (!real) return fail_errno(attach::faults::kMountRefused, errno, "{}", folder);
  std::optional<MountEntry> top;
  for (MountEntry& mount : parse_mountinfo(read_mountinfo())) {
    if (mount.mount_point == real.get()) top = std::move(mount);
  }
  return top;
}

}  // namespace vdisk::cli
