// SPDX-License-Identifier: Apache-2.0
//
// Comparing file names as Windows does, without regard to case and whatever the locale is.
#pragma once

#include <string_view>

namespace vdisk {

/// The lower-case form of `c` by Unicode's simple case folding, for the scripts that file names use: Latin,
/// Greek, Cyrillic, Armenian, full-width Latin. Others come back as they are.
char32_t fold_case(char32_t c) noexcept;

/// True when the two UTF-8 names differ at most in case.
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace vdisk
