// SPDX-License-Identifier: Apache-2.0
//
// Does to one file whatever a program may do to a file, at random, and compares everything that it reads with
// what it remembers. What is compared comes from the device below as often as from the page cache. The first
// difference ends it with status 1, the seed, and the last operations.
//
//   file_exerciser --file PATH [--seed N] [--operations N] [--seconds N] [--most-bytes N] [--all]
//
// Of operations and seconds, the one that is reached first ends it, as SIGTERM does, with a last comparison.
// What the file system does not support is left out and named; with --all it is a failure.
#include <fcntl.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kMostOperationBytes = 256 * 1024;
constexpr std::size_t kRemembered = 40;

volatile std::sig_atomic_t must_end = 0;

struct Settings {
  std::string file;
  std::uint64_t seed = std::random_device{}();
  std::uint64_t operations = UINT64_MAX;
  std::uint64_t seconds = UINT64_MAX;
  std::uint64_t most_bytes = 8 * 1024 * 1024;
  bool all = false;
};

struct Range {
  std::uint64_t at;
  std::uint64_t length;
  std::uint64_t end() const { return at + length; }
};

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};

class Exerciser {
 public:
  explicit Exerciser(const Settings& settings)
      : settings_(settings), random_(settings.seed), model_(settings.most_bytes, 0) {
    aligned_.reset(static_cast<std::uint8_t*>(std::aligned_alloc(kPageBytes, kMostOperationBytes)));
  }

  void run() {
    std::printf("file_exerciser: %s, seed %llu\n", settings_.file.c_str(),
                static_cast<unsigned long long>(settings_.seed));
    std::fflush(stdout);
    file_ = must(::open(settings_.file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), "open");
    find_what_is_supported();
    const auto begin = std::chrono::steady_clock::now();
    const std::chrono::duration<double> enough(static_cast<double>(settings_.seconds));
    while (must_end == 0 && done_ < settings_.operations &&
           std::chrono::steady_clock::now() - begin < enough) {
      step();
      ++done_;
    }
    note("the last comparison", {0, size_});
    drop_cache();
    compare_all();
    must(::close(file_), "close");
    std::printf("file_exerciser: %llu operations, %llu MiB written, %llu MiB compared, no difference\n",
                static_cast<unsigned long long>(done_), static_cast<unsigned long long>(written_ >> 20),
                static_cast<unsigned long long>(compared_ >> 20));
  }

 private:
  using Bytes = std::span<std::uint8_t>;
  struct Operation {
    const char* name;
    int weight;
    bool (Exerciser::*act)();  ///< False: the file system does not know it.
    bool optional;
  };

  static const std::array<Operation, 16> kOperations;

  [[noreturn]] void fail(const std::string& what) {
    std::printf("file_exerciser: FAILED at operation %llu of seed %llu: %s\nthe last operations:\n",
                static_cast<unsigned long long>(done_), static_cast<unsigned long long>(settings_.seed),
                what.c_str());
    for (const std::string& line : last_) std::printf("  %s\n", line.c_str());
    std::fflush(stdout);
    std::_Exit(EXIT_FAILURE);
  }

  template <class Number>
  Number must(Number result, const char* what) {
    if (result < 0) fail(std::string(what) + ": " + std::strerror(errno));
    return result;
  }

  static bool unknown_here() { return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL; }

  void note(const char* name, Range range) {
    if (last_.size() == kRemembered) last_.pop_front();
    std::array<char, 128> line;
    std::snprintf(line.data(), line.size(), "%llu %s [%#llx, %#llx), file %#llx",
                  static_cast<unsigned long long>(done_), name, static_cast<unsigned long long>(range.at),
                  static_cast<unsigned long long>(range.end()), static_cast<unsigned long long>(size_));
    last_.emplace_back(line.data());
  }

  std::uint64_t below(std::uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }

  /// A range that begins before `limit` and ends by it; often of whole sectors or pages, mostly small.
  Range any_range(std::uint64_t limit) {
    static constexpr std::array<std::uint64_t, 3> kUnits{1, 512, kPageBytes};
    const std::uint64_t unit = kUnits[below(kUnits.size())];
    const std::uint64_t at = below(limit) / unit * unit;
    const std::uint64_t most = below(4) == 0 ? kMostOperationBytes : 16 * 1024;
    const std::uint64_t length = (1 + below(most)) / unit * unit;
    return {at, std::min(std::max(length, unit), limit - at)};
  }

