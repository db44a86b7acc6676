// SPDX-License-Identifier: Apache-2.0
#include "base/fault_ledger.h"

#ifdef VDISK_FAULT_LEDGER

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

namespace vdisk {

void record_fault_in_ledger(std::string_view id) noexcept {
  static const char* const path = std::getenv("VDISK_FAULT_LEDGER");
  if (path == nullptr) return;
  try {
    static std::mutex mutex;
    static std::set<std::string, std::less<>> seen;
    const std::lock_guard lock(mutex);
    if (!seen.emplace(id).second) return;
    const std::string line = std::string(id) + "\n";
    // Kept open: a test that uses up the file descriptors provokes a fault too.
    static const int fd = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return;
    // One short append is atomic among the test processes that share the ledger.
    [[maybe_unused]] const ssize_t written = ::write(fd, line.data(), line.size());
  } catch (...) {  // A lost line shows as a row that no test provokes.
  }
}

}  // namespace vdisk

#endif
