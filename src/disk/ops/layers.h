// SPDX-License-Identifier: Apache-2.0
//
// Image files one by one, without opening a chain: what `inspect` and `check` need where opening would
// refuse.
#pragma once

#include <vdisk/disk.h>
#include <vdisk/image_info.h>

#include <memory>
#include <optional>
#include <string>

#include "base/fault.h"
#include "format/image.h"
#include "io/file.h"

namespace vdisk::ops {

/// An image file that was opened, read-only, but not parsed.
struct LayerFile {
  std::string path;
  std::unique_ptr<File> file;
  FileIdentity identity;
  std::optional<FormatId> wanted;  ///< The format that the caller, or the child, says it is.

  /// Recognises the format.
  Result<const Format*> format() const;
};

/// The image that the caller named.
Result<LayerFile> open_named_layer(const std::string& path, const OpenOptions& options);
/// The file that `resolve_parent` found: of its child's format, or raw where no identity is recorded.
Result<LayerFile> open_parent_layer(const ImageInfo::Parent& parent, FormatId child_format,
                                    const OpenOptions& options);

/// Looks for the parent of the image at `child_path` in the places where opening would look, and fills
/// `parent.path`, `parent.resolved` and `parent.candidates`. A file counts as the parent when its identifier
/// is one that the child records, however damaged the file is otherwise.
void resolve_parent(const std::string& child_path, FormatId child_format, const OpenOptions& options,
                    ImageInfo::Parent& parent);

/// What opening the chain from `path` upward fails with; unset if it opens.
std::optional<Error> chain_error(const std::string& path, const OpenOptions& options);

}  // namespace vdisk::ops
