// SPDX-License-Identifier: Apache-2.0
//
// How the library says that something failed.
//
// Every distinct failure is one constexpr `Fault` row: its id ("vhdx.bat.overlap"), the Win32 code that the C API
// returns for it, and its meaning. An `Error` is one occurrence of a fault: the sentence that says what is wrong
// and where, the operating system's errno if one was involved, and the context frames that were added on the way
// up. No function of this library throws; memory exhaustion is the fault "base.memory" (code 8).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>

namespace vdisk::inline v1 {

/// A Win32 error code, for example 2 (ERROR_FILE_NOT_FOUND) or 0xC03A000E.
using Win32Code = std::uint32_t;

/// One distinct failure. Rows are constexpr and live for ever; compare them by `id`.
struct Fault {
  std::string_view id;       ///< Stable dotted name; tests and scripts compare it.
  Win32Code code;            ///< What the C API returns.
  std::string_view meaning;  ///< One sentence for docs/errors.md.
};

/// One failure that happened. One pointer wide; copying copies the text. Thread rule: as a plain value.
class [[nodiscard]] Error {
 public:
  Error(const Fault& fault, std::string message, int os_errno = 0,
        std::source_location where = std::source_location::current());
  Error(const Error& other);
  Error(Error&& other) noexcept;
  Error& operator=(const Error& other);
  Error& operator=(Error&& other) noexcept;
  ~Error();

  const Fault& fault() const noexcept;
  std::string_view id() const noexcept { return fault().id; }
  Win32Code code() const noexcept { return fault().code; }
  /// The errno behind the failure, or 0.
  int os_errno() const noexcept;
  /// Where in the library's source the failure was born.
  const std::source_location& where() const noexcept;
  /// The sentence born with the failure, without context frames.
  const std::string& reason() const noexcept;
  /// Outermost context first, then the reason: "opening child.vhdx: parent base.vhdx: BAT page 17: …".
  std::string message() const;
  /// Adds an outer context frame ("opening child.vhdx").
  void add_context(std::string frame);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// The Win32 name of `code` ("ERROR_FILE_CORRUPT"), or "" when the library never returns it.
std::string_view win32_code_name(Win32Code code) noexcept;

}  // namespace vdisk::v1
