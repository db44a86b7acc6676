// SPDX-License-Identifier: Apache-2.0
//
// From arguments to a command's exit status.
#include <vdisk/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "cli/tool.h"

namespace vdisk::cli {

namespace {

int usage_error(std::string_view command, std::string_view message) {
  print_message(message);
  print_message(command.empty() ? std::string("try 'vdisk --help'")
                                : "try 'vdisk " + std::string(command) + " --help'");
  return kUsage;
}

const CommandRow* find_command(std::string_view name) noexcept {
  for (const CommandRow* row : command_table()) {
    if (row->name == name) return row;
  }
  return nullptr;
}

int run_command(const CommandRow& row, std::span<char* const> arguments, Session& session) {
  CLI::App app;
  app.set_help_flag("-h,--help", "Print this help");
  const std::unique_ptr<Command> command = row.make();
  command->declare(app);
  if (row.takes_command) {
    const auto divider = std::ranges::find(arguments, std::string_view("--"));
    const auto behind = arguments.subspan(static_cast<std::size_t>(divider - arguments.begin()));
    if (!behind.empty()) command->take_command({behind.begin() + 1, behind.end()});
    arguments = arguments.first(arguments.size() - behind.size());
  }
  // CLI11 takes the words last first.
  std::vector<std::string> words(arguments.rbegin(), arguments.rend());
  for (std::string& word : words) {
    // It takes "[a,b]" for a list; as a path it is a name.
    if (word.starts_with('[') && word.ends_with(']')) word.insert(0, "./");
  }
  try {
    app.parse(std::move(words));
    return command->run(session);
  } catch (const CLI::CallForHelp&) {
    session.out.put(command_help(row));
    return kFine;
  } catch (const CLI::Error& error) {
    return usage_error(row.name, std::string(row.name) + ": " + error.what());
  }
}

}  // namespace

std::span<const CommandRow* const> command_table() noexcept {
  static constexpr std::array kTable = {
      &kInfoCommand,  &kMapCommand,    &kCheckCommand,  &kCreateCommand, &kConvertCommand, &kDiffCommand,
      &kIoCommand,    &kAttachCommand, &kDetachCommand, &kListCommand,   &kRestartCommand, &kServeCommand,
      &kMountCommand, &kUmountCommand, &kOpenCommand,   &kDemoCommand,   &kHelpCommand,    &kVersionCommand,
  };
  return kTable;
}

int run_tool(std::span<char* const> arguments, Session& session) {
  if (arguments.empty()) return usage_error("", "which command?");
  const std::string_view first = arguments.front();
  if (first == "--help" || first == "-h") {
    session.out.put(general_help());
    return kFine;
  }
  if (first == "--version") {
    session.out.put("vdisk " VDISK_VERSION_STRING "\n");
    return kFine;
  }
  const CommandRow* row = find_command(first);
  if (row == nullptr) {
    return usage_error("", (first.starts_with('-') ? "there is no option '" : "there is no command '") +
                               std::string(first) + "'");
  }
  return run_command(*row, arguments.subspan(1), session);
}

}  // namespace vdisk::cli
