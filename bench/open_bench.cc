// SPDX-License-Identifier: Apache-2.0
//
// bench_open [IMAGE]: opens IMAGE (nothing, without one) and prints microseconds of the fastest of 100 opens, and the most
// memory that the process ever held resident, in KiB.
#include <fmt/format.h>
#include <sys/resource.h>
#include <vdisk/disk.h>

#include <algorithm>
#include <chrono>
#include <limits>

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  double best_us = argc > 1 ? std::numeric_limits<double>::max() : 0;
  for (int i = 0; argc > 1 && i < 100; ++i) {
    const auto begin = Clock::now();
    const auto disk = vdisk::Disk::open(argv[1]);
    const auto end = Clock::now();
    if (!disk) {
      fmt::print(stderr, "{}\n", disk.error().message());
      return 1;
    }
    best_us = std::min(best_us, std::chrono::duration<double, std::micro>(end - begin).count());
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("{:.1f} {}\n", best_us, usage.ru_maxrss);
  return 0;
}
