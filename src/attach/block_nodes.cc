// SPDX-License-Identifier: Apache-2.0
#include "attach/block_nodes.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <sstream>

#include "attach/faults.h"
#include "base/fault.h"

namespace vdisk::attach {

std::string base_name(const std::string& node) { return node.substr(node.rfind('/') + 1); }

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestSectorBytes = 4096;

std::optional<dev_t> block_number(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
  return status.st_rdev;
}

std::string read_word(const fs::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

/// "259:3".
std::optional<dev_t> parse_device_number(const std::string& text) {
  unsigned numbers[2] = {};
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto first = std::from_chars(at, end, numbers[0]);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return std::nullopt;
  if (std::from_chars(first.ptr + 1, end, numbers[1]).ec != std::errc{}) return std::nullopt;
  return makedev(numbers[0], numbers[1]);
}

template <class Visit>
void for_each_entry(const fs::path& folder, Visit&& visit) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    visit(entry->path());
  }
}

/// Partition numbers that the kernel has for the device.
std::vector<int> partition_numbers(const std::string& node) {
  const std::string name = base_name(node);
  std::vector<int> numbers;
  for_each_entry("/sys/block/" + name, [&](const fs::path& path) {
    if (!path.filename().string().starts_with(name + "p")) return;
    const std::string word = read_word(path / "partition");
    int number = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), number).ec == std::errc{})
      numbers.push_back(number);
  });
  std::ranges::sort(numbers);
  return numbers;
}

std::string partition_node(const std::string& node, std::uint64_t number) {
  return fmt::format("{}p{}", node, number);
}

/// The kernel's partitions of the device, with their places.
std::map<int, DiskRange> kernel_partitions(const std::string& node) {
  // sysfs counts in these whatever the device's sectors are.
  constexpr std::uint64_t kUnitBytes = 512;
  std::map<int, DiskRange> all;
  for (const int number : partition_numbers(node)) {
    const fs::path folder = fmt::format("/sys/block/{0}/{0}p{1}", base_name(node), number);
    std::uint64_t start = 0, size = 0;
    if (std::ifstream(folder / "start") >> start && std::ifstream(folder / "size") >> size)
      all[number] = {{start * kUnitBytes}, size * kUnitBytes};
  }
  return all;
}

/// An errno, or 0.
int partition_call(int device, int operation, int number, DiskRange range) noexcept {
  blkpg_partition partition{};
  partition.pno = number;
  partition.start = static_cast<long long>(range.at.bytes);
  partition.length = static_cast<long long>(range.length);
  blkpg_ioctl_arg argument{};
  argument.op = operation;
  argument.datalen = sizeof(partition);
  argument.data = &partition;
  return ::ioctl(device, BLKPG, &argument) == 0 ? 0 : errno;
}

/// The device and its partitions by number, with their nodes.
std::map<dev_t, std::string> numbers_with_nodes(const std::string& node) {
  std::map<dev_t, std::string> all;
  const std::string folder = "/sys/block/" + base_name(node);
  if (const auto number = parse_device_number(read_word(folder + "/dev"))) all[*number] = node;
  for (const int partition : partition_numbers(node)) {
    const std::string part = partition_node(node, static_cast<std::uint64_t>(partition));
    if (const auto number = parse_device_number(read_word(folder + "/" + base_name(part) + "/dev")))
      all[*number] = part;
  }
  return all;
}

/// "\040" and the like, which mountinfo has for blanks.
std::string unescape_mount_point(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 4], value, 8).ptr == &text[i + 4]) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

void add_mounts(const std::map<dev_t, std::string>& devices, std::vector<std::string>& users) {
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string id, parent, number, root, place, word, type, source;
    words >> id >> parent >> number >> root >> place;
    while (words >> word && word != "-") {
    }
    words >> type >> source;
    auto device = parse_device_number(number);
    // btrfs and its like have device numbers of their own; their mount names the device.
    if (device && !devices.contains(*device) && source.starts_with("/dev/")) device = block_number(source);
    const auto found = device ? devices.find(*device) : devices.end();
    if (found != devices.end())
      users.push_back(fmt::format("{} is mounted on {}", found->second, unescape_mount_point(place)));
  }
}

void add_swaps(const std::map<dev_t, std::string>& devices, std::vector<std::string>& users) {
  std::ifstream file("/proc/swaps");
  for (std::string line; std::getline(file, line);) {
    const std::string name = line.substr(0, line.find_first_of(" \t"));
    const auto number = block_number(name);
    if (number && devices.contains(*number)) users.push_back(name + " is in use as swap");
  }
}

void add_holders(const std::string& node, const std::map<dev_t, std::string>& devices,
                 std::vector<std::string>& users) {
  const fs::path folder = "/sys/block/" + base_name(node);
  for (const auto& [number, part] : devices) {
    const fs::path holders = part == node ? folder / "holders" : folder / base_name(part) / "holders";
    for_each_entry(holders, [&](const fs::path& path) {
      users.push_back(fmt::format("{} is used by {}", part, path.filename().string()));
    });
  }
}

