// SPDX-License-Identifier: Apache-2.0
//
// What the commands that make images share: the options that say what is made, and the line that tells of it.
#pragma once

#include <vdisk/operations.h>

#include <optional>
#include <string>

#include "cli/tool.h"

namespace vdisk::cli {

struct CreationWords {
  std::string format, type, parent, parent_format, block, logical, preallocation;

  void declare(CLI::App& app);
  /// Without sizes and identifiers of the disk. Throws CLI::ValidationError for words that mean nothing.
  CreateOptions create_options() const;
};

/// Tells what was made at `path`, as its own header says it; the exit status.
int tell_made(Session& session, const std::string& path, std::optional<FormatId> format,
              const OpenWords& words, std::optional<double> seconds = std::nullopt);

}  // namespace vdisk::cli
