// SPDX-License-Identifier: Apache-2.0
//
// Whole chains of real images: how parents are found, told apart from others, and refused.
#include "chain/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/fault.h"
#include "base/utf16.h"
#include "io/file_lock.h"
#include "io/posix_file.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::vhd_id;
using testing::VhdBuilder;
using testing::VhdxBuilder;

constexpr std::uint64_t kDiskBytes = 8 * kMiB;

Guid guid_of(std::uint8_t number) {
  Guid guid;
  guid.bytes.fill(number);
  return guid;
}

// What a test says of one image, in either format.
struct Spec {
  std::uint8_t id = 1;         // what children record
  std::uint8_t parent_id = 0;  // 0: not differencing
  std::string relative = {};
  std::string absolute = {};
  std::uint64_t first_sector = 0;  // one sector of its own, of bytes `id`
  std::uint64_t size_bytes = kDiskBytes;
  std::uint32_t sector_bytes = 512;
};

class ChainTest : public ::testing::TestWithParam<FormatId> {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "vdisk_chain_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }

  static bool vhd() { return GetParam() == FormatId::kVhd; }
  static std::string ext() { return vhd() ? ".vhd" : ".vhdx"; }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string save(const std::string& name, File& file) const {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::vector<std::byte> bytes(*file.size());
    EXPECT_TRUE(read_exactly(file, {}, bytes));
    std::FILE* out = std::fopen(path(name).c_str(), "wb");
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), out), bytes.size());
    std::fclose(out);
    return path(name);
  }

  std::string make(const std::string& name, const Spec& spec) const {
    if (!vhd()) return make_vhdx(name, spec);
    const auto id = [](std::uint8_t number) { return guid_of(number).to_text_order(); };
    VhdBuilder builder = spec.parent_id == 0 ? VhdBuilder::dynamic(spec.size_bytes, kMiB)
                                             : VhdBuilder::differencing(spec.size_bytes, kMiB);
    builder.unique_id(id(spec.id)).fill(spec.first_sector, 1, spec.id);
    if (spec.parent_id != 0) builder.parent(id(spec.parent_id), spec.relative, spec.absolute, "");
    return save(name, *builder.file());
  }

  std::string make_vhdx(const std::string& name, const Spec& spec) const {
    VhdxBuilder builder(spec.size_bytes);
    builder.sectors(spec.sector_bytes, 4096);
    for (int slot = 0; slot < 2; ++slot) {
      builder.edit_header(slot,
                          [&](vhdx::HeaderLayout& header) { header.data_write_guid = guid_of(spec.id); });
    }
    if (spec.parent_id != 0) {
      VhdxBuilder::LocatorPairs pairs = {
          {u"parent_linkage", *utf8_to_utf16("{" + guid_of(spec.parent_id).to_string() + "}")},
          {u"parent_linkage2", u"{00000000-0000-0000-0000-000000000000}"}};
      if (!spec.relative.empty()) pairs.emplace_back(u"relative_path", *utf8_to_utf16(spec.relative));
      if (!spec.absolute.empty()) pairs.emplace_back(u"absolute_win32_path", *utf8_to_utf16(spec.absolute));
      builder.differencing(pairs);
      const std::uint64_t block = spec.first_sector * spec.sector_bytes / kMiB;
      builder.partial(block);
      builder.set_bits(spec.first_sector, 1);
    } else {
      builder.present(spec.first_sector * spec.sector_bytes / kMiB);
    }
    builder.write(spec.first_sector * spec.sector_bytes, spec.sector_bytes, spec.id);
    return save(name, *builder.build());
  }

  static Result<Chain> open(const std::string& path, const OpenOptions& options = {}) {
    return Chain::open(path, options);
  }
  static std::string id_of(const Result<Chain>& chain) {
    return chain ? "opened " + std::to_string(chain->size()) : std::string(chain.error().id());
  }
  static std::string message_of(const Result<Chain>& chain) { return chain ? "" : chain.error().message(); }

  // The first byte of a sector of the whole chain's disk.
  static int byte_at(const Chain& chain, std::uint64_t sector) {
    ReadPlan plan;
    const auto covered = chain.plan_read({{sector * 512}, 1}, plan);
    EXPECT_TRUE(covered);
    if (!covered || plan.size() != 1) return -1;
    if (plan[0].source == PlannedRun::Source::kZero) return 0;
    if (plan[0].source == PlannedRun::Source::kUnresolved) return -2;
    std::byte byte{};
    EXPECT_TRUE(read_exactly(chain.layer(plan[0].layer).image->file(), plan[0].from, {&byte, 1}));
    return std::to_integer<int>(byte);
  }

  std::string folder_;
};

