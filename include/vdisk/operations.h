// SPDX-License-Identifier: Apache-2.0
//
// The operations on whole images. Each is a free function, takes an OperationControl, and may be called from any
// thread; none changes a source image.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>
#include <vdisk/error.h>
#include <vdisk/image_info.h>

#include <cstdint>
#include <string>
#include <vector>

namespace vdisk::inline v1 {

/// What `inspect` found: everything that could be known, and the first error that stopped it, if any.
struct Inspection {
  ImageInfo info;
  std::optional<Error> error;
};

/// Describes the image at `path` as far as its damage allows. With `options.no_parents` unset it also looks for
/// the parent of a differencing image; a missing parent is told in `info.parent`, and is no error here.
Inspection inspect(const std::string& path, const OpenOptions& options = {});

/// The same for the whole chain, leaf first; ends after the first image that has an error.
std::vector<Inspection> inspect_chain(const std::string& path, const OpenOptions& options = {});

/// One thing that is wrong, or worth knowing, about an image.
struct Finding {
  enum class Severity {
    kNote,     ///< Legal, but unusual (a stale path, a missing second copy of something rebuildable).
    kWarning,  ///< Redundancy or space is lost (one bad header, leaked space); the data is whole.
    kDamage,   ///< The image breaks its specification; some reader will fail or read wrong bytes.
  };
  Severity severity = Severity::kDamage;
  std::string path;     ///< The file.
  std::string fault;    ///< Id of the fault row ("vhdx.bat.overlap").
  Win32Code code = 0;
  std::string message;  ///< What, where (offset, value), and what to do.
};

/// Result of `check`.
struct CheckReport {
  std::vector<Finding> findings;      ///< At most `kMostFindings`; more are only counted.
  std::uint64_t findings_total = 0;
  std::uint64_t blocks_total = 0;      ///< Payload blocks of the checked files.
  std::uint64_t blocks_allocated = 0;
  std::uint64_t leaked_bytes = 0;      ///< File space that nothing refers to.
  static constexpr std::size_t kMostFindings = 1000;
  bool damaged() const noexcept;       ///< Any finding of severity kDamage.
};

/// Reads everything that `Disk::open` defers: the whole BAT and bitmap graph, overlaps, leaks, the log, redundant
/// copies; with `chain`, the same for every parent and the links between them. Never writes. Fails only when the
/// file cannot be read at all (2, 3, 5, 32, 1117) or is of no known format; damage is in the report.
Result<CheckReport> check(const std::string& path, const OpenOptions& options, bool chain,
                          const OperationControl& control);

/// How much of a new fixed disk's space is taken from the host at once.
enum class Preallocation {
  kNone,    ///< None: the file has its length, and what the host does with unwritten space is its affair.
  kSparse,  ///< None, and a host that would take it anyway gives it back where it can.
  kFull,    ///< All of it: later writes cannot find the host full.
};

/// What `create` makes. Zero and unset mean the format's default (virtdisk-api.md 3.2, "Per-format values").
struct CreateOptions {
  std::optional<FormatId> format;  ///< raw, vhd or vhdx; unset: by the extension.
  /// Unset: differencing with a parent, fixed for raw, else dynamic.
  std::optional<DiskType> type;
  /// Whole logical sectors, at least 3 MiB but for raw. 0 with a parent: the parent's; a VHDX child may be larger.
  std::uint64_t virtual_size_bytes = 0;
  std::uint32_t block_bytes = 0;
  std::uint32_t logical_sector_bytes = 0;
  std::uint32_t physical_sector_bytes = 0;
  /// What ImageInfo::identifier will say; a VHDX without a parent also takes it as its virtual disk id. Unset: random.
  /// With it and SOURCE_DATE_EPOCH in the environment two files made alike are equal byte for byte.
  std::optional<Guid> identifier;
  std::optional<Preallocation> preallocation;  ///< Fixed disks only. Unset: full, but for raw.
  std::string parent;                          ///< Makes a differencing disk of the parent's format.
  std::optional<FormatId> parent_format;
  /// How the parent is found and its own parents are; the drive map also gives the Windows path that is recorded.
  ParentSearch parents;
  Limits limits;
};

/// Makes a new, empty image at `path`, which shows zeros or what its parent shows. Never overwrites (80,
/// ERROR_FILE_EXISTS). Fails with 87 for options that do not go together, 0xC03A0012 for a size beyond the format's
/// limit, 0xC03A0014 when nothing names a format, 50 for a format that cannot be created, and as Disk::open for the
/// parent's chain. A failed or cancelled creation leaves no file.
/// **Durability:** the file and its folder are flushed before success is returned; until then there is no file.
Status create(const std::string& path, const CreateOptions& options, const OperationControl& control = {});

/// What `convert` does about zeros that the source stores as data.
enum class ZeroSearch {
  kUnlessShared,  ///< Finds them in whatever passes through the process; blocks that both files can share are shared.
  kAlways,        ///< Finds them everywhere; shares nothing.
  kNever,         ///< Takes the source's maps and its file's holes at their word.
};

/// What `convert` makes, and how.
struct ConvertOptions {
  /// As for `create`. A size of 0 is the source's, a larger one shows zeros behind it. A block or sector size of 0 is the
  /// source's where the target can have it and the formats are the same (the logical sector size always). Space of a
  /// fixed disk is taken only when `preallocation` says so. With a parent the target holds only what differs.
  CreateOptions target;
  unsigned jobs = 4;  ///< Threads; at least 1. Most of them wait for a medium.
  ZeroSearch zeros = ZeroSearch::kUnlessShared;
  /// What Azure takes: a fixed VHD of whole mebibytes (formats.md 1.18).
  bool azure = false;
  /// The target may be a block device, whose content is replaced; else one is refused like any file that exists (80).
  bool device = false;
  /// Where the disk grew, moves the backup GPT to its new end; else a GPT gets a warning through `trace`.
  bool fix_gpt = false;
};

/// Makes an image at `target` that shows what `source` shows, its parents included. "-" is standard output as a
/// stream: raw, a fixed VHD, or a VHDX without a parent. With `options.device` a block device takes raw bytes: zeros are cleared or discarded,
/// what lies behind the disk's end stays as it is. A file is never overwritten (80). Fails as `create`; with 87 for a
/// size below the source's and for a stream or device of another kind; with 112 for a device that is too small, with 32
/// for one that is mounted or in use; with 109 when the stream's reader went away; with 995 when cancelled. A failed or
/// cancelled conversion leaves no file; a device holds a part of the disk then.
/// **Durability:** the file and its folder are flushed before success is returned; until then there is no file. A device
/// is flushed before success is returned.
Status convert(const Disk& source, const std::string& target, const ConvertOptions& options,
               const OperationControl& control = {});

/// Says what keeps Azure from taking the image at `path`, or from starting it: the rules of formats.md 1.18, as
/// findings. Fails as `inspect`.
Result<CheckReport> check_for_azure(const std::string& path, const OpenOptions& options);

/// Result of `diff`.
struct Difference {
  bool same = true;
  std::optional<DiskOffset> first;       ///< First byte that differs, or where the shorter disk ends.
  std::uint64_t different_bytes = 0;     ///< Counted in whole sectors of 512 bytes; the size difference included.
};

/// Compares the content that two disks show; a longer disk whose rest reads as zeros still counts as different.
Result<Difference> diff(const Disk& a, const Disk& b, const OperationControl& control);

}  // namespace vdisk::v1
