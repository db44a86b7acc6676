// SPDX-License-Identifier: Apache-2.0
//
// Other people's programs, run to their end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vdisk::cli {

/// Where a program lies: in the folders of PATH, or in /usr/sbin, where mount helpers are. "" if nowhere.
std::string find_program(std::string_view name);

/// Runs `words` with the messages of the C locale and waits for its end; a child that it leaves behind goes
/// on. What it said on standard error is in `said`, without the end of line. Its exit status, or 127.
int run_program(std::vector<std::string> words, std::string& said);

}  // namespace vdisk::cli