INSTANTIATE_TEST_SUITE_P(Formats, ChainTest, ::testing::Values(FormatId::kVhd, FormatId::kVhdx),
                         [](const auto& format) { return format.param == FormatId::kVhd ? "vhd" : "vhdx"; });

TEST_P(ChainTest, FiveLayersDeep) {
  make("1" + ext(), {.id = 1, .first_sector = 10});
  for (int i = 2; i <= 5; ++i) {
    make(std::to_string(i) + ext(), {.id = static_cast<std::uint8_t>(i),
                                     .parent_id = static_cast<std::uint8_t>(i - 1),
                                     .relative = ".\\" + std::to_string(i - 1) + ext(),
                                     .first_sector = static_cast<std::uint64_t>(i) * 10});
  }
  const auto chain = open(path("5" + ext()));
  ASSERT_TRUE(chain) << message_of(chain);
  EXPECT_EQ(chain->size(), 5U);
  EXPECT_TRUE(chain->complete());
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(byte_at(*chain, static_cast<std::uint64_t>(i) * 10), i);
  EXPECT_EQ(byte_at(*chain, 11), 0);
  EXPECT_EQ(byte_at(*chain, kDiskBytes / 512 - 1), 0);

  OpenOptions shallow;
  shallow.limits.chain_depth = 4;
  const auto refused = open(path("5" + ext()), shallow);
  EXPECT_EQ(id_of(refused), "chain.too_deep");
  EXPECT_EQ(refused.error().code(), 0xC03A0018U);
  shallow.limits.chain_depth = 5;
  EXPECT_EQ(id_of(open(path("5" + ext()), shallow)), "opened 5");
}

TEST_P(ChainTest, WithoutParentsTheRestIsUnresolved) {
  const std::string child =
      make("child" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\gone" + ext(), .first_sector = 5});
  OpenOptions options;
  options.no_parents = true;
  const auto chain = open(child, options);
  ASSERT_TRUE(chain) << message_of(chain);
  EXPECT_EQ(chain->size(), 1U);
  EXPECT_FALSE(chain->complete());
  EXPECT_EQ(byte_at(*chain, 5), 2);
  EXPECT_EQ(byte_at(*chain, 6), -2);
}

TEST_P(ChainTest, AMissingParentIsRefusedWithAllThatWasTried) {
  const std::string child =
      make("child" + ext(),
           {.id = 2, .parent_id = 1, .relative = ".\\sub\\base" + ext(), .absolute = "Q:\\vm\\base" + ext()});
  OpenOptions options;
  options.parents.directories = {path("elsewhere")};
  const auto chain = open(child, options);
  ASSERT_EQ(id_of(chain), "chain.parent_not_found");
  EXPECT_EQ(chain.error().code(), 0xC03A000DU);
  for (const std::string& text :
       {path("sub/base"), path("base"), path("elsewhere/base"), std::string("--map-drive Q:=DIR"),
        std::string("--parent-dir"), guid_of(1).to_string(), "opening " + child}) {
    EXPECT_THAT(message_of(chain), HasSubstr(text));
  }
}

TEST_P(ChainTest, AWrongParentIsPassedOverButTold) {
  const std::string child = make("child" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext()});
  make("base" + ext(), {.id = 9});
  const auto wrong = open(child);
  EXPECT_EQ(id_of(wrong), "chain.identity_mismatch");
  EXPECT_EQ(wrong.error().code(), 0xC03A000EU);
  EXPECT_THAT(message_of(wrong), HasSubstr(guid_of(9).to_string()));
  EXPECT_THAT(message_of(wrong), HasSubstr(guid_of(1).to_string()));
  EXPECT_THAT(message_of(wrong), HasSubstr("parent " + path("base")));

  make("other/base" + ext(), {.id = 1, .first_sector = 3});
  OpenOptions options;
  options.parents.directories = {path("nowhere"), path("other")};
  const auto right = open(child, options);
  ASSERT_TRUE(right) << message_of(right);
  EXPECT_EQ(right->layer(1).path, path("other/base" + ext()));
  EXPECT_EQ(byte_at(*right, 3), 1);
}

