// SPDX-License-Identifier: Apache-2.0
//
// The seam between the engine and the formats. An Image is one file, parsed: it maps disk offsets to file
// offsets and never moves payload. A Format is one row of functions; registry.h lists them all.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>
#include <vdisk/image_info.h>
#include <vdisk/operations.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "base/io_gate.h"
#include "format/run.h"
#include "format/write_ticket.h"
#include "io/file.h"

namespace vdisk {

class BulkWriter;
class IntentMemory;
struct CreateLimits;
struct CreateSpec;
struct Format;

/// What an image says about itself once it is open; never changes while it is open.
struct ImageProperties {
  DiskType type = DiskType::kFixed;
  DiskGeometry geometry;
  Guid identifier;       ///< What children record as their parent's identity; zero if the format has none.
  Guid virtual_disk_id;  ///< Zero if the format has none.
  std::string creator;
  bool dirty_log = false;               ///< The file held a log to replay when it was opened.
  std::optional<ParentLocator> parent;  ///< Set exactly for differencing images.
  std::vector<std::pair<std::string, std::string>> details;
  std::vector<std::string> notes;
  /// VHD: the recorded time of the file's own footer (parent_timestamp checks compare the parent file's
  /// mtime).
  std::optional<std::uint32_t> timestamp;
  bool payload_4k_aligned = true;  ///< Payload blocks lie at multiples of 4 KiB in the file.
  bool read_only = false;          ///< The image itself allows no writing (ISO; a VHD whose copies disagree).
};

struct ImageOpen {
  bool writable = false;
  Limits limits;
  TraceSink trace;
};

/// One open image file. Thread rule: resolve_read and allocated_bytes from any number of threads at once.
class Image {
 public:
  virtual ~Image() = default;
  Image() = default;
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  virtual const Format& format() const noexcept = 0;
  virtual const ImageProperties& properties() const noexcept = 0;
  /// The file that runs of source kFile refer to: the one opened, or an overlay of its dirty log.
  virtual File& file() const noexcept = 0;

  /// Says where the bytes of `range` are. Fills `runs` (cleared first) from the range's beginning until the
  /// range or the list ends, and returns the number of bytes covered (more than 0). Loads and validates table
  /// pages on first touch; over pages already loaded it takes no lock and allocates nothing. REQUIRES: the
  /// range is not empty and lies inside the disk. Ranges need no alignment.
  virtual Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) = 0;

  /// Payload bytes that this file itself holds; reads the whole block table.
  virtual Result<std::uint64_t> allocated_bytes() = 0;

  // The writing half. An image that was not opened writable keeps these defaults, which refuse (19).

  /// Makes `range` writable: fills `runs` (cleared first, all of kFile) from its beginning until the range,
  /// the list or the ticket ends. Space handed out for a block's first write reads as zeros where the caller
  /// does not write. The first call of a session marks the file as changed (VHDX: header GUIDs, durable
  /// before it returns). REQUIRES: the range is not empty, is inside the disk, and is aligned to logical
  /// sectors.
  virtual Result<WriteTicket> resolve_write(DiskRange range, RunList& runs);
  /// Makes every sector of `range` read as zeros by metadata alone where that is possible, and says how: sets
  /// `rest` to the sub-ranges (at most two: head and tail) that the caller must still write zeros to. With
  /// `keep_space` false the file space goes back to the host. REQUIRES: as resolve_write.
  virtual Status discard(DiskRange range, bool keep_space, std::vector<DiskRange>& rest);
  /// **Durability:** all committed tickets, discards and payload written before the call are on stable
  /// storage after it, and a crash at any instant leaves a file that opens. A failed metadata write or flush
  /// poisons the image.
  virtual Status flush();
  /// Flushes, empties the log and leaves the file as a clean close does. Later calls do nothing.
  virtual Status close();
  /// Takes over what a killed writer of this image left in `memory`, makes it durable, and notes there from
  /// now on every change of the mapping that no flush covers yet. Payload that was moved before the kill must
  /// still be in the file: this is for killed processes, not for power cuts. REQUIRES: nothing was written
  /// yet; `memory` outlives the image. Fails with format.intent.conflict when memory and file do not belong
  /// together; nothing was written then.
  virtual Status keep_intents(IntentMemory& memory);
  /// Entered by everyone who resolves and then moves payload on an image that was opened writable.
  IoGate& io_gate() noexcept { return io_gate_; }

 private:
  IoGate io_gate_;
};

/// Collects what check finds; keeps at most CheckReport::kMostFindings and counts the rest.
class CheckSink {
 public:
  CheckSink(CheckReport& report, std::string path) : report_(report), path_(std::move(path)) {}

  template <class... Args>
  void add(Finding::Severity severity, const Fault& fault, fmt::format_string<Args...> format,
           Args&&... args) {
    add_text(severity, fault, fmt::format(format, std::forward<Args>(args)...));
  }
  /// An error that ended an examination, as a finding of kDamage.
  void add(const Error& error);
  void add_text(Finding::Severity severity, const Fault& fault, std::string message);
  CheckReport& report() noexcept { return report_; }
  const std::string& path() const noexcept { return path_; }

 private:
  CheckReport& report_;
  std::string path_;
};

/// How sure a format is that a file is its own.
enum class Probe {
  kNo,
  kYes,  ///< Its signature is there, even if damaged behind it.
};

struct Format {
  FormatId id;
  std::string_view name;                         ///< "vhdx": the word of --format and of JSON.
  std::span<const std::string_view> extensions;  ///< Lower case, without the dot.
  bool has_parents;                              ///< Differencing images exist.

  /// Looks at signatures only; never fails on damage, only on I/O.
  Result<Probe> (*probe)(File& file);
  /// Parses the image. Writes nothing, except to replay a dirty log when `options.writable`.
  Result<std::unique_ptr<Image>> (*open)(std::unique_ptr<File> file, const ImageOpen& options);
  /// Describes as much as damage allows into `info` (format, sizes, ids, locator in `info.parent`, details);
  /// the first obstacle is returned. Leaves `path`, `file_size_bytes` and `change_tracking_files` to the
  /// caller.
  Status (*inspect)(File& file, const ImageOpen& options, ImageInfo& info);
  /// Examines everything that open defers, also where open would refuse. Never writes. Fails only on I/O
  /// errors and cancellation; damage goes to `sink`.
  Status (*check)(File& file, const ImageOpen& options, CheckSink& sink, const OperationControl& control);
  FaultTable faults;
  /// Writes a new image into `file`, which is empty; null where the format cannot be created. Legality is the
  /// caller's (create_spec.h). Fails on I/O errors and cancellation only.
  /// **Durability:** the caller flushes. A crash before that flush leaves a file that does not open, or the
  /// whole image.
  Status (*create)(File& file, const CreateSpec& spec, const OperationControl& control) = nullptr;
  const CreateLimits* create_limits = nullptr;  ///< Set exactly where `create` is.
  /// As `create`, for an image that is filled at once (bulk_writer.h); set exactly where `create` is. The
  /// file opens only after BulkWriter::finish. `file` outlives the writer.
  Result<std::unique_ptr<BulkWriter>> (*begin_bulk)(File& file, const CreateSpec& spec,
                                                    const OperationControl& control) = nullptr;
};

/// Fills `info` from an open image's properties (everything but path, file size, allocation and tracking
/// files).
void describe(const Image& image, ImageInfo& info);

}  // namespace vdisk
