// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <vdisk/operations.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <vector>

#include "base/checked.h"
#include "base/crc32c.h"
#include "disk/ops/parent_link.h"
#include "format/registry.h"
#include "io/posix_file.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kId = "00112233-4455-6677-8899-aabbccddeeff";

class CreateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/vdisk_create_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    ::unsetenv("SOURCE_DATE_EPOCH");
    fs::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::size_t count() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }
  std::string must_create(const std::string& name, const CreateOptions& options) const {
    const Status status = create(path(name), options);
    EXPECT_TRUE(status) << name << ": " << status.error().message();
    return path(name);
  }
  /// The id of the failure; nothing may be left.
  std::string refusal(const std::string& name, const CreateOptions& options, Win32Code code) const {
    const std::size_t before = count();
    const Status status = create(path(name), options);
    EXPECT_EQ(count(), before);
    if (status) return "success";
    EXPECT_EQ(status.error().code(), code) << status.error().message();
    return std::string(status.error().id());
  }
  /// Everything that check finds in the file and its parents' own files; "" if nothing.
  static std::string findings(const std::string& image) {
    std::unique_ptr<File> file = *open_posix_file(image, {.writable = false, .trace = {}});
    const Format* format = *detect_format(*file, image, std::nullopt);
    CheckReport report;
    CheckSink sink(report, image);
    EXPECT_TRUE(format->check(*file, {}, sink, {}));
    std::string text;
    for (const Finding& finding : report.findings) text += finding.fault + ": " + finding.message + "\n";
    return text;
  }
  static std::string bytes(const std::string& image) {
    std::string content(fs::file_size(image), '\0');
    std::ifstream(image, std::ios::binary).read(content.data(), static_cast<std::streamsize>(content.size()));
    return content;
  }

  std::string folder_;
};

CreateOptions sized(std::uint64_t size) {
  CreateOptions options;
  options.virtual_size_bytes = size;
  return options;
}
CreateOptions child_of(const std::string& parent) {
  CreateOptions options;
  options.parent = parent;
  return options;
}

struct Refused {
  const char* name;
  std::string_view fault;
  Win32Code code;
  std::function<void(CreateOptions&)> change;
};

