// SPDX-License-Identifier: Apache-2.0
//
// The folder of plain files, as answers to the kernel's requests. Knows nothing of the device that they come
// from.
#pragma once

#include <sys/types.h>
#include <vdisk/control.h>

#include <cstddef>
#include <deque>
#include <expected>
#include <span>
#include <vector>

#include "serve/fuse/plain_file.h"
#include "serve/fuse/request.h"

namespace vdisk::serve::fuse {

/// The answer to one request; its data, if any, was put into the buffer that answer() was given.
struct Answer {
  int error = 0;          ///< A positive errno, or 0.
  std::size_t bytes = 0;  ///< Of data, when error is 0.
  bool silent = false;    ///< The request wants no answer.
};

/// A READ or WRITE that was found good.
struct Transfer {
  PlainFile* file = nullptr;
  std::uint64_t at = 0;
  std::uint64_t length = 0;            ///< Not past the file's end; 0 for a read at its end.
  std::span<const std::byte> payload;  ///< Of a WRITE: `length` bytes.
};

/// Thread rule: all members, any thread. Node 1 is the folder, node 2 + i file i; they never change.
class Folder {
 public:
  Folder(std::vector<ServedFile> files, TraceSink trace);

  /// Does what is asked. REQUIRES: `out` has kMostPayloadBytes.
  Answer answer(const Request& request, std::span<std::byte> out);

  /// What a READ or WRITE asks for, or the errno that it deserves.
  std::expected<Transfer, int> read_transfer(const Request& request) const;
  std::expected<Transfer, int> write_transfer(const Request& request) const;
  /// True when payload of all files can be moved by disk/async.h.
  bool can_transfer() const noexcept;
  /// To be called after each change of a file's content: everyone who looks sees it.
  void note_change(PlainFile& file, std::uint64_t at, std::uint64_t length) noexcept;
  /// The errno of a failed operation on `file`, which is told to the trace.
  int failed(const PlainFile& file, const char* what, const Error& error) const;

 private:
  using Handler = Answer (Folder::*)(const Request&, std::span<std::byte>);
  static Handler handler_of(std::uint32_t opcode) noexcept;

  Answer init(const Request& request, std::span<std::byte> out);
  Answer lookup(const Request& request, std::span<std::byte> out);
  Answer get_attributes(const Request& request, std::span<std::byte> out);
  Answer set_attributes(const Request& request, std::span<std::byte> out);
  Answer open(const Request& request, std::span<std::byte> out);
  Answer open_folder(const Request& request, std::span<std::byte> out);
  Answer read_folder(const Request& request, std::span<std::byte> out);
  Answer read(const Request& request, std::span<std::byte> out);
  Answer write(const Request& request, std::span<std::byte> out);
  Answer allocate(const Request& request, std::span<std::byte> out);
  Answer flush(const Request& request, std::span<std::byte> out);
  Answer seek(const Request& request, std::span<std::byte> out);
  Answer statistics(const Request& request, std::span<std::byte> out);
  Answer nothing_to_do(const Request& request, std::span<std::byte> out);
  Answer no_answer(const Request& request, std::span<std::byte> out);

  PlainFile* file_of(std::uint64_t node) const noexcept;
  fuse_attr attributes_of(std::uint64_t node) const;
  fuse_entry_out entry_of(std::uint64_t node) const;

  const TraceSink trace_;
  const uid_t owner_;
  const gid_t group_;
  mutable std::deque<PlainFile> files_;
  /// Files share bytes, and some are written: what the kernel caches of one may be changed through another.
  bool shared_bytes_ = false;
};

}  // namespace vdisk::serve::fuse
