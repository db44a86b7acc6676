// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace vdisk {
namespace {

TEST(Text, CountsKnowTheSingular) {
  EXPECT_EQ(counted(0, "entry", "entries"), "0 entries");
  EXPECT_EQ(counted(1, "entry", "entries"), "1 entry");
  EXPECT_EQ(counted(2, "entry", "entries"), "2 entries");
}

TEST(Text, TimesAreOfTheCalendar) {
  EXPECT_EQ(utc_text(946'684'800), "2000-01-01 00:00:00 UTC");
  EXPECT_EQ(utc_text(951'782'399), "2000-02-28 23:59:59 UTC");
  EXPECT_EQ(utc_text(951'782'400), "2000-02-29 00:00:00 UTC");
  EXPECT_EQ(utc_text(-1), "1969-12-31 23:59:59 UTC");
  // The last second that a VHD can record (formats.md 6, case 36).
  EXPECT_EQ(utc_text(946'684'800 + std::int64_t{0xFFFFFFFF}), "2136-02-07 06:28:15 UTC");
  EXPECT_EQ(utc_text(std::numeric_limits<std::int64_t>::max()), "9999-12-31 23:59:59 UTC");
  EXPECT_EQ(utc_text(std::numeric_limits<std::int64_t>::min()), "0000-01-01 00:00:00 UTC");
}

}  // namespace
}  // namespace vdisk
