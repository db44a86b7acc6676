// SPDX-License-Identifier: Apache-2.0
//
// What every command of the tool shares: exit statuses, output, options for opening images, and the command
// seam.
#pragma once

#include <vdisk/control.h>
#include <vdisk/disk.h>
#include <vdisk/error.h>

#include <CLI/App.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vdisk::cli {

/// The tool's exit statuses; a promise to scripts. `diff` has its own meaning of 1 and 2, see cmd_diff.cc.
enum ExitStatus : int {
  kFine = 0,
  kFailed = 1,
  kUsage = 2,
  kDamaged = 3,
  kInterrupted = 130,
};

/// Standard output, buffered. A failed write (a full disk, a closed pipe) is remembered and told once at the
/// end; until then callers need not look.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  ~Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void put(std::string_view text);
  void flush();
  /// errno of the first failed write, or 0.
  int failure() const noexcept { return failure_; }

 private:
  static constexpr std::size_t kBufferBytes = 64 * 1024;
  const int fd_;
  int failure_ = 0;
  std::string buffer_;
};

/// Prints one line on standard error, "vdisk: …", in a single write. Any thread.
void print_message(std::string_view text);

/// Options of every command that opens images.
struct OpenWords {
  std::string format;
  std::vector<std::string> parent_directories;
  std::vector<std::string> drives;
  bool confine = false;
  bool no_parents = false;
  bool allow_raw_parent = false;
  bool json = false;
  bool quiet = false;
  bool verbose = false;

  /// `format_option`: "--format", or another name where --format says what to write.
  void declare(CLI::App& app, const std::string& format_option = "--format");
  void declare_parents(CLI::App& app);
  void declare_output(CLI::App& app);
  /// Throws CLI::ValidationError for words that mean nothing.
  OpenOptions open_options() const;
  /// The same for an image that the user names: a block device is raw.
  OpenOptions open_options(const std::string& image) const;
};

/// One run of the tool.
struct Session {
  Output& out;
  CancellationToken cancellation;

  /// Tells of a failure: on standard error, or as the error object on standard output with `json`. Returns
  /// the exit status that it deserves.
  int report(const Error& error, bool json);
};

/// A command: declares its options, then runs once.
class Command {
 public:
  virtual ~Command() = default;
  virtual void declare(CLI::App& app) = 0;
  virtual int run(Session& session) = 0;
  /// What stands behind "--", of commands whose row says that they take it.
  virtual void take_command(std::vector<std::string>) {}
};

/// A row of the command table.
struct CommandRow {
  std::string_view name;
  std::string_view arguments;  ///< "IMAGE…", for the usage line.
  std::string_view summary;    ///< One line for the list of commands.
  std::string_view description;
  std::string_view examples;  ///< Lines as they are to be printed.
  std::unique_ptr<Command> (*make)();
  bool takes_command = false;  ///< Words behind "--" are a command to run.
};

/// Each command's row, in the order in which help lists them.
std::span<const CommandRow* const> command_table() noexcept;

extern const CommandRow kOpenCommand;
extern const CommandRow kInfoCommand;
extern const CommandRow kMapCommand;
extern const CommandRow kCheckCommand;
extern const CommandRow kConvertCommand;
extern const CommandRow kCreateCommand;
extern const CommandRow kDiffCommand;
extern const CommandRow kIoCommand;
extern const CommandRow kDemoCommand;
extern const CommandRow kDetachCommand;
extern const CommandRow kAttachCommand;
extern const CommandRow kListCommand;
extern const CommandRow kRestartCommand;
extern const CommandRow kServeCommand;
extern const CommandRow kMountCommand;
extern const CommandRow kUmountCommand;
extern const CommandRow kHelpCommand;
extern const CommandRow kVersionCommand;

/// "--help" of the tool, and of one command.
std::string general_help();
std::string command_help(const CommandRow& row);

/// Parses and runs; the exit status.
int run_tool(std::span<char* const> arguments, Session& session);

}  // namespace vdisk::cli
