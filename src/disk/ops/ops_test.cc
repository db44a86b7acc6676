// SPDX-License-Identifier: Apache-2.0
//
// inspect, check, convert and diff on real files: what they tell of whole and damaged chains, and that
// failures leave nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <vdisk/operations.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/checked.h"
#include "disk/impl.h"
#include "disk/ops/bulk_copy.h"
#include "disk/ops/content.h"
#include "format/create_spec.h"
#include "format/registry.h"
#include "io/memory_file.h"
#include "testing/cow_file.h"
#include "testing/fault_file.h"
#include "testing/temp_folder.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"

namespace vdisk {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::vhd_id;
using testing::VhdBuilder;
using testing::VhdxBuilder;

constexpr std::uint64_t kSize = 8 * kMiB;

class OpsTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.path(name); }
  std::string save(const std::string& name, const VhdBuilder& builder) const {
    return folder_.save(name, *builder.file());
  }
  /// base.vhd, and child.vhd above it; each with data of its own.
  std::string chain() const {
    save("base.vhd", base());
    return save("child.vhd", child());
  }
  static VhdBuilder base() {
    return VhdBuilder::dynamic(kSize, kMiB).windows_alignment().unique_id(vhd_id(1)).fill(100, 5000, 1);
  }
  static VhdBuilder child() {
    return VhdBuilder::differencing(kSize, kMiB)
        .windows_alignment()
        .unique_id(vhd_id(2))
        .parent(vhd_id(1), ".\\base.vhd")
        .fill(4000, 64, 2);
  }
  static Disk must_open(const std::string& path, const OpenOptions& options = {}) {
    auto disk = Disk::open(path, options);
    if (!disk) {
      ADD_FAILURE() << disk.error().message();
      std::abort();
    }
    return *std::move(disk);
  }
  static std::vector<std::byte> content(const Disk& disk) {
    std::vector<std::byte> bytes(disk.geometry().virtual_size_bytes);
    EXPECT_TRUE(disk.read({0}, bytes));
    return bytes;
  }
  /// "D vhd.bat.overlap" for each finding.
  static std::vector<std::string> findings(const std::string& path, bool chain) {
    const auto report = check(path, {}, chain, {});
    if (!report) return {"failed " + std::string(report.error().id())};
    std::vector<std::string> ids;
    for (const Finding& finding : report->findings) {
      ids.push_back(std::string(1, "NWD"[static_cast<int>(finding.severity)]) + " " + finding.fault);
    }
    return ids;
  }

  testing::TempFolder folder_;
};

TEST_F(OpsTest, InspectTellsWhatIsKnownAndWhatStoppedIt) {
  const std::string image = chain();
  const Inspection whole = inspect(image);
  EXPECT_FALSE(whole.error);
  EXPECT_EQ(whole.info.path, image);
  EXPECT_EQ(whole.info.type, DiskType::kDifferencing);
  EXPECT_EQ(whole.info.allocated_bytes, kMiB);
  ASSERT_TRUE(whole.info.parent);
  EXPECT_TRUE(whole.info.parent->resolved);
  EXPECT_EQ(whole.info.parent->path, path("base.vhd"));

  fs::remove(path("base.vhd"));
  const Inspection orphan = inspect(image);
  EXPECT_FALSE(orphan.error) << "one image is described, not its chain";
  EXPECT_FALSE(orphan.info.parent->resolved);
  EXPECT_EQ(orphan.info.parent->candidates, std::vector{path("base.vhd")});

  const Inspection damaged = inspect(save("damaged.vhd", base().break_header()));
  ASSERT_TRUE(damaged.error);
  EXPECT_EQ(damaged.error->id(), "vhd.header.checksum");
  EXPECT_EQ(damaged.info.virtual_size_bytes, kSize);

  const Inspection missing = inspect(path("missing.vhd"));
  ASSERT_TRUE(missing.error);
  EXPECT_EQ(missing.error->code(), 2U);
  EXPECT_FALSE(missing.info.format);
}

