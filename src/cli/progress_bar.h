// SPDX-License-Identifier: Apache-2.0
//
// How far a long command is: a bar on a terminal, a line now and then elsewhere, nothing with --quiet.
#pragma once

#include <vdisk/control.h>

#include <chrono>
#include <string>
#include <string_view>

namespace vdisk::cli {

/// "#######-------  48%   1.20 GiB of 2.50 GiB   310.00 MiB/s   0:04 left"; `columns` wide at most.
std::string progress_text(const Progress& progress, double seconds, int columns);

/// Draws on standard error. Thread rule: one thread.
class ProgressBar {
 public:
  enum class Style { kBar, kLines, kJson, kSilent };

  /// The style that suits standard error; kSilent with `quiet`, kJson (one object a line, each second) with
  /// `json`.
  static Style choose(bool quiet, bool json = false);

  ProgressBar(Style style, std::string label);
  /// Clears the bar.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const Progress& progress);
  /// Takes the bar away, so that other text can follow.
  void clear();
  double seconds() const;
  ProgressSink sink() {
    return [this](const Progress& progress) { update(progress); };
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Style style_;
  const std::string label_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_line_ = start_ + (style_ == Style::kJson ? kJsonPeriod : kLinePeriod);
  bool drawn_ = false;

  void put_json(const Progress& progress);

  static constexpr std::chrono::seconds kLinePeriod{5};
  static constexpr std::chrono::seconds kJsonPeriod{1};
};

}  // namespace vdisk::cli
