// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 8;
constexpr int kUsualColumns = 80;

int terminal_columns() noexcept {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualColumns;
  return size.ws_col;
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::lround(std::min(seconds, 3.6e6)));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

/// Percent, rounded down, so that 100 means done.
unsigned percent(const Progress& progress) noexcept {
  if (progress.done >= progress.total) return 100;
  return static_cast<unsigned>(static_cast<double>(progress.done) / static_cast<double>(progress.total) *
                               100.0);
}

void write_text(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;  // A bar that cannot be drawn is no failure.
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

std::string progress_text(const Progress& progress, double seconds, int columns) {
  std::string facts = fmt::format("{:3}%  {} of {}", percent(progress), human_size(progress.done),
                                  human_size(progress.total));
  // The first moments say nothing about the rate.
  if (seconds >= 0.5 && progress.done != 0) {
    const double rate = static_cast<double>(progress.done) / seconds;
    facts += fmt::format("  {}/s", human_size(static_cast<std::uint64_t>(rate)));
    if (progress.done < progress.total) {
      facts +=
          fmt::format("  {} left", clock_text(static_cast<double>(progress.total - progress.done) / rate));
    }
  }
  const int room = std::min(kWidestBar, columns - static_cast<int>(facts.size()) - 3);
  if (room < kNarrowestBar) return facts.substr(0, static_cast<std::size_t>(std::max(columns - 1, 0)));
  const auto full = static_cast<std::size_t>(room) * percent(progress) / 100;
  return std::string(full, '#') + std::string(static_cast<std::size_t>(room) - full, '-') + " " + facts;
}

ProgressBar::Style ProgressBar::choose(bool quiet, bool json) {
  if (quiet) return Style::kSilent;
  if (json) return Style::kJson;
  return ::isatty(STDERR_FILENO) == 1 ? Style::kBar : Style::kLines;
}

ProgressBar::ProgressBar(Style style, std::string label) : style_(style), label_(std::move(label)) {}

ProgressBar::~ProgressBar() { clear(); }

double ProgressBar::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void ProgressBar::put_json(const Progress& progress) {
  Json line{{"done", progress.done}, {"total", progress.total}, {"seconds", seconds()}};
  if (progress.done != 0 && seconds() >= 0.5) {
    const double rate = static_cast<double>(progress.done) / seconds();
    line["bytes_per_second"] = static_cast<std::uint64_t>(rate);
    line["seconds_left"] = static_cast<double>(progress.total - progress.done) / rate;
  }
  write_text(Json{{"progress", std::move(line)}}.dump() + "\n");
}

void ProgressBar::update(const Progress& progress) {
  if (style_ == Style::kJson && (Clock::now() >= next_line_ || progress.done == progress.total)) {
    next_line_ = Clock::now() + kJsonPeriod;
    put_json(progress);
    return;
  }
  if (style_ == Style::kBar) {
    write_text("\r\x1b[K" + progress_text(progress, seconds(), terminal_columns()));
    drawn_ = true;
  } else if (style_ == Style::kLines && Clock::now() >= next_line_) {
    next_line_ = Clock::now() + kLinePeriod;
    print_message(fmt::format("{}: {:3}%, {} of {}", label_, percent(progress), human_size(progress.done),
                              human_size(progress.total)));
  }
}

void ProgressBar::clear() {
  if (drawn_) write_text("\r\x1b[K");
  drawn_ = false;
}

}  // namespace vdisk::cli
