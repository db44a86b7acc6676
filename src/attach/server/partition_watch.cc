// SPDX-License-Identifier: Apache-2.0
#include "attach/server/partition_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "attach/block_nodes.h"
#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

Result<filesystem::PartitionTable> read_table(const ProvidedDevice& device, const AttachmentInfo& info) {
  const filesystem::DiskReader read = [&device](DiskOffset at, std::span<std::byte> into) -> Status {
    while (!into.empty()) {
      const ssize_t got = ::pread(device.fd(), into.data(), into.size(), static_cast<off_t>(at.bytes));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return fail_errno(faults::kDevice, got < 0 ? errno : EIO, "reading {}", device.node());
      into = into.subspan(static_cast<std::size_t>(got));
      at.bytes += static_cast<std::uint64_t>(got);
    }
    return {};
  };
  return filesystem::read_partition_table(read, info.size_bytes, info.logical_sector_bytes);
}

}  // namespace

std::vector<std::string> follow_table(const ProvidedDevice& device, const AttachmentInfo& info,
                                      std::vector<std::string>& refused) {
  const auto table = read_table(device, info);
  if (!table) {
    refused.push_back(table.error().message());
    return partitions_of(device.node());
  }
  if (table->damage) refused.push_back(table->damage->message());
  return update_partitions(device.fd(), device.node(), *table, refused);
}

PartitionWatch::PartitionWatch(const std::string& node, bool changed)
    : events_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), wanted_(changed) {
  if (events_ && ::inotify_add_watch(events_.get(), node.c_str(), IN_CLOSE_WRITE) < 0) events_.reset();
}

bool PartitionWatch::take_events() noexcept {
  alignas(inotify_event) std::array<char, 4096> buffer;
  bool any = false;
  while (events_ && ::read(events_.get(), buffer.data(), buffer.size()) > 0) any = true;
  return any;
}

bool PartitionWatch::look(const ProvidedDevice& device, const AttachmentInfo& info) {
  wanted_ = take_events() || wanted_;
  bool ended = false;
  if (reader_.started()) {
    pollfd poll{.fd = reader_.ended_fd(), .events = POLLIN, .revents = 0};
    if (::poll(&poll, 1, 0) <= 0) return false;
    reader_.finish();
    ended = true;
  }
  if (std::exchange(wanted_, false)) {
    reader_ = DeviceReader(device.fd(), [&] {
      std::vector<std::string> refused;  // nobody is there to be told
      follow_table(device, info, refused);
      return 0;
    });
  }
  return ended;
}

}  // namespace vdisk::attach
