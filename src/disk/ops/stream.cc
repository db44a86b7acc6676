// SPDX-License-Identifier: Apache-2.0
#include "disk/ops/stream.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/checked.h"
#include "disk/ops/faults.h"
#include "format/bulk_writer.h"
#include "io/memory_file.h"

namespace vdisk::ops {

namespace {

constexpr std::string_view kWhat = "the conversion";

class ImageStream {
 public:
  ImageStream(const Content& content, MemoryFile& tables, int fd, const OperationControl& control,
              std::uint64_t size)
      : content_(content), tables_(tables), sink_(fd, control), control_(control), meter_(control, size) {}

  /// Up to `end`, where no payload lies.
  Status send_tables(std::uint64_t end) {
    while (at_ < end) {
      const std::uint64_t data = std::min(end, VDISK_TRY(tables_.next_data(FileOffset{at_})).bytes);
      if (data > at_) {
        VDISK_TRY(step(data - at_, [&](std::uint64_t piece) { return sink_.zeros(piece); }));
        continue;
      }
      const std::uint64_t hole = std::min(end, VDISK_TRY(tables_.next_hole(FileOffset{at_})).bytes);
      VDISK_TRY(step(hole - at_, [&](std::uint64_t piece) { return send_bytes(piece); }));
    }
    return {};
  }

  Status send_payload(const Placement& place) {
    DiskOffset from = place.range.at;
    return step(place.range.length, [&](std::uint64_t piece) -> Status {
      const auto bytes = buffer_.bytes().first(piece);
      VDISK_TRY(content_.read(from, bytes));
      from.bytes += piece;
      return sink_.data(bytes);
    });
  }

  Status allocate() {
    buffer_ = VDISK_TRY(ChunkBuffer::allocate());
    return {};
  }

 private:
  Status send_bytes(std::uint64_t length) {
    const auto bytes = buffer_.bytes().first(length);
    VDISK_TRY(read_exactly(tables_, FileOffset{at_}, bytes));
    return sink_.data(bytes);
  }

  template <class Send>
  Status step(std::uint64_t length, Send&& send) {
    while (length > 0) {
      VDISK_TRY(check_cancelled(control_, kWhat));
      const std::uint64_t piece = std::min<std::uint64_t>(length, kChunkBytes);
      VDISK_TRY(send(piece));
      at_ += piece;
      length -= piece;
      meter_.advance(at_);
    }
    return {};
  }

  const Content& content_;
  MemoryFile& tables_;
  StreamSink sink_;
  const OperationControl& control_;
  ProgressMeter meter_;
  ChunkBuffer buffer_;
  std::uint64_t at_ = 0;
};

Result<std::vector<Placement>> place_all(const Content& content, BulkWriter& writer,
                                         const OperationControl& control) {
  std::vector<Placement> places;
  ContentWalk walk(content);
  for (std::uint64_t at = 0; at < content.size();) {
    VDISK_TRY(check_cancelled(control, kWhat));
    const Extent extent = VDISK_TRY(walk.find(at));
    if (extent.source != Extent::Source::kZero) VDISK_TRY(writer.place(extent.range, places));
    at = extent.range.end();
  }
  return places;
}

}  // namespace

Status stream_image(const Content& content, const CreationPlan& plan, int fd,
                    const OperationControl& control) {
  const bool bitmaps_among_blocks = plan.format->id == FormatId::kVhd && plan.spec.type == DiskType::kDynamic;
  if (plan.spec.type == DiskType::kDifferencing || bitmaps_among_blocks) {
    return fail(
        faults::kStreamKind,
        "standard output: a {} {} cannot be written as a stream: write it to a file, or take a fixed one",
        to_string(plan.spec.type), plan.format->name);
  }
  // Holds what the format writes; payload never goes there.
  MemoryFile tables("standard output");
  CreateSpec spec = plan.spec;
  spec.preallocation = Preallocation::kNone;
  const std::unique_ptr<BulkWriter> writer = VDISK_TRY(plan.format->begin_bulk(tables, spec, control));
  const std::vector<Placement> places = VDISK_TRY(place_all(content, *writer, control));
  VDISK_TRY(writer->finish());

  const std::uint64_t size = VDISK_TRY(tables.size());
  ImageStream stream(content, tables, fd, control, size);
  VDISK_TRY(stream.allocate());
  for (const Placement& place : places) {
    VDISK_TRY(stream.send_tables(place.to.bytes));
    VDISK_TRY(stream.send_payload(place));
  }
  return stream.send_tables(size);
}

}  // namespace vdisk::ops
