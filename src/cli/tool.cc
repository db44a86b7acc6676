// SPDX-License-Identifier: Apache-2.0
#include "cli/tool.h"

#include <poll.h>
#include <unistd.h>
#include <vdisk/image_info.h>

#include <CLI/Error.hpp>
#include <cerrno>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "disk/host_path.h"

namespace vdisk::cli {

namespace {

constexpr std::string_view kOpeningGroup = "Finding parents";
constexpr std::string_view kOutputGroup = "Output";

/// Writes all of `text`; errno of the failure, or 0.
int write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd poll{fd, POLLOUT, 0};
      ::poll(&poll, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

bool is_drive(std::string_view word) noexcept {
  const char letter = word.empty() ? '\0' : static_cast<char>(word[0] | 0x20);
  return word.size() == 2 && letter >= 'a' && letter <= 'z' && word[1] == ':';
}

std::pair<std::string, std::string> parse_drive(const std::string& word) {
  const auto equals = word.find('=');
  const std::string drive = word.substr(0, equals);
  const bool unc = drive.size() > 3 && drive.starts_with("\\\\") && drive.find('\\', 3) != std::string::npos;
  if (equals == std::string::npos || equals + 1 == word.size() || !(is_drive(drive) || unc)) {
    throw CLI::ValidationError("--map-drive",
                               "'" + word + "' is not of the form C:=DIR or \\\\server\\share=DIR");
  }
  return {drive, word.substr(equals + 1)};
}

}  // namespace

void Output::put(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void Output::flush() {
  if (failure_ == 0 && !buffer_.empty()) failure_ = write_all(fd_, buffer_);
  buffer_.clear();
}

void print_message(std::string_view text) {
  std::string line = "vdisk: ";
  line += printable(text);
  line += '\n';
  // Nothing is left to tell if standard error itself fails.
  static_cast<void>(write_all(STDERR_FILENO, line));
}

void OpenWords::declare_parents(CLI::App& app) {
  const std::string group(kOpeningGroup);
  app.add_option("--parent-dir", parent_directories,
                 "Also look for parents in DIR, or at an NBD URI; repeatable")
      ->type_name("DIR")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--confine", confine, "Follow no recorded path out of the image's folder or the given ones")
      ->group(group);
  app.add_option("--map-drive", drives,
                 "What a Windows drive (C:=DIR) or share (\\\\server\\share=DIR) means here; repeatable")
      ->type_name("MAP")
      ->allow_extra_args(false)
      ->group(group);
}

void OpenWords::declare_output(CLI::App& app) {
  const std::string group(kOutputGroup);
  app.add_flag("--json", json, "Print JSON, errors too")->group(group);
  app.add_flag("-q,--quiet", quiet, "No progress and no remarks; errors only")->group(group);
  app.add_flag("-v,--verbose", verbose, "Also print what the library remarks while it works")->group(group);
}

void OpenWords::declare(CLI::App& app, const std::string& format_option) {
  app.add_option(format_option, format,
                 "Format of the image: raw vhd vhdx vhdset iso; found out by default, but never raw")
      ->type_name("F");
  declare_parents(app);
  const std::string group(kOpeningGroup);
  app.add_flag("--no-parents", no_parents, "Open the image alone, without its parents")->group(group);
  app.add_flag("--allow-raw-parent", allow_raw_parent, "Allow a parent that is a raw file")->group(group);
  declare_output(app);
}

OpenOptions OpenWords::open_options() const {
  OpenOptions options;
  if (!format.empty()) {
    options.format = parse_format(format);
    if (!options.format) {
      throw CLI::ValidationError("format", "'" + format + "' is none of raw, vhd, vhdx, vhdset, iso");
    }
  }
  options.no_parents = no_parents;
  options.parents = ParentSearch::from_environment();
  auto& directories = options.parents.directories;
  directories.insert(directories.begin(), parent_directories.begin(), parent_directories.end());
  std::vector<std::pair<std::string, std::string>> map;
  for (const std::string& word : drives) map.push_back(parse_drive(word));
  // What is said on the command line comes before the environment.
  auto& drive_map = options.parents.drive_map;
  drive_map.insert(drive_map.begin(), map.begin(), map.end());
  options.parents.confine = options.parents.confine || confine;
  options.parents.allow_raw = options.parents.allow_raw || allow_raw_parent;
  options.trace = [all = verbose, none = quiet](TraceLevel level, std::string_view text) {
    if (all || (level == TraceLevel::kWarning && !none)) {
      print_message((level == TraceLevel::kWarning ? "warning: " : "note: ") + std::string(text));
    }
  };
  return options;
}

OpenOptions OpenWords::open_options(const std::string& image) const {
  OpenOptions options = open_options();
  options.format = format_for(image, options.format);
  return options;
}

int Session::report(const Error& error, bool json) {
  if (json) {
    out.put(json_text(Json{{"error", to_json(error)}}) + "\n");
  } else {
    print_message(describe(error));
  }
  return error.code() == 995 && cancellation.cancelled() ? kInterrupted : kFailed;
}

}  // namespace vdisk::cli
