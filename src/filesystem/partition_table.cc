// SPDX-License-Identifier: Apache-2.0
#include "filesystem/partition_table.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/checked.h"
#include "base/fault.h"
#include "base/utf16.h"
#include "filesystem/faults.h"

namespace vdisk::filesystem {

namespace {

constexpr std::uint8_t kProtectiveType = 0xEE;
/// CHS extended, LBA extended, Linux extended.
constexpr std::array<std::uint8_t, 3> kExtendedTypes = {0x05, 0x0F, 0x85};
constexpr std::uint32_t kFirstLogicalNumber = 5;
/// Smallest type that a FAT's first byte (its media descriptor) has: 0xF0, and 0xF8 to 0xFF.
constexpr std::uint8_t kLeastFatMedia = 0xF8;

struct MbrEntry {
  std::uint8_t status;
  std::array<std::uint8_t, 3> first_chs;
  std::uint8_t type;
  std::array<std::uint8_t, 3> last_chs;
  Le<std::uint32_t> first_sector;
  Le<std::uint32_t> sector_count;

  bool used() const { return type != 0 && sector_count != 0; }
  bool extended() const { return std::ranges::find(kExtendedTypes, type) != kExtendedTypes.end(); }
};
static_assert(sizeof(MbrEntry) == 16);

struct Mbr {
  std::array<std::uint8_t, 440> code;
  Le<std::uint32_t> disk_signature;
  Le<std::uint16_t> reserved;
  std::array<MbrEntry, 4> entries;
  std::array<std::uint8_t, 2> signature;

  bool signed_() const { return signature == std::array<std::uint8_t, 2>{0x55, 0xAA}; }
};
static_assert(sizeof(Mbr) == 512);

/// A boot sector of FAT or NTFS ends in 55 AA as an MBR does, and what it has in the entries' place is code.
/// Linux tells them apart by these fields, too: bytes per sector's neighbours "reserved sectors", "number of
/// FATs" and "media".
bool looks_like_boot_sector(const Mbr& mbr) {
  const auto& code = mbr.code;
  const std::uint8_t media = code[21];
  const bool fat = (code[14] | code[15]) != 0 && code[16] != 0 && (media == 0xF0 || media >= kLeastFatMedia);
  constexpr std::array<std::uint8_t, 4> kNtfs = {'N', 'T', 'F', 'S'};
  return fat || std::ranges::equal(std::span(code).subspan(3, 4), kNtfs);
}

/// Whether the entries can be entries: their first bytes are 00 or 80.
bool plausible(const Mbr& mbr) {
  return mbr.signed_() && !looks_like_boot_sector(mbr) &&
         std::ranges::all_of(mbr.entries, [](const MbrEntry& entry) { return (entry.status & 0x7FU) == 0; });
}

class TableReader {
 public:
  TableReader(const DiskReader& read, std::uint64_t disk_bytes, std::uint32_t sector_bytes)
      : read_(read), disk_bytes_(disk_bytes), logical_sector_bytes_(sector_bytes) {}

  Result<PartitionTable> run() {
    // A disc of 2048-byte sectors has the MBR of the hard disk that it also is.
    table_.sector_bytes = logical_sector_bytes_ == 4096 ? 4096 : 512;
    if (disk_bytes_ < sizeof(Mbr)) return std::move(table_);
    const Mbr mbr = VDISK_TRY(read_mbr(0));
    if (!plausible(mbr)) return std::move(table_);
    const bool protective =
        std::ranges::any_of(mbr.entries, [](const MbrEntry& entry) { return entry.type == kProtectiveType; });
    if (protective && VDISK_TRY(read_gpt())) return std::move(table_);
    VDISK_TRY(read_primaries(mbr));
    return std::move(table_);
  }

 private:
  Result<Mbr> read_mbr(std::uint64_t at) {
    std::array<std::byte, sizeof(Mbr)> bytes{};
    VDISK_TRY(read_({at}, bytes));
    return load<Mbr>(bytes);
  }

  template <class... Args>
  void damage(FaultAt fault, fmt::format_string<Args...> format, Args&&... args) {
    if (table_.damage) return;
    table_.damage = Error(fault.fault, fmt::format(format, std::forward<Args>(args)...), 0, fault.where);
  }

  /// The sectors as a range of the disk; tells of a partition that is not on it.
  std::optional<DiskRange> place(std::uint32_t number, std::uint64_t first, std::uint64_t count) {
    const auto at = checked_multiply<std::uint64_t>(first, table_.sector_bytes);
    const auto length = checked_multiply<std::uint64_t>(count, table_.sector_bytes);
    if (at && length && *length != 0 && fits_within(*at, *length, disk_bytes_))
      return DiskRange{{*at}, *length};
    damage(faults::kPartitionRange,
           "partition {}: {} sectors of {} bytes from sector {}, on a disk of {} bytes; the table is "
           "damaged, or the "
           "disk was cut",
           number, count, table_.sector_bytes, first, disk_bytes_);
    return std::nullopt;
  }

