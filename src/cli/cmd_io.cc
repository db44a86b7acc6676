// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes a disk by commands, for people at a terminal, for scripts, and for the tests that pull the
// plug: each line of output is on its way before the next command begins.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/Error.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/fault.h"
#include "base/unique_fd.h"
#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"
#include "cli/words.h"

namespace vdisk::cli {

namespace {

constexpr std::uint64_t kPieceBytes = 4 * kMiB;
constexpr std::size_t kLongestLineBytes = 64 * kKiB;

/// One command, parsed.
struct IoCommand {
  enum class Verb { kRead, kWrite, kZero, kTrim, kFlush, kExtents };
  Verb verb = Verb::kFlush;
  std::string text;  ///< As it was given.
  DiskRange range;
  std::optional<std::byte> pattern;
  std::string file;
};

struct VerbRow {
  std::string_view name;
  IoCommand::Verb verb;
  bool takes_range;
  bool takes_pattern;
  bool takes_file;
};
constexpr std::array<VerbRow, 6> kVerbs = {{{"read", IoCommand::Verb::kRead, true, true, false},
                                            {"write", IoCommand::Verb::kWrite, true, true, true},
                                            {"zero", IoCommand::Verb::kZero, true, false, false},
                                            {"trim", IoCommand::Verb::kTrim, true, false, false},
                                            {"flush", IoCommand::Verb::kFlush, false, false, false},
                                            {"extents", IoCommand::Verb::kExtents, false, false, false}}};

std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : line + " ") {
    if (c != ' ' && c != '\t' && c != '\r') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  return words;
}

CLI::ValidationError bad_command(const std::string& line, const std::string& why) {
  return CLI::ValidationError("command", "'" + line + "': " + why);
}

std::byte parse_pattern(const std::string& line, const std::string& word) {
  const bool hex = word.starts_with("0x") || word.starts_with("0X");
  unsigned value = 0;
  const char* begin = word.data() + (hex ? 2 : 0);
  const char* const last = word.data() + word.size();
  const auto [end, error] = std::from_chars(begin, last, value, hex ? 16 : 10);
  if (error != std::errc() || end != last || value > 255) {
    throw bad_command(line, "'" + word + "' is no byte; write 0 to 255 or 0x00 to 0xff");
  }
  return static_cast<std::byte>(value);
}

/// Throws CLI::ValidationError for what is no command.
IoCommand parse_command(const std::string& line) {
  const std::vector<std::string> words = split_words(line);
  const auto* row = std::ranges::find(kVerbs, words.front(), &VerbRow::name);
  if (row == kVerbs.end()) {
    throw bad_command(line, "commands are read, write, zero, trim, flush and extents");
  }
  IoCommand command{.verb = row->verb,
                    .text = fmt::format("{}", fmt::join(words, " ")),
                    .range = {},
                    .pattern = {},
                    .file = {}};
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const bool has_next = i + 1 < words.size();
    if (words[i] == "-P" && row->takes_pattern && has_next) {
      command.pattern = parse_pattern(line, words[++i]);
    } else if (words[i] == "-s" && row->takes_file && has_next) {
      command.file = words[++i];
    } else {
      numbers.push_back(parse_size("command", words[i]));
    }
  }
  if (numbers.size() != (row->takes_range ? 2U : 0U)) {
    throw bad_command(line, row->takes_range ? "an offset and a length are needed" : "takes no offset");
  }
  if (row->takes_range) {
    command.range = {{numbers[0]}, numbers[1]};
    if (!checked_add(numbers[0], numbers[1])) throw bad_command(line, "offset and length are too large");
  }
  if (command.verb == IoCommand::Verb::kWrite && command.pattern.has_value() == !command.file.empty()) {
    throw bad_command(line, "write takes -P BYTE or -s FILE");
  }
  return command;
}

/// What a command did, or why it did not.
struct Outcome {
  std::string failure;  ///< Empty: done.
  std::optional<Error> error;
  std::optional<std::uint32_t> crc32c;
  std::vector<Extent> extents;
};

Outcome failed(const Error& error) {
  Outcome outcome;
  outcome.failure = describe(error);
  outcome.error = error;
  return outcome;
}
Outcome failed(std::string why) {
  Outcome outcome;
  outcome.failure = std::move(why);
  return outcome;
}