TEST_F(CreateTest, EveryCombinationThatIsNoneHasItsCode) {
  const Refused rows[] = {
      {"a.img", "create.format", 0xC03A0014, [](CreateOptions&) {}},
      {"a.iso", "create.not_creatable", 50, [](CreateOptions&) {}},
      {"a.vhd", "create.size.missing", 87, [](CreateOptions& o) { o.virtual_size_bytes = 0; }},
      {"a.vhdx", "create.size.missing", 87, [](CreateOptions& o) { o.virtual_size_bytes = 0; }},
      {"a.vhd", "create.size.too_small", 87, [](CreateOptions& o) { o.virtual_size_bytes = 3 * kMiB - 512; }},
      {"a.vhdx", "create.size.too_small", 87,
       [](CreateOptions& o) { o.virtual_size_bytes = 3 * kMiB - 512; }},
      {"a.vhd", "create.size.too_large", 0xC03A0012,
       [](CreateOptions& o) { o.virtual_size_bytes = 2040 * kGiB + 512; }},
      {"a.vhd", "create.size.too_large", 0xC03A0012,
       [](CreateOptions& o) { o.virtual_size_bytes = 2041 * kGiB, o.type = DiskType::kFixed; }},
      {"a.vhdx", "create.size.too_large", 0xC03A0012,
       [](CreateOptions& o) { o.virtual_size_bytes = 64 * kTiB + 512; }},
      {"a.vhd", "create.size.unaligned", 87, [](CreateOptions& o) { o.virtual_size_bytes = 4 * kMiB + 1; }},
      {"a.vhdx", "create.size.unaligned", 87,
       [](CreateOptions& o) { o.virtual_size_bytes = 4 * kMiB + 512, o.logical_sector_bytes = 4096; }},
      {"a.vhd", "create.no_parent", 87, [](CreateOptions& o) { o.type = DiskType::kDifferencing; }},
      {"a.vhd", "create.type_of_child", 87,
       [](CreateOptions& o) { o.type = DiskType::kFixed, o.parent = "p.vhd", o.virtual_size_bytes = 0; }},
      {"a.vhdx", "create.type_of_child", 87,
       [](CreateOptions& o) { o.type = DiskType::kDynamic, o.parent = "p.vhdx", o.virtual_size_bytes = 0; }},
      {"a.raw", "create.type", 87,
       [](CreateOptions& o) { o.format = FormatId::kRaw, o.type = DiskType::kDynamic; }},
      {"a.raw", "create.type", 87, [](CreateOptions& o) { o.format = FormatId::kRaw, o.parent = "p.raw"; }},
      {"a.raw", "create.size.too_small", 87,
       [](CreateOptions& o) { o.format = FormatId::kRaw, o.virtual_size_bytes = 100; }},
      {"a.raw", "create.sector.logical", 87,
       [](CreateOptions& o) { o.format = FormatId::kRaw, o.logical_sector_bytes = 4096; }},
      {"a.vhd", "create.preallocation", 87, [](CreateOptions& o) { o.preallocation = Preallocation::kFull; }},
      {"a.vhdx", "create.preallocation", 87,
       [](CreateOptions& o) { o.preallocation = Preallocation::kSparse; }},
      {"a.vhd", "create.block", 87, [](CreateOptions& o) { o.block_bytes = kMiB; }},
      {"a.vhd", "create.block", 87, [](CreateOptions& o) { o.block_bytes = 4096; }},
      {"a.vhdx", "create.block", 87, [](CreateOptions& o) { o.block_bytes = 3 * kMiB; }},
      {"a.vhdx", "create.block", 87, [](CreateOptions& o) { o.block_bytes = 512 * kMiB; }},
      {"a.vhdx", "create.block", 87, [](CreateOptions& o) { o.block_bytes = 512 * kKiB; }},
      {"a.vhd", "create.block_of_fixed", 87,
       [](CreateOptions& o) { o.block_bytes = 2 * kMiB, o.type = DiskType::kFixed; }},
      {"a.vhdx", "create.block_of_fixed", 87,
       [](CreateOptions& o) { o.block_bytes = 2 * kMiB, o.type = DiskType::kFixed; }},
      {"a.vhd", "create.sector.logical", 87, [](CreateOptions& o) { o.logical_sector_bytes = 4096; }},
      {"a.vhdx", "create.sector.logical", 87, [](CreateOptions& o) { o.logical_sector_bytes = 1024; }},
      {"a.vhd", "create.sector.physical", 87, [](CreateOptions& o) { o.physical_sector_bytes = 4096; }},
      {"a.vhdx", "create.sector.physical", 87, [](CreateOptions& o) { o.physical_sector_bytes = 2048; }},
      {"a.vhdx", "create.sector.order", 87,
       [](CreateOptions& o) { o.logical_sector_bytes = 4096, o.physical_sector_bytes = 512; }},
      {"no/a.vhdx", "io.path_not_found", 3, [](CreateOptions&) {}},
  };
  for (const Refused& row : rows) {
    CreateOptions options = sized(4 * kMiB);
    row.change(options);
    if (row.fault == "create.not_creatable" && format_by_extension(row.name) == nullptr) continue;
    EXPECT_EQ(refusal(row.name, options, row.code), row.fault) << row.name;
  }
}

TEST_F(CreateTest, NothingIsOverwritten) {
  std::ofstream(path("a.vhdx")) << "mine";
  EXPECT_EQ(refusal("a.vhdx", sized(4 * kMiB), 80), "io.exists");
  EXPECT_EQ(bytes(path("a.vhdx")), "mine");
  // Wrong options come before the existing file, as they do where the page lists them.
  EXPECT_EQ(refusal("a.vhdx", sized(1), 87), "create.size.too_small");
}

TEST_F(CreateTest, CancellationLeavesNothing) {
  OperationControl control;
  control.cancellation.cancel();
  EXPECT_EQ(create(path("a.vhdx"), sized(4 * kMiB), control).error().code(), 995U);
  EXPECT_EQ(count(), 0U);
}

