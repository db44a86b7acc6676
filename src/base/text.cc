// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace vdisk {

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string utc_text(std::int64_t unix_seconds) {
  using namespace std::chrono;
  // Years of four digits, as dates are written; the calendar's arithmetic ends soon after.
  constexpr std::int64_t kYear0 = -62'167'219'200;
  constexpr std::int64_t kYear9999End = 253'402'300'799;
  const sys_seconds time{seconds{std::clamp(unix_seconds, kYear0, kYear9999End)}};
  const sys_days day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace vdisk