/// Lines of standard input, read so that a signal ends the waiting.
class LineReader {
 public:
  /// Unset at the end, and once `token` is cancelled.
  std::optional<std::string> next(const CancellationToken& token) {
    for (;;) {
      const auto end = buffer_.find('\n');
      if (end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      if (ended_ || buffer_.size() > kLongestLineBytes) {
        if (buffer_.empty()) return std::nullopt;
        return std::exchange(buffer_, {});
      }
      if (token.cancelled()) return std::nullopt;
      char piece[4096];
      const ssize_t got = ::read(STDIN_FILENO, piece, sizeof piece);
      if (got > 0) {
        buffer_.append(piece, static_cast<std::size_t>(got));
      } else if (got == 0 || errno != EINTR) {
        ended_ = true;
      }
    }
  }

 private:
  std::string buffer_;
  bool ended_ = false;
};

class IoRunner {
 public:
  IoRunner(const Disk& disk, const CancellationToken& token) : disk_(disk), token_(token) {}

  Outcome run(const IoCommand& command) {
    switch (command.verb) {
      case IoCommand::Verb::kRead:
        return read(command);
      case IoCommand::Verb::kWrite:
        return write(command);
      case IoCommand::Verb::kZero:
        return outcome_of(disk_.write_zeroes(command.range));
      case IoCommand::Verb::kTrim:
        return outcome_of(disk_.trim(command.range));
      case IoCommand::Verb::kFlush:
        return outcome_of(disk_.flush());
      case IoCommand::Verb::kExtents:
        break;
    }
    return extents();
  }

 private:
  static Outcome outcome_of(const Status& status) { return status ? Outcome{} : failed(status.error()); }

  std::span<std::byte> piece_of(std::uint64_t left) {
    if (buffer_.size() < std::min(left, kPieceBytes)) buffer_.resize(std::min(left, kPieceBytes));
    return std::span(buffer_).first(std::min(left, kPieceBytes));
  }

  Outcome read(const IoCommand& command) {
    Outcome outcome;
    outcome.crc32c = 0;
    for (std::uint64_t done = 0; done < command.range.length;) {
      if (token_.cancelled()) return failed("interrupted");
      const auto bytes = piece_of(command.range.length - done);
      const DiskOffset at{command.range.at.bytes + done};
      if (const Status status = disk_.read(at, bytes); !status) return failed(status.error());
      if (command.pattern) {
        const auto other = std::ranges::find_if(bytes, [&](std::byte b) { return b != *command.pattern; });
        if (other != bytes.end()) {
          return failed(fmt::format("the byte at {} is {:#04x}, not {:#04x}",
                                    at.bytes + static_cast<std::uint64_t>(other - bytes.begin()),
                                    std::to_integer<unsigned>(*other),
                                    std::to_integer<unsigned>(*command.pattern)));
        }
      }
      outcome.crc32c = crc32c(bytes, *outcome.crc32c);
      done += bytes.size();
    }
    return outcome;
  }

  Outcome write(const IoCommand& command) {
    UniqueFd file;
    if (!command.file.empty()) {
      file = UniqueFd(::open(command.file.c_str(), O_RDONLY | O_CLOEXEC));
      if (!file) return failed(command.file + ": " + errno_text(errno));
    }
    for (std::uint64_t done = 0; done < command.range.length;) {
      if (token_.cancelled()) return failed("interrupted");
      const auto bytes = piece_of(command.range.length - done);
      if (command.pattern) std::ranges::fill(bytes, *command.pattern);
      if (file) {
        if (const std::string why = fill_from(file.get(), bytes); !why.empty()) {
          return failed(command.file + ": " + why);
        }
      }
      const Status status = disk_.write(DiskOffset{command.range.at.bytes + done}, bytes);
      if (!status) return failed(status.error());
      done += bytes.size();
    }
    return {};
  }

  /// "" or why not.
  static std::string fill_from(int fd, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t got = ::read(fd, bytes.data(), bytes.size());
      if (got == 0) return "is shorter than the length given";
      if (got < 0 && errno != EINTR) return errno_text(errno);
      if (got > 0) bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
    return {};
  }

  Outcome extents() {
    Outcome outcome;
    const std::uint64_t size = disk_.geometry().virtual_size_bytes;
    for (std::uint64_t at = 0; at < size;) {
      if (token_.cancelled()) return failed("interrupted");
      const auto covered = disk_.extents({{at}, size - at}, outcome.extents);
      if (!covered) return failed(covered.error());
      at += *covered;
    }
    return outcome;
  }

