// SPDX-License-Identifier: Apache-2.0
//
// Disks of the kernel made from images. One attachment is one server process of its own (`vdisk-server`) that
// holds the image's lock, one block device, and one record in the registry folder (/run/vdisk for root,
// $XDG_RUNTIME_DIR/vdisk for everyone else); there is no daemon.
#pragma once

#include <vdisk/disk.h>
#include <vdisk/error.h>
#include <vdisk/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vdisk::inline v1 {

/// How the kernel gets at the image.
enum class AttachProvider {
  kAutomatic,  ///< The best one for this image and this kernel.
  kLoop,  ///< The kernel's loop device on the image file itself: guest bytes lie in one run (fixed VHD, ISO,
          ///< …).
  kFuse,  ///< A loop device over a file that the server shows through FUSE. Works for every image.
  kNbd,   ///< The kernel's NBD client, where the kernel has it.
};

/// "auto" "loop" "fuse" "nbd": the words of `--provider` and of JSON's `provider`.
std::string_view to_string(AttachProvider provider) noexcept;
std::optional<AttachProvider> parse_attach_provider(std::string_view word) noexcept;

struct AttachOptions {
  /// How the image is opened. `writable` is set by attach() itself from `read_only`.
  OpenOptions open;
  bool read_only = false;
  /// True: the disk stays until it is detached or the system goes down. False: it goes when the Attachment
  /// that attach() returned dies, or its process does.
  bool permanent = false;
  /// Makes the partitions appear as block devices, too.
  bool partitions = true;
  AttachProvider provider = AttachProvider::kAutomatic;
  /// Only this range of the disk becomes the device; a multiple of the logical sector size.
  std::optional<DiskRange> range;
  /// Writes go to this file, a new or earlier differencing image over `path`, which stays as it is.
  std::optional<std::string> cow_file;
  /// Attached again at the next boot (by the systemd unit that is installed with the tool).
  bool at_boot = false;
};

/// What is known of one attachment.
struct AttachmentInfo {
  std::string image_path;
  std::string device_node;              ///< "/dev/loop3".
  std::vector<std::string> partitions;  ///< "/dev/loop3p1", …: those that were made.
  AttachProvider provider = AttachProvider::kAutomatic;
  FormatId format = FormatId::kRaw;
  bool read_only = false;
  bool permanent = false;
  std::uint64_t process = 0;     ///< Of the server; for messages only.
  /// Beside it: serves the disk, or stands by. Whichever of the two is killed, the other one replaces.
  std::uint64_t companion_process = 0;
  std::optional<Guid> disk_id;   ///< VHDX Virtual Disk ID, VHD unique id.
  std::uint64_t size_bytes = 0;  ///< Of the device.
  std::uint32_t logical_sector_bytes = 512;

  bool operator==(const AttachmentInfo&) const = default;
};

struct DetachOptions {
  /// Also frees a device that is in use or whose server does not answer: what was not flushed is lost to its
  /// users, who get EIO. The image is closed as after a crash at worst.
  bool force = false;
};

/// An attachment that this process made. Thread rule: as a plain value. Owner: the caller; destruction
/// detaches the disk unless it is permanent. A disk that is still mounted then goes when its last user lets
/// it go.
class Attachment {
 public:
  /// Attaches the image at `path` and waits until the device answers. Fails with the codes of Disk::open; 32
  /// when the image is attached or open elsewhere; 1314 when the caller may not make block devices; 50 when
  /// `options.provider` cannot serve this image or this kernel; 87 for a range that does not fit. Nothing is
  /// left behind then.
  /// **Durability:** as OpenOptions::writable; a flush of the device is Disk::flush.
  static Result<Attachment> attach(const std::string& path, const AttachOptions& options);

  Attachment(Attachment&&) noexcept;
  Attachment& operator=(Attachment&&) noexcept;
  ~Attachment();

  const AttachmentInfo& info() const noexcept;
  /// The end of a permanent attachment's ties to this object, and of a lasting one's life: see vdisk::detach.
  Status detach(const DetachOptions& options = {});

  struct Impl;
  explicit Attachment(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

/// All live attachments that this user may see, each after its partitions have followed what was written to its
/// partition table before the call. Stale records, which killed processes left, are removed on
/// the way.
Result<std::vector<AttachmentInfo>> attachments();

/// The attachment of the image at `image_or_device`, or whose device (or partition) that is, if there is one.
Result<std::optional<AttachmentInfo>> find_attachment(const std::string& image_or_device);

/// Attaches again what was attached with AttachOptions::at_boot and is not attached now. For the system's
/// start. Returns what failed; one image does not hold up the others.
std::vector<Error> attach_all_at_boot();

/// Flushes, removes the device and closes the image cleanly; returns when the image's lock is free. Fails
/// with 1168 when nothing is attached there; with 170 (ERROR_BUSY) while file systems of it are mounted (they
/// are named) or someone has it open, with nothing changed.
/// **Durability:** everything that was written to the device.
Status detach(const std::string& image_or_device, const DetachOptions& options = {});

/// Puts processes of the installed vdisk-server in the place of those that hold the attachment, whatever their
/// version; who uses the disk notices a pause. Fails with 1168 when nothing is attached there, and with what the new
/// program says when it cannot take over; the old one goes on then.
/// **Durability:** everything that the device has answered is on stable storage afterwards, or known to the new
/// processes as it was to the old ones.
Status restart_server(const std::string& image_or_device);

}  // namespace vdisk::inline v1
