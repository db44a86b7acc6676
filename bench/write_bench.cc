// SPDX-License-Identifier: Apache-2.0
//
// bench_write FOLDER [benchmark options]: overwrites 4 KiB at random places of a raw file by plain pwrite, and at the same
// places of disks of the same size through vdisk; all of it is allocated and cached. bench/run turns pairs into ratios.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <vdisk/disk.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace {

constexpr std::size_t kPlaces = 4096;
constexpr std::size_t kLength = 4096;

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

std::vector<std::uint64_t> random_places(std::uint64_t size) {
  std::mt19937_64 random(1);  // NOLINT: the same places in every run
  std::vector<std::uint64_t> places(kPlaces);
  for (std::uint64_t& place : places) place = random() % (size / kLength) * kLength;
  return places;
}

void add_raw(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);  // NOLINT: lives as long as the program
  if (fd < 0) die(path);
  const auto places = random_places(static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_END)));
  benchmark::RegisterBenchmark("raw", [fd, places](benchmark::State& state) {
    const std::vector<std::byte> bytes(kLength, std::byte{0x5A});
    std::size_t i = 0;
    for (auto _ : state) {
      const ssize_t put = ::pwrite(fd, bytes.data(), kLength, static_cast<off_t>(places[i]));
      benchmark::DoNotOptimize(put);
      i = (i + 1) % kPlaces;
    }
  });
}

void add_disk(const std::string& name, const std::string& path) {
  vdisk::OpenOptions options;
  options.writable = true;
  auto opened = vdisk::Disk::open(path, options);
  if (!opened) die(opened.error().message());
  auto* disk = new vdisk::Disk(*std::move(opened));  // NOLINT: lives as long as the program
  const auto places = random_places(disk->geometry().virtual_size_bytes);
  benchmark::RegisterBenchmark(name.c_str(), [disk, places](benchmark::State& state) {
    const std::vector<std::byte> bytes(kLength, std::byte{0x5A});
    std::size_t i = 0;
    for (auto _ : state) {
      const vdisk::Status status = disk->write(vdisk::DiskOffset{places[i]}, bytes);
      if (!status) state.SkipWithError("write failed");
      i = (i + 1) % kPlaces;
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) die("usage: bench_write FOLDER [benchmark options]");
  const std::string folder = argv[1];
  add_raw(folder + "/write.raw");
  add_disk("vhd-dynamic", folder + "/write.vhd");
  add_disk("vhdx", folder + "/write.vhdx");
  --argc;
  ++argv;
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
