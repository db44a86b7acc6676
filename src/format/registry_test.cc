// SPDX-License-Identifier: Apache-2.0
#include "format/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "io/faults.h"
#include "io/memory_file.h"

namespace vdisk {
namespace {

using ::testing::HasSubstr;

// Formats of the test's own, so that each rule is seen apart from any parser: "front" has its signature at
// the front, "back" in the last sector (as a fixed VHD), "blind" has none (as raw and VHD Set), "broken"
// cannot read.
constexpr Fault kNotFront{"test.not_front", 1392, "No FRONT at 0."};
constexpr Fault kNotBack{"test.not_back", 0xC03A0001, "No BACK in the last sector."};

bool has(File& file, std::uint64_t at, std::string_view text) {
  std::string there(text.size(), '\0');
  const auto got = file.read(FileOffset{at}, std::as_writable_bytes(std::span(there)));
  return got && *got == text.size() && there == text;
}

Result<Probe> probe_front(File& file) { return has(file, 0, "FRONT") ? Probe::kYes : Probe::kNo; }
Result<Probe> probe_back(File& file) {
  const std::uint64_t size = file.size().value_or(0);
  return size >= 512 && has(file, size - 512, "BACK") ? Probe::kYes : Probe::kNo;
}
Result<Probe> probe_none(File&) { return Probe::kNo; }
Result<Probe> probe_broken(File& file) {
  return fail(io::faults::kDevice, "{}: the medium is broken", file.name());
}

template <const Fault& kFault, Result<Probe> (*kProbe)(File&)>
Status inspect_by(File& file, const ImageOpen&, ImageInfo&) {
  if (VDISK_TRY(kProbe(file)) == Probe::kYes) return {};
  return fail(kFault, "{}: no signature", file.name());
}
Status inspect_anything(File&, const ImageOpen&, ImageInfo&) { return {}; }

constexpr std::string_view kFrontExtensions[] = {"fro", "afro"};
constexpr std::string_view kBackExtensions[] = {"bak"};
constexpr std::string_view kBlindExtensions[] = {"bli"};

Format make(FormatId id, std::string_view name, std::span<const std::string_view> extensions,
            Result<Probe> (*probe)(File&), Status (*inspect)(File&, const ImageOpen&, ImageInfo&)) {
  return {.id = id,
          .name = name,
          .extensions = extensions,
          .has_parents = false,
          .probe = probe,
          .open = nullptr,
          .inspect = inspect,
          .check = nullptr,
          .faults = {}};
}

const Format kFront =
    make(FormatId::kVhdx, "front", kFrontExtensions, probe_front, inspect_by<kNotFront, probe_front>);
const Format kBack =
    make(FormatId::kVhd, "back", kBackExtensions, probe_back, inspect_by<kNotBack, probe_back>);
const Format kBlind = make(FormatId::kVhdSet, "blind", kBlindExtensions, probe_none, inspect_anything);
const Format kRawLike = make(FormatId::kRaw, "raw", {}, probe_none, inspect_anything);

class Detection : public ::testing::Test {
 protected:
  Detection() { EXPECT_TRUE(file_.resize(4096)); }
  void put(std::uint64_t at, std::string_view text) {
    EXPECT_TRUE(file_.write(FileOffset{at}, std::as_bytes(std::span(text))));
  }
  Result<const Format*> detect(std::string_view path, std::optional<FormatId> wanted = std::nullopt) {
    return internal::detect_among(list_, file_, path, wanted);
  }
  std::string name(std::string_view path, std::optional<FormatId> wanted = std::nullopt) {
    const auto format = detect(path, wanted);
    return format ? std::string((*format)->name) : std::string(format.error().id());
  }

