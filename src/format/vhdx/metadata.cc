// SPDX-License-Identifier: Apache-2.0
#include "format/vhdx/metadata.h"

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>

#include "base/checked.h"
#include "format/vhdx/faults.h"
#include "format/vhdx/layout.h"

namespace vdisk::vhdx {

bool MetadataEntry::is_user() const noexcept { return (flags & kItemIsUser) != 0; }

namespace {

/// Goes on after a failure, so that inspect tells as much as it can; remembers the first.
class FirstFailure {
 public:
  /// True when `status` is a success.
  bool note(Status status) {
    const bool good = status.has_value();
    if (!good && first_) first_ = std::move(status);
    return good;
  }
  Status take() { return std::move(first_); }

 private:
  Status first_;
};

struct KnownItem {
  Guid id;
  std::string_view name;
  std::uint32_t length;     ///< 0: variable.
  std::uint32_t flags;      ///< As MS-VHDX 2.6.2 fixes them.
  std::uint32_t lax_flags;  ///< Those of `flags` that may be missing.
};
// Images exist whose Physical Sector Size lacks the Required flag (formats.md 2.10, from VirtualBox).
constexpr KnownItem kFileParameters{kFileParametersItem, "File Parameters", 8, kItemIsRequired, 0};
constexpr KnownItem kDiskSize{kVirtualDiskSizeItem, "Virtual Disk Size", 8,
                              kItemIsRequired | kItemIsVirtualDisk, 0};
constexpr KnownItem kDiskId{kVirtualDiskIdItem, "Virtual Disk ID", 16, kItemIsRequired | kItemIsVirtualDisk,
                            0};
constexpr KnownItem kLogicalSector{kLogicalSectorSizeItem, "Logical Sector Size", 4,
                                   kItemIsRequired | kItemIsVirtualDisk, 0};
constexpr KnownItem kPhysicalSector{kPhysicalSectorSizeItem, "Physical Sector Size", 4,
                                    kItemIsRequired | kItemIsVirtualDisk, kItemIsRequired};
constexpr KnownItem kLocator{kParentLocatorItem, "Parent Locator", 0, kItemIsRequired, 0};
constexpr const KnownItem* kKnownItems[] = {&kFileParameters, &kDiskSize,       &kDiskId,
                                            &kLogicalSector,  &kPhysicalSector, &kLocator};

/// Reads the table itself. What stands after the entry count is stale and not looked at (formats.md 2.10).
Status read_table(File& file, const Region& region, std::vector<MetadataEntry>& entries) {
  std::vector<std::byte> bytes(kMetadataTableBytes);
  static_cast<void>(VDISK_TRY(read_zero_padded(file, FileOffset{region.file_offset}, bytes)));
  const auto header = load<MetadataTableHeaderLayout>(bytes);
  if (header.signature != kMetadataSignature) {
    return fail(faults::kMetadataTable, "{}: no 'metadata' signature at {:#x}, where the metadata region is",
                file.name(), region.file_offset);
  }
  if (header.entry_count > kMostMetadataEntries) {
    return fail(faults::kMetadataTable, "{}: the metadata table at {:#x} claims {} entries; {} fit",
                file.name(), region.file_offset, header.entry_count.get(), kMostMetadataEntries);
  }
  entries.reserve(header.entry_count);
  auto rest = std::span<const std::byte>(bytes).subspan(sizeof(MetadataTableHeaderLayout));
  for (std::uint16_t i = 0; i < header.entry_count; ++i, rest = rest.subspan(sizeof(MetadataEntryLayout))) {
    const auto entry = load<MetadataEntryLayout>(rest);
    entries.push_back({entry.item_id, entry.offset, entry.length, entry.flags, entry.reserved});
  }
  return {};
}

Status judge_entry(File& file, const Region& region, const MetadataEntry& entry) {
  const bool zero_sized = entry.length == 0;
  const bool placed = zero_sized ? entry.offset == 0
                                 : entry.offset >= kMetadataTableBytes && entry.length <= kMostItemBytes &&
                                       fits_within(entry.offset, entry.length, region.length);
  if (!entry.item_id.is_zero() && placed) return {};
  return fail(
      faults::kMetadataEntry,
      "{}: metadata item {} of {} bytes at offset {:#x}: the id may not be zero, an item of no length has "
      "offset 0, and another lies behind the 64 KiB table, inside the region of {:#x} bytes, and is 1 MiB or "
      "shorter",
      file.name(), entry.item_id.to_string(), entry.length, entry.offset, region.length);
}

Status judge_set(File& file, const std::vector<MetadataEntry>& entries) {
  const auto users = std::ranges::count_if(entries, &MetadataEntry::is_user);
  if (static_cast<std::size_t>(users) > kMostUserMetadataEntries) {
    return fail(faults::kMetadataEntry, "{}: {} user metadata items; at most {} are legal", file.name(),
                users, kMostUserMetadataEntries);
  }
  std::vector<MetadataEntry> sorted = entries;
  // An id as user item and the same as system item are two items.
  const auto key = [](const MetadataEntry& e) { return std::tuple(e.item_id, e.is_user()); };
  std::ranges::sort(sorted, {}, key);
  if (const auto twin = std::ranges::adjacent_find(sorted, {}, key); twin != sorted.end()) {
    return fail(faults::kMetadataDuplicate, "{}: the metadata table names {} item {} twice", file.name(),
                twin->is_user() ? "user" : "system", twin->item_id.to_string());
  }
  std::erase_if(sorted, [](const MetadataEntry& e) { return e.length == 0; });
  std::ranges::sort(sorted, {}, &MetadataEntry::offset);
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const MetadataEntry& before = sorted[i - 1];
    if (sorted[i].offset < std::uint64_t{before.offset} + before.length) {
      return fail(faults::kMetadataOverlap,
                  "{}: metadata items {} and {} overlap at offset {:#x} of their region", file.name(),
                  before.item_id.to_string(), sorted[i].item_id.to_string(), sorted[i].offset);
    }
  }
  return {};
}

Status judge_unknown(File& file, const MetadataEntry& entry) {
  if (!entry.is_user() && entry.item_id == kIncompleteFileItem) {
    return fail(
        faults::kIncomplete,
        "{}: creation was not finished: the file still carries the marker that its creator removes last; "
        "delete the file and create it again",
        file.name());
  }
  const bool known = !entry.is_user() && std::ranges::any_of(kKnownItems, [&](const KnownItem* item) {
    return item->id == entry.item_id;
  });
  if (known || (entry.flags & kItemIsRequired) == 0) return {};
  return fail(faults::kMetadataUnknown,
              "{}: {} metadata item {} is unknown here, and the file says that it may not be ignored",
              file.name(), entry.is_user() ? "user" : "system", entry.item_id.to_string());
}

class ItemReader {
 public:
  ItemReader(File& file, const Region& region, Metadata& metadata)
      : file_(file), region_(region), metadata_(metadata) {}

