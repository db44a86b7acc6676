// SPDX-License-Identifier: Apache-2.0
//
// What the host does with the bytes of a file below us. Windows refuses virtual disks in such places; nothing
// on Linux breaks there, so these are facts, and the layers above decide what they mean.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vdisk {

struct HostVolumeFacts {
  bool compressed = false;         ///< The file itself is marked to be compressed.
  bool encrypted = false;          ///< The file is encrypted by its file system (fscrypt).
  bool loopback_share = false;     ///< It lies on a network mount whose server is this very host.
  bool volume_compressed = false;  ///< Its whole file system is mounted with compression.
  std::string why;                 ///< One clause per fact, for messages; "" if none is set.
};

/// Callers that decide by these facts take a probe, so that a test can put its own in place.
using HostVolumeProbe = std::function<HostVolumeFacts(const std::string& path)>;

/// The real probe. Never fails: what cannot be known is false. Opens nothing but regular files, for reading.
HostVolumeFacts probe_host_volume(const std::string& path);

/// One line of /proc/self/mountinfo (proc(5)).
struct MountEntry {
  std::uint64_t id = 0;
  unsigned device_minor = 0;  ///< Of st_dev of what is mounted.
  std::string mount_point;
  std::string type;     ///< "btrfs", "nfs4", "fuse.sshfs"
  std::string source;   ///< "/dev/sda1", "server:/export"
  std::string options;  ///< Those of the file system (super options), comma separated.
};

/// The text of /proc/self/mountinfo; "" when it cannot be read.
std::string read_mountinfo();

/// Lines that are not as proc(5) says are left out.
std::vector<MountEntry> parse_mountinfo(std::string_view text);

/// The server that a network mount names: its addresses and names, most exact first. Empty for local file
/// systems.
std::vector<std::string> servers_of(const MountEntry& mount);

/// By what names this host may be called.
struct LocalHost {
  std::string name;
  std::vector<std::string> addresses;  ///< Numeric.
};
LocalHost this_host();
bool is_same_host(std::string_view server, const LocalHost& host);

/// True when the mount compresses all new data by its options.
bool mount_compresses(const MountEntry& mount);

}  // namespace vdisk
