// SPDX-License-Identifier: Apache-2.0
#include "format/iso/iso.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/checked.h"
#include "format/iso/faults.h"
#include "format/iso/layout.h"
#include "format/registry.h"
#include "io/memory_file.h"
#include "testing/counting_file.h"
#include "testing/iso_builder.h"

namespace vdisk::iso {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

using testing::Disc;
using testing::plain_disc;
using testing::udf_disc;

Result<std::unique_ptr<Image>> open_disc(const Disc& disc) { return kFormat.open(disc.file(), {}); }

std::string open_fault(const Disc& disc) {
  const auto image = open_disc(disc);
  if (image) return "";
  EXPECT_EQ(image.error().code(), 1392U) << image.error().message();
  return std::string(image.error().id());
}

CheckReport check_disc(const Disc& disc) {
  CheckReport report;
  CheckSink sink(report, "disc.iso");
  const auto file = disc.file();
  EXPECT_TRUE(kFormat.check(*file, {}, sink, {}));
  return report;
}

std::vector<std::string> faults_of(const CheckReport& report) {
  std::vector<std::string> ids;
  for (const Finding& finding : report.findings) ids.push_back(finding.fault);
  return ids;
}

std::string detail(const Image& image, std::string_view name) {
  for (const auto& [key, value] : image.properties().details) {
    if (key == name) return value;
  }
  return "(absent)";
}

TEST(Iso, MapsEveryByteToItself) {
  const Disc disc = plain_disc();
  const auto image = open_disc(disc);
  ASSERT_TRUE(image) << image.error().message();
  const ImageProperties& properties = (*image)->properties();
  EXPECT_EQ(properties.type, DiskType::kFixed);
  EXPECT_TRUE(properties.read_only);
  EXPECT_EQ(properties.geometry.virtual_size_bytes, 32 * kSectorBytes);
  EXPECT_EQ(properties.geometry.logical_sector_bytes, 2048U);
  EXPECT_EQ(properties.geometry.physical_sector_bytes, 2048U);
  EXPECT_EQ(properties.geometry.block_bytes, 0U);
  EXPECT_THAT(properties.notes, IsEmpty());
  RunList runs;
  const auto covered = (*image)->resolve_read({DiskOffset{100}, 5000}, runs);
  ASSERT_TRUE(covered);
  EXPECT_EQ(*covered, 5000U);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].source, Run::Source::kFile);
  EXPECT_EQ(runs[0].from.bytes, 100U);
  EXPECT_EQ((*image)->allocated_bytes().value_or(0), 32 * kSectorBytes);
  EXPECT_EQ(detail(**image, "volume_id"), "HELLO");
  EXPECT_EQ(detail(**image, "kinds"), "iso9660");
  EXPECT_EQ(detail(**image, "volume_space_bytes"), "65536");
  EXPECT_THAT(check_disc(disc).findings, IsEmpty());
}

TEST(Iso, IsNeverWritable) {
  ImageOpen options;
  options.writable = true;
  const auto image = kFormat.open(plain_disc().file(), options);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().id(), faults::kReadOnly.id);
  EXPECT_EQ(image.error().code(), 19U);
}

// virtdisk-api.md 7: T18, T19 and T20; formats.md 6: case 92.
TEST(Iso, ObeysTheThreeRulesOfOpenVirtualDisk) {
  Disc lone(kLeastBytes);
  lone.add(16, VolumeType::kPrimary, 1, 17);
  EXPECT_EQ(open_fault(lone), "") << "34,816 bytes are enough, although an odd multiple of 2048";
  EXPECT_EQ(open_fault(Disc(lone).resize(34815)), faults::kTooSmall.id);
  EXPECT_EQ(open_fault(Disc(lone).resize(32768)), faults::kTooSmall.id);
  EXPECT_EQ(open_fault(Disc(0)), faults::kTooSmall.id);
  EXPECT_EQ(open_fault(Disc(1)), faults::kTooSmall.id);

  const Disc disc = plain_disc();
  EXPECT_EQ(open_fault(Disc(disc).resize(32 * kSectorBytes + 1)), faults::kSizeMultiple.id);
  EXPECT_EQ(open_fault(Disc(disc).resize(32 * kSectorBytes - 1)), faults::kSizeMultiple.id);
  EXPECT_EQ(open_fault(Disc(disc).resize(32 * kSectorBytes + 512)), faults::kSizeMultiple.id);

  EXPECT_EQ(open_fault(Disc(64 * kKiB)), faults::kNoVolume.id);
  Disc random(64 * kKiB);
  std::uint32_t state = 1;
  for (std::byte& b : random.bytes())
    b = static_cast<std::byte>((state = state * 1664525U + 1013904223U) >> 24);
  EXPECT_EQ(open_fault(random), faults::kNoVolume.id);
  EXPECT_EQ(open_fault(plain_disc().text(16 * kSectorBytes + 1, "CD002")), faults::kNoVolume.id);
}