TEST_F(OpsTest, InspectChainEndsAtTheFirstError) {
  const std::string image = chain();
  EXPECT_EQ(inspect_chain(image).size(), 2U);
  OpenOptions alone;
  alone.no_parents = true;
  EXPECT_EQ(inspect_chain(image, alone).size(), 1U);
  save("base.vhd", base().break_header());
  auto broken = inspect_chain(image);
  ASSERT_EQ(broken.size(), 2U);
  EXPECT_FALSE(broken[0].error);
  EXPECT_EQ(broken[1].error->id(), "vhd.header.checksum");
  save("base.vhd",
       VhdBuilder::differencing(kSize, kMiB).unique_id(vhd_id(1)).parent(vhd_id(2), ".\\child.vhd"));
  broken = inspect_chain(image);
  ASSERT_GE(broken.size(), 2U);
  EXPECT_EQ(broken.back().error->id(), "chain.cycle");
  fs::remove(path("base.vhd"));
  broken = inspect_chain(image);
  ASSERT_EQ(broken.size(), 2U);
  EXPECT_EQ(broken[1].error->id(), "chain.parent_not_found");
}

TEST_F(OpsTest, CheckFollowsTheChainAndItsLinks) {
  const std::string image = chain();
  EXPECT_THAT(findings(image, true), IsEmpty());
  const auto report = check(image, {}, true, {});
  EXPECT_EQ(report->blocks_total, 16U);
  EXPECT_EQ(report->blocks_allocated, 4U);
  save("base.vhd", base().break_end_footer());
  EXPECT_THAT(findings(image, true), ElementsAre("W vhd.footer.copy"));
  EXPECT_THAT(findings(image, false), IsEmpty()) << "the parent is not looked at";
  save("base.vhd", base().unique_id(vhd_id(9)));
  EXPECT_THAT(findings(image, true), ElementsAre("D chain.identity_mismatch"));
  fs::remove(path("base.vhd"));
  EXPECT_THAT(findings(image, true), ElementsAre("D chain.parent_not_found"));
  save("base.vhd", base());
  fs::create_directory(path("moved"));
  fs::rename(path("child.vhd"), path("moved/child.vhd"));
  OpenOptions options;
  options.parents.directories = {folder_.path()};
  const auto stale = check(path("moved/child.vhd"), options, true, {});
  ASSERT_TRUE(stale);
  ASSERT_EQ(stale->findings.size(), 1U);
  EXPECT_EQ(stale->findings[0].fault, "check.link.stale_path");
  EXPECT_FALSE(stale->damaged());
}

TEST_F(OpsTest, CheckNamesTheTimesThatDiffer) {
  save("base.vhd", base());
  const std::string image = save("child.vhd", child().parent_timestamp(86400));
  const auto report = check(image, {}, true, {});
  ASSERT_TRUE(report);
  ASSERT_EQ(report->findings.size(), 1U);
  EXPECT_EQ(report->findings[0].fault, "check.link.time");
  EXPECT_THAT(report->findings[0].message, HasSubstr("last changed at 2000-01-02 00:00:00 UTC"));
}

TEST_F(OpsTest, CheckOfWhatIsNoImageFails) {
  std::ofstream(path("text")) << "hello";
  EXPECT_THAT(findings(path("text"), false), ElementsAre("failed format.unrecognised"));
  EXPECT_THAT(findings(path("missing"), false), ElementsAre("failed io.not_found"));
}

/// Writes the disk into `target` as `convert` does.
Status fill(const Disk& disk, const Format& format, File& target) {
  const std::uint64_t size = disk.geometry().virtual_size_bytes;
  const ops::Content content(disk, size, {});
  const bool raw = format.id == FormatId::kRaw;
  const CreateSpec spec{.type = raw ? DiskType::kFixed : DiskType::kDynamic,
                        .virtual_size_bytes = size,
                        .block_bytes = raw ? 0 : static_cast<std::uint32_t>(2 * kMiB),
                        .identifier = Guid{{1}},
                        .virtual_disk_id = Guid{{2}},
                        .file_write_guid = Guid{{3}},
                        .parent = {}};
  const auto writer = VDISK_TRY(format.begin_bulk(target, spec, {}));
  VDISK_TRY(ops::copy_in_bulk({.content = content, .target = target, .writer = *writer, .shares = {}}, {}));
  VDISK_TRY(writer->finish());
  return target.flush();
}