  MemoryFile file_{"image"};
  std::vector<const Format*> list_ = {&kFront, &kBack, &kBlind, &kRawLike};
};

TEST_F(Detection, TheExtensionDecidesInAnyCase) {
  put(0, "FRONT");
  for (const char* path :
       {"a.fro", "a.FRO", "a.Afro", "/x.bak/a.AFRO", "C:\\dir\\a.fro", "a.bak.fro", ".fro"}) {
    EXPECT_EQ(name(path), "front") << path;
  }
}

TEST_F(Detection, ContentDecidesWithoutAKnownExtension) {
  EXPECT_EQ(name("a.img"), "format.unrecognised");
  EXPECT_EQ(detect("a.img").error().code(), 0xC03A0014U);
  put(4096 - 512, "BACK");
  for (const char* path : {"a.img", "a", "a.", "", "fro", "/d.fro/a"}) EXPECT_EQ(name(path), "back") << path;
  // A raw disk whose content ends in a footer (formats.md 6, case 1): whoever knows that it is raw says so.
  EXPECT_EQ(name("a.img", FormatId::kRaw), "raw");
}

TEST_F(Detection, TheListSettlesWhatTwoFormatsClaim) {
  put(0, "FRONT");
  put(4096 - 512, "BACK");
  EXPECT_EQ(name("a.img"), "front");
  EXPECT_EQ(name("a.bak"), "back") << "a name that its own signature confirms stands";
  EXPECT_EQ(name("a.img", FormatId::kVhd), "back");
}

TEST_F(Detection, NeverRawByGuess) {
  for (const char* path : {"a.img", "a.raw", "a.dd", "a.bin", "a"})
    EXPECT_EQ(name(path), "format.unrecognised");
  EXPECT_EQ(name("a.fro", FormatId::kRaw), "raw") << "the caller's word needs no content";
}

TEST_F(Detection, ADamagedImageStaysItsOwn) {
  // No signature at all: the named format's open says what is wrong.
  EXPECT_EQ(name("a.fro"), "front");
  EXPECT_EQ(name("a.img", FormatId::kVhd), "back");
  EXPECT_EQ(name("a.fro", FormatId::kVhd), "back") << "the caller's word goes before the extension";
}

TEST_F(Detection, AContradictionIsTheNamedFormatsError) {
  put(0, "FRONT");
  const auto by_name = detect("a.bak");
  ASSERT_FALSE(by_name);
  EXPECT_EQ(by_name.error().id(), "test.not_back");
  EXPECT_EQ(by_name.error().code(), 0xC03A0001U);
  EXPECT_THAT(by_name.error().message(), HasSubstr("the extension says back, but the content is front"));
  const auto by_caller = detect("a.fro", FormatId::kVhd);
  ASSERT_FALSE(by_caller);
  EXPECT_EQ(by_caller.error().id(), "test.not_back");
  EXPECT_THAT(by_caller.error().message(), HasSubstr("opened as back, but the content is front"));
  EXPECT_THAT(by_caller.error().message(), HasSubstr("--format front"));
}

TEST_F(Detection, AParserThatAcceptsWhatItsProbeMissedIsBelieved) {
  put(0, "FRONT");
  EXPECT_EQ(name("a.bli"), "blind");
}

TEST_F(Detection, AFormatThatIsNotThereIsUnrecognised) {
  put(0, "FRONT");
  EXPECT_EQ(name("a.fro", FormatId::kIso), "format.unrecognised");
}

TEST_F(Detection, AnInputErrorIsNotAnAnswer) {
  const Format broken = make(FormatId::kIso, "broken", {}, probe_broken, inspect_anything);
  list_.insert(list_.begin(), &broken);
  EXPECT_EQ(name("a.img"), "io.device");
  EXPECT_EQ(name("a.img", FormatId::kIso), "io.device");
}

TEST(Registry, EveryFormatHasItsOwnIdNameAndExtensions) {
  std::vector<std::string_view> extensions;
  for (const Format* format : formats()) {
    EXPECT_EQ(&format_by_id(format->id), format);
    EXPECT_EQ(parse_format(format->name), format->id);
    EXPECT_EQ(to_string(format->id), format->name);
    for (const auto extension : format->extensions) {
      extensions.push_back(extension);
      EXPECT_EQ(format_by_extension("x." + std::string(extension)), format);
    }
  }
  std::ranges::sort(extensions);
  EXPECT_EQ(std::ranges::adjacent_find(extensions), extensions.end());
  EXPECT_FALSE(parse_format("VHD "));
  EXPECT_EQ(format_by_extension("x.raw"), nullptr);
  EXPECT_EQ(format_by_extension("x"), nullptr);
  MemoryFile empty("empty");
  const auto unknown = detect_format(empty, "empty.bin", std::nullopt);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().id(), format::faults::kUnrecognised.id);
}

TEST(CheckSink, KeepsDamageWhenNotesFillTheReport) {
  CheckReport report;
  CheckSink sink(report, "x");
  for (std::size_t i = 0; i < CheckReport::kMostFindings + 5; ++i) {
    sink.add(Finding::Severity::kNote, kNotFront, "note {}", i);
  }
  EXPECT_FALSE(report.damaged());
  sink.add(Finding::Severity::kDamage, kNotBack, "damage");
  EXPECT_TRUE(report.damaged());
  EXPECT_EQ(report.findings.size(), CheckReport::kMostFindings);
  EXPECT_EQ(report.findings_total, CheckReport::kMostFindings + 6);
  EXPECT_EQ(report.findings.back().fault, "test.not_back");
  EXPECT_EQ(report.findings.back().code, 0xC03A0001U);
}

}  // namespace
}  // namespace vdisk
