// SPDX-License-Identifier: Apache-2.0
#include "capi/attach_rules.h"

#include <span>
#include <string>
#include <vector>

#include "base/checked.h"
#include "capi/faults.h"
#include "filesystem/partition_table.h"

namespace vdisk::capi {

namespace {

struct Case {
  const AttachRequest& request;
  const OpenHandle& handle;
  const Contract& contract;
};

struct Rule {
  const Fault& fault;
  bool (*broken)(const Case&);
  std::string (*sentence)(const Case&);
};

bool alone(const Case& c, std::uint32_t flag, std::uint32_t needed) {
  return c.request.has(flag) && !c.request.has(needed);
}

// A read-only attachment needs one of the two attach rights; another needs ATTACH_RW, and a file that is open
// for writing, which it is not with RWDepth 0 (2, 3.3).
bool lacks_the_right(const Case& c) {
  const Access& access = c.handle.access;
  if (access.allows(VIRTUAL_DISK_ACCESS_ATTACH_RW) && access.writable) return false;
  return !c.request.has(ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY) ||
         (access.rights & (VIRTUAL_DISK_ACCESS_ATTACH_RO | VIRTUAL_DISK_ACCESS_ATTACH_RW)) == 0;
}

// Versions and flags as the page lists them (3.3); then the format's own rules; the handle's rights last. In
// which order Windows judges is not documented.
constexpr Rule kRules[] = {
    {faults::kVersion,
     [](const Case& c) {
       return c.request.version() < 1 || c.request.version() > c.contract.newest_attach_version;
     },
     [](const Case& c) {
       return fmt::format("Parameters->Version is {}; the {} contract knows 1 to {}", c.request.version(),
                          c.contract.name, c.contract.newest_attach_version);
     }},
    {faults::kFlags, [](const Case& c) { return (c.request.flags & ~c.contract.attach_flags) != 0; },
     [](const Case& c) {
       return fmt::format("Flags {:#x} has the bits {:#x}, which the {} contract does not know",
                          c.request.flags, c.request.flags & ~c.contract.attach_flags, c.contract.name);
     }},
    {faults::kProviderFlags, [](const Case& c) { return c.request.provider_flags != 0; },
     [](const Case& c) {
       return fmt::format("ProviderSpecificFlags is {:#x}; no provider here knows any",
                          c.request.provider_flags);
     }},
    {faults::kAttachFlagNeeds,
     [](const Case& c) {
       return c.request.has(ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE) && c.request.version() < 2;
     },
     [](const Case& c) {
       return fmt::format("RESTRICTED_RANGE needs version 2 parameters, which hold the range, not version {}",
                          c.request.version());
     }},
    {faults::kAttachFlagNeeds,
     [](const Case& c) {
       return alone(c, ATTACH_VIRTUAL_DISK_FLAG_REGISTER_VOLUME, ATTACH_VIRTUAL_DISK_FLAG_NON_PNP);
     },
     [](const Case&) { return std::string("REGISTER_VOLUME goes with NON_PNP only"); }},
    {faults::kAttachFlagNeeds,
     [](const Case& c) {
       return alone(c, ATTACH_VIRTUAL_DISK_FLAG_AT_BOOT, ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME);
     },
     [](const Case&) { return std::string("AT_BOOT goes with PERMANENT_LIFETIME only"); }},
    {faults::kAttachSinglePartition,
     [](const Case& c) {
       return c.request.has(ATTACH_VIRTUAL_DISK_FLAG_SINGLE_PARTITION) &&
              c.request.has(ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE);
     },
     [](const Case&) {
       return std::string("SINGLE_PARTITION and RESTRICTED_RANGE each name a range: use one");
     }},
    {faults::kAttachRawPermanent,
     [](const Case& c) {
       return c.request.has(ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST) &&
              c.request.has(ATTACH_VIRTUAL_DISK_FLAG_PERMANENT_LIFETIME);
     },
     [](const Case&) {
       return std::string("with NO_LOCAL_HOST the handle is the disk: drop PERMANENT_LIFETIME");
     }},
    {faults::kBlank, [](const Case& c) { return c.handle.blank != nullptr; },
     [](const Case& c) {
       return fmt::format("{}: opened with BLANK_FILE, there is no image to attach", c.handle.path);
     }},
    {faults::kAttachIso,
     [](const Case& c) {
       return c.handle.format == FormatId::kIso && (!c.request.has(ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY) ||
                                                    c.request.has(ATTACH_VIRTUAL_DISK_FLAG_NO_LOCAL_HOST));
     },
     [](const Case& c) {
       return fmt::format(
           "{}: an ISO image attaches with ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY and without NO_LOCAL_HOST",
           c.handle.path);
     }},
    {faults::kRight, lacks_the_right,
     [](const Case& c) {
       return fmt::format(
           "{}: {} needs a handle with {}; this one has the rights {:#010x}{}", c.handle.path,
           c.request.has(ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY) ? "attaching read-only" : "attaching",
           c.request.has(ATTACH_VIRTUAL_DISK_FLAG_READ_ONLY) ? "VIRTUAL_DISK_ACCESS_ATTACH_RO"
                                                             : "VIRTUAL_DISK_ACCESS_ATTACH_RW",
           c.handle.access.rights, c.handle.access.writable ? "" : " and a file open for reading only");
     }},
};

Result<DiskRange> restricted_range(const AttachRequest& request, const Disk& disk) {
  const DiskRange range{DiskOffset{request.parameters->Version2.RestrictedOffset},
                        request.parameters->Version2.RestrictedLength};
  const std::uint64_t size = disk.geometry().virtual_size_bytes;
  const std::uint32_t sector = disk.geometry().logical_sector_bytes;
  if (range.length == 0 || !fits_within(range.at.bytes, range.length, size) ||
      !is_multiple(range.at.bytes, sector) || !is_multiple(range.length, sector)) {
    return fail(faults::kAttachRange,
                "RestrictedOffset {} and RestrictedLength {} do not name whole sectors of {} bytes of a disk "
                "of {} bytes",
                range.at.bytes, range.length, sector, size);
  }
  return range;
}

// The one partition of a disk that has exactly one.
Result<DiskRange> single_partition(const Disk& disk) {
  const auto read = [&disk](DiskOffset at, std::span<std::byte> into) { return disk.read(at, into); };
  const filesystem::PartitionTable table = VDISK_TRY(filesystem::read_partition_table(
      read, disk.geometry().virtual_size_bytes, disk.geometry().logical_sector_bytes));
  std::vector<DiskRange> ranges;
  for (const filesystem::Partition& partition : table.partitions) {
    if (!partition.container) ranges.push_back(partition.range);
  }
  if (ranges.size() == 1) return ranges.front();
  return fail(faults::kAttachSinglePartition,
              "the disk has {} partitions; SINGLE_PARTITION goes with exactly one", ranges.size());
}

}  // namespace

Status validate(const AttachRequest& request, const OpenHandle& handle, const Contract& contract) {
  const Case one{request, handle, contract};
  for (const Rule& rule : kRules) {
    if (rule.broken(one)) return fail(rule.fault, "{}", rule.sentence(one));
  }
  return {};
}

Result<std::optional<DiskRange>> shown_range(const AttachRequest& request, const Disk& disk) {
  if (request.has(ATTACH_VIRTUAL_DISK_FLAG_RESTRICTED_RANGE)) return restricted_range(request, disk);
  if (request.has(ATTACH_VIRTUAL_DISK_FLAG_SINGLE_PARTITION)) return single_partition(disk);
  return std::nullopt;
}

}  // namespace vdisk::capi