  /// False when no copy is whole.
  Result<bool> read_gpt() {
    const std::uint32_t other = table_.sector_bytes == 512 ? 4096 : 512;
    // A disk image whose table was made for 4 KiB sectors lies in 512-byte ones too, and the other way round.
    for (const bool backup : {false, true}) {
      for (const std::uint32_t sector_bytes : {table_.sector_bytes, other}) {
        if (disk_bytes_ / sector_bytes < 3) continue;
        const std::uint64_t sector = backup ? disk_bytes_ / sector_bytes - 1 : 1;
        const auto copy = VDISK_TRY(read_gpt_copy(read_, disk_bytes_, sector_bytes, sector));
        if (!copy || copy->fields().my_sector != sector || copy->fields().entry_size < sizeof(GptEntry))
          continue;
        table_.kind = PartitionTable::Kind::kGpt;
        table_.sector_bytes = sector_bytes;
        table_.from_backup = backup;
        take_entries(*copy);
        return true;
      }
    }
    damage(faults::kGptDamaged,
           "the MBR says that there is a GUID partition table, but neither the one in sector 1 nor its "
           "backup at the "
           "disk's end has right checksums; repair it with gdisk or sgdisk");
    return false;
  }

  void take_entries(const GptCopy& copy) {
    const GptHeader header = copy.fields();
    table_.id = header.disk_guid.to_string();
    const std::uint32_t count = std::min<std::uint32_t>(header.entry_count, kMostPartitions);
    for (std::uint32_t index = 0; index < count; ++index) {
      const auto entry = load<GptEntry>(
          std::span(copy.entries).subspan(std::size_t{index} * header.entry_size, sizeof(GptEntry)));
      if (entry.type.is_zero()) continue;
      const std::uint64_t first = entry.first_sector;
      const std::uint64_t last = entry.last_sector;
      const auto range = place(index + 1, first, last < first ? 0 : last - first + 1);
      if (!range) continue;
      std::string name = utf16_to_utf8(entry.name, Utf16Order::kLittle);
      name.resize(std::min(name.size(), name.find('\0')));
      table_.partitions.push_back({.number = index + 1,
                                   .range = *range,
                                   .type = entry.type.to_string(),
                                   .name = std::move(name),
                                   .uuid = entry.unique.to_string(),
                                   .container = false});
    }
  }

  void add_mbr_partition(std::uint32_t number, std::uint64_t first, const MbrEntry& entry) {
    const auto range = place(number, first, entry.sector_count);
    if (!range) return;
    table_.partitions.push_back({.number = number,
                                 .range = *range,
                                 .type = fmt::format("0x{:02x}", entry.type),
                                 .name = {},
                                 .uuid = fmt::format("{}-{:02x}", table_.id, number),
                                 .container = entry.extended()});
  }

  Status read_primaries(const Mbr& mbr) {
    table_.kind = PartitionTable::Kind::kMbr;
    table_.id = fmt::format("{:08x}", mbr.disk_signature.get());
    const MbrEntry* extended = nullptr;
    for (std::uint32_t index = 0; index < mbr.entries.size(); ++index) {
      const MbrEntry& entry = mbr.entries[index];
      // A protective record covers what it protects, and is no partition.
      if (!entry.used() || entry.type == kProtectiveType) continue;
      add_mbr_partition(index + 1, entry.first_sector, entry);
      if (entry.extended() && extended == nullptr) extended = &entry;
    }
    if (extended != nullptr) VDISK_TRY(read_logicals(*extended));
    return {};
  }

  /// The chain: each extended boot record has one logical partition, relative to the record, and the place of
  /// the next record, relative to the extended partition.
  Status read_logicals(const MbrEntry& extended) {
    const std::uint64_t base = extended.first_sector;
    std::uint64_t at = base;
    std::set<std::uint64_t> seen;
    std::uint32_t number = kFirstLogicalNumber;
    while (number <= kMostPartitions) {
      const auto bytes = checked_multiply<std::uint64_t>(at, table_.sector_bytes);
      if (!bytes || !fits_within(*bytes, sizeof(Mbr), disk_bytes_) || at - base >= extended.sector_count) {
        damage(faults::kExtendedChain,
               "the chain of logical partitions leads to sector {}, out of its extended partition", at);
        return {};
      }
      if (!seen.insert(at).second) {
        damage(faults::kExtendedChain, "the chain of logical partitions comes back to sector {}", at);
        return {};
      }
      const Mbr record = VDISK_TRY(read_mbr(*bytes));
      // The first record of an empty extended partition need not be there.
      if (!record.signed_()) {
        if (at != base)
          damage(faults::kExtendedChain, "the chain of logical partitions breaks off at sector {}", at);
        return {};
      }
      const MbrEntry* next = nullptr;
      for (const MbrEntry& entry : std::span(record.entries).first(2)) {
        if (!entry.used()) continue;
        if (entry.extended()) {
          if (next == nullptr) next = &entry;
        } else if (number <= kMostPartitions) {
          add_mbr_partition(number++, at + entry.first_sector, entry);
        }
      }
      if (next == nullptr) return {};
      at = base + next->first_sector;
    }
    return {};
  }

  const DiskReader& read_;
  const std::uint64_t disk_bytes_;
  const std::uint32_t logical_sector_bytes_;
  PartitionTable table_;
};

}  // namespace

Result<PartitionTable> read_partition_table(const DiskReader& read, std::uint64_t disk_bytes,
                                            std::uint32_t logical_sector_bytes) {
  return TableReader(read, disk_bytes, logical_sector_bytes).run();
}

}  // namespace vdisk::filesystem
