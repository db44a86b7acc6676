// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/header.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"
#include "testing/counting_file.h"
#include "testing/vhdx_reading.h"

namespace vdisk::vhdx {
namespace {

constexpr Guid kSomeGuid{{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}};

VhdxBuilder small() { return VhdxBuilder(8 * kMiB); }

TEST(Identifier, MissingSignatureIsRefused) {
  auto file = small().build();
  ASSERT_TRUE(file->write(FileOffset{0}, std::vector<std::byte>(1)));
  EXPECT_EQ(kFormat.probe(*file), Probe::kNo);
  EXPECT_EQ(open_code(std::move(file)), 1392u);
  EXPECT_EQ(open_fault(std::make_unique<MemoryFile>()), "vhdx.identifier");
}

TEST(Identifier, CreatorNeedsNoTerminatorAndMayBeAnything) {
  EXPECT_EQ(must_open(small().creator(std::u16string(256, u'x')).build())->properties().creator,
            std::string(256, 'x'));
  EXPECT_EQ(must_open(small().creator(u"").build())->properties().creator, "");
  EXPECT_EQ(must_open(small().creator(u"\u00e4\U0001F4BE").build())->properties().creator,
            "\u00e4\U0001F4BE");
}

TEST(Header, LargerSequenceNumberWins) {
  auto file = small().edit_header(1, [](HeaderLayout& h) { h.data_write_guid = kSomeGuid; }).build();
  const auto headers = read_headers(*file);
  ASSERT_TRUE(headers);
  EXPECT_EQ(headers->current_slot, 1);
  EXPECT_TRUE(headers->other_valid);
  EXPECT_EQ(headers->current.data_write_guid, kSomeGuid);
  file = small().edit_header(0, [](HeaderLayout& h) { h.sequence_number = std::uint64_t{9}; }).build();
  EXPECT_EQ(read_headers(*file)->current_slot, 0);
}

TEST(Header, Case37SameSequenceNumber) {
  const auto same = [](HeaderLayout& h) { h.sequence_number = std::uint64_t{5}; };
  auto file = small().edit_header(0, same).edit_header(1, same).build();
  EXPECT_EQ(read_headers(*file)->current.sequence_number, 5u);
  const auto other = [](HeaderLayout& h) {
    h.sequence_number = std::uint64_t{5};
    h.file_write_guid = kSomeGuid;
  };
  EXPECT_EQ(open_fault(small().edit_header(0, same).edit_header(1, other).build()), "vhdx.header.conflict");
}

TEST(Header, Case38OneValidCopyIsEnough) {
  for (const int bad : {0, 1}) {
    auto image = must_open(small().bad_header(bad).build());
    ASSERT_EQ(image->properties().notes.size(), 1u);
    EXPECT_NE(image->properties().notes[0].find("checksum"), std::string::npos);
  }
  EXPECT_EQ(open_fault(small().bad_header(0).bad_header(1).build()), "vhdx.header.none_valid");
  auto file = small().edit_header(0, [](HeaderLayout& h) { h.signature[0] = 'x'; }).build();
  EXPECT_EQ(read_headers(*file)->current_slot, 1);
}

TEST(Header, FileThatEndsInsideTheHeaders) {
  EXPECT_EQ(open_fault(small().build(64 * kKiB + 100)), "vhdx.header.none_valid");
}

TEST(Header, Versions) {
  const auto version = [](HeaderLayout& h) { h.version = std::uint16_t{2}; };
  EXPECT_EQ(open_fault(small().edit_header(0, version).edit_header(1, version).build()),
            "vhdx.header.version");
  EXPECT_EQ(open_code(small().edit_header(0, version).edit_header(1, version).build()), 0xC03A0005u);
  // The log's version counts only when there is a log to replay.
  const auto log_version = [](HeaderLayout& h) { h.log_version = std::uint16_t{1}; };
  EXPECT_EQ(open_fault(small().edit_header(0, log_version).edit_header(1, log_version).build()), "");
  EXPECT_EQ(
      open_fault(small().log_guid(kSomeGuid).edit_header(0, log_version).edit_header(1, log_version).build()),
      "vhdx.header.log_version");
}

TEST(Header, PlaceOfTheLog) {
  const auto fault = [](auto&& edit) {
    return open_fault(small().edit_header(0, edit).edit_header(1, edit).build());
  };
  EXPECT_EQ(fault([](HeaderLayout& h) { h.log_length = 4096u; }), "vhdx.header.log_place");
  EXPECT_EQ(fault([](HeaderLayout& h) { h.log_offset = std::uint64_t{4096}; }), "vhdx.header.log_place");
  EXPECT_EQ(fault([](HeaderLayout& h) { h.log_offset = std::uint64_t{0}; }), "vhdx.header.log_place");
  EXPECT_EQ(fault([](HeaderLayout& h) { h.log_offset = std::uint64_t{100 * kMiB}; }),
            "vhdx.header.log_place");
  EXPECT_EQ(fault([](HeaderLayout& h) { h.log_offset = ~std::uint64_t{0} << 20; }), "vhdx.header.log_place");
  EXPECT_EQ(fault([](HeaderLayout& h) {
              h.log_length = 0u;
              h.log_guid = kSomeGuid;
            }),
            "vhdx.header.log_place");
  // No log at all is legal while there is nothing to replay.
  EXPECT_EQ(fault([](HeaderLayout& h) {
              h.log_length = 0u;
              h.log_offset = std::uint64_t{0};
            }),
            "");
}

TEST(Header, UpdateWritesTheOtherSlotFirstAndFlushesAfterEach) {
  vdisk::testing::IoCounts counts;
  vdisk::testing::CountingFile file(small().build(), counts);
  Headers headers = *read_headers(file);
  ASSERT_EQ(headers.current_slot, 1);
  Header next = headers.current;
  next.file_write_guid = kSomeGuid;
  ASSERT_TRUE(write_header_twice(file, headers, next));
  EXPECT_EQ(counts.writes, 2u);
  EXPECT_EQ(counts.flushes, 2u);
  EXPECT_EQ(headers.current.sequence_number, 10u);
  const Headers again = *read_headers(file);
  EXPECT_EQ(again.current, headers.current);
  EXPECT_EQ(again.current_slot, 1);
  EXPECT_EQ(again.copies[0].header->sequence_number, 9u);
  EXPECT_EQ(again.copies[0].header->file_write_guid, kSomeGuid);
  EXPECT_EQ(again.copies[1].header->file_write_guid, kSomeGuid);
}

TEST(Header, UpdateRestoresABadCopy) {
  auto file = small().bad_header(0).build();
  Headers headers = *read_headers(*file);
  EXPECT_FALSE(headers.other_valid);
  ASSERT_TRUE(write_header_twice(*file, headers, headers.current));
  EXPECT_TRUE(headers.other_valid);
  EXPECT_TRUE(read_headers(*file)->other_valid);
}

TEST(Header, Case84SequenceNumberNeverWraps) {
  const auto last = [](HeaderLayout& h) { h.sequence_number = ~std::uint64_t{0} - 1; };
  auto file = small().edit_header(1, last).build();
  Headers headers = *read_headers(*file);
  const Status status = write_header_twice(*file, headers, headers.current);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), "vhdx.header.sequence");
  EXPECT_EQ(read_headers(*file)->current.sequence_number, ~std::uint64_t{0} - 1);
}

TEST(Header, ChecksumOfAGenuineHeader) {
  EXPECT_EQ(crc32c(std::vector<std::byte>(kHeaderBytes)), 0x98F94189u);  // formats.md 2.6
}

}  // namespace
}  // namespace vdisk::vhdx