  Status read_all(FirstFailure& failures);

 private:
  const MetadataEntry* find(const KnownItem& item) const noexcept {
    const auto found = std::ranges::find_if(
        metadata_.entries, [&](const MetadataEntry& e) { return !e.is_user() && e.item_id == item.id; });
    return found == metadata_.entries.end() ? nullptr : &*found;
  }
  Result<const MetadataEntry*> require(const KnownItem& item) const;
  template <class T>
  Result<T> read(const KnownItem& item) const {
    const MetadataEntry* entry = VDISK_TRY(require(item));
    T value;
    VDISK_TRY(read_bytes(*entry, writable_bytes_of(value)));
    return value;
  }
  Status read_bytes(const MetadataEntry& entry, std::span<std::byte> into) const {
    static_cast<void>(
        VDISK_TRY(read_zero_padded(file_, FileOffset{region_.file_offset + entry.offset}, into)));
    return {};
  }
  Status read_file_parameters();
  Status read_sectors();
  Status read_disk_size();
  Status read_locator();

  File& file_;
  const Region& region_;
  Metadata& metadata_;
};

Result<const MetadataEntry*> ItemReader::require(const KnownItem& item) const {
  const MetadataEntry* entry = find(item);
  if (entry == nullptr) {
    return fail(faults::kMetadataMissing, "{}: the metadata have no {} item", file_.name(), item.name);
  }
  const std::uint32_t flags = (entry->flags & kItemFlags) | item.lax_flags;
  if (flags != item.flags || (item.length != 0 && entry->length != item.length)) {
    return fail(faults::kMetadataItem, "{}: metadata item {} has length {} and flags {:#x}, not {} and {:#x}",
                file_.name(), item.name, entry->length, entry->flags, item.length, item.flags);
  }
  VDISK_TRY(judge_entry(file_, region_, *entry));
  return entry;
}

Status ItemReader::read_file_parameters() {
  const auto stored = VDISK_TRY(read<FileParametersLayout>(kFileParameters));
  metadata_.leave_block_allocated = (stored.flags & kLeaveBlockAllocated) != 0;
  metadata_.has_parent = (stored.flags & kHasParent) != 0;
  const std::uint32_t block = stored.block_size;
  if (!std::has_single_bit(block) || block < kLeastBlockBytes || block > kMostBlockBytes) {
    return fail(faults::kBlockSize, "{}: block size {} is not a power of two from 1 MiB to 256 MiB",
                file_.name(), block);
  }
  metadata_.block_bytes = block;
  return {};
}

Status ItemReader::read_sectors() {
  const std::uint32_t logical = VDISK_TRY(read<Le<std::uint32_t>>(kLogicalSector));
  if (logical != 512 && logical != 4096) {
    return fail(faults::kSectorSize, "{}: logical sectors of {} bytes; 512 and 4096 are legal", file_.name(),
                logical);
  }
  metadata_.logical_sector_bytes = logical;
  const std::uint32_t physical = VDISK_TRY(read<Le<std::uint32_t>>(kPhysicalSector));
  if ((physical != 512 && physical != 4096) || physical < logical) {
    return fail(faults::kSectorSize,
                "{}: physical sectors of {} bytes with logical sectors of {}; 512 and 4096 are legal, and no "
                "physical "
                "sector is smaller than a logical one",
                file_.name(), physical, logical);
  }
  metadata_.physical_sector_bytes = physical;
  return {};
}

Status ItemReader::read_disk_size() {
  const std::uint64_t size = VDISK_TRY(read<Le<std::uint64_t>>(kDiskSize));
  const std::uint32_t sector = metadata_.logical_sector_bytes.value_or(512);
  if (size == 0 || size > kMostDiskBytes || !is_multiple(size, sector)) {
    return fail(faults::kDiskSize,
                "{}: the virtual disk's size is {} bytes; it must be whole sectors of {} bytes, and "
                "from one sector to 64 TiB",
                file_.name(), size, sector);
  }
  metadata_.virtual_disk_bytes = size;
  return {};
}

Status ItemReader::read_locator() {
  const MetadataEntry* present = find(kLocator);
  if (!metadata_.has_parent) return {};  // Its own failure says why.
  if (!*metadata_.has_parent) {
    if (present == nullptr) return {};
    return fail(faults::kLocatorUnexpected,
                "{}: there is a parent locator, but File Parameters say that the disk has no parent",
                file_.name());
  }
  if (present == nullptr) {
    return fail(faults::kLocatorMissing,
                "{}: File Parameters say that the disk has a parent, but there is no parent "
                "locator",
                file_.name());
  }
  const MetadataEntry* entry = VDISK_TRY(require(kLocator));
  if (entry->length < sizeof(ParentLocatorHeaderLayout) || entry->length > kMostLocatorBytes) {
    return fail(faults::kLocatorMalformed, "{}: the parent locator has {} bytes; {} to {} are read",
                file_.name(), entry->length, sizeof(ParentLocatorHeaderLayout), kMostLocatorBytes);
  }
  std::vector<std::byte> item(entry->length);
  VDISK_TRY(read_bytes(*entry, item));
  return parse_parent_locator(item, file_.name(), metadata_);
}

Status ItemReader::read_all(FirstFailure& failures) {
  failures.note(read_file_parameters());
  failures.note(read_sectors());
  failures.note(read_disk_size());
  if (auto id = read<Guid>(kDiskId)) {
    metadata_.virtual_disk_id = *id;
  } else {
    failures.note(std::unexpected(std::move(id).error()));
  }
  failures.note(read_locator());
  return {};
}

}  // namespace

Status read_metadata_into(File& file, const Region& region, Metadata& metadata) {
  VDISK_TRY(read_table(file, region, metadata.entries));
  FirstFailure failures;
  for (const MetadataEntry& entry : metadata.entries) failures.note(judge_unknown(file, entry));
  for (const MetadataEntry& entry : metadata.entries) failures.note(judge_entry(file, region, entry));
  failures.note(judge_set(file, metadata.entries));
  VDISK_TRY(ItemReader(file, region, metadata).read_all(failures));
  return failures.take();
}

}  // namespace vdisk::vhdx
