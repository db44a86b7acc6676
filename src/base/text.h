// SPDX-License-Identifier: Apache-2.0
//
// Small pieces of messages for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vdisk {

/// "1 entry", "2 entries".
std::string counted(std::uint64_t count, std::string_view one, std::string_view many);

/// "2019-03-01 12:00:00 UTC", of any 32-bit count of seconds and far beyond.
std::string utc_text(std::int64_t unix_seconds);

}  // namespace vdisk
