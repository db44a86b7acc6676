// SPDX-License-Identifier: Apache-2.0
#include "testing/fault_file.h"

#include <cerrno>

#include "base/checked.h"
#include "base/fault.h"
#include "io/faults.h"
#include "testing/cow_file.h"
#include "testing/shared_file.h"

namespace vdisk::testing {

std::uint64_t FaultFile::counted() const {
  const MutexLock lock(mutex_);
  return counted_;
}

std::uint64_t FaultFile::failed() const {
  const MutexLock lock(mutex_);
  return failed_;
}

Status FaultFile::pass(bool needs_space, const char* what) {
  if ((plan_.os_errno == ENOSPC || plan_.os_errno == EDQUOT) && !needs_space) return {};
  const MutexLock lock(mutex_);
  ++counted_;
  const bool strikes =
      plan_.fail_at != 0 && (counted_ == plan_.fail_at || (plan_.sticky && counted_ > plan_.fail_at));
  if (!strikes) return {};
  ++failed_;
  return fail_errno(io::faults::fault_for_errno(plan_.os_errno), plan_.os_errno,
                    "{}: {} (injected, operation {})", name(), what, counted_);
}

Result<std::size_t> FaultFile::read(FileOffset at, std::span<std::byte> into) {
  VDISK_TRY(pass(false, "read"));
  return below_->read(at, into);
}

Status FaultFile::write(FileOffset at, std::span<const std::byte> from) {
  auto passed = pass(true, "write");
  if (passed) return below_->write(at, from);
  const std::size_t half = round_down(from.size() / 2, 512);
  if (plan_.half_writes && half != 0) VDISK_TRY(below_->write(at, from.first(half)));
  return passed;
}

Status FaultFile::flush() {
  VDISK_TRY(pass(true, "flush"));
  return below_->flush();
}

Result<std::uint64_t> FaultFile::size() {
  VDISK_TRY(pass(false, "size"));
  return below_->size();
}

Status FaultFile::resize(std::uint64_t size_bytes) {
  VDISK_TRY(pass(true, "resize"));
  return below_->resize(size_bytes);
}

Status FaultFile::zero(FileOffset at, std::uint64_t length) {
  VDISK_TRY(pass(true, "zero"));
  return below_->zero(at, length);
}

Status FaultFile::punch(FileOffset at, std::uint64_t length) {
  VDISK_TRY(pass(false, "punch"));
  return below_->punch(at, length);
}

Result<FileOffset> FaultFile::next_data(FileOffset from) {
  VDISK_TRY(pass(false, "next_data"));
  return below_->next_data(from);
}

Result<FileOffset> FaultFile::next_hole(FileOffset from) {
  VDISK_TRY(pass(false, "next_hole"));
  return below_->next_hole(from);
}

namespace {

constexpr std::uint64_t kMostRuns = 1'000'000;  // an operation that never ends is a failure too

}  // namespace

FaultLoopReport run_fault_loop(
    const std::shared_ptr<File>& base, FaultPlan plan,
    const std::function<Status(std::unique_ptr<File>)>& operation,
    const std::function<std::string(const std::shared_ptr<File>& left, const Status& result)>& judge) {
  FaultLoopReport report;
  for (plan.fail_at = 1; plan.fail_at <= kMostRuns; ++plan.fail_at) {
    const auto left = std::make_shared<CowFile>(base);
    const auto faulty = std::make_shared<FaultFile>(left, plan);
    const Status result = operation(std::make_unique<SharedFile>(faulty));
    const bool struck = faulty->failed() != 0;
    if (struck) ++report.runs;
    std::string wrong;
    if (!struck && !result) wrong = "fails without a fault: " + result.error().message();
    if (wrong.empty()) wrong = judge(left, result);
    if (!wrong.empty()) {
      report.failure = fmt::format("operation {} of errno {}{}: {}", plan.fail_at, plan.os_errno,
                                   plan.sticky ? " (sticky)" : "", wrong);
      return report;
    }
    if (!struck) return report;
  }
  report.failure = "the operation never ends";
  return report;
}

}  // namespace vdisk::testing
