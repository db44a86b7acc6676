// SPDX-License-Identifier: Apache-2.0
//
// Raw: the file's bytes are the disk's bytes. There is no signature, so raw is only ever opened by name.
#include "format/raw/raw.h"

#include <limits>

#include "base/checked.h"
#include "format/bulk_writer.h"
#include "format/create_spec.h"
#include "format/preallocate.h"
#include "format/raw/faults.h"

namespace vdisk::raw {

namespace {

class RawImage final : public Image {
 public:
  RawImage(std::unique_ptr<File> file, std::uint64_t size_bytes) : file_(std::move(file)) {
    properties_.geometry.virtual_size_bytes = size_bytes;
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

Result<std::uint64_t> valid_size(File& file) {
  const std::uint64_t size = VDISK_TRY(file.size());
  if (size == 0 || !is_multiple(size, 512)) {
    return fail(faults::kSize,
                "{}: {} bytes is not a positive multiple of 512: pad the file to whole sectors", file.name(),
                size);
  }
  return size;
}

Result<Probe> probe(File&) { return Probe::kNo; }

Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, const ImageOpen&) {
  const std::uint64_t size = VDISK_TRY(valid_size(*file));
  return std::make_unique<RawImage>(std::move(file), size);
}

Status inspect(File& file, const ImageOpen&, ImageInfo& info) {
  info.format = FormatId::kRaw;
  info.type = DiskType::kFixed;
  info.block_size_bytes = 0;
  info.logical_sector_bytes = 512;
  info.physical_sector_bytes = 512;
  info.virtual_size_bytes = VDISK_TRY(valid_size(file));
  return {};
}

Status check(File& file, const ImageOpen&, CheckSink& sink, const OperationControl&) {
  const auto size = valid_size(file);
  if (size) return {};
  if (size.error().id() != faults::kSize.id) return std::unexpected(size.error());
  sink.add(size.error());
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
