// SPDX-License-Identifier: Apache-2.0
//
// ISO: the file's bytes are the disc's bytes. What stands here is who may be called an ISO image (formats.md
// 4, and the three rules of OpenVirtualDisk, virtdisk-api.md 7 T18 to T20) and what can be said about one.
#include "format/iso/iso.h"

#include "base/checked.h"
#include "format/iso/faults.h"
#include "format/iso/layout.h"
#include "format/iso/scan.h"

namespace vdisk::iso {

namespace {

using Severity = Finding::Severity;

std::string revision_text(const UdfVolume& udf) {
  // BCD, so hexadecimal digits print it: 0x0150 is 1.50.
  if (udf.revision) return fmt::format("udf-{:x}.{:02x}", *udf.revision >> 8, *udf.revision & 0xFF);
  return udf.nsr == 2 ? "udf-1.x" : "udf-2.x";
}

std::string kinds(const Discovery& found) {
  std::string text;
  const auto add = [&text](std::string_view word) {
    if (!text.empty()) text += ',';
    text += word;
  };
  if (found.primary) add("iso9660");
  if (found.high_sierra) add("high-sierra");
  if (found.joliet) add("joliet");
  if (found.el_torito) add("el-torito");
  if (found.udf) add(revision_text(*found.udf));
  if (found.udf && found.iso_family()) add("bridge");
  return text;
}

std::string anchor_blocks(const UdfVolume& udf) {
  std::string text;
  for (const UdfAnchorFound& anchor : udf.anchors) {
    text += fmt::format("{}{}", text.empty() ? "" : ",", anchor.block);
  }
  return text.empty() ? "none" : text;
}

std::vector<std::pair<std::string, std::string>> details(const Discovery& found) {
  std::vector<std::pair<std::string, std::string>> list;
  if (!found.has_volume()) return list;
  list.emplace_back("kinds", kinds(found));
  const IsoVolume* plain = found.primary       ? &*found.primary
                           : found.high_sierra ? &*found.high_sierra
                                               : nullptr;
  const std::string* best = nullptr;
  if (plain != nullptr) best = &plain->volume_id;
  if (found.joliet) best = &found.joliet->volume_id;
  if (found.udf && found.udf->has_logical_volume) best = &found.udf->volume_id;
  if (best != nullptr) list.emplace_back("volume_id", *best);
  if (plain != nullptr) list.emplace_back("volume_id_iso9660", plain->volume_id);
  if (found.joliet) list.emplace_back("volume_id_joliet", found.joliet->volume_id);
  if (found.udf && found.udf->has_logical_volume) list.emplace_back("volume_id_udf", found.udf->volume_id);
  if (const auto end = found.volume_end_bytes(); end != 0)
    list.emplace_back("volume_space_bytes", fmt::format("{}", end));
  if (found.udf) {
    if (found.udf->block_bytes != 0)
      list.emplace_back("udf_block_bytes", fmt::format("{}", found.udf->block_bytes));
    list.emplace_back("udf_anchor_blocks", anchor_blocks(*found.udf));
  }
  return list;
}

std::string truncation_text(const Discovery& found, std::uint64_t file_bytes) {
  const std::uint64_t end = found.volume_end_bytes();
  if (end <= file_bytes) return {};
  return fmt::format(
      "the volume ends at byte {} but the file at {}: {} bytes are missing, as after an interrupted "
      "download or copy; fetch the file again",
      end, file_bytes, end - file_bytes);
}

std::vector<std::string> notes(const Discovery& found, std::uint64_t file_bytes) {
  std::vector<std::string> list;
  if (auto text = truncation_text(found, file_bytes); !text.empty()) list.push_back(std::move(text));
  if (found.udf && found.udf->anchors.empty()) {
    list.emplace_back(
        "no UDF anchor at block 256, 512, the last, or 256 before the last: file systems will not mount "
        "the UDF volume");
  }
  return list;
}

std::string size_advice(const Discovery& found, std::uint64_t file_bytes) {
  if (auto text = truncation_text(found, file_bytes); !text.empty()) return text;
  const std::uint64_t end = found.volume_end_bytes();
  if (end != 0 && is_multiple(end, kSectorBytes)) {
    return fmt::format("the volume ends at byte {}: {} bytes behind it do not belong to it", end,
                       file_bytes - end);
  }
  return "the file is cut short, has something appended, or is no ISO image";
}

// The rules, in the order in which they tell a user most.
Status obey_rules(File& file, const Discovery& found, std::uint64_t file_bytes) {
  if (found.raw_sector_bytes != 0) {
    return fail(
        faults::kRawSectors,
        "{}: this is a dump of raw CD sectors of {} bytes (a .bin, .img or .mdf file), not an ISO image of "
        "2048-byte sectors; convert it, for example with bchunk or iat",
        file.name(), found.raw_sector_bytes);
  }
  if (file_bytes < kLeastBytes) {
    return fail(faults::kTooSmall, "{}: {} bytes; an ISO image has at least {}: {}", file.name(), file_bytes,
                kLeastBytes, "16 sectors of system area and a volume descriptor");
  }
  if (!is_multiple(file_bytes, kSectorBytes)) {
    return fail(faults::kSizeMultiple, "{}: {} bytes is {} more than a multiple of {}; {}", file.name(),
                file_bytes, file_bytes % kSectorBytes, kSectorBytes, size_advice(found, file_bytes));
  }
  if (!found.has_volume()) {
    return fail(
        faults::kNoVolume, "{}: {}", file.name(),
        found.signature
            ? "a volume identifier stands from byte 32768 on, but no valid primary volume descriptor of "
              "version 1 (ISO 9660, High Sierra) and no NSR descriptor behind a BEA01 (UDF)"
            : "neither CD001, CDROM nor BEA01 stands at byte 32768, so this is no ISO 9660, High Sierra or "
              "UDF disc");
  }
  return {};
}

class IsoImage final : public Image {
 public:
  IsoImage(std::unique_ptr<File> file, std::uint64_t size_bytes, const Discovery& found)
      : file_(std::move(file)) {
    properties_.geometry = {.virtual_size_bytes = size_bytes,
                            .logical_sector_bytes = kSectorBytes,
                            .physical_sector_bytes = kSectorBytes,
                            .block_bytes = 0};
    properties_.read_only = true;
    if (found.primary) properties_.creator = found.primary->application_id;
    properties_.details = details(found);
    properties_.notes = notes(found, size_bytes);
  }
  const Format& format() const noexcept override { return kFormat; }
  const ImageProperties& properties() const noexcept override { return properties_; }
  File& file() const noexcept override { return *file_; }

  Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) override {
    runs.clear();
    runs.add({Run::Source::kFile, range.at, range.length, FileOffset{range.at.bytes}});
    return range.length;
  }

