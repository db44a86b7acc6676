// SPDX-License-Identifier: Apache-2.0
//
// A client of the C++ API, linked with the archive.
// tidy: not built here (tests/packages_test.sh builds it against the installed packages)
#include <vdisk/disk.h>
#include <vdisk/operations.h>
#include <vdisk/version.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const vdisk::Result<vdisk::Disk> disk = vdisk::Disk::open(argv[1]);
  if (disk) return 1;
  std::printf("%s: %s\n", VDISK_VERSION_STRING, disk.error().message().c_str());
  return disk.error().code() == 0 ? 1 : 0;
}