TEST_F(CreateTest, RulesOfChildren) {
  const std::string vhdx = must_create("p.vhdx", sized(8 * kMiB));
  const std::string vhd = must_create("p.vhd", sized(8 * kMiB));
  auto options = child_of(vhdx);
  options.virtual_size_bytes = 4 * kMiB;
  EXPECT_EQ(refusal("c.vhdx", options, 87), "create.size.below_parent");
  options = child_of(vhdx);
  options.logical_sector_bytes = 4096;
  EXPECT_EQ(refusal("c.vhdx", options, 87), "create.sector.child");
  options = child_of(vhd);
  options.virtual_size_bytes = 8 * kMiB;
  EXPECT_EQ(refusal("c.vhd", options, 87), "create.size.child");
  EXPECT_EQ(refusal("c.vhd", child_of(vhdx), 87), "create.parent.format");
  EXPECT_EQ(refusal("c.vhdx", child_of(vhd), 87), "create.parent.format");
  EXPECT_EQ(refusal("c.vhdx", child_of(path("gone.vhdx")), 2), "io.not_found");
  EXPECT_EQ(refusal("p.vhdx", child_of(vhdx), 80), "io.exists");

  // A larger child is VHDX's alone.
  options = child_of(vhdx);
  options.virtual_size_bytes = 16 * kMiB;
  const auto larger = Disk::open(must_create("larger.vhdx", options));
  ASSERT_TRUE(larger) << larger.error().message();
  EXPECT_EQ(larger->geometry().virtual_size_bytes, 16 * kMiB);
  EXPECT_EQ(larger->layer_count(), 2U);

  // A VHD that Xen left without an identifier.
  auto anonymous = sized(8 * kMiB);
  must_create("x.vhd", anonymous);
  {
    std::fstream file(path("x.vhd"), std::ios::in | std::ios::out | std::ios::binary);
    std::string image = bytes(path("x.vhd"));
    for (const std::size_t footer : {std::size_t{0}, image.size() - 512}) {
      std::uint32_t sum = 0;
      for (std::size_t i = 0; i < 512; ++i) {
        if (i >= 64 && i < 84) image[footer + i] = 0;
        sum += static_cast<unsigned char>(image[footer + i]);
      }
      for (std::size_t i = 0; i < 4; ++i) image[footer + 64 + i] = static_cast<char>(~sum >> (24 - 8 * i));
    }
    file.write(image.data(), static_cast<std::streamsize>(image.size()));
  }
  EXPECT_EQ(refusal("c.vhd", child_of(path("x.vhd")), 0xC03A000E), "create.parent.identifier");
}

TEST_F(CreateTest, ChildrenTakeWhatTheParentHas) {
  auto options = sized(8 * kMiB);
  options.logical_sector_bytes = 4096;
  options.block_bytes = kMiB;
  const std::string base = must_create("base.vhdx", options);
  fs::create_directories(path("deep/er"));
  must_create("deep/er/child.vhdx", child_of(base));
  must_create("grand child.vhdx", child_of(path("deep/er/child.vhdx")));
  const auto disk = Disk::open(path("grand child.vhdx"));
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_EQ(disk->layer_count(), 3U);
  EXPECT_EQ(disk->geometry().logical_sector_bytes, 4096U);
  EXPECT_EQ(disk->geometry().virtual_size_bytes, 8 * kMiB);
  EXPECT_EQ(disk->geometry().block_bytes, 2 * kMiB);
  EXPECT_EQ(disk->info(0)->virtual_disk_id, disk->info(2)->virtual_disk_id);
  EXPECT_EQ(disk->info(0)->parent->identifier, disk->info(1)->identifier);
  EXPECT_EQ(disk->info(0)->parent->locator.candidates[0].recorded, ".\\deep\\er\\child.vhdx");
  EXPECT_EQ(disk->info(1)->parent->locator.candidates[0].recorded, "..\\..\\base.vhdx");

  options = sized(8 * kMiB);
  options.block_bytes = 512 * kKiB;
  must_create("base.vhd", options);
  EXPECT_EQ(Disk::open(must_create("child.vhd", child_of(path("base.vhd"))))->geometry().block_bytes,
            512 * kKiB);
  options = sized(8 * kMiB);
  options.type = DiskType::kFixed;
  must_create("fixed.vhd", options);
  EXPECT_EQ(Disk::open(must_create("of fixed.vhd", child_of(path("fixed.vhd"))))->geometry().block_bytes,
            2 * kMiB);
}

TEST_F(CreateTest, AParentThatIsOpenGetsAChild) {
  const std::string base = must_create("base.vhdx", sized(8 * kMiB));
  const auto held = open_posix_file(base, {.writable = true, .trace = {}});
  ASSERT_TRUE(held);
  EXPECT_TRUE(create(path("child.vhdx"), child_of(base)));
}

