// SPDX-License-Identifier: Apache-2.0
#include <vdisk/error.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/fault.h"
#include "base/fault_ledger.h"

namespace vdisk::inline v1 {

struct Error::State {
  const Fault* fault;
  int os_errno;
  std::source_location where;
  std::string reason;
  std::vector<std::string> frames;  // innermost first
};

Error::Error(const Fault& fault, std::string message, int os_errno, std::source_location where)
    : state_(std::make_unique<State>(State{&fault, os_errno, where, std::move(message), {}})) {
  record_fault_in_ledger(fault.id);
}

Error::Error(const Error& other) : state_(std::make_unique<State>(*other.state_)) {}

Error& Error::operator=(const Error& other) {
  if (this != &other) state_ = std::make_unique<State>(*other.state_);
  return *this;
}

Error::Error(Error&& other) noexcept = default;
Error& Error::operator=(Error&& other) noexcept = default;
Error::~Error() = default;

const Fault& Error::fault() const noexcept { return *state_->fault; }
int Error::os_errno() const noexcept { return state_->os_errno; }
const std::source_location& Error::where() const noexcept { return state_->where; }
const std::string& Error::reason() const noexcept { return state_->reason; }

std::string Error::message() const {
  std::string text;
  for (auto frame = state_->frames.rbegin(); frame != state_->frames.rend(); ++frame) {
    text += *frame;
    text += ": ";
  }
  return text + state_->reason;
}

void Error::add_context(std::string frame) { state_->frames.push_back(std::move(frame)); }

}  // namespace vdisk::inline v1

namespace vdisk {

std::string errno_text(int os_errno) {
  char buffer[128];
  return strerror_r(os_errno, buffer, sizeof buffer);  // GNU form: thread-safe
}

void assertion_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "vdisk: internal error: %s:%d: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace vdisk
