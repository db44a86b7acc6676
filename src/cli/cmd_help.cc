// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/Error.hpp>
#include <algorithm>

#include "cli/tool.h"

namespace vdisk::cli {

namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kOptionColumn = 24;

/// Appends `text` broken at spaces; the first line begins at column `at`, the others at `indent`.
void append_wrapped(std::string& out, std::string_view text, std::size_t at, std::size_t indent) {
  while (!text.empty()) {
    const auto space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    if (at > indent && at + 1 + word.size() > kColumns) {
      out += "\n" + std::string(indent, ' ');
      at = indent;
    } else if (at > indent) {
      out += ' ';
      ++at;
    }
    out += word;
    at += word.size();
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  out += '\n';
}

void append_row(std::string& out, std::string_view left, std::string_view right) {
  out += "  ";
  out += left;
  if (left.size() + 4 > kOptionColumn) {
    out += "\n" + std::string(kOptionColumn, ' ');
  } else {
    out += std::string(kOptionColumn - left.size() - 2, ' ');
  }
  append_wrapped(out, right, kOptionColumn, kOptionColumn);
}

std::string option_words(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true, false);
  std::string words;
  for (const std::string& name : option.get_snames()) words += (words.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) words += (words.empty() ? "--" : ", --") + name;
  if (option.get_items_expected_max() != 0) words += " " + option.get_type_name();
  return words;
}

void append_group(std::string& out, const CLI::App& app, std::string_view group, std::string_view title) {
  std::string rows;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group() == group) append_row(rows, option_words(*option), option->get_description());
  }
  if (!rows.empty()) out += fmt::format("\n{}:\n{}", title, rows);
}

class HelpCommand final : public Command {
 public:
  void declare(CLI::App& app) override { app.add_option("COMMAND", command_, "The command to explain"); }
  int run(Session& session) override {
    if (command_.empty()) {
      session.out.put(general_help());
      return kFine;
    }
    for (const CommandRow* row : command_table()) {
      if (row->name != command_) continue;
      session.out.put(command_help(*row));
      return kFine;
    }
    throw CLI::ValidationError("COMMAND", "there is no command '" + command_ + "'");
  }

 private:
  std::string command_;
};

}  // namespace

std::string general_help() {
  std::string text =
      "Usage: vdisk COMMAND [OPTION…] …\n\nMakes, reads, writes and converts virtual disks: VHD, VHDX and "
      "ISO images.\n\nCommands:\n";
  for (const CommandRow* row : command_table()) append_row(text, row->name, row->summary);
  text += "\nOptions:\n";
  append_row(text, "-h, --help", "Print this help; with a command, that command's");
  append_row(text, "--version", "Print the version");
  text +=
      "\nExit status:\n"
      "  0 fine, 1 failed, 2 wrong usage, 3 check found damage, 130 interrupted;\n"
      "  diff: 0 same, 1 different, 2 error\n"
      "\nEnvironment (as --parent-dir, --map-drive, --confine):\n"
      "  VDISK_PARENT_DIRS=DIR:DIR…  VDISK_MAP_DRIVES='C:=DIR;D:=DIR'  VDISK_CONFINE=1\n"
      "\nExamples:\n"
      "  vdisk info disk.vhdx\n"
      "  vdisk convert disk.vhdx disk.raw --format raw\n"
      "  vdisk help convert\n";
  return text;
}

std::string command_help(const CommandRow& row) {
  CLI::App app;
  app.set_help_flag("-h,--help", "Print this help")->group("Output");
  const std::unique_ptr<Command> command = row.make();
  command->declare(app);
  std::string text = fmt::format("Usage: vdisk {}{}{} [OPTION…]\n\n", row.name,
                                 row.arguments.empty() ? "" : " ", row.arguments);
  append_wrapped(text, row.description, 0, 0);
  std::string arguments;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) append_row(arguments, option_words(*option), option->get_description());
  }
  if (!arguments.empty()) text += "\nArguments:\n" + arguments;
  std::string options;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->get_group() == "Options") {
      append_row(options, option_words(*option), option->get_description());
    }
  }
  if (!options.empty()) text += "\nOptions:\n" + options;
  append_group(text, app, "Finding parents", "Finding parents");
  append_group(text, app, "Output", "Output");
  text += "\nExamples:\n";
  std::string_view examples = row.examples;
  while (!examples.empty()) {
    const auto end = examples.find('\n') + 1;
    text += "  ";
    text += examples.substr(0, end);
    examples.remove_prefix(end);
  }
  return text;
}

const CommandRow kHelpCommand = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Explain a command",
    .description = "Prints what --help prints.",
    .examples = "vdisk help map\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<HelpCommand>(); },
};

}  // namespace vdisk::cli
