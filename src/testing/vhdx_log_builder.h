// SPDX-License-Identifier: Apache-2.0
//
// Makes VHDX logs of every kind, right and wrong, byte by byte, independent of the library's own writer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "format/vhdx/log.h"
#include "io/memory_file.h"

namespace vdisk::testing {

/// One descriptor: a page, or (without bytes) zeros.
struct LogWrite {
  std::uint64_t file_offset = 0;
  std::vector<std::byte> page{};  ///< 4096 bytes, or none.
  std::uint64_t zero_length = 0;

  /// A page whose every byte differs from its neighbours, by `value`.
  static LogWrite pattern(std::uint64_t file_offset, unsigned value);
  static LogWrite zeros(std::uint64_t file_offset, std::uint64_t length);
};
std::vector<std::byte> pattern_page(unsigned value);

struct LogEntrySpec {
  std::uint64_t at = 0;  ///< In the log; the entry goes on at the log's beginning when it passes the end.
  std::uint64_t sequence = 1;
  std::optional<std::uint64_t> tail{};  ///< Unset: itself.
  std::vector<LogWrite> writes{};
  std::uint64_t flushed_file_offset = 0;
  std::uint64_t last_file_offset = 0;
  // What a right entry leaves alone.
  std::optional<Guid> guid{};                   ///< Unset: the log's.
  std::optional<std::uint32_t> entry_length{};  ///< As recorded; the bytes written stay the same.
  std::optional<std::uint32_t> descriptor_count{};
  std::uint64_t extra_sectors = 0;                    ///< `data` sectors behind the entry's last.
  std::function<void(std::span<std::byte>)> spoil{};  ///< Changes the entry before its checksum is made.
  std::optional<std::size_t> torn_after{};            ///< Only so many of its bytes reach the log.
  bool bad_checksum = false;
};

class VhdxLogBuilder {
 public:
  explicit VhdxLogBuilder(std::uint64_t length = std::uint64_t{1} << 20);

  /// Writes the entry and returns where in the log it ends, which is where the next one goes.
  std::uint64_t add(const LogEntrySpec& spec);

  const Guid& guid() const noexcept { return guid_; }
  std::span<std::byte> bytes() noexcept { return bytes_; }

 private:
  Guid guid_;
  std::vector<std::byte> bytes_;
};

struct VhdxLogHost {
  std::uint64_t file_bytes = std::uint64_t{8} << 20;
  std::uint64_t log_offset = std::uint64_t{1} << 20;
  std::uint64_t header_sequence = 7;
  Guid file_write_guid{{1}};
  Guid data_write_guid{{2}};
};

/// A file with identifier, both headers and the log; the rest (region tables, metadata, BAT) is zeros,
/// because replay never looks at it.
std::shared_ptr<MemoryFile> make_vhdx_with_log(VhdxLogBuilder& log, const VhdxLogHost& host = {});
vhdx::LogRegion region_of(VhdxLogBuilder& log, const VhdxLogHost& host = {});

/// The page at `offset` of `file` as a change to it, which now stands in a log alone: in its place the file
/// holds nonsense.
LogWrite take_page(File& file, std::uint64_t offset);
/// Writes the log into a whole image, whose headers (VhdxBuilder::log_guid) name it.
void put_log(File& file, std::uint64_t log_offset, VhdxLogBuilder& log);

}  // namespace vdisk::testing
