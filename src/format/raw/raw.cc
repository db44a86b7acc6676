// SPDX-License-Identifier: Apache-2.0
//
// Raw: the file's bytes are the disk's bytes. There is no signature, so raw is only ever opened by name.
#include "format/raw/raw.h"

#include <limits>
#include <utility>

#include "base/checked.h"
#include "base/poison.h"
#include "format/bulk_writer.h"
#include "format/create_spec.h"
#include "format/preallocate.h"
#include "format/raw/faults.h"
#include "io/host_disk.h"

namespace vdisk::raw {

namespace {

class RawImage final : public Image {
 public:
  RawImage(std::unique_ptr<File> file, const DiskGeometry& geometry, bool writable)
      : file_(std::move(file)), writable_(writable) {
    properties_.geometry = geometry;
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

  Result<WriteTicket> resolve_write(DiskRange range, RunList& runs) override {
    if (!writable_) return Image::resolve_write(range, runs);
    VDISK_TRY(poison_.check());
    runs.clear();
    runs.add({Run::Source::kFile, range.at, range.length, FileOffset{range.at.bytes}});
    WriteTicket ticket;
    ticket.set_covered_bytes(range.length);
    return ticket;
  }

  Status discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest) override {
    if (!writable_) return Image::discard(range, keep_space, rest);
    VDISK_TRY(poison_.check());
    rest.clear();
    const FileOffset at{range.at.bytes};
    return keep_space ? file_->zero(at, range.length) : file_->punch(at, range.length);
  }

  Status flush() override {
    if (!writable_) return {};
    VDISK_TRY(poison_.check());
    Status flushed = file_->flush();
    if (!flushed) return poison_.set(std::move(flushed).error());
    return {};
  }

  Status close() override { return std::exchange(closed_, true) ? Status{} : flush(); }

 private:
  const std::unique_ptr<File> file_;
  const bool writable_;
  bool closed_ = false;
  ImageProperties properties_;
  Poison poison_;
};

/// A file has sectors of 512 bytes, a block device its own.
Result<DiskGeometry> geometry_of(File& file) {
  const std::uint64_t size = VDISK_TRY(file.size());
  if (size == 0 || !is_multiple(size, 512)) {
    return fail(faults::kSize,
                "{}: {} bytes is not a positive multiple of 512: pad the file to whole sectors", file.name(),
                size);
  }
  const SectorSizes sectors = device_sector_sizes(file);
  return DiskGeometry{.virtual_size_bytes = size,
                      .logical_sector_bytes = sectors.logical_bytes,
                      .physical_sector_bytes = sectors.physical_bytes};
}

Result<Probe> probe(File&) { return Probe::kNo; }

Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, const ImageOpen& options) {
  const DiskGeometry geometry = VDISK_TRY(geometry_of(*file));
  return std::make_unique<RawImage>(std::move(file), geometry, options.writable);
}

Status inspect(File& file, const ImageOpen&, ImageInfo& info) {
  info.format = FormatId::kRaw;
  info.type = DiskType::kFixed;
  info.block_size_bytes = 0;
  const DiskGeometry geometry = VDISK_TRY(geometry_of(file));
  info.logical_sector_bytes = geometry.logical_sector_bytes;
  info.physical_sector_bytes = geometry.physical_sector_bytes;
  info.virtual_size_bytes = geometry.virtual_size_bytes;
  return {};
}

Status check(File& file, const ImageOpen&, CheckSink& sink, const OperationControl&) {
  const auto geometry = geometry_of(file);
  if (geometry) return {};
  if (geometry.error().id() != faults::kSize.id) return std::unexpected(geometry.error());
  sink.add(geometry.error());
  return {};
}

Status create(File& file, const CreateSpec& spec, const OperationControl& control) {
  VDISK_TRY(stop_if_cancelled(file, control));
  VDISK_TRY(file.resize(spec.virtual_size_bytes));
  return preallocate(file, FileOffset{0}, spec.virtual_size_bytes, spec.preallocation, control);
}

Result<std::unique_ptr<BulkWriter>> begin_bulk(File& file, const CreateSpec& spec,
                                               const OperationControl& control) {
  VDISK_TRY(create(file, spec, control));
  return std::make_unique<DirectBulkWriter>(FileOffset{0});
}

constexpr std::uint32_t kSectorSizes[] = {512};
constexpr CreateLimits kCreateLimits = {
    .least_bytes = 512,
    .most_bytes = std::numeric_limits<std::int64_t>::max() / 512 * 512,
    .fixed_only = true,
    .block_sizes = {},
    .sector_sizes = kSectorSizes,
};

constexpr std::string_view kExtensions[] = {""};

}  // namespace

const Format kFormat = {
    .id = FormatId::kRaw,
    .name = "raw",
    .extensions = std::span(kExtensions).first(0),
    .has_parents = false,
    .probe = probe,
    .open = open,
    .inspect = inspect,
    .check = check,
    .faults = faults::kAll,
    .create = create,
    .create_limits = &kCreateLimits,
    .begin_bulk = begin_bulk,
};

}  // namespace vdisk::raw