TEST_P(ChainTest, CyclesEnd) {
  // A names B, B names A.
  const std::string a = make("a" + ext(), {.id = 1, .parent_id = 2, .relative = ".\\b" + ext()});
  make("b" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\a" + ext()});
  const auto chain = open(a);
  EXPECT_EQ(id_of(chain), "chain.cycle");
  EXPECT_EQ(chain.error().code(), 0xC03A0018U);
  // Written too: our own lock on the leaf must not hide what is wrong.
  OpenOptions writable;
  writable.writable = true;
  EXPECT_EQ(id_of(open(a, writable)), "chain.cycle");
  // A file that names itself, plainly or through another name of it.
  const std::string self = make("self" + ext(), {.id = 3, .parent_id = 3, .relative = ".\\self" + ext()});
  EXPECT_EQ(id_of(open(self)), "chain.cycle");
  const std::string alias = make("real" + ext(), {.id = 4, .parent_id = 4, .relative = ".\\alias" + ext()});
  fs::create_hard_link(alias, path("alias" + ext()));
  EXPECT_EQ(id_of(open(alias)), "chain.cycle");
}

TEST_P(ChainTest, AParentOfTheSameNameElsewhereIsNoCycle) {
  const std::string child =
      make("disk" + ext(), {.id = 2, .parent_id = 1, .relative = "..\\up\\disk" + ext()});
  const auto missing = open(child);
  EXPECT_EQ(id_of(missing), "chain.parent_not_found") << message_of(missing);
  EXPECT_THAT(message_of(missing), HasSubstr("already part of the chain"));
}

TEST_P(ChainTest, LeavingTheFolderNeedsTheIdentityAndIsForbiddenByConfine) {
  const std::string child =
      make("in/child" + ext(), {.id = 2, .parent_id = 1, .relative = "..\\up\\base" + ext()});
  make("up/base" + ext(), {.id = 1, .first_sector = 3});
  EXPECT_EQ(id_of(open(child)), "opened 2");
  OpenOptions confined;
  confined.parents.confine = true;
  const auto refused = open(child, confined);
  EXPECT_EQ(id_of(refused), "chain.parent_not_found");
  EXPECT_THAT(message_of(refused), HasSubstr("--confine"));
  make("up/base" + ext(), {.id = 7});
  EXPECT_EQ(id_of(open(child)), "chain.identity_mismatch");
}

TEST_P(ChainTest, AbsolutePathsThroughTheDriveMap) {
  const std::string child =
      make("in/child" + ext(), {.id = 2, .parent_id = 1, .absolute = "C:\\VM\\Base" + ext()});
  make("drive/vm/base" + ext(), {.id = 1, .first_sector = 3});
  EXPECT_EQ(id_of(open(child)), "chain.parent_not_found");
  OpenOptions options;
  options.parents.drive_map = {{"c:", path("drive")}};
  const auto chain = open(child, options);
  ASSERT_TRUE(chain) << message_of(chain);
  EXPECT_EQ(byte_at(*chain, 3), 1);
  options.parents.confine = true;
  EXPECT_EQ(id_of(open(child, options)), "chain.parent_not_found");
  // An absolute Linux path too.
  const std::string linux_child =
      make("in/linux" + ext(), {.id = 2, .parent_id = 1, .absolute = path("drive/vm/base" + ext())});
  EXPECT_EQ(id_of(open(linux_child)), "opened 2");
}

TEST_P(ChainTest, OtherCaseAndOtherScripts) {
  const std::string child =
      make("child" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\Диски\\ÜBER Maß" + ext()});
  make("диски/über Maß" + ext(), {.id = 1, .first_sector = 3});
  const auto chain = open(child);
  ASSERT_TRUE(chain) << message_of(chain);
  EXPECT_EQ(byte_at(*chain, 3), 1);
}

TEST_P(ChainTest, WhatIsNoImageFileIsNotFollowedAndNeverWaitedFor) {
  const std::string child = make("child" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext()});
  const std::string base = path("base" + ext());
  ASSERT_EQ(::mkfifo(base.c_str(), 0600), 0);
  const auto fifo = open(child);
  EXPECT_EQ(id_of(fifo), "chain.parent_not_found");
  EXPECT_THAT(message_of(fifo), HasSubstr("a FIFO"));
  fs::remove(base);
  fs::create_symlink("/dev/zero", base);
  EXPECT_THAT(message_of(open(child)), HasSubstr("a character device"));
  fs::remove(base);
  fs::create_directory(base);
  EXPECT_THAT(message_of(open(child)), HasSubstr("a folder"));
  fs::remove(base);
  fs::create_symlink("base" + ext(), base);
  EXPECT_EQ(id_of(open(child)), "chain.parent_not_found");
  fs::remove(base);
  std::ofstream{base};
  EXPECT_THAT(message_of(open(child)), HasSubstr("is empty"));
  fs::remove(base);
  fs::create_symlink("/proc/self/fd/0", base);
  EXPECT_EQ(id_of(open(child)), "chain.parent_not_found");
}

TEST_P(ChainTest, AnUnreadableParentIsAccessDenied) {
  const std::string child = make("child" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext()});
  const std::string base = make("base" + ext(), {.id = 1});
  fs::permissions(base, fs::perms::none);
  fs::permissions(folder_, fs::perms(0755));
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const auto chain = open(child);
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_EQ(id_of(chain), "chain.parent_access_denied");
  EXPECT_EQ(chain.error().code(), 0xC03A0016U);
}