// Every I/O on the target may fail: convert says so, whichever it is, and a target that it calls whole is
// whole.
TEST_F(OpsTest, ConvertNeverTakesAFailureForSuccess) {
  const Disk disk = must_open(chain());
  const std::vector<std::byte> expected = content(disk);
  for (const FormatId id : {FormatId::kRaw, FormatId::kVhd, FormatId::kVhdx}) {
    const Format& format = format_by_id(id);
    for (const int error : {EIO, ENOSPC}) {
      const auto report = testing::run_fault_loop(
          std::make_shared<MemoryFile>("target"), {.os_errno = error},
          [&](std::unique_ptr<File> target) { return fill(disk, format, *target); },
          [&](const std::shared_ptr<File>& left, const Status& result) -> std::string {
            if (!result) {
              const Win32Code code = error == EIO ? 1117 : 112;
              return result.error().code() == code ? "" : "another code: " + result.error().message();
            }
            auto image = format.open(std::make_unique<testing::CowFile>(left), {});
            if (!image) return "success, but: " + image.error().message();
            std::vector<Layer> layers;
            layers.push_back({"target", *std::move(image)});
            const Disk copy(std::make_unique<Disk::Impl>(Chain(std::move(layers), true), OpenOptions{}));
            return content(copy) == expected ? "" : "success, but other bytes";
          });
      EXPECT_EQ(report.failure, "") << format.name;
      EXPECT_GE(report.runs, 3U) << format.name;
    }
  }
}

Status to_raw(const Disk& disk, const std::string& target, const OperationControl& control = {}) {
  ConvertOptions options;
  options.target.format = FormatId::kRaw;
  return convert(disk, target, options, control);
}

TEST_F(OpsTest, ConvertStopsWhenASourceFails) {
  const Disk disk = must_open(save("disk.vhd", VhdBuilder::fixed(kSize).fill(0, 16384, 1)));
  fs::resize_file(path("disk.vhd"), 3 * kMiB);  // under its reader's hands
  const Status status = to_raw(disk, path("out.raw"));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().id(), "disk.file_shrunk");
  EXPECT_EQ(folder_.count(), 1U) << "nothing but the image";
}

TEST_F(OpsTest, ConvertCanBeCancelledAndNeverReplaces) {
  const Disk disk = must_open(chain());
  OperationControl control;
  control.cancellation.cancel();
  EXPECT_EQ(to_raw(disk, path("out.raw"), control).error().code(), 995U);
  std::ofstream(path("out.raw")) << "mine";
  const Status exists = to_raw(disk, path("out.raw"));
  ASSERT_FALSE(exists);
  EXPECT_EQ(exists.error().code(), 80U);
  EXPECT_EQ(fs::file_size(path("out.raw")), 4U);
  fs::remove(path("out.raw"));
  Progress last;
  OperationControl watched;
  watched.progress = [&](const Progress& progress) { last = progress; };
  ASSERT_TRUE(to_raw(disk, path("out.raw"), watched));
  EXPECT_EQ(last.done, kSize);
  EXPECT_EQ(last.total, kSize);
  OpenOptions raw;
  raw.format = FormatId::kRaw;
  EXPECT_EQ(content(must_open(path("out.raw"), raw)), content(disk));
  struct stat facts{};
  ASSERT_EQ(::stat(path("out.raw").c_str(), &facts), 0);
  EXPECT_LT(facts.st_blocks * 512, 4 * static_cast<std::int64_t>(kMiB)) << "zeros are holes";
}