TEST(Iso, AcceptsADiscOfMoreThanFourGibibytes) {
  auto file = std::make_unique<MemoryFile>("big.iso");
  const IsoDescriptor primary = Disc::iso(VolumeType::kPrimary, 1, 2 * 1024 * 1024 + 1);
  ASSERT_TRUE(file->write(FileOffset{kSystemAreaBytes}, bytes_of(primary)));
  ASSERT_TRUE(file->resize(4 * kGiB + kSectorBytes));
  const auto image = kFormat.open(std::move(file), {});
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ((*image)->properties().geometry.virtual_size_bytes, 4 * kGiB + kSectorBytes);
  EXPECT_EQ(detail(**image, "volume_space_bytes"), std::to_string(4 * kGiB + kSectorBytes));
}

TEST(Iso, SizeMessagesSayWhatHappened) {
  const auto message = [](const Disc& disc) { return open_disc(disc).error().message(); };
  EXPECT_THAT(message(Disc(plain_disc()).resize(30 * kSectorBytes + 7)), HasSubstr("4089 bytes are missing"));
  EXPECT_THAT(message(Disc(plain_disc()).resize(32 * kSectorBytes + 512)), HasSubstr("512 bytes behind it"));
  Disc silent(32 * kSectorBytes + 512);
  EXPECT_THAT(message(silent), HasSubstr("512 more than a multiple of 2048"));
}

TEST(Iso, NamesDumpsOfRawSectors) {
  for (const auto& [sector_bytes, data_at] :
       {std::pair{2352U, 16U}, {2352U, 24U}, {2448U, 16U}, {2336U, 8U}}) {
    Disc dump(20 * sector_bytes);
    dump.put(16 * sector_bytes + data_at, Disc::iso(VolumeType::kPrimary));
    EXPECT_EQ(open_fault(dump), faults::kRawSectors.id) << sector_bytes << '+' << data_at;
    EXPECT_THAT(open_disc(dump).error().message(), HasSubstr(std::to_string(sector_bytes)));
    EXPECT_EQ(kFormat.probe(*dump.file()).value_or(Probe::kYes), Probe::kNo);
  }
}

// formats.md 6, case 91.
TEST(Iso, ABootRecordOrJolietMayComeBeforeThePrimary) {
  Disc disc(32 * kSectorBytes);
  disc.add(16, VolumeType::kBoot).add(17, VolumeType::kSupplementary).add(18, VolumeType::kPrimary);
  disc.add(19, VolumeType::kTerminator).text(16 * kSectorBytes + 7, "EL TORITO SPECIFICATION");
  IsoDescriptor joliet = Disc::iso(VolumeType::kSupplementary);
  joliet.escape_sequences = {std::byte{'%'}, std::byte{'/'}, std::byte{'E'}};
  joliet.volume_id.fill(std::byte{0});
  joliet.volume_id[0] = std::byte{0x30};
  joliet.volume_id[1] = std::byte{0xC6};
  disc.put(17 * kSectorBytes, joliet);
  const auto image = open_disc(disc);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(detail(**image, "kinds"), "iso9660,joliet,el-torito");
  EXPECT_EQ(detail(**image, "volume_id"), "\u30C6");
  EXPECT_EQ(detail(**image, "volume_id_iso9660"), "HELLO");
}

TEST(Iso, AVersionOtherThanOneAtThePrimaryIsNoIso) {
  Disc disc(32 * kSectorBytes);
  disc.add(16, VolumeType::kPrimary, 2).add(17, VolumeType::kTerminator);
  EXPECT_EQ(open_fault(disc), faults::kNoVolume.id);
  EXPECT_EQ(kFormat.probe(*disc.file()).value_or(Probe::kNo), Probe::kYes)
      << "the signature is there, damaged behind";
  Disc terminated(32 * kSectorBytes);
  terminated.add(16, VolumeType::kTerminator).add(17, VolumeType::kPrimary);
  EXPECT_EQ(open_fault(terminated), faults::kNoVolume.id) << "CDFS stops at a terminator";
}

// formats.md 6, case 95.
TEST(Iso, AnAbsentTerminatorIsAWarningOnly) {
  Disc disc(32 * kSectorBytes);
  disc.add(16, VolumeType::kPrimary);
  EXPECT_EQ(open_fault(disc), "");
  const CheckReport report = check_disc(disc);
  EXPECT_THAT(faults_of(report), ::testing::ElementsAre(faults::kNoTerminator.id));
  EXPECT_FALSE(report.damaged());
}