TEST_P(ChainTest, ADamagedParentKeepsItsOwnFaultAndGainsFrames) {
  const std::string top = make("top" + ext(), {.id = 3, .parent_id = 2, .relative = ".\\mid" + ext()});
  make("mid" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext()});
  const std::string base = path("base" + ext());
  std::ofstream(base) << std::string(kMiB, '?');
  const auto chain = open(top);
  ASSERT_FALSE(chain);
  EXPECT_TRUE(chain.error().id().starts_with(vhd() ? "vhd." : "vhdx.")) << chain.error().id();
  EXPECT_THAT(message_of(chain),
              HasSubstr("opening " + top + ": parent " + path("mid" + ext()) + ": parent " + base + ": "));
}

TEST_P(ChainTest, AChildMayBeLargerOrSmallerThanItsParent) {
  make("base" + ext(), {.id = 1, .first_sector = 100, .size_bytes = 4 * kMiB});
  const std::string larger = make(
      "larger" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext(), .size_bytes = 8 * kMiB});
  const auto grown = open(larger);
  ASSERT_TRUE(grown) << message_of(grown);
  EXPECT_EQ(byte_at(*grown, 100), 1);
  EXPECT_EQ(byte_at(*grown, 4 * kMiB / 512), 0);
  EXPECT_EQ(byte_at(*grown, 8 * kMiB / 512 - 1), 0);
  const std::string smaller = make(
      "smaller" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext(), .size_bytes = 3 * kMiB});
  const auto shrunk = open(smaller);
  ASSERT_TRUE(shrunk) << message_of(shrunk);
  EXPECT_EQ(byte_at(*shrunk, 100), 1);
}

TEST_P(ChainTest, ParentsAreSharedAndKeptFromWriters) {
  const std::string base = make("base" + ext(), {.id = 1});
  const std::string one = make("one" + ext(), {.id = 2, .parent_id = 1, .relative = ".\\base" + ext()});
  const std::string two = make("two" + ext(), {.id = 3, .parent_id = 1, .relative = ".\\base" + ext()});
  {
    const auto first = open(one);
    const auto second = open(two);
    EXPECT_EQ(id_of(first), "opened 2");
    EXPECT_EQ(id_of(second), "opened 2");
    const auto writer = open_posix_file(base, {.writable = true, .lock = true, .trace = {}});
    ASSERT_FALSE(writer);
    EXPECT_EQ(writer.error().id(), "io.locked");
  }
  const auto writer = open_posix_file(base, {.writable = true, .lock = true, .trace = {}});
  ASSERT_TRUE(writer);
  const auto child = open(one);
  EXPECT_EQ(id_of(child), "io.locked");
  EXPECT_THAT(message_of(child), HasSubstr("parent " + base));
  OpenOptions unlocked;
  unlocked.lock = LockMode::kNone;
  EXPECT_EQ(id_of(open(one, unlocked)), "opened 2");
}

class VhdChainTest : public ChainTest {};
INSTANTIATE_TEST_SUITE_P(Formats, VhdChainTest, ::testing::Values(FormatId::kVhd));

TEST_P(VhdChainTest, FixedParentsAndOtherBlockSizesAreLegal) {  // formats.md 6, cases 25 and 26
  save("base.vhd", *VhdBuilder::fixed(kDiskBytes).unique_id(guid_of(1).to_text_order()).fill(7, 1, 1).file());
  VhdBuilder middle = VhdBuilder::differencing(kDiskBytes, 512 * 1024);
  middle.unique_id(guid_of(2).to_text_order()).fill(2000, 1, 2);
  save("mid.vhd", *middle.parent(guid_of(1).to_text_order(), ".\\base.vhd").file());
  const std::string top =
      make("top.vhd", {.id = 3, .parent_id = 2, .relative = ".\\mid.vhd", .first_sector = 9});
  const auto chain = open(top);
  ASSERT_TRUE(chain) << message_of(chain);
  EXPECT_EQ(byte_at(*chain, 7), 1);
  EXPECT_EQ(byte_at(*chain, 2000), 2);
  EXPECT_EQ(byte_at(*chain, 9), 3);
}

