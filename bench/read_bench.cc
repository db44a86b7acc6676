// SPDX-License-Identifier: Apache-2.0
//
// bench_read FOLDER [benchmark options]: reads through vdisk beside plain pread of the same bytes of the same files.
// Each pair shares its name: "4k/vhd/pread" and "4k/vhd/vdisk". bench/run turns pairs into ratios.
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

/// A disk, and where in which file its places are.
struct Subject {
  vdisk::Disk disk;
  vdisk::UniqueFd fd;  // the file that holds the data
  std::vector<std::uint64_t> disk_at;
  std::vector<std::uint64_t> file_at;
};

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

/// Places of `length` bytes that lie in one piece in one file; all of them in `data_file`.
Subject prepare(const std::string& folder, const std::string& image, const std::string& data_file, std::size_t length) {
  auto disk = vdisk::Disk::open(folder + "/" + image);
  if (!disk) die(disk.error().message());
  Subject subject{std::move(*disk), vdisk::UniqueFd(::open((folder + "/" + data_file).c_str(), O_RDONLY | O_CLOEXEC)), {}, {}};
  if (subject.fd.get() < 0) die(data_file);
  std::mt19937_64 random(1);  // NOLINT: the same places in every run
  const std::uint64_t units = subject.disk.geometry().virtual_size_bytes / length;
  std::vector<vdisk::Extent> extents;
  for (int tries = 0; subject.disk_at.size() < kPlaces && tries < 1000000; ++tries) {
    const std::uint64_t at = random() % units * length;
    extents.clear();
    const auto covered = subject.disk.extents({vdisk::DiskOffset{at}, length}, extents);
    if (!covered) die(covered.error().message());
    if (extents.size() != 1 || extents[0].range.length != length || extents[0].source != vdisk::Extent::Source::kData) continue;
    subject.disk_at.push_back(at);
    subject.file_at.push_back(extents[0].from.bytes);
  }
  if (subject.disk_at.size() < kPlaces) die(image + ": too little data in one piece");
  std::vector<std::byte> a(length);
  std::vector<std::byte> b(length);
  for (std::size_t i = 0; i < kPlaces; ++i) {  // into the cache; and both ways must show the same bytes
    if (!subject.disk.read(vdisk::DiskOffset{subject.disk_at[i]}, a)) die(image + ": read");
    if (::pread(subject.fd.get(), b.data(), length, static_cast<off_t>(subject.file_at[i])) != static_cast<ssize_t>(length)) die("pread");
    if (a != b) die(fmt::format("{}: differs at {}", image, subject.disk_at[i]));
  }
  return subject;
}

void add_pair(const std::string& name, const std::string& folder, const std::string& image, const std::string& data_file,
              std::size_t length) {
  auto* subject = new Subject(prepare(folder, image, data_file, length));  // NOLINT: lives as long as the program
  benchmark::RegisterBenchmark((name + "/pread").c_str(), [subject, length](benchmark::State& state) {
    std::vector<std::byte> buffer(length);
    std::size_t i = 0;
    for (auto _ : state) {
      const ssize_t got = ::pread(subject->fd.get(), buffer.data(), length, static_cast<off_t>(subject->file_at[i]));
      benchmark::DoNotOptimize(got);
      i = (i + 1) % kPlaces;
    }
  });
  benchmark::RegisterBenchmark((name + "/vdisk").c_str(), [subject, length](benchmark::State& state) {
    std::vector<std::byte> buffer(length);
    std::size_t i = 0;
    for (auto _ : state) {
      const vdisk::Status status = subject->disk.read(vdisk::DiskOffset{subject->disk_at[i]}, buffer);
      if (!status) state.SkipWithError("read failed");
      i = (i + 1) % kPlaces;
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) die("usage: bench_read FOLDER [benchmark options]");
  const std::string folder = argv[1];
  for (const auto& [size_name, length] : {std::pair{"4k", std::size_t{4096}}, std::pair{"1m", std::size_t{1} << 20}}) {
    const auto name = [&](const char* what) { return fmt::format("{}/{}", size_name, what); };
    add_pair(name("vhd-fixed"), folder, "fixed.vhd", "fixed.vhd", length);
    add_pair(name("vhd-dynamic"), folder, "dynamic.vhd", "dynamic.vhd", length);
    add_pair(name("vhdx"), folder, "dynamic.vhdx", "dynamic.vhdx", length);
    add_pair(name("ten-layers"), folder, "layer10.vhdx", "dynamic.vhdx", length);
  }
  --argc;
  ++argv;
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
