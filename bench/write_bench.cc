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

/// Brings the places anew into the page cache, page by page. What the kernel caches in large folios (as it does with what was
/// written in large pieces) costs more to overwrite, by far more than any of the ways that are compared here.
void cache_in_pages(const std::string& path, const std::vector<std::uint64_t>& file_places) {
  const vdisk::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) die(path);
  if (::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) != 0 || ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM) != 0) die(path);
  std::vector<std::byte> page(kLength);
  for (const std::uint64_t at : file_places) {
    if (::pread(fd.get(), page.data(), page.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(kLength)) die(path);
  }
}

std::vector<std::uint64_t> places_in_file(const vdisk::Disk& disk, const std::vector<std::uint64_t>& places) {
  std::vector<std::uint64_t> file_places;
  std::vector<vdisk::Extent> extents;
  for (const std::uint64_t at : places) {
    extents.clear();
    const auto covered = disk.extents({vdisk::DiskOffset{at}, kLength}, extents);
    if (!covered || extents.size() != 1 || extents[0].source != vdisk::Extent::Source::kData) die("a place is not allocated");
    file_places.push_back(extents[0].from.bytes);
  }
  return file_places;
}

void add_raw(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);  // NOLINT: lives as long as the program
  if (fd < 0) die(path);
  const auto places = random_places(static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_END)));
  cache_in_pages(path, places);
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
  cache_in_pages(path, places_in_file(*disk, places));
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
