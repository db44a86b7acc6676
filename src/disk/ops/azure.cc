// SPDX-License-Identifier: Apache-2.0
//
// What Azure takes as a virtual hard disk (formats.md 1.18). Its service is closed; these are the rules that
// its own upload tools look at, and the one about partition tables is ours: a guest that finds its backup GPT
// elsewhere starts with a complaint.
#include <vdisk/operations.h>

#include "base/checked.h"
#include "disk/guarded.h"
#include "disk/ops/faults.h"
#include "disk/ops/gpt.h"
#include "format/image.h"

namespace vdisk {

namespace {

using namespace ops::faults;

constexpr std::uint64_t kUnitBytes = kMiB;
constexpr std::uint64_t kLeastBytes = 20 * kMiB;
constexpr std::uint64_t kMostBytes = 32 * kTiB;
constexpr std::uint64_t kFooterBytes = 512;

void judge(const ImageInfo& info, CheckSink& sink) {
  using Severity = Finding::Severity;
  const std::uint64_t size = info.virtual_size_bytes.value_or(0);
  if (info.format != FormatId::kVhd || info.type != DiskType::kFixed) {
    sink.add(Severity::kDamage, kAzureFormat,
             "{}: is a {} {}; Azure takes fixed vhd: convert it with --azure", info.path,
             info.type ? to_string(*info.type) : "damaged", info.format ? to_string(*info.format) : "image");
  } else if (info.file_size_bytes && *info.file_size_bytes != size + kFooterBytes) {
    sink.add(Severity::kDamage, kAzureLength, "{}: has {} bytes; a disk of {} and its footer have {}",
             info.path, *info.file_size_bytes, size, size + kFooterBytes);
  }
  if (!is_multiple(size, kUnitBytes)) {
    sink.add(Severity::kDamage, kAzureSize,
             "{}: the disk's {} bytes are no whole mebibytes; convert it with --azure to get {}", info.path,
             size, round_up(size, kUnitBytes));
  }
  if (size < kLeastBytes || size > kMostBytes) {
    sink.add(Severity::kDamage, kAzureRange, "{}: the disk's {} bytes are not between {} and {}", info.path,
             size, kLeastBytes, kMostBytes);
  }
}

Status judge_gpt(const Disk& disk, const std::string& path, CheckSink& sink) {
  const auto gpt = VDISK_TRY(ops::read_gpt(disk));
  if (!gpt) return {};
  const std::uint64_t last = disk.geometry().virtual_size_bytes / gpt->sector_bytes - 1;
  const std::uint64_t backup_sector = gpt->fields().alternate_sector;
  if (backup_sector == last) return {};
  sink.add(Finding::Severity::kWarning, kAzureGpt,
           "{}: the backup GPT lies in sector {} and the disk ends with sector {}; sgdisk -e moves it", path,
           backup_sector, last);
  return {};
}

}  // namespace

inline namespace v1 {

Result<CheckReport> check_for_azure(const std::string& path, const OpenOptions& options) {
  return guarded([&]() -> Result<CheckReport> {
    Inspection seen = inspect(path, options);
    if (seen.error) return std::unexpected(*std::move(seen.error));
    CheckReport report;
    CheckSink sink(report, path);
    judge(seen.info, sink);
    OpenOptions read_only = options;
    read_only.writable = false;
    const Disk disk = VDISK_TRY(Disk::open(path, read_only));
    VDISK_TRY(judge_gpt(disk, path, sink));
    return report;
  });
}

}  // namespace v1

}  // namespace vdisk