  void fill(Bytes bytes) {
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
      const std::uint64_t value = random_();
      std::memcpy(&bytes[i], &value, 8);
    }
    for (; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(random_());
  }

  Bytes model(Range range) { return Bytes(model_).subspan(range.at, range.length); }
  Bytes scratch(std::uint64_t length) { return {aligned_.get(), length}; }

  void zero_model(Range range) { std::ranges::fill(model(range), std::uint8_t{0}); }

  void compare(const char* by, std::uint64_t at, Bytes found) {
    const Bytes wanted = model({at, found.size()});
    compared_ += found.size();
    if (std::memcmp(found.data(), wanted.data(), found.size()) == 0) return;
    const auto first = std::ranges::mismatch(found, wanted).in1 - found.begin();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < found.size(); ++i) wrong += found[i] != wanted[i] ? 1 : 0;
    std::array<char, 160> text;
    std::snprintf(
        text.data(), text.size(), "%s: differs at %#llx: %#x instead of %#x; %zu of %zu bytes differ", by,
        static_cast<unsigned long long>(at) + static_cast<unsigned long long>(first),
        found[static_cast<std::size_t>(first)], wanted[static_cast<std::size_t>(first)], wrong, found.size());
    fail(text.data());
  }

  void read_exactly(int from, const char* by, Range range) {
    const Bytes into = scratch(range.length);
    for (std::uint64_t done = 0; done < range.length;) {
      const auto count =
          must(::pread(from, &into[done], range.length - done, static_cast<off_t>(range.at + done)), by);
      if (count == 0) fail(std::string(by) + ": the file ends early");
      done += static_cast<std::uint64_t>(count);
    }
    compare(by, range.at, into);
  }

  void write_exactly(int into, const char* by, Range range) {
    fill(model(range));
    const Bytes from = scratch(range.length);
    std::ranges::copy(model(range), from.begin());
    for (std::uint64_t done = 0; done < range.length;) {
      done += static_cast<std::uint64_t>(
          must(::pwrite(into, &from[done], range.length - done, static_cast<off_t>(range.at + done)), by));
    }
    grow_to(range.end());
    written_ += range.length;
  }

  void grow_to(std::uint64_t size) { size_ = std::max(size_, size); }

  // What lies past the end of the model is always zero, as it is in a file that grows.
  void resize_model(std::uint64_t size) {
    if (size < size_) zero_model({size, size_ - size});
    size_ = size;
  }

  bool read() {
    const Range range = any_range(size_);
    note("read", range);
    if (range.length != 0) read_exactly(file_, "read", range);
    return true;
  }

  bool write() {
    const Range range = any_range(settings_.most_bytes);
    note("write", range);
    write_exactly(file_, "write", range);
    return true;
  }

  bool direct(bool writes) {
    const std::uint64_t limit = writes ? settings_.most_bytes : size_;
    Range range = any_range(limit / kPageBytes * kPageBytes);
    range = {range.at / kPageBytes * kPageBytes,
             std::max(range.length / kPageBytes, std::uint64_t{1}) * kPageBytes};
    if (range.end() > limit) return true;
    note(writes ? "direct write" : "direct read", range);
    const int file = ::open(settings_.file.c_str(), (writes ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (file < 0 && unknown_here()) return false;
    must(file, "open O_DIRECT");
    if (writes) {
      write_exactly(file, "direct write", range);
    } else {
      read_exactly(file, "direct read", range);
    }
    must(::close(file), "close");
    return true;
  }
  bool direct_read() { return direct(false); }
  bool direct_write() { return direct(true); }

  /// Calls `body` with the pages around `range`, and what of the last one lies past the file's end.
  template <class Body>
  void with_mapping(Range range, Body&& body) {
    const std::uint64_t begin = range.at / kPageBytes * kPageBytes;
    void* const place = ::mmap(nullptr, range.end() - begin, PROT_READ | PROT_WRITE, MAP_SHARED, file_,
                               static_cast<off_t>(begin));
    if (place == MAP_FAILED) fail(std::string("mmap: ") + std::strerror(errno));
    auto* const bytes = static_cast<std::uint8_t*>(place);
    body(Bytes(bytes + (range.at - begin), range.length));
    if (range.end() == size_) {
      const std::uint64_t rest = (kPageBytes - size_ % kPageBytes) % kPageBytes;
      const Bytes past(bytes + (size_ - begin), rest);
      if (std::ranges::any_of(past, [](std::uint8_t byte) { return byte != 0; }))
        fail("mmap: not zero past the end");
    }
    must(::munmap(place, range.end() - begin), "munmap");
  }

  bool map_read() {
    const Range range = any_range(size_);
    note("mmap read", range);
    if (range.length == 0) return true;
    with_mapping(range, [&](Bytes bytes) { compare("mmap read", range.at, bytes); });
    return true;
  }

  bool map_write() {
    const Range range = any_range(settings_.most_bytes);
    note("mmap write", range);
    if (range.end() > size_) {
      must(::ftruncate(file_, static_cast<off_t>(range.end())), "ftruncate");
      resize_model(range.end());
    }
    fill(model(range));
    with_mapping(range, [&](Bytes bytes) {
      std::ranges::copy(model(range), bytes.begin());
      const std::uint64_t start = range.at % kPageBytes;
      if (below(2) == 0) must(::msync(bytes.data() - start, bytes.size() + start, MS_SYNC), "msync");
    });
    written_ += range.length;
    return true;
  }

  bool truncate() {
    const std::uint64_t size = any_range(settings_.most_bytes).at;
    note(size < size_ ? "truncate, shrinks" : "truncate, grows", {size, 0});
    must(::ftruncate(file_, static_cast<off_t>(size)), "ftruncate");
    resize_model(size);
    return true;
  }

  bool fallocate_range(const char* name, int mode, Range range) {
    note(name, range);
    if (::fallocate(file_, mode, static_cast<off_t>(range.at), static_cast<off_t>(range.length)) != 0) {
      if (unknown_here()) return false;
      must(-1, name);
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0) grow_to(range.end());
    return true;
  }

  bool allocate() {
    const int mode = below(2) == 0 ? FALLOC_FL_KEEP_SIZE : 0;
    return fallocate_range(mode == 0 ? "fallocate" : "fallocate, keeps size", mode,
                           any_range(settings_.most_bytes));
  }

  bool punch() {
    const Range range = any_range(settings_.most_bytes);
    if (!fallocate_range("punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range)) return false;
    zero_model(range);
    return true;
  }

  bool zero_range() {
    const Range range = any_range(settings_.most_bytes);
    const int keep = below(2) == 0 ? FALLOC_FL_KEEP_SIZE : 0;
    const char* const name = keep == 0 ? "zero range" : "zero range, keeps size";
    if (!fallocate_range(name, FALLOC_FL_ZERO_RANGE | keep, range)) return false;
    zero_model(range);
    return true;
  }

  bool copy_range() {
    const Range from = any_range(size_);
    if (from.length == 0) return true;
    const Range into{any_range(settings_.most_bytes - from.length).at, from.length};
    if (into.at < from.end() && from.at < into.end()) return true;
    note("copy range, from", from);
    note("copy range, into", into);
    for (std::uint64_t done = 0; done < from.length;) {
      off_t in = static_cast<off_t>(from.at + done);
      off_t out = static_cast<off_t>(into.at + done);
      const auto count = ::copy_file_range(file_, &in, file_, &out, from.length - done, 0);
      if (count < 0 && done == 0 && unknown_here()) return false;
      if (must(count, "copy_file_range") == 0) fail("copy_file_range: the file ends early");
      done += static_cast<std::uint64_t>(count);
    }
    std::ranges::copy(model(from), model(into).begin());
    grow_to(into.end());
    written_ += into.length;
    return true;
  }

  bool sync() {
    note("fsync", {});
    must(::fsync(file_), "fsync");
    return true;
  }

  bool data_sync() {
    note("fdatasync", {});
    must(::fdatasync(file_), "fdatasync");
    return true;
  }

  bool reopen() {
    note("reopen", {});
    must(::close(file_), "close");
    file_ = must(::open(settings_.file.c_str(), O_RDWR | O_CLOEXEC), "open");
    return true;
  }

  /// Only clean pages can be dropped, so what is read afterwards comes from the device.
  bool drop_cache() {
    note("drop cache", {});
    must(::fsync(file_), "fsync");
    const int error = ::posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED);
    if (error != 0) fail(std::string("posix_fadvise: ") + std::strerror(error));
    return true;
  }

  bool compare_all() {
    note("compare all", {0, size_});
    for (std::uint64_t at = 0; at < size_; at += kMostOperationBytes) {
      read_exactly(file_, "compare all", {at, std::min(kMostOperationBytes, size_ - at)});
    }
    return true;
  }

  void expect_size() {
    struct stat now{};
    must(::fstat(file_, &now), "fstat");
    if (static_cast<std::uint64_t>(now.st_size) == size_) return;
    fail("the file's size is " + std::to_string(now.st_size) + " instead of " + std::to_string(size_));
  }

  void find_what_is_supported() {
    write_exactly(file_, "write", {0, kMostOperationBytes});
    for (const Operation& operation : kOperations) {
      bool known = true;
      // Some of a random choice of ranges are passed over.
      for (int i = 0; operation.optional && known && i < 8; ++i) known = (this->*operation.act)();
      if (known) {
        chosen_.insert(chosen_.end(), static_cast<std::size_t>(operation.weight), &operation);
        continue;
      }
      if (settings_.all) fail(std::string(operation.name) + " is not supported here");
      std::printf("file_exerciser: not supported here: %s\n", operation.name);
    }
    expect_size();
  }

  void step() {
    const Operation& operation = *chosen_[below(chosen_.size())];
    if (!(this->*operation.act)()) must(-1, operation.name);
    expect_size();
  }

  const Settings settings_;
  std::mt19937_64 random_;
  std::vector<std::uint8_t> model_;
  std::unique_ptr<std::uint8_t, FreeDeleter> aligned_;
  std::vector<const Operation*> chosen_;
  std::deque<std::string> last_;
  int file_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t compared_ = 0;
};

constexpr std::array<Exerciser::Operation, 16> Exerciser::kOperations{{
    {"read", 20, &Exerciser::read, false},
    {"write", 20, &Exerciser::write, false},
    {"direct read", 6, &Exerciser::direct_read, true},
    {"direct write", 6, &Exerciser::direct_write, true},
    {"mmap read", 8, &Exerciser::map_read, false},
    {"mmap write", 8, &Exerciser::map_write, false},
    {"truncate", 5, &Exerciser::truncate, false},
    {"fallocate", 3, &Exerciser::allocate, true},
    {"punch", 6, &Exerciser::punch, true},
    {"zero range", 5, &Exerciser::zero_range, true},
    {"copy range", 5, &Exerciser::copy_range, true},
    {"fsync", 2, &Exerciser::sync, false},
    {"fdatasync", 2, &Exerciser::data_sync, false},
    {"reopen", 2, &Exerciser::reopen, false},
    {"drop cache", 3, &Exerciser::drop_cache, false},
    {"compare all", 1, &Exerciser::compare_all, false},
}};

int usage() {
  std::fputs(
      "usage: file_exerciser --file PATH [--seed N] [--operations N] [--seconds N] [--most-bytes N] "
      "[--all]\n",
      stderr);
  return 2;
}

bool parse(std::string_view text, std::uint64_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

int main(int argc, char** argv) {
  static constexpr std::array<option, 7> kOptions{{{"file", required_argument, nullptr, 'f'},
                                                   {"seed", required_argument, nullptr, 's'},
                                                   {"operations", required_argument, nullptr, 'o'},
                                                   {"seconds", required_argument, nullptr, 't'},
                                                   {"most-bytes", required_argument, nullptr, 'b'},
                                                   {"all", no_argument, nullptr, 'a'},
                                                   {nullptr, 0, nullptr, 0}}};
  Settings settings;
  bool good = true;
  for (int letter = 0; (letter = ::getopt_long(argc, argv, "", kOptions.data(), nullptr)) != -1;) {
    switch (letter) {
      case 'f':
        settings.file = optarg;
        break;
      case 's':
        good = good && parse(optarg, settings.seed);
        break;
      case 'o':
        good = good && parse(optarg, settings.operations);
        break;
      case 't':
        good = good && parse(optarg, settings.seconds);
        break;
      case 'b':
        good = good && parse(optarg, settings.most_bytes);
        break;
      case 'a':
        settings.all = true;
        break;
      default:
        return usage();
    }
  }
  const bool ends = settings.operations != UINT64_MAX || settings.seconds != UINT64_MAX;
  if (!good || optind != argc || settings.file.empty() || !ends ||
      settings.most_bytes < 2 * kMostOperationBytes || settings.most_bytes % kPageBytes != 0) {
    return usage();
  }
  std::signal(SIGTERM, [](int) { must_end = 1; });
  Exerciser(settings).run();
  return EXIT_SUCCESS;
}
