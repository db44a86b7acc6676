// SPDX-License-Identifier: Apache-2.0
#include "io/direct_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdint>

#include "base/checked.h"

namespace vdisk {

DirectWriter::DirectWriter(File& file) : file_(file) {
  if (file.fd() < 0 || !file.writable()) return;
  // A description of its own: the file's other users keep the page cache.
  fd_ = UniqueFd(::open(fmt::format("/proc/self/fd/{}", file.fd()).c_str(),
                        O_WRONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

Status DirectWriter::write(FileOffset at, std::span<const std::byte> from) {
  const bool aligned = is_multiple(at.bytes, kAlignmentBytes) &&
                       is_multiple(std::bit_cast<std::uintptr_t>(from.data()), kAlignmentBytes);
  if (!direct() || !aligned || from.size() < kLeastBytes) return file_.write(at, from);
  const std::size_t done = write_direct(at, from.first(round_down(from.size(), kAlignmentBytes)));
  if (done == from.size()) return {};
  // The tail; or what a host refuses, for which the ordinary write has the words.
  return file_.write(FileOffset{at.bytes + done}, from.subspan(done));
}

/// The bytes that were written, a multiple of the alignment.
std::size_t DirectWriter::write_direct(FileOffset at, std::span<const std::byte> from) {
  std::size_t done = 0;
  while (done < from.size()) {
    const ssize_t put =
        ::pwrite(fd_.get(), from.data() + done, from.size() - done, static_cast<off_t>(at.bytes + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EINVAL) refused_.store(true, std::memory_order_relaxed);
    if (put <= 0) break;
    done += round_down(static_cast<std::size_t>(put), kAlignmentBytes);
    if (!is_multiple(static_cast<std::size_t>(put), kAlignmentBytes)) break;
  }
  return done;
}

}  // namespace vdisk
