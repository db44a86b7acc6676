// SPDX-License-Identifier: Apache-2.0
//
// An open virtual disk: one image, or a differencing image with the whole chain of its parents.
#pragma once

#include <vdisk/control.h>
#include <vdisk/error.h>
#include <vdisk/image_info.h>
#include <vdisk/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vdisk::inline v1 {

/// Where a parent may be looked for. Images are untrusted, so the default follows a locator only to regular files
/// (never to devices, URIs or raw files). Always searched: the relative path beneath the child's folder, the same
/// file name in the child's folder, each of `directories`. `..` and absolute paths are followed only to an image
/// whose identity matches the recorded linkage, and not at all when `confine` is set.
struct ParentSearch {
  std::vector<std::string> directories;  ///< An entry that is an NBD URI is itself taken for a parent.
  bool confine = false;
  /// Drive letter or UNC prefix ("C:", "\\server\share") to a folder here. Also says what such a path means when
  /// a caller names an image by it.
  std::vector<std::pair<std::string, std::string>> drive_map;
  /// Leaves out the relative paths that the child records (OPEN_VIRTUAL_DISK_FLAG_IGNORE_RELATIVE_PARENT_LOCATOR).
  bool ignore_relative = false;
  /// Parents that are raw files (a VHD whose parent id is zero, as Xen makes them). Never by default.
  bool allow_raw = false;

  /// The same settings from VDISK_PARENT_DIRS (colon separated), VDISK_MAP_DRIVES ("C:=dir", colon cannot occur in
  /// the folder; entries separated by ';') and VDISK_CONFINE=1; ignored in setuid programs (secure_getenv).
  static ParentSearch from_environment();
};

/// Bounds on what a hostile image can make the library do. Defaults are safe for servers.
struct Limits {
  std::uint32_t chain_depth = 256;                     ///< Files in one chain.
  std::uint64_t log_bytes = std::uint64_t{1} << 30;    ///< Longest VHDX log that is read.
  std::uint64_t table_bytes = std::uint64_t{1} << 30;  ///< Cached BAT and bitmap pages per file.
};

enum class LockMode {
  kAutomatic,  ///< Shared for readers, exclusive for writers.
  kLeafOnly,   ///< As automatic for the leaf, as none for its parents: someone may have them open for writing.
  kNone,       ///< Takes and tests no lock: only to look at an image that someone else has open.
};

struct OpenOptions {
  std::optional<FormatId> format;  ///< Unset: extension, then content; never raw by guess.
  bool writable = false;           ///< Parents are always opened read-only.
  bool no_parents = false;         ///< Opens the leaf alone; reads of parent data fail.
  ParentSearch parents;
  Limits limits;
  LockMode lock = LockMode::kAutomatic;
  /// Moves data past the host's page cache (O_DIRECT), in this and all parents' files. For servers of attached disks:
  /// the disk's own users cache it, and a server must not wait for memory that only it can free. Told to `trace` where a
  /// file system cannot do it; the page cache is used there.
  bool direct_io = false;
  /// Hyper-V's own change tracking files (.rct, .mrt) beside an image become stale with the first write. False: the
  /// first write warns through `trace`; true: it fails with disk.stale_tracking.
  bool strict_tracking = false;
  TraceSink trace;
};

/// Facts of an open disk that never change while it is open.
struct DiskGeometry {
  std::uint64_t virtual_size_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
  std::uint32_t physical_sector_bytes = 512;
  std::uint32_t block_bytes = 0;  ///< Of the leaf; 0 where it has no blocks.
};

/// One stretch of the disk whose bytes come from one place.
struct Extent {
  enum class Source { kData, kZero, kUnresolved };  ///< kUnresolved: in a parent that was not opened.
  DiskRange range;
  Source source = Source::kZero;
  std::uint32_t layer = 0;  ///< 0 is the leaf; meaningful for kData.
  FileOffset from;          ///< In that layer's file; meaningful for kData.
};

/// What becomes of the space behind a range that is made to read as zeros.
enum class ZeroSpace {
  kKeep,  ///< What is allocated stays so: later writes to it cannot find the host full.
  kFree,  ///< Goes back to the host where the format can.
};

/// Thread rule: all members may be called from any number of threads at once. Owner: the caller; closing is
/// destruction. Offsets and lengths are in bytes and need no alignment for reading.
class Disk {
 public:
  /// Opens the image at `path`: a Linux path, an NBD URI, or Windows' drive and UNC paths through `parents.drive_map`.
  /// Fails with 2, 3, 5, 32 for the file itself; 0xC03A0014 when no format is recognised; the format's codes for
  /// a damaged image; 0xC03A000D and its neighbours for the chain.
  /// Durability: a writable open of a VHDX with a non-empty log replays the log; otherwise nothing is written.
  static Result<Disk> open(const std::string& path, const OpenOptions& options = {});

  Disk(Disk&&) noexcept;
  Disk& operator=(Disk&&) noexcept;
  ~Disk();

  const DiskGeometry& geometry() const noexcept;
  FormatId format() const noexcept;
  DiskType type() const noexcept;

  /// Reads exactly `into.size()` bytes. Fails with 38 (ERROR_HANDLE_EOF) if the range leaves the disk.
  Status read(DiskOffset at, std::span<std::byte> into) const;

  /// Writes all of `from`. Offset and length must be multiples of the logical sector size (87). Several threads may
  /// write at once; of two writes that overlap, each sector shows one or the other. Fails with 19 on a disk that was not
  /// opened writable, 112 when the host is full, 1117 on I/O errors; what was there before then stays, except in the
  /// sectors of `from` that were already moved. **Durability:** none before flush().
  Status write(DiskOffset at, std::span<const std::byte> from) const;
  /// Makes the range read as zeros; by metadata alone where the format can. Alignment and errors as write().
  Status write_zeroes(DiskRange range, ZeroSpace space = ZeroSpace::kKeep) const;
  /// Tells that the range's content is no longer needed: whole blocks read as zeros afterwards (of a
  /// differencing VHD, may) and their space goes back to the host; smaller pieces may keep their bytes.
  Status trim(DiskRange range) const;
  /// **Durability:** every write, write_zeroes and trim that returned before this call survives a power cut after it.
  Status flush() const;
  /// Flushes and leaves the image as a clean close does (VHDX: log empty). Destruction does the same but cannot
  /// report; a writer that wants to know calls this. Later writes fail with 19.
  Status close();

  /// Appends to `extents` the pieces of `range`, in order, merged where neighbours continue one another; stops
  /// after `most` pieces. Returns how many bytes of the range were covered (at least one sector).
  Result<std::uint64_t> extents(DiskRange range, std::vector<Extent>& extents, std::size_t most = 1024) const;

  /// The layers, leaf first. With `no_parents`, the leaf alone.
  std::size_t layer_count() const noexcept;
  /// Describes layer `layer` (0 is the leaf), allocated bytes included, which reads its whole block table.
  Result<ImageInfo> info(std::size_t layer = 0) const;

  struct Impl;
  explicit Disk(std::unique_ptr<Impl> impl) noexcept;
  /// The library's own view; not part of the source-compatible API.
  Impl& impl() const noexcept { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace vdisk::v1