TEST_P(VhdChainTest, RawParentsOnlyOnRequestAndWithoutAnIdentifier) {
  std::string content(kDiskBytes, '\0');
  content[7 * 512] = 'r';
  std::ofstream(path("base.img"), std::ios::binary) << content;
  VhdBuilder builder = VhdBuilder::differencing(kDiskBytes, kMiB);
  const std::string child = save("child.vhd", *builder.parent({}, ".\\base.img").file());
  const auto refused = open(child);
  EXPECT_EQ(id_of(refused), "chain.parent_not_found");
  EXPECT_THAT(message_of(refused), HasSubstr("--allow-raw-parent"));
  OpenOptions options;
  options.parents.allow_raw = true;
  const auto chain = open(child, options);
  ASSERT_TRUE(chain) << message_of(chain);
  EXPECT_EQ(byte_at(*chain, 7), 'r');
  // Nothing could be compared: paths that lead out of the folder stay forbidden.
  fs::create_directory(path("in"));
  VhdBuilder outside = VhdBuilder::differencing(kDiskBytes, kMiB);
  const std::string far = save("in/far.vhd", *outside.parent({}, "..\\base.img").file());
  const auto outside_chain = open(far, options);
  EXPECT_EQ(id_of(outside_chain), "chain.parent_not_found");
  EXPECT_THAT(message_of(outside_chain), HasSubstr("no identifier"));
  // A child that records an identifier never gets a raw parent.
  VhdBuilder named = VhdBuilder::differencing(kDiskBytes, kMiB);
  const std::string strict =
      save("strict.vhd", *named.parent(guid_of(1).to_text_order(), ".\\base.img").file());
  EXPECT_FALSE(open(strict, options));
}

TEST_P(VhdChainTest, AnotherTimeStampIsOnlyANote) {  // formats.md 6, cases 23 and 24
  make("base.vhd", {.id = 1});
  std::vector<std::string> notes;
  OpenOptions options;
  options.trace = [&](TraceLevel level, std::string_view text) {
    if (level == TraceLevel::kNote) notes.emplace_back(text);
  };
  for (const std::uint32_t timestamp : {0U, 12345U}) {
    notes.clear();
    VhdBuilder builder = VhdBuilder::differencing(kDiskBytes, kMiB);
    builder.parent(guid_of(1).to_text_order(), ".\\base.vhd").parent_timestamp(timestamp);
    const std::string child = save("child.vhd", *builder.file());
    EXPECT_EQ(id_of(open(child, options)), "opened 2");
    EXPECT_EQ(std::ranges::any_of(
                  notes,
                  [](const auto& note) { return note.find("2000-01-01 03:25:45 UTC") != std::string::npos; }),
              timestamp != 0);
  }
}

class VhdxChainTest : public ChainTest {};
INSTANTIATE_TEST_SUITE_P(Formats, VhdxChainTest, ::testing::Values(FormatId::kVhdx));

TEST_P(VhdxChainTest, SectorSizesMustBeEqual) {
  make("base.vhdx", {.id = 1, .sector_bytes = 4096});
  const std::string child = make("child.vhdx", {.id = 2, .parent_id = 1, .relative = ".\\base.vhdx"});
  const auto chain = open(child);
  EXPECT_EQ(id_of(chain), "chain.sector_size");
  EXPECT_EQ(chain.error().code(), 0xC03A001DU);
}

TEST_P(VhdxChainTest, ADifferentFormatIsNoParent) {
  make("base.vhdx", {.id = 1});
  VhdBuilder builder = VhdBuilder::dynamic(kDiskBytes, kMiB);
  save("base.vhdx", *builder.unique_id(guid_of(1).to_text_order()).file());
  const std::string child = make("child.vhdx", {.id = 2, .parent_id = 1, .relative = ".\\base.vhdx"});
  const auto chain = open(child);
  ASSERT_FALSE(chain);
  EXPECT_THAT(message_of(chain), HasSubstr("parent " + path("base.vhdx")));
}

}  // namespace
}  // namespace vdisk
