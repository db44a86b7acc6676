// SPDX-License-Identifier: Apache-2.0
//
// What can be said about an image without reading its payload.
#pragma once

#include <vdisk/error.h>
#include <vdisk/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vdisk::inline v1 {

/// The file formats, numbered as VIRTUAL_STORAGE_TYPE_DEVICE_* numbers them (virtdisk-api.md 4); raw is ours.
enum class FormatId : std::uint32_t { kRaw = 0, kIso = 1, kVhd = 2, kVhdx = 3, kVhdSet = 4 };

/// How an image holds its data. Numbered as the VHD footer and GET_VIRTUAL_DISK_INFO's ProviderSubtype.
enum class DiskType : std::uint32_t { kFixed = 2, kDynamic = 3, kDifferencing = 4 };

/// "raw" "iso" "vhd" "vhdx" "vhdset": the words of `--format` and of JSON's `format`.
std::string_view to_string(FormatId format) noexcept;
std::optional<FormatId> parse_format(std::string_view word) noexcept;
/// "fixed" "dynamic" "differencing".
std::string_view to_string(DiskType type) noexcept;

/// One place where a child's locator says that its parent may be.
struct ParentCandidate {
  enum class Kind { kRelative, kAbsolute, kVolume, kUrl, kName };
  Kind kind = Kind::kRelative;
  std::string recorded;  ///< The text as stored, converted to UTF-8 ("..\base\win.vhdx").
  std::string source;    ///< Where it was stored: "W2ru", "relative_path", …
};

/// What a differencing image records about its parent.
struct ParentLocator {
  std::vector<ParentCandidate> candidates;  ///< In the order in which they are to be tried.
  std::vector<Guid> linkage;                ///< The parent's identifier must be one of these.
  std::optional<std::uint32_t> timestamp;   ///< VHD: parent's modification time, seconds since 2000; unset if 0.
};

/// Description of one image file. Fields are unset where a damaged image does not tell.
struct ImageInfo {
  std::string path;
  std::optional<FormatId> format;
  std::optional<DiskType> type;
  std::optional<std::uint64_t> virtual_size_bytes;
  std::optional<std::uint64_t> file_size_bytes;
  std::optional<std::uint64_t> allocated_bytes;  ///< Payload bytes that this file itself holds.
  std::optional<std::uint32_t> block_size_bytes;  ///< 0 where the format has no blocks.
  std::optional<std::uint32_t> logical_sector_bytes;
  std::optional<std::uint32_t> physical_sector_bytes;
  std::optional<Guid> identifier;       ///< What children record: VHD unique id, VHDX DataWriteGuid.
  std::optional<Guid> virtual_disk_id;  ///< VHDX Virtual Disk ID (SCSI page 0x83); VHD: its unique id.
  std::string creator;                  ///< Program that made the file, as recorded; "" if not recorded.
  bool dirty_log = false;
  std::optional<bool> payload_4k_aligned;  ///< Whether payload blocks lie at multiples of 4 KiB in the file.
  std::vector<std::string> change_tracking_files;  ///< Foreign .rct/.mrt files beside the image.

  struct Parent {
    ParentLocator locator;
    std::string path;                ///< The resolved file; else the first recorded candidate, "" if none.
    bool resolved = false;
    std::optional<Guid> identifier;  ///< The linkage that the child records.
    std::vector<std::string> candidates;  ///< Files that were or would be tried, in order.
  };
  std::optional<Parent> parent;  ///< Set for differencing images.

  /// Further facts of the format as (name, value), in a fixed order: "log_length_bytes", "footer_copy" …
  std::vector<std::pair<std::string, std::string>> details;
  /// Remarks that do not stop a reader: a recovered footer, a missing anchor.
  std::vector<std::string> notes;
};

}  // namespace vdisk::v1
