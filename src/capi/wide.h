// SPDX-License-Identifier: Apache-2.0
//
// Wide strings of the C API. wchar_t is 32 bits here (virtdisk-api.md 9.3); a UTF-16 ABI comes later beside
// it.
#pragma once

#include <virtdisk.h>

#include <optional>
#include <string>
#include <string_view>

namespace vdisk::capi {

/// Unset when the text is not valid Unicode. Source text that a 16-bit program converted unit by unit
/// (surrogate pairs in 32-bit units) is accepted.
std::optional<std::string> to_utf8(const WCHAR* text);
std::wstring to_wide(std::string_view utf8);

}  // namespace vdisk::capi