TEST_F(CreateTest, LocatorsLeadBackToTheParentFromAnywhere) {
  fs::create_directories(path("a/b"));
  fs::create_directories(path("c"));
  fs::create_directory_symlink(path("a/b"), path("short"));
  for (const std::string extension : {".vhd", ".vhdx"}) {
    const std::string base = must_create("c/b\u00e4 se" + extension, sized(4 * kMiB));
    auto options = child_of(base);
    options.parents.drive_map = {{"C:", folder_}, {"D:", folder_ + "/c"}};
    // Through the link the folder is two deep, not one.
    const std::string child = must_create("short/child" + extension, options);
    const auto disk = Disk::open(child);
    ASSERT_TRUE(disk) << disk.error().message();
    EXPECT_EQ(disk->layer_count(), 2U);
    bool drive_recorded = false;
    const auto info = disk->info(0);
    ASSERT_TRUE(info && info->parent);
    for (const ParentCandidate& candidate : info->parent->locator.candidates) {
      drive_recorded |= candidate.recorded == "D:\\b\u00e4 se" + extension;  // the longest mapping
    }
    EXPECT_TRUE(drive_recorded);
    // The child moved, so that only the absolute path leads there.
    fs::rename(child, path("child" + extension));
    OpenOptions mapped;
    mapped.parents.drive_map = options.parents.drive_map;
    const auto moved = Disk::open(path("child" + extension), mapped);
    ASSERT_TRUE(moved) << moved.error().message();
    EXPECT_EQ(moved->layer_count(), 2U);
  }
  const std::string odd = must_create("back\\slash.vhd", sized(4 * kMiB));
  EXPECT_EQ(refusal("of odd.vhd", child_of(odd), 123), "create.parent.name");
  EXPECT_EQ(ops::link_to_parent(path("no/child.vhd"), odd, {}).error().id(), "io.path_not_found");
}

TEST_F(CreateTest, EveryCombinationOpensAndChecksClean) {
  int made = 0;
  for (const FormatId format : {FormatId::kVhd, FormatId::kVhdx}) {
    for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic, DiskType::kDifferencing}) {
      for (const std::uint32_t sector : {512U, 4096U}) {
        if (format == FormatId::kVhd && sector == 4096) continue;
        for (const std::uint64_t block :
             {std::uint64_t{0}, 512 * kKiB, kMiB, 2 * kMiB, 32 * kMiB, 256 * kMiB}) {
          const bool of_vhd = block == 0 || block == 512 * kKiB || block == 2 * kMiB;
          const bool of_vhdx = block != 512 * kKiB;
          if (!(format == FormatId::kVhd ? of_vhd : of_vhdx) || (type == DiskType::kFixed && block != 0))
            continue;
          CreateOptions options = sized(70 * kMiB);
          options.format = format;
          options.logical_sector_bytes = sector;
          const std::string name = fmt::format("{}.{}", made++, to_string(format));
          if (type == DiskType::kDifferencing) options = child_of(must_create("of" + name, options));
          options.type = type;
          options.block_bytes = static_cast<std::uint32_t>(block);
          const std::string image = must_create(name, options);
          EXPECT_EQ(findings(image), "") << name;
          const auto disk = Disk::open(image);
          ASSERT_TRUE(disk) << name << ": " << disk.error().message();
          EXPECT_EQ(disk->type(), type);
          EXPECT_EQ(disk->geometry().virtual_size_bytes, 70 * kMiB);
          EXPECT_EQ(disk->geometry().logical_sector_bytes, sector);
          if (block != 0) {
            EXPECT_EQ(disk->geometry().block_bytes, block);
          }
          for (const std::uint64_t at : {std::uint64_t{0}, 69 * kMiB}) {
            std::vector<std::byte> content(kMiB, std::byte{1});
            ASSERT_TRUE(disk->read(DiskOffset{at}, content));
            EXPECT_TRUE(is_all_zero(content)) << name;
          }
        }
      }
    }
  }
  EXPECT_EQ(made, 1 + 3 + 3 + 2 * (1 + 5 + 5));
}

TEST_F(CreateTest, PreallocationTakesOrLeavesTheSpace) {
  for (const std::string name : {"a.vhd", "a.vhdx", "a.raw"}) {
    for (const auto how : {Preallocation::kNone, Preallocation::kSparse, Preallocation::kFull}) {
      auto options = sized(32 * kMiB);
      options.type = DiskType::kFixed;
      if (name == "a.raw") options.format = FormatId::kRaw;
      options.preallocation = how;
      const std::string image = must_create(std::to_string(static_cast<int>(how)) + name, options);
      struct stat facts{};
      ASSERT_EQ(::stat(image.c_str(), &facts), 0);
      EXPECT_GE(static_cast<std::uint64_t>(facts.st_size), 32 * kMiB);
      const std::uint64_t taken = static_cast<std::uint64_t>(facts.st_blocks) * 512;
      if (how == Preallocation::kFull) {
        EXPECT_GE(taken, 32 * kMiB) << image;
      } else {
        EXPECT_LT(taken, kMiB) << image;
      }
    }
  }
}