  Result<std::uint64_t> allocated_bytes() override { return properties_.geometry.virtual_size_bytes; }

 private:
  std::unique_ptr<File> file_;
  ImageProperties properties_;
};

Result<Probe> probe(File& file) { return VDISK_TRY(has_signature(file)) ? Probe::kYes : Probe::kNo; }

Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, const ImageOpen& options) {
  const std::uint64_t size = VDISK_TRY(file->size());
  const Discovery found = VDISK_TRY(discover(*file, size));
  VDISK_TRY(obey_rules(*file, found, size));
  if (options.writable) {
    return fail(faults::kReadOnly, "{}: an ISO image is read-only; open it without write access",
                file->name());
  }
  auto image = std::make_unique<IsoImage>(std::move(file), size, found);
  if (options.trace) {
    for (const std::string& note : image->properties().notes) {
      options.trace(TraceLevel::kWarning, fmt::format("{}: {}", image->file().name(), note));
    }
  }
  return image;
}

Status inspect(File& file, const ImageOpen&, ImageInfo& info) {
  info.format = FormatId::kIso;
  info.type = DiskType::kFixed;
  info.block_size_bytes = 0;
  info.logical_sector_bytes = kSectorBytes;
  info.physical_sector_bytes = kSectorBytes;
  const std::uint64_t size = VDISK_TRY(file.size());
  const Discovery found = VDISK_TRY(discover(file, size));
  if (found.primary) info.creator = found.primary->application_id;
  info.details = details(found);
  info.notes = notes(found, size);
  VDISK_TRY(obey_rules(file, found, size));
  info.virtual_size_bytes = size;
  return {};
}

void check_iso_volume(CheckSink& sink, std::string_view kind, const IsoVolume& volume) {
  if (volume.both_endian_agree) return;
  sink.add(Severity::kWarning, faults::kBothEndian,
           "{} descriptor at {:#x}: the two copies of the volume space size disagree; the little-endian one "
           "is used",
           kind, volume.at);
}

void check_udf(CheckSink& sink, const UdfVolume& udf) {
  if (udf.anchors.empty()) {
    sink.add(Severity::kDamage, faults::kNoAnchor,
             "UDF: no anchor at block 256, 512, the last or 256 before the last, for blocks of 512 to 32768 "
             "bytes; "
             "the volume cannot be mounted");
    return;
  }
  for (const UdfAnchorFound& anchor : udf.anchors) {
    if (anchor.crc_good) continue;
    sink.add(Severity::kWarning, faults::kAnchorCrc, "UDF: the anchor at block {} fails its CRC",
             anchor.block);
  }
  if (udf.anchors.size() == 1) {
    sink.add(Severity::kNote, faults::kOneAnchor,
             "UDF: the only anchor is at block {}; the standard asks for two of 256, the last block and 256 "
             "before it "
             "(multi-session and padded discs are written so)",
             udf.anchors.front().block);
  }
  if (!udf.has_logical_volume) {
    sink.add(Severity::kDamage, faults::kNoLogicalVolume,
             "UDF: neither the main nor the reserve volume descriptor sequence names a logical volume");
  }
}

Status check(File& file, const ImageOpen&, CheckSink& sink, const OperationControl&) {
  const std::uint64_t size = VDISK_TRY(file.size());
  const Discovery found = VDISK_TRY(discover(file, size));
  if (const Status rules = obey_rules(file, found, size); !rules) sink.add(rules.error());
  if (!found.has_volume()) return {};
  if (const std::string text = truncation_text(found, size); !text.empty()) {
    sink.add_text(Severity::kDamage, faults::kTruncated, text);
  }
  if (found.iso_family() && !found.terminator) {
    sink.add(Severity::kWarning, faults::kNoTerminator,
             "no terminator (type 255) ends the volume descriptors; readers that need one refuse the disc");
  }
  if (found.primary) check_iso_volume(sink, "primary", *found.primary);
  if (found.joliet) check_iso_volume(sink, "Joliet", *found.joliet);
  if (found.high_sierra) check_iso_volume(sink, "High Sierra", *found.high_sierra);
  if (found.udf) check_udf(sink, *found.udf);
  return {};
}

constexpr std::string_view kExtensions[] = {"iso"};

}  // namespace

const Format kFormat = {
    .id = FormatId::kIso,
    .name = "iso",
    .extensions = kExtensions,
    .has_parents = false,
    .probe = probe,
    .open = open,
    .inspect = inspect,
    .check = check,
    .faults = faults::kAll,
};

}  // namespace vdisk::iso
