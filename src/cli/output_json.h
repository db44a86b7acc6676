// SPDX-License-Identifier: Apache-2.0
//
// The tool's JSON. The names are fixed for scripts (README); the text is valid whatever bytes a name holds,
// because bytes that are not UTF-8 are replaced.
#pragma once

#include <vdisk/attachment.h>
#include <vdisk/disk.h>
#include <vdisk/operations.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vdisk::cli {

using Json = nlohmann::ordered_json;

std::string json_text(const Json& json);
/// In one line, for arrays that are written as they grow.
std::string json_line(const Json& json);

/// {"code", "name", "fault", "message"}.
Json to_json(const Error& error);
Json to_json(const Inspection& inspection);
Json to_json(const CheckReport& report, const std::string& path);
Json to_json(const Difference& difference);
Json to_json(const AttachmentInfo& info);
/// `path`: of the layer's file; null for what no file holds.
Json to_json(const Extent& extent, const std::string& path);

}  // namespace vdisk::cli