TEST_F(CreateTest, TheSameInputsGiveTheSameBytes) {
  ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  auto options = sized(8 * kMiB);
  options.identifier = Guid::parse(kId);
  for (const std::string extension : {".vhd", ".vhdx"}) {
    for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic}) {
      options.type = type;
      const std::string name = std::string(to_string(type)) + extension;
      EXPECT_EQ(bytes(must_create("1" + name, options)), bytes(must_create("2" + name, options))) << name;
    }
  }
  // Golden: a change of these is a change of what people's builds produce, and is to be meant.
  const auto sum = [&](const std::string& name) {
    const std::string content = bytes(path(name));
    return crc32c(std::as_bytes(std::span(content)));
  };
  EXPECT_EQ(sum("1dynamic.vhd"), 684325000U);
  EXPECT_EQ(sum("1dynamic.vhdx"), 695806734U);

  ::setenv("SOURCE_DATE_EPOCH", "yesterday", 1);
  EXPECT_EQ(refusal("a.vhdx", sized(8 * kMiB), 87), "create.source_date_epoch");
  ::setenv("SOURCE_DATE_EPOCH", "", 1);
  EXPECT_EQ(refusal("a.vhdx", sized(8 * kMiB), 87), "create.source_date_epoch");
  ::unsetenv("SOURCE_DATE_EPOCH");
  EXPECT_NE(bytes(must_create("a.vhdx", sized(8 * kMiB))), bytes(must_create("b.vhdx", sized(8 * kMiB))));
  // The identifier is what was asked for, also without the epoch.
  EXPECT_EQ(Disk::open(must_create("c.vhdx", options))->info(0)->identifier, Guid::parse(kId));
  EXPECT_EQ(Disk::open(must_create("c.vhd", options))->info(0)->identifier, Guid::parse(kId));
}

TEST_F(CreateTest, TheLargestDisksAreMadeAtOnce) {
  auto options = sized(64 * kTiB);
  options.block_bytes = kMiB;
  const auto begin = std::chrono::steady_clock::now();
  const std::string image = must_create("64t.vhdx", options);
  const auto took = std::chrono::steady_clock::now() - begin;
  RecordProperty("milliseconds",
                 static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  EXPECT_LT(took,
            std::chrono::seconds(2));  // the bench says how fast; this says that it is no walk over the BAT
  struct stat facts{};
  ASSERT_EQ(::stat(image.c_str(), &facts), 0);
  EXPECT_LT(facts.st_blocks * 512, static_cast<std::int64_t>(kMiB));
  EXPECT_TRUE(Disk::open(image));
  const std::string vhd = must_create("2040g.vhd", sized(2040 * kGiB));
  EXPECT_TRUE(Disk::open(vhd));
  EXPECT_EQ(findings(vhd), "");
}

// What others say of our files, where they can read them (formats.md 5): qemu-img, libvhdi, 7-Zip.
TEST_F(CreateTest, OthersReadWhatIsMade) {
  const auto run = [&](const std::string& command) {
    return std::system((command + " >" + path("out") + " 2>&1").c_str());
  };
  if (run("command -v qemu-img && command -v vhdiinfo && command -v 7z") != 0) {
    GTEST_SKIP() << "needs qemu-img, vhdiinfo and 7z";
  }
  for (const std::string extension : {"vhd", "vhdx"}) {
    const std::string qemu = extension == "vhd" ? "vpc" : "vhdx";
    for (const DiskType type : {DiskType::kFixed, DiskType::kDynamic}) {
      auto options = sized(64 * kMiB);
      options.type = type;
      const std::string image = must_create(std::string(to_string(type)) + "." + extension, options);
      EXPECT_EQ(run("qemu-img info -f " + qemu + " " + image + " | grep -q '(67108864 bytes)'"), 0)
          << image << bytes(path("out"));
      if (extension == "vhdx") {
        EXPECT_EQ(run("qemu-img check -f vhdx " + image), 0) << bytes(path("out"));
      }
      EXPECT_EQ(run("vhdiinfo " + image), 0) << image << bytes(path("out"));
      EXPECT_EQ(run("7z l " + image), 0) << image << bytes(path("out"));
      EXPECT_EQ(run("qemu-img convert -f " + qemu + " -O raw " + image + " " + image +
                    ".raw && cmp -n 67108864 " + image + ".raw /dev/zero"),
                0)
          << image << bytes(path("out"));
    }
    const std::string child = must_create("child." + extension, child_of(path("dynamic." + extension)));
    EXPECT_EQ(run("vhdiinfo " + child), 0) << child << bytes(path("out"));
  }
}

}  // namespace
}  // namespace vdisk