void add_openers(const std::map<dev_t, std::string>& devices, std::span<const pid_t> except,
                 std::vector<std::string>& users) {
  for_each_entry("/proc", [&](const fs::path& process) {
    const std::string name = process.filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr != name.data() + name.size()) return;
    if (std::ranges::find(except, pid) != except.end()) return;
    bool told = false;
    for_each_entry(process / "fd", [&](const fs::path& path) {
      // The link is read before it is followed: what lies behind others' may be a file server that hangs.
      std::error_code error;
      if (told || !fs::read_symlink(path, error).native().starts_with("/dev/")) return;
      const auto number = block_number(path.string());
      const auto found = number ? devices.find(*number) : devices.end();
      if (found == devices.end()) return;
      told = true;
      users.push_back(
          fmt::format("{} is open in {} (process {})", found->second, read_word(process / "comm"), pid));
    });
  });
}

}  // namespace

Status make_node(const std::string& node, dev_t number) {
  if (block_number(node) == number) return {};
  if (::mknod(node.c_str(), S_IFBLK | 0600, number) != 0 && errno != EEXIST) {
    return fail_errno(faults::kDevice, errno, "making the device node {}", node);
  }
  if (block_number(node) != number) {
    return fail(faults::kDevice, "{}: is not the block device {}:{}; remove it", node, major(number),
                minor(number));
  }
  return {};
}

Status make_node(const std::string& node) {
  const auto number = parse_device_number(read_word("/sys/block/" + base_name(node) + "/dev"));
  if (!number) return fail(faults::kDevice, "{}: the kernel has no such disk", node);
  return make_node(node, *number);
}

std::vector<std::string> update_partitions(int device, const std::string& node,
                                           const filesystem::PartitionTable& table,
                                           std::vector<std::string>& refused) {
  std::map<int, DiskRange> wanted;
  for (const filesystem::Partition& partition : table.partitions) {
    if (!partition.container) wanted[static_cast<int>(partition.number)] = partition.range;
  }
  for (const auto& [number, range] : kernel_partitions(node)) {
    const auto found = wanted.find(number);
    const bool right = found != wanted.end() && found->second == range;
    if (!right) {
      const int error = partition_call(device, BLKPG_DEL_PARTITION, number, {});
      if (error == 0 || error == ENXIO) continue;
      refused.push_back(fmt::format("partition {} is in use, so it stays as it was ({} bytes at {}): {}",
                                    number, range.length, range.at.bytes, errno_text(error)));
    }
    if (found != wanted.end()) wanted.erase(found);
  }
  for (const auto& [number, range] : wanted) {
    if (const int error = partition_call(device, BLKPG_ADD_PARTITION, number, range); error != 0) {
      refused.push_back(fmt::format("the kernel refuses partition {} ({} bytes at {}): {}", number,
                                    range.length, range.at.bytes, errno_text(error)));
    }
  }
  std::vector<std::string> nodes;
  for (std::string& part : partitions_of(node)) {
    const auto number =
        parse_device_number(read_word("/sys/block/" + base_name(node) + "/" + base_name(part) + "/dev"));
    const Status made = number ? make_node(part, *number) : Status{};
    if (made) {
      nodes.push_back(std::move(part));
    } else {
      refused.push_back(made.error().message());
    }
  }
  return nodes;
}

bool remove_partitions(int device, const std::string& node) {
  bool all = true;
  for (const int number : partition_numbers(node)) {
    const int error = partition_call(device, BLKPG_DEL_PARTITION, number, {});
    all = all && (error == 0 || error == ENXIO);
  }
  return all;
}

void shrink_partitions(int device, const std::string& node) noexcept {
  for (const auto& [number, range] : kernel_partitions(node)) {
    partition_call(device, BLKPG_RESIZE_PARTITION, number, {range.at, kLargestSectorBytes});
  }
}

std::vector<std::string> partitions_of(const std::string& node) {
  std::vector<std::string> nodes;
  for (const int number : partition_numbers(node))
    nodes.push_back(partition_node(node, static_cast<std::uint64_t>(number)));
  return nodes;
}

std::vector<std::string> users_of(const std::string& node, std::span<const pid_t> except) {
  const auto devices = numbers_with_nodes(node);
  std::vector<std::string> users;
  add_mounts(devices, users);
  add_swaps(devices, users);
  add_holders(node, devices, users);
  add_openers(devices, except, users);
  return users;
}

std::optional<UniqueFd> claim(const std::string& node, bool read_only) {
  UniqueFd fd(::open(node.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_EXCL | O_CLOEXEC));
  if (!fd) return std::nullopt;
  return fd;
}

}  // namespace vdisk::attach