// formats.md 6, case 93.
TEST(Iso, AVolumeLargerThanTheFileOpensWithANote) {
  const Disc disc = plain_disc(64).resize(40 * kSectorBytes);
  std::vector<std::string> told;
  ImageOpen options;
  options.trace = [&told](TraceLevel, std::string_view text) { told.emplace_back(text); };
  const auto image = kFormat.open(disc.file(), options);
  ASSERT_TRUE(image) << image.error().message();
  ASSERT_EQ((*image)->properties().notes.size(), 1U);
  EXPECT_THAT((*image)->properties().notes[0], HasSubstr("49152 bytes are missing"));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ((*image)->properties().geometry.virtual_size_bytes, 40 * kSectorBytes);
  const CheckReport report = check_disc(disc);
  EXPECT_THAT(faults_of(report), Contains(faults::kTruncated.id));
  EXPECT_TRUE(report.damaged());
}

// formats.md 6, case 94.
TEST(Iso, HighSierraHasItsIdentifierAtNine) {
  Disc disc(32 * kSectorBytes);
  HighSierraDescriptor d{};
  d.type = 1;
  d.identifier = {'C', 'D', 'R', 'O', 'M'};
  d.version = 1;
  d.volume_space_blocks = {32U, 33U};
  std::ranges::transform(std::string_view("SIERRA"), d.volume_id.begin(),
                         [](char c) { return std::byte(c); });
  disc.put(16 * kSectorBytes, d);
  const auto image = open_disc(disc);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(detail(**image, "kinds"), "high-sierra");
  EXPECT_EQ(detail(**image, "volume_id"), "SIERRA");
  EXPECT_THAT(faults_of(check_disc(disc)),
              ::testing::ElementsAre(faults::kNoTerminator.id, faults::kBothEndian.id));
  d.version = 2;
  disc.put(16 * kSectorBytes, d);
  EXPECT_EQ(open_fault(disc), faults::kNoVolume.id);
}

// formats.md 6, case 90, and the other block sizes.
TEST(Iso, UdfOfEveryBlockSize) {
  for (const std::uint32_t block_bytes : {512U, 1024U, 2048U, 4096U, 8192U, 16384U, 32768U}) {
    const Disc disc = udf_disc(block_bytes);
    const auto image = open_disc(disc);
    ASSERT_TRUE(image) << block_bytes << ": " << image.error().message();
    EXPECT_EQ(detail(**image, "kinds"), "udf-2.01");
    EXPECT_EQ(detail(**image, "udf_block_bytes"), std::to_string(block_bytes));
    EXPECT_EQ(detail(**image, "volume_id"), "Größe \u30C6");
    const std::uint64_t last = disc.size_bytes() / block_bytes - 1;
    EXPECT_EQ(detail(**image, "udf_anchor_blocks"), fmt::format("256,{}", last));
    EXPECT_EQ(detail(**image, "volume_space_bytes"), std::to_string(last * block_bytes));
    EXPECT_THAT(check_disc(disc).findings, IsEmpty()) << block_bytes;
  }
}

// As in a real disk that was formatted twice (util-linux' udf-hdd-mkudffs-1.3-7): the recognition sequence
// says 4096.
TEST(Iso, AnOlderVolumeOfAnotherBlockSizeIsNotTaken) {
  Disc disc = udf_disc(4096);
  disc.anchor(512, 256, 258, 1).logical_volume(512, 258, u"old", 0x0102);
  const auto image = open_disc(disc);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(detail(**image, "udf_block_bytes"), "4096");
  EXPECT_EQ(detail(**image, "kinds"), "udf-2.01");
}

// formats.md 6, case 89: every descriptor of ISO 9660 comes before BEA01.
TEST(Iso, ABridgeDiscIsBoth) {
  Disc disc = udf_disc(2048);
  disc.add(16, VolumeType::kPrimary, 1, 100).add(17, VolumeType::kBoot).add(18, VolumeType::kTerminator);
  disc.recognition(19 * kSectorBytes, "BEA01").recognition(20 * kSectorBytes, "NSR02");
  disc.recognition(21 * kSectorBytes, "TEA01");
  const auto image = open_disc(disc);
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(detail(**image, "kinds"), "iso9660,udf-2.01,bridge");
  EXPECT_EQ(detail(**image, "volume_id"), "Größe \u30C6");
}

