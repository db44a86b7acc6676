// SPDX-License-Identifier: Apache-2.0
#include "serve/fuse/file_mount.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "filesystem/partition_table.h"
#include "serve/fuse/closing_report.h"
#include "serve/fuse/faults.h"
#include "serve/fuse/fuse_server.h"
#include "serve/fuse/mount.h"

namespace vdisk::serve {

namespace {

constexpr std::chrono::milliseconds kCancellationIsSeenWithin{200};

void warn(const TraceSink& trace, const std::string& text) {
  if (trace) trace(TraceLevel::kWarning, text);
}

/// What the table says, as far as it can be used: a damaged one costs the partitions' files, not the disk's.
Result<std::vector<ServedFile>> files_of(const Disk& disk, const std::string& image,
                                         const FileMountOptions& options) {
  const bool read_only = !options.open.writable;
  const std::uint64_t size = disk.geometry().virtual_size_bytes;
  const std::uint32_t sector = disk.geometry().logical_sector_bytes;
  std::vector<ServedFile> files = {{"disk.raw", &disk, {{}, size}, read_only}};
  const auto reader = [&](DiskOffset at, std::span<std::byte> into) { return disk.read(at, into); };
  const auto table = VDISK_TRY(filesystem::read_partition_table(reader, size, sector));
  if (table.damage) warn(options.open.trace, fmt::format("{}: {}", image, table.damage->message()));
  for (const filesystem::Partition& partition : table.partitions) {
    const DiskRange& range = partition.range;
    if (partition.container || range.length == 0) continue;
    if (range.at.bytes % sector != 0 || range.length % sector != 0) {
      warn(options.open.trace,
           fmt::format("{}: partition {} does not consist of whole sectors and is left out", image,
                       partition.number));
      continue;
    }
    files.push_back({fmt::format("partition{}.raw", partition.number), &disk, range, read_only});
  }
  return files;
}

/// Unmounts when the token is cancelled, until the end of the scope.
class Watch {
 public:
  Watch(const std::string& folder, const CancellationToken& token, FuseServer& server)
      : thread_([this, &folder, &token, &server] {
          while (!done_.load()) {
            if (token.cancelled()) {
              static_cast<void>(unmount(folder, /*even_if_busy=*/true));
              return server.stop();
            }
            std::this_thread::sleep_for(kCancellationIsSeenWithin);
          }
        }) {}
  ~Watch() { done_.store(true); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  std::atomic<bool> done_{false};
  std::jthread thread_;
};

}  // namespace

Status mount_as_files(const std::string& image, const std::string& folder, const FileMountOptions& options) {
  Disk disk = VDISK_TRY(Disk::open(image, options.open));
  std::vector<ServedFile> files = VDISK_TRY(files_of(disk, image, options));
  // The server leaves the folder it was started from, which somebody may want to unmount.
  std::error_code error;
  const std::string place = std::filesystem::absolute(folder, error).string();
  FuseConnection connection = VDISK_TRY(mount_at(place, image, !options.open.writable, options.shared));
  const unsigned number = VDISK_TRY(connection_at(place));
  ClosingReport report(options.closing_name.empty() ? closing_name(number) : options.closing_name);
  FuseServerOptions how;
  how.trace = options.open.trace;
  Status served;
  {
    FuseServer server(connection.device.get(), std::move(files), how);
    options.ready();
    const Watch watch(place, options.cancellation, server);
    served = server.run();
  }
  Status closed = disk.close();
  // Whoever hears of it may open the image: its lock goes first.
  {
    const Disk gone = std::move(disk);
  }
  report.tell(closed ? served : closed);
  VDISK_TRY(std::move(closed));
  return served;
}

Status unmount_files(const std::string& folder) {
  const unsigned connection = VDISK_TRY(connection_at(folder));
  return unmount_files(folder, closing_name(connection));
}

Status unmount_files(const std::string& folder, const std::string& closing_name) {
  ClosingWait wait(closing_name);
  VDISK_TRY(unmount(folder));
  if (!wait.called()) {
    return fail(faults::kClosing,
                "{}: unmounted; its server was gone before, so the image is as after a crash: vdisk "
                "check tells how it is",
                folder);
  }
  return wait.wait(folder);
}

}  // namespace vdisk::serve
