// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vdisk/disk.h>

#include <optional>
#include <string>
#include <vector>

namespace vdisk {

/// The file that a caller means by `path`: itself, unless no such file exists and it is written in Windows'
/// way; then what the drive map makes of it, matched without regard to case. Fails with disk.unmapped_path
/// (3).
Result<std::string> host_path(const std::string& path, const ParentSearch& search);

/// What `wanted` comes to for a file that the caller names himself: a block device holds nothing but a raw
/// disk, so to take it for one is no guess. A path that an image records is never a device.
std::optional<FormatId> format_for(const std::string& path, std::optional<FormatId> wanted);

/// The change tracking files that Hyper-V keeps beside an image (NAME.rct, NAME.mrt) and that are there.
std::vector<std::string> change_tracking_files(const std::string& path);

/// What Windows would hold against the place where the file lies, for notes: nothing on Linux breaks there.
std::vector<std::string> host_notes(const std::string& path);

}  // namespace vdisk