  const Disk& disk_;
  const CancellationToken& token_;
  std::vector<std::byte> buffer_;
};

std::string_view source_word(Extent::Source source) noexcept {
  switch (source) {
    case Extent::Source::kData:
      return "data";
    case Extent::Source::kZero:
      return "zero";
    case Extent::Source::kUnresolved:
      break;
  }
  return "unresolved";
}

std::string text_line(const std::string& command, const Outcome& outcome) {
  if (!outcome.failure.empty()) return fmt::format("failed {}: {}\n", command, printable(outcome.failure));
  std::string line = "ok " + command;
  if (outcome.crc32c) line += fmt::format(" crc32c={:08x}", *outcome.crc32c);
  for (const Extent& extent : outcome.extents) {
    line += fmt::format(" {}:{}+{}", source_word(extent.source), extent.range.at.bytes, extent.range.length);
  }
  return line + "\n";
}

std::string json_of(const std::string& command, const Outcome& outcome) {
  Json line{{"command", command}, {"ok", outcome.failure.empty()}};
  if (outcome.crc32c && outcome.failure.empty()) line["crc32c"] = fmt::format("{:08x}", *outcome.crc32c);
  if (!outcome.failure.empty()) line["failure"] = outcome.failure;
  if (outcome.error) line["error"] = to_json(*outcome.error);
  if (!outcome.extents.empty()) {
    Json list = Json::array();
    for (const Extent& extent : outcome.extents) {
      list.push_back(Json{{"source", source_word(extent.source)},
                          {"at", extent.range.at.bytes},
                          {"length", extent.range.length}});
    }
    line["extents"] = std::move(list);
  }
  return json_line(line) + "\n";
}

class IoToolCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image")->required();
    app.add_option("-c,--command", commands_,
                   "A command; repeatable. Without any they come from standard input")
        ->type_name("CMD")
        ->allow_extra_args(false);
    app.add_flag("--read-only", read_only_, "Open the image for reading alone");
    app.add_flag("--keep-going", keep_going_, "Go on after a command that failed");
    app.add_flag("--strict-tracking", strict_tracking_,
                 "Refuse to write where Hyper-V tracks changes in files beside the image");
    words_.declare(app);
  }

  int run(Session& session) override {
    std::vector<IoCommand> commands;
    for (const std::string& line : commands_) {
      if (split_words(line).empty()) throw CLI::ValidationError("--command", "is empty");
      commands.push_back(parse_command(line));
    }
    OpenOptions options = words_.open_options(image_);
    options.writable = !read_only_;
    options.strict_tracking = strict_tracking_;
    auto disk = Disk::open(image_, options);
    if (!disk) return session.report(disk.error(), words_.json);

    IoRunner runner(*disk, session.cancellation);
    if (commands_.empty()) {
      run_lines(session, runner);
    } else {
      for (const IoCommand& command : commands) {
        if (!tell(session, command.text, runner.run(command))) break;
      }
    }
    if (const Status closed = disk->close(); !closed) {
      session.report(closed.error(), words_.json);
      return kFailed;
    }
    if (session.cancellation.cancelled()) return kInterrupted;
    return any_failed_ ? kFailed : kFine;
  }

 private:
  void run_lines(Session& session, IoRunner& runner) {
    LineReader lines;
    while (const auto line = lines.next(session.cancellation)) {
      const std::vector<std::string> words = split_words(*line);
      if (words.empty() || words.front().starts_with('#')) continue;
      Outcome outcome;
      try {
        outcome = runner.run(parse_command(*line));
      } catch (const CLI::Error& error) {
        outcome = failed(std::string(error.what()));
      }
      if (!tell(session, fmt::format("{}", fmt::join(words, " ")), outcome)) return;
    }
  }

  /// The command's line; false when this was the last one.
  bool tell(Session& session, const std::string& command, const Outcome& outcome) {
    session.out.put(words_.json ? json_of(command, outcome) : text_line(printable(command), outcome));
    session.out.flush();
    if (outcome.failure.empty()) return session.out.failure() == 0;
    any_failed_ = true;
    return keep_going_ && !session.cancellation.cancelled() && session.out.failure() == 0;
  }

  std::string image_;
  std::vector<std::string> commands_;
  bool read_only_ = false;
  bool keep_going_ = false;
  bool strict_tracking_ = false;
  bool any_failed_ = false;
  OpenWords words_;
};

}  // namespace

const CommandRow kIoCommand = {
    .name = "io",
    .arguments = "IMAGE",
    .summary = "Read and write a disk by commands",
    .description =
        "Carries out read, write, zero, trim, flush and extents, one after another, and prints a line for "
        "each "
        "when it is complete. Nothing is made durable but by flush and by the clean end. Offsets and lengths "
        "are "
        "bytes, or with K, M, G, T.",
    .examples =
        "vdisk io disk.vhdx -c 'write -P 0xa5 1M 64K' -c flush -c 'read -P 0xa5 1M 64K'\n"
        "vdisk io disk.vhdx -c 'write -s boot.bin 0 512'\n"
        "vdisk io disk.vhd < commands\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<IoToolCommand>(); },
};

}  // namespace vdisk::cli
