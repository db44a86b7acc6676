// SPDX-License-Identifier: Apache-2.0
//
// An image served for a test: made, opened, mounted without a place, answered by a thread.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <vdisk/disk.h>
#include <vdisk/operations.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/fault.h"
#include "serve/fuse/fuse_server.h"
#include "serve/fuse/mount.h"
#include "testing/temp_folder.h"

namespace vdisk::serve {

/// Why FUSE mounts without a place cannot be tested here; "" where they can.
inline std::string no_hidden_mounts() {
  const auto connection = connect_hidden(false);
  return connection ? "" : "this machine cannot serve FUSE: " + connection.error().message();
}

#define SKIP_WITHOUT_FUSE()                     \
  do {                                          \
    const std::string why = no_hidden_mounts(); \
    if (!why.empty()) GTEST_SKIP() << why;      \
  } while (false)

inline Disk make_disk(const std::string& path, const CreateOptions& create_options, bool direct = false) {
  const Status made = create(path, create_options);
  EXPECT_TRUE(made) << (made ? "" : made.error().message());
  OpenOptions options;
  options.writable = true;
  options.direct_io = direct;
  auto disk = Disk::open(path, options);
  EXPECT_TRUE(disk) << (disk ? "" : disk.error().message());
  return *std::move(disk);
}

inline CreateOptions dynamic_disk(FormatId format, std::uint64_t bytes, std::uint32_t block_bytes = 0) {
  CreateOptions options;
  options.format = format;
  options.type = DiskType::kDynamic;
  options.virtual_size_bytes = bytes;
  options.block_bytes = block_bytes;
  return options;
}

/// One disk as `disk.raw`, and more files on demand. Unmounts and ends the server at its end.
class ServedForTest {
 public:
  explicit ServedForTest(const Disk& disk, std::vector<ServedFile> more = {}, bool read_only = false,
                         const FuseServerOptions& how = {}) {
    std::vector<ServedFile> files = {
        {"disk.raw", &disk, {{}, disk.geometry().virtual_size_bytes}, read_only}};
    files.insert(files.end(), more.begin(), more.end());
    auto connection = connect_hidden(read_only);
    EXPECT_TRUE(connection) << (connection ? "" : connection.error().message());
    connection_ = *std::move(connection);
    server_.emplace(connection_.device.get(), std::move(files), how);
    thread_ = std::thread([this] { result_ = server_->run(); });
  }
  ~ServedForTest() {
    if (thread_.joinable()) static_cast<void>(end());
  }
  ServedForTest(const ServedForTest&) = delete;
  ServedForTest& operator=(const ServedForTest&) = delete;

  UniqueFd open(int flags, const char* name = "disk.raw") const {
    return UniqueFd(::openat(connection_.mount.get(), name, flags | O_CLOEXEC));
  }
  int folder() const noexcept { return connection_.mount.get(); }
  FuseServer& server() noexcept { return *server_; }
  /// Drops the mount, so that the server finds its connection gone once all files are closed.
  Status end() {
    connection_.mount.reset();
    return wait();
  }
  Status wait() {
    thread_.join();
    return result_;
  }

 private:
  FuseConnection connection_;
  std::optional<FuseServer> server_;
  std::thread thread_;
  Status result_;
};

}  // namespace vdisk::serve
