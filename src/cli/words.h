// SPDX-License-Identifier: Apache-2.0
//
// Values of options as words: sizes, formats, types. A word that means nothing throws CLI::ValidationError.
#pragma once

#include <vdisk/image_info.h>
#include <vdisk/operations.h>

#include <cstdint>
#include <string>

namespace vdisk::cli {

/// "64G": a whole number and a binary unit of K, M, G, T, also written Ki, KiB, KB.
std::uint64_t parse_size(const std::string& option, const std::string& word);
/// The same, from 1 to 2^32 - 1.
std::uint32_t parse_small_size(const std::string& option, const std::string& word);
FormatId parse_format_word(const std::string& option, const std::string& word);
/// "fixed", "dynamic", "differencing".
DiskType parse_type(const std::string& option, const std::string& word);
/// "none", "sparse", "full".
Preallocation parse_preallocation(const std::string& option, const std::string& word);

}  // namespace vdisk::cli
