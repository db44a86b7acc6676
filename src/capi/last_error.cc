// SPDX-License-Identifier: Apache-2.0
#include "capi/last_error.h"

#include <string>

namespace vdisk::capi {

namespace {
thread_local std::string explanation;
thread_local DWORD last_error = ERROR_SUCCESS;
}  // namespace

void clear_explanation() noexcept { explanation.clear(); }

DWORD explain(const Error& error) noexcept {
  try {
    const std::string_view name = win32_code_name(error.code());
    explanation = error.code() >= 0x80000000U
                      ? fmt::format("{} 0x{:08X} [{}]: {}", name, error.code(), error.id(), error.message())
                      : fmt::format("{} {} [{}]: {}", name, error.code(), error.id(), error.message());
  } catch (...) {
    explanation.clear();  // Without memory for the sentence the code must do.
  }
  return error.code();
}

BOOL bool_of(DWORD code) noexcept {
  if (code != ERROR_SUCCESS) SetLastError(code);
  return code == ERROR_SUCCESS ? TRUE : FALSE;
}

}  // namespace vdisk::capi

using namespace vdisk::capi;

const char* VirtdiskGetLastErrorText(void) { return explanation.c_str(); }

DWORD GetLastError(void) { return last_error; }
void SetLastError(DWORD code) { last_error = code; }
