// SPDX-License-Identifier: Apache-2.0
#include "attach/udev.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "attach/block_nodes.h"
#include "attach/nbd_device.h"
#include "base/unique_fd.h"

namespace vdisk::attach {

namespace {

/// "p12" of /dev/loop0p12 behind /dev/loop0.
bool is_partition_suffix(std::string_view text) noexcept {
  return text.size() > 1 && text.front() == 'p' &&
         text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

/// Whether the device has not gone before its record did. Another's device in its place is told of once the
/// record is gone.
bool is_there(const AttachmentRecord& record) {
  if (is_nbd(record.device_node)) return nbd_state(record.device_node, record.backing) == DeviceState::kOurs;
  std::error_code error;
  return std::filesystem::exists("/sys/block/" + base_name(record.device_node) + "/loop/backing_file", error);
}

/// As udev itself writes what is not safe in a name: \x20.
std::string udev_escape(std::string_view text) {
  constexpr std::string_view kSafe =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789#+-.:=@_/";
  std::string out;
  for (const char c : text) {
    if (kSafe.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string in_capitals(std::string_view word) {
  std::string out;
  for (const char c : word) out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

void announce_change(const std::string& folder) noexcept {
  constexpr std::string_view kChange = "change";
  const UniqueFd fd(::open((folder + "/uevent").c_str(), O_WRONLY | O_CLOEXEC));
  if (fd) static_cast<void>(!::write(fd.get(), kChange.data(), kChange.size()));
}

}  // namespace

Result<std::optional<AttachmentInfo>> recorded_at(const std::string& node, const RegistryOptions& options) {
  std::error_code error;
  const auto target = std::filesystem::canonical(node, error);
  const std::string name = error ? node : target.string();
  for (const FoundRecord& found : VDISK_TRY(all_records(options))) {
    const std::string& device = found.record.device_node;
    if (!found.alive || !name.starts_with(device)) continue;
    const std::string_view rest = std::string_view(name).substr(device.size());
    if ((rest.empty() || is_partition_suffix(rest)) && is_there(found.record)) return found.record;
  }
  return std::nullopt;
}

std::string udev_properties(const AttachmentInfo& info) {
  std::string text = "ID_VENDOR=vdisk\n";
  text += fmt::format("ID_MODEL={}\n", udev_escape(in_capitals(to_string(info.format))));
  if (info.disk_id) text += fmt::format("ID_SERIAL={0}\nID_SERIAL_SHORT={0}\n", info.disk_id->to_string());
  // Last: udev drops the end of what is too long for it.
  return text + fmt::format("VDISK_IMAGE={}\n", udev_escape(info.image_path));
}

void announce(const std::string& node) noexcept {
  const std::string folder = "/sys/block/" + base_name(node);
  announce_change(folder);
  for (const std::string& part : partitions_of(node)) announce_change(folder + "/" + base_name(part));
}

}  // namespace vdisk::attach
