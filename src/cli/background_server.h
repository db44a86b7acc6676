// SPDX-License-Identifier: Apache-2.0
//
// A server of an image's files that goes on when the command has ended.
#pragma once

#include <string>

#include "cli/tool.h"
#include "serve/fuse/file_mount.h"

namespace vdisk::cli {

/// Serves in a process of its own. Returns kFine when the folder can be used; else the exit status of what
/// the server has told. With `until_unmounted` no signal but SIGKILL ends it before its files are let go.
int serve_behind(Session& session, bool json, const std::string& image, const std::string& folder,
                 serve::FileMountOptions options, bool until_unmounted = false);

}  // namespace vdisk::cli