TEST_F(OpsTest, AFullHostLeavesNoTarget) {
  const std::string full = path("full");
  fs::create_directory(full);
  if (::mount("none", full.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "cannot mount a small tmpfs";
  const Disk disk = must_open(chain());
  const Status status = to_raw(disk, full + "/out.raw");
  const bool empty = fs::is_empty(full);
  ::umount(full.c_str());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), 112U) << status.error().message();
  EXPECT_TRUE(empty);
}

Difference must_diff(const Disk& a, const Disk& b) {
  auto difference = diff(a, b, {});
  EXPECT_TRUE(difference) << difference.error().message();
  return difference ? *difference : Difference{};
}

TEST_F(OpsTest, DiffComparesContentNotFiles) {
  const Disk child_disk = must_open(chain());
  ASSERT_TRUE(to_raw(child_disk, path("copy.raw")));
  OpenOptions raw;
  raw.format = FormatId::kRaw;
  EXPECT_TRUE(must_diff(child_disk, must_open(path("copy.raw"), raw)).same) << "holes against blocks";
  EXPECT_TRUE(must_diff(child_disk, child_disk).same);
  const Difference differs = must_diff(child_disk, must_open(path("base.vhd")));
  EXPECT_FALSE(differs.same);
  EXPECT_EQ(differs.first, DiskOffset{4000 * 512});
  EXPECT_EQ(differs.different_bytes, 64U * 512);
}

TEST_F(OpsTest, DiffOnHolesAllocatedZerosAndUnequalSizes) {
  // No block, a block of zeros, and one byte at the very end.
  const std::string nothing = save("nothing.vhd", VhdBuilder::dynamic(kSize, kMiB));
  const std::string zeros = save("zeros.vhd", VhdBuilder::dynamic(kSize, kMiB).allocate(0).allocate(7));
  EXPECT_TRUE(must_diff(must_open(nothing), must_open(zeros)).same);
  const std::string last = save("last.vhd", VhdBuilder::dynamic(kSize, kMiB).fill(kSize / 512 - 1, 1, 1));
  Difference difference = must_diff(must_open(nothing), must_open(last));
  EXPECT_EQ(difference.first, DiskOffset{kSize - 512});
  EXPECT_EQ(difference.different_bytes, 512U);
  const std::string longer = save("longer.vhd", VhdBuilder::dynamic(kSize + kMiB, kMiB));
  difference = must_diff(must_open(nothing), must_open(longer));
  EXPECT_FALSE(difference.same) << "though the rest reads as zeros";
  EXPECT_EQ(difference.first, DiskOffset{kSize});
  EXPECT_EQ(difference.different_bytes, kMiB);
  // A sparse fixed disk: the holes are the host's.
  const std::string sparse = save("sparse.vhd", VhdBuilder::fixed(kSize).fill(9000, 1, 5));
  difference = must_diff(must_open(sparse), must_open(nothing));
  EXPECT_EQ(difference.first, DiskOffset{9000 * 512});
  EXPECT_EQ(difference.different_bytes, 512U);
  OperationControl control;
  control.cancellation.cancel();
  EXPECT_EQ(diff(must_open(nothing), must_open(zeros), control).error().code(), 995U);
}

TEST_F(OpsTest, ReadingOperationsChangeNothing) {
  VhdxBuilder builder(kSize);
  builder.present(1);
  builder.write(kMiB, 512, 7);
  const std::string vhdx = folder_.save("disk.vhdx", *builder.build());
  for (const std::string& image : {chain(), path("base.vhd"), vhdx}) {
    const auto before = testing::state_of(image);
    static_cast<void>(inspect_chain(image));
    EXPECT_TRUE(check(image, {}, true, {}));
    const Disk disk = must_open(image);
    EXPECT_TRUE(disk.info(0));
    EXPECT_TRUE(must_diff(disk, disk).same);
    EXPECT_TRUE(to_raw(disk, path("out.raw")));
    fs::remove(path("out.raw"));
    EXPECT_EQ(testing::state_of(image), before) << image;
  }
}

}  // namespace
}  // namespace vdisk
