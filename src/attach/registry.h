// SPDX-License-Identifier: Apache-2.0
//
// Who has which image attached. One record per attachment: a small text file in the registry folder, locked
// by the attachment's process for as long as the attachment lives. There is no daemon; a record whose lock is
// free is what a killed process left behind, and counts for nothing.
#pragma once

#include <vdisk/attachment.h>
#include <vdisk/error.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "io/file.h"

namespace vdisk::attach {

class Estate;
class Fields;

/// Version of what two processes of vdisk say to one another about an attachment.
inline constexpr std::uint32_t kHandshake = 3;

/// What a record's name is followed by in the name of its server's socket.
inline constexpr const char* kSocketSuffix = ".sock";

struct RegistryOptions {
  /// The registry folder; unset: VDISK_RUNTIME_DIR (an absolute path; ignored in setuid programs), else
  /// /run/vdisk for root and $XDG_RUNTIME_DIR/vdisk for everyone else.
  std::optional<std::string> folder;
};

/// What is known of one attachment.
struct AttachmentRecord : AttachmentInfo {
  FileIdentity image;  ///< Device and inode of the image: what finds the record.
  FileIdentity
      backing;  ///< The file under the loop device: what tells our device from a later one of its name.
  std::uint32_t handshake = kHandshake;

  bool operator==(const AttachmentRecord&) const = default;
};

/// A record in the registry. Withdraws it when it dies; the kernel does the like (frees the lock) when the
/// process dies. Owner: whoever keeps the attachment alive. Thread rule: as a plain value. Its descriptor is
/// closed by exec and shared by fork: the record lives until the last process that shares it ends or
/// withdraws it.
class PublishedRecord {
 public:
  PublishedRecord(PublishedRecord&&) noexcept = default;
  PublishedRecord& operator=(PublishedRecord&& other) noexcept;
  ~PublishedRecord() { withdraw(); }

  /// Removes the record and frees its lock.
  void withdraw() noexcept;
  /// Another text in its place, at once for whoever looks: it never is free in between. Fails as publish().
  Status update(const AttachmentRecord& record);
  /// Lets go of it without a word: another process that shares it goes on with it.
  void forget() noexcept;
  /// For such a process, and in it. Fails with attach.foreign_answer.
  void bequeath(Estate& estate) const;
  static Result<PublishedRecord> inherit(Estate& estate);
  int lock_fd() const noexcept { return record_.get(); }
  /// Where the attachment's server listens: a socket beside the record.
  int folder_fd() const noexcept { return folder_.get(); }
  std::string socket_name() const { return name_ + kSocketSuffix; }

 private:
  friend Result<PublishedRecord> publish(const AttachmentRecord&, const RegistryOptions&);
  PublishedRecord(UniqueFd folder, UniqueFd record, std::string name)
      : folder_(std::move(folder)), record_(std::move(record)), name_(std::move(name)) {}

  UniqueFd folder_;
  UniqueFd record_;
  std::string name_;
};

/// Records an attachment. Makes the folder (0700) if need be, writes the record (0600), locks it and only
/// then gives it its name, so that whoever sees a record sees it whole and locked; heals stale records on its
/// way. Fails with attach.already_attached (32) while another attachment of the image lives.
/// **Durability:** none wanted; attachments do not survive a restart, and neither need their records.
Result<PublishedRecord> publish(const AttachmentRecord& record, const RegistryOptions& options = {});

/// The live attachment of `image`, if there is one. Changes nothing. A user other than root also looks for
/// root's attachments as far as they are readable. A link, a special file, or another user's file in a
/// record's place is an error, as is a live record that cannot be read: the rules for attached disks cannot
/// be kept then.
Result<std::optional<AttachmentRecord>> find_attachment(FileIdentity image,
                                                        const RegistryOptions& options = {});

/// One record of the folders that this user may look into.
struct FoundRecord {
  AttachmentRecord record;
  bool alive = false;       ///< Its server lives.
  std::string socket_path;  ///< Where the server listens.
  std::string folder;
  std::string name;  ///< Of the record's file in the folder.
};

/// All records, the dead ones too. What is no record of ours is passed over.
Result<std::vector<FoundRecord>> all_records(const RegistryOptions& options = {});

/// Removes a dead record (and its socket) if it is still that. Nothing happens to a live one.
void remove_record(const FoundRecord& dead);

/// The fields that records and the server's answers share. `take_info` is false when one is missing or twice
/// there.
void add_info(Fields& fields, const AttachmentInfo& info);
bool take_info(const Fields& fields, AttachmentInfo& info);

/// The record's text: "vdisk-attachment 1" and then `key=value` lines; control characters and '%' are %XX.
std::string format_record(const AttachmentRecord& record);
/// Strict about the keys that it knows, each exactly once but `partition`; skips keys that it does not know.
std::optional<AttachmentRecord> parse_record(std::string_view text);

/// Longest record that is read or written: a path of PATH_MAX bytes, all of them escaped, fits.
inline constexpr std::size_t kMostRecordBytes = 32 * 1024;

}  // namespace vdisk::attach
