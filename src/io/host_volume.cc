// SPDX-License-Identifier: Apache-2.0
#include "io/host_volume.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/fault.h"
#include "base/unique_fd.h"

namespace vdisk {

namespace {

constexpr std::size_t kMostMountinfoBytes = std::size_t{4} << 20;

std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view piece = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return piece;
}

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescaped(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::optional<std::string> option_value(std::string_view options, std::string_view name) {
  while (!options.empty()) {
    const std::string_view option = take_until(options, ',');
    if (option == name) return "";
    if (option.size() > name.size() && option.starts_with(name) && option[name.size()] == '=') {
      return std::string(option.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

struct Address {
  int family = AF_UNSPEC;
  std::array<unsigned char, 16> bytes{};
  bool operator==(const Address&) const = default;
};

std::optional<Address> parse_address(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const std::string plain(text.substr(0, text.find('%')));  // without the zone of a link-local address
  Address address;
  if (::inet_pton(AF_INET, plain.c_str(), address.bytes.data()) == 1) {
    address.family = AF_INET;
    return address;
  }
  if (::inet_pton(AF_INET6, plain.c_str(), address.bytes.data()) != 1) return std::nullopt;
  address.family = AF_INET6;
  static constexpr std::array<unsigned char, 12> kMappedV4 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (std::equal(kMappedV4.begin(), kMappedV4.end(), address.bytes.begin())) {
    Address v4{.family = AF_INET};
    std::copy_n(address.bytes.begin() + 12, 4, v4.bytes.begin());
    return v4;
  }
  return address;
}

bool is_loopback(const Address& address) {
  if (address.family == AF_INET) return address.bytes[0] == 127;
  return address == *parse_address("::1");
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

// "host:/export", "user@host:/path", "[::1]:/export"
std::string host_before_path(std::string_view source) {
  const std::size_t at = source.find('@');
  const std::size_t slash = source.find('/');
  if (at != std::string_view::npos && at < slash) source.remove_prefix(at + 1);
  if (source.starts_with('[')) return std::string(source.substr(0, source.find(']') + 1));
  const std::size_t path = source.find(":/");
  return std::string(source.substr(0, path != std::string_view::npos ? path : source.rfind(':')));
}

const MountEntry* find_mount(const std::vector<MountEntry>& mounts, const std::string& path,
                             const struct statx& statx_of_path) {
  if ((statx_of_path.stx_mask & STATX_MNT_ID) != 0) {
    const auto found = std::ranges::find(mounts, statx_of_path.stx_mnt_id, &MountEntry::id);
    return found != mounts.end() ? &*found : nullptr;
  }
  // Kernels before 5.8: the longest mount point above the path; of equal ones the last covers the others.
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) return nullptr;
  const std::string_view below = real.get();
  const MountEntry* best = nullptr;
  for (const MountEntry& mount : mounts) {
    const std::string_view point = mount.mount_point;
    const bool inside = point == "/" || (below.starts_with(point) &&
                                         (below.size() == point.size() || below[point.size()] == '/'));
    if (inside && (best == nullptr || point.size() >= best->mount_point.size())) best = &mount;
  }
  return best;
}

void add_reason(HostVolumeFacts& facts, std::string reason) {
  if (!facts.why.empty()) facts.why += "; ";
  facts.why += reason;
}

// btrfs keeps the property in an attribute; "" and "none" switch compression off.
bool has_compression_property(const std::string& path) {
  std::array<char, 32> value;
  const ssize_t length = ::getxattr(path.c_str(), "btrfs.compression", value.data(), value.size());
  if (length <= 0) return false;
  const std::string_view text(value.data(), static_cast<std::size_t>(length));
  return text != "none" && text != "no";
}

void probe_file(const std::string& path, const struct statx& attributes, HostVolumeFacts& facts) {
  facts.compressed =
      (attributes.stx_attributes & STATX_ATTR_COMPRESSED) != 0 || has_compression_property(path);
  facts.encrypted = (attributes.stx_attributes & STATX_ATTR_ENCRYPTED) != 0;
  if (!S_ISREG(attributes.stx_mode) && !S_ISDIR(attributes.stx_mode)) return;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) return;
  int flags = 0;  // the kernel writes an int, whatever the request's definition says
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_COMPR_FL) != 0) facts.compressed = true;
  fscrypt_get_policy_ex_arg policy{};
  policy.policy_size = sizeof policy.policy;
  if (::ioctl(fd.get(), FS_IOC_GET_ENCRYPTION_POLICY_EX, &policy) == 0) facts.encrypted = true;
}

}  // namespace

std::string read_mountinfo() {
  std::string text;
  const UniqueFd fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!fd) return text;
  std::array<char, 16384> piece;
  while (text.size() < kMostMountinfoBytes) {
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::vector<MountEntry> parse_mountinfo(std::string_view text) {
  std::vector<MountEntry> mounts;
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    MountEntry entry;
    const std::string_view id = take_until(line, ' ');
    if (std::from_chars(id.data(), id.data() + id.size(), entry.id).ec != std::errc()) continue;
    take_until(line, ' ');  // parent
    std::string_view device = take_until(line, ' ');
    take_until(device, ':');
    std::from_chars(device.data(), device.data() + device.size(), entry.device_minor);
    take_until(line, ' ');  // root
    entry.mount_point = unescaped(take_until(line, ' '));
    const std::size_t separator = line.find(" - ");
    if (separator == std::string_view::npos) continue;
    line.remove_prefix(separator + 3);
    entry.type = take_until(line, ' ');
    entry.source = unescaped(take_until(line, ' '));
    entry.options = unescaped(line);
    if (!entry.type.empty()) mounts.push_back(std::move(entry));
  }
  return mounts;
}

std::vector<std::string> servers_of(const MountEntry& mount) {
  std::vector<std::string> servers;
  const auto add = [&servers](std::string server) {
    if (!server.empty()) servers.push_back(std::move(server));
  };
  if (mount.type == "nfs" || mount.type == "nfs4") {
    add(option_value(mount.options, "addr").value_or(""));
    add(host_before_path(mount.source));
  } else if (mount.type == "cifs" || mount.type == "smb3") {
    add(option_value(mount.options, "addr").value_or(""));
    std::string_view source = mount.source;
    while (source.starts_with('/') || source.starts_with('\\')) source.remove_prefix(1);
    add(std::string(source.substr(0, source.find_first_of("/\\"))));
  } else if (mount.type == "fuse.sshfs") {
    add(host_before_path(mount.source));
  } else if (mount.type == "9p") {
    // Over virtio or a descriptor the server is a hypervisor, not a host with a name.
    if (option_value(mount.options, "trans") == "tcp") add(mount.source);
  }
  return servers;
}

LocalHost this_host() {
  LocalHost host;
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0) host.name = name.data();
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return host;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = entry->ifa_addr->sa_family;
    std::array<unsigned char, sizeof(in6_addr)> address{};
    if (family == AF_INET) {
      sockaddr_in v4;
      std::memcpy(&v4, entry->ifa_addr, sizeof v4);
      std::memcpy(address.data(), &v4.sin_addr, sizeof v4.sin_addr);
    } else if (family == AF_INET6) {
      sockaddr_in6 v6;
      std::memcpy(&v6, entry->ifa_addr, sizeof v6);
      std::memcpy(address.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    } else {
      continue;
    }
    if (::inet_ntop(family, address.data(), text.data(), text.size()) != nullptr) {
      host.addresses.emplace_back(text.data());
    }
  }
  return host;
}

bool is_same_host(std::string_view server, const LocalHost& host) {
  if (const auto address = parse_address(server)) {
    if (is_loopback(*address)) return true;
    return std::ranges::any_of(host.addresses,
                               [&](const std::string& own) { return parse_address(own) == address; });
  }
  std::string name = lower(server);
  if (name.ends_with('.')) name.pop_back();
  const std::string own = lower(host.name);
  if (name == "localhost" || name == "localhost.localdomain" || name == "ip6-localhost" ||
      name.ends_with(".localhost")) {
    return true;
  }
  if (name.empty() || own.empty()) return false;
  if (name == own) return true;
  // One of the two may lack its domain; two different domains are two hosts.
  const bool short_name = name.find('.') == std::string::npos;
  const bool short_own = own.find('.') == std::string::npos;
  return short_name != short_own && name.substr(0, name.find('.')) == own.substr(0, own.find('.'));
}

bool mount_compresses(const MountEntry& mount) {
  if (mount.type != "btrfs") return false;
  for (const char* name : {"compress", "compress-force"}) {
    const auto value = option_value(mount.options, name);
    if (value && *value != "no" && *value != "none") return true;
  }
  return false;
}

HostVolumeFacts probe_host_volume(const std::string& path) {
  HostVolumeFacts facts;
  struct statx attributes{};
  if (::statx(AT_FDCWD, path.c_str(), AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &attributes) != 0)
    return facts;
  probe_file(path, attributes, facts);
  if (facts.compressed) add_reason(facts, "the file is marked to be compressed (chattr +c)");
  if (facts.encrypted) add_reason(facts, "the file is encrypted by its file system (fscrypt)");
  const std::vector<MountEntry> mounts = parse_mountinfo(read_mountinfo());
  const MountEntry* mount = find_mount(mounts, path, attributes);
  if (mount == nullptr) return facts;
  if (mount_compresses(*mount)) {
    facts.volume_compressed = true;
    add_reason(facts, fmt::format("{} is mounted with compression", mount->mount_point));
  }
  const std::vector<std::string> servers = servers_of(*mount);
  if (servers.empty()) return facts;
  const LocalHost host = this_host();
  for (const std::string& server : servers) {
    if (!is_same_host(server, host)) continue;
    facts.loopback_share = true;
    add_reason(facts, fmt::format("{} is a {} mount of {}, whose server {} is this host", mount->mount_point,
                                  mount->type, mount->source, server));
    break;
  }
  return facts;
}

}  // namespace vdisk