TEST(Iso, NsrCountsOnlyBehindBea) {
  Disc disc(600 * kSectorBytes);
  disc.recognition(kSystemAreaBytes, "NSR03").recognition(kSystemAreaBytes + kSectorBytes, "BEA01");
  EXPECT_EQ(open_fault(disc), faults::kNoVolume.id);
  disc.recognition(kSystemAreaBytes + 2 * kSectorBytes, "NSR02");
  EXPECT_EQ(open_fault(disc), "");
  EXPECT_EQ(detail(**open_disc(disc), "kinds"), "udf-1.x");
}

TEST(Iso, UdfAnchorsAreReported) {
  Disc none(600 * kSectorBytes);
  none.recognition(kSystemAreaBytes, "BEA01").recognition(kSystemAreaBytes + kSectorBytes, "NSR03");
  const auto image = open_disc(none);
  ASSERT_TRUE(image) << "a missing anchor is the file system's error, not ours";
  EXPECT_EQ(detail(**image, "udf_anchor_blocks"), "none");
  EXPECT_EQ((*image)->properties().notes.size(), 1U);
  EXPECT_THAT(faults_of(check_disc(none)), ::testing::ElementsAre(faults::kNoAnchor.id));

  Disc one(none);
  one.anchor(2048, 256, 300, 0);
  EXPECT_THAT(faults_of(check_disc(one)),
              ::testing::ElementsAre(faults::kOneAnchor.id, faults::kNoLogicalVolume.id));

  Disc damaged = udf_disc(2048);
  UdfAnchor anchor = load<UdfAnchor>(std::span(damaged.bytes()).subspan(256 * kSectorBytes));
  anchor.tag.crc_length = std::uint16_t{16};  // covers the extents, whose CRC is not the stored 0
  anchor.tag.checksum = static_cast<std::uint8_t>(anchor.tag.checksum + 16);
  damaged.put(256 * kSectorBytes, anchor);
  EXPECT_THAT(faults_of(check_disc(damaged)), ::testing::ElementsAre(faults::kAnchorCrc.id));
}

TEST(Iso, NamesAreSafeToPrint) {
  Disc disc = plain_disc();
  disc.text(16 * kSectorBytes + 40, "A\x1b[2J\xe9\x9b");
  const auto image = open_disc(disc);
  ASSERT_TRUE(image);
  EXPECT_EQ(detail(**image, "volume_id").substr(0, 7), "A?[2J\u00E9");
  EXPECT_THAT(detail(**image, "volume_id"), Not(HasSubstr("\u009B")));
}

TEST(Iso, InspectTellsWhatItCanOfARefusedDisc) {
  const Disc disc = plain_disc().resize(32 * kSectorBytes + 3);
  ImageInfo info;
  const auto file = disc.file();
  const Status status = kFormat.inspect(*file, {}, info);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), faults::kSizeMultiple.id);
  EXPECT_EQ(info.format, FormatId::kIso);
  EXPECT_FALSE(info.virtual_size_bytes);
  EXPECT_THAT(info.details, Contains(Pair("volume_id", "HELLO")));
}

TEST(Iso, LooksAtABoundedPartOfAHostileDisc) {
  // Descriptors without an end, BEA01 everywhere, and an anchor that names a sequence of four thousand
  // million bytes.
  testing::IoCounts counts;
  Disc disc(4 * kMiB);
  for (std::uint64_t at = kSystemAreaBytes; at < 4 * kMiB; at += kSectorBytes) disc.recognition(at, "BEA01");
  disc.recognition(kSystemAreaBytes + kSectorBytes, "NSR03").anchor(2048, 256, 0xFFFFFFFF, 0);
  testing::CountingFile file(disc.file(), counts);
  ImageInfo info;
  EXPECT_TRUE(kFormat.inspect(file, {}, info));
  EXPECT_LE(counts.reads, 500U);
  EXPECT_LE(counts.bytes_read, kMiB);
}

TEST(Iso, ContentDetectionNeedsOneReadOfAForeignFile) {
  testing::IoCounts counts;
  testing::CountingFile file(Disc(kMiB).file(), counts);
  EXPECT_EQ(kFormat.probe(file).value_or(Probe::kYes), Probe::kNo);
  EXPECT_EQ(counts.reads, 1U);
}

TEST(Iso, IsDetectedByContentWhateverTheName) {
  for (const char* path : {"disc.img", "disc.raw", "disc", "DISC.ISO", "a.b/disc"}) {
    const auto file = plain_disc().file(path);
    const auto format = detect_format(*file, path, std::nullopt);
    ASSERT_TRUE(format) << path;
    EXPECT_EQ(*format, &kFormat) << path;
  }
}

}  // namespace
}  // namespace vdisk::iso
