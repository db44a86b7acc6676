// SPDX-License-Identifier: Apache-2.0
//
// Serves an image at a folder as an attachment's server does: fuse_serve IMAGE DIR. Ends with SIGTERM
// or umount.
#include <vdisk/disk.h>

#include <csignal>
#include <cstdio>

#include "serve/fuse/fuse_server.h"
#include "serve/fuse/mount.h"
#include "serve/memory.h"

namespace {

vdisk::serve::FuseServer* server = nullptr;

int fail_with(const vdisk::Error& error) {
  std::fprintf(stderr, "fuse_serve: %s\n", error.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: fuse_serve IMAGE DIR\n", stderr);
    return 2;
  }
  vdisk::serve::prepare_for_short_memory();
  vdisk::OpenOptions options;
  options.writable = true;
  options.direct_io = true;
  auto disk = vdisk::Disk::open(argv[1], options);
  if (!disk) return fail_with(disk.error());
  const auto connection = vdisk::serve::mount_at(argv[2], argv[1], false);
  if (!connection) return fail_with(connection.error());
  vdisk::serve::FuseServer made(connection->device.get(),
                                {{"disk.raw", &*disk, {{}, disk->geometry().virtual_size_bytes}, false}}, {});
  server = &made;
  std::signal(SIGTERM, [](int) { server->stop(); });
  if (const auto status = made.run(); !status) return fail_with(status.error());
  if (const auto status = disk->close(); !status) return fail_with(status.error());
  return 0;
}
