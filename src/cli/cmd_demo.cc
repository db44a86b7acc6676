// SPDX-License-Identifier: Apache-2.0
//
// A tour: each step is a command of this very tool, shown as a user would type it, run, and judged. One of
// them is killed while it writes.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

std::string shown(const Words& words) {
  std::string line = "\n$ vdisk";
  for (const std::string& word : words) {
    line += word.find(' ') == std::string::npos ? " " + word : " '" + word + "'";
  }
  return line + "\n";
}

int run_words(Words words, Session& session) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  return run_tool(arguments, session);
}

/// Another process of this tool, between two pipes.
class Writer {
 public:
  static std::optional<Writer> start(const Words& words) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0) return std::nullopt;
    UniqueFd in_end(in[0]);
    UniqueFd commands(in[1]);
    if (::pipe2(out, O_CLOEXEC) != 0) return std::nullopt;
    UniqueFd answers(out[0]);
    UniqueFd out_end(out[1]);
    const pid_t child = ::fork();
    if (child < 0) return std::nullopt;
    if (child != 0) return Writer(child, std::move(commands), std::move(answers));
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody else would end it
    commands = UniqueFd();
    if (::dup2(in_end.get(), STDIN_FILENO) < 0 || ::dup2(out_end.get(), STDOUT_FILENO) < 0) ::_exit(kFailed);
    Output output(STDOUT_FILENO);
    Session session{output, {}};
    const int status = run_words(words, session);
    output.flush();
    ::_exit(status);
  }
  Writer(Writer&& other) noexcept
      : child_(std::exchange(other.child_, 0)),
        commands_(std::move(other.commands_)),
        answers_(std::move(other.answers_)) {}
  Writer& operator=(Writer&&) = delete;
  ~Writer() { kill(); }

  bool put(const std::string& command) {
    const std::string line = command + "\n";
    return ::write(commands_.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }
  /// Up to the next line's end; "" when the writer ended.
  std::string answer() {
    std::string line;
    for (char c = 0; c != '\n';) {
      const ssize_t got = ::read(answers_.get(), &c, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return {};
      line += c;
    }
    return line;
  }
  void kill() {
    if (child_ == 0) return;
    ::kill(child_, SIGKILL);
    while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
    child_ = 0;
  }

 private:
  Writer(pid_t child, UniqueFd commands, UniqueFd answers)
      : child_(child), commands_(std::move(commands)), answers_(std::move(answers)) {}

  pid_t child_;
  UniqueFd commands_;
  UniqueFd answers_;
};

/// The working folder of the tour.
class Place {
 public:
  explicit Place(const std::string& keep) {
    std::error_code error;
    before_ = fs::current_path(error);
    if (keep.empty()) {
      std::string name = fs::temp_directory_path(error) / "vdisk-demo-XXXXXX";
      temporary_ = ::mkdtemp(name.data()) != nullptr;
      if (!temporary_) why_ = name + ": " + errno_text(errno);
      folder_ = name;
    } else {
      if (::mkdir(keep.c_str(), 0777) != 0) why_ = keep + ": " + errno_text(errno);
      folder_ = fs::absolute(keep, error);
    }
    if (!why_.empty()) return;
    fs::current_path(folder_, error);
    if (error) why_ = folder_.native() + ": " + error.message();
  }
  ~Place() {
    std::error_code ignored;  // nothing is left to tell it to
    fs::current_path(before_, ignored);
    if (temporary_) fs::remove_all(folder_, ignored);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  const fs::path& folder() const noexcept { return folder_; }
  /// "" or why there is none.
  const std::string& why() const noexcept { return why_; }

 private:
  fs::path before_;
  fs::path folder_;
  bool temporary_ = false;
  std::string why_;
};

class Tour {
 public:
  explicit Tour(Session& session) : session_(session) {}

  int run() {
    return make() && write() && pull_the_plug() && recover() && look() && copy() ? kFine : status_;
  }

 private:
  void say(std::string_view text) { session_.out.put(fmt::format("\n{}\n", text)); }

  bool fail(int status, std::string_view why) {
    session_.out.flush();
    print_message(fmt::format("demo: {}", why));
    status_ = status;
    return false;
  }

  bool command(const Words& words) {
    if (session_.cancellation.cancelled()) return fail(kInterrupted, "interrupted");
    session_.out.put(shown(words));
    session_.out.flush();
    const int status = run_words(words, session_);
    session_.out.flush();
    if (session_.out.failure() != 0) return fail(kFailed, "its output cannot be written");
    if (status == kFine) return true;
    return fail(status == kInterrupted ? kInterrupted : kFailed,
                fmt::format("that command ended with status {}, which it must not", status));
  }

  bool log_is(bool dirty) {
    OpenOptions options;
    options.no_parents = true;
    const Inspection seen = inspect("child.vhdx", options);
    if (!seen.error && seen.info.dirty_log == dirty) return true;
    return fail(kFailed, dirty ? "the killed writer left no log to replay" : "the log is still not empty");
  }

  bool make() {
    say("1. A dynamic disk: 1 GiB to who uses it, next to nothing on the host.");
    return command({"create", "base.vhdx", "--size", "1G"});
  }

  bool write() {
    say("2. Some content, and a child that holds what changes from now on; its parent is never written "
        "again.");
    return command({"io", "base.vhdx", "-c", "write -P 0x11 0 1M", "-c", "write -P 0x22 512M 1M"}) &&
           command({"create", "child.vhdx", "--parent", "base.vhdx"});
  }

  bool pull_the_plug() {
    say("3. The plug: a writer of the child is killed in the middle of a write (SIGKILL). What it wrote "
        "before its flush is\n"
        "   promised; of the rest any part may be there.");
    const Words words = {"io", "child.vhdx"};
    session_.out.put(shown(words));
    session_.out.flush();  // before the process doubles, and with it what is not yet written
    std::optional<Writer> writer = Writer::start(words);
    if (!writer) return fail(kFailed, errno_text(errno));
    for (const char* line : {"write -P 0x33 256K 64K", "flush"}) {
      session_.out.put(fmt::format("> {}\n", line));
      const std::string answer = writer->put(line) ? writer->answer() : std::string();
      session_.out.put(answer);
      if (!answer.starts_with("ok ")) return fail(kFailed, "the writer did not do that");
    }
    session_.out.put("> write -P 0x44 1M 256M\n");
    if (!writer->put("write -P 0x44 1M 256M")) return fail(kFailed, "the writer did not take that");
    wait_for_growth();
    writer->kill();
    session_.out.put("Killed\n");
    say("   Its log is not empty now:");
    return command({"info", "child.vhdx"}) && log_is(true);
  }

  /// Of the child, for at most a second: then the writer is at work.
  static void wait_for_growth() {
    std::error_code ignored;
    const std::uintmax_t before = fs::file_size("child.vhdx", ignored);
    for (int i = 0; i < 1000 && fs::file_size("child.vhdx", ignored) == before; ++i) ::usleep(1000);
  }

  bool recover() {
    Words reads = {"io", "child.vhdx"};
    for (const char* line : {"read -P 0x33 256K 64K", "read -P 0x11 0 256K", "read -P 0x22 512M 1M"}) {
      reads.insert(reads.end(), {"-c", line});
    }
    Words reads_only = reads;
    reads_only.emplace_back("--read-only");
    say("4. Reading replays the log in memory and leaves the file as it is. What was flushed is there.");
    if (!command(reads_only) || !log_is(true)) return false;
    say("   Opening for writing replays it for good.");
    return command(reads) && log_is(false);
  }

  bool look() {
    say("5. Everything is examined, the parent and the link to it too.");
    return command({"check", "child.vhdx", "--chain"}) && command({"map", "child.vhdx"});
  }

  bool copy() {
    say("6. The same content as one dynamic VHD, sector by sector.");
    if (!command({"convert", "child.vhdx", "whole.vhd"}) || !command({"diff", "child.vhdx", "whole.vhd"}))
      return false;
    say("All of it held.");
    return true;
  }

  Session& session_;
  int status_ = kFine;
};

class DemoCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("--keep", keep_, "Work in DIR, a new folder, and leave it there")->type_name("DIR");
  }

  int run(Session& session) override {
    const Place place(keep_);
    if (!place.why().empty()) {
      print_message("demo: " + place.why());
      return kFailed;
    }
    session.out.put(fmt::format("In {}:\n", place.folder().native()));
    return Tour(session).run();
  }

 private:
  std::string keep_;
};

}  // namespace

const CommandRow kDemoCommand = {
    .name = "demo",
    .arguments = "",
    .summary = "Show a tour: make, write, pull the plug, recover, check, copy",
    .description =
        "Runs commands of this tool in a temporary folder, each shown before it runs: makes a disk and a "
        "child, writes, "
        "kills a writer in the middle of a write, recovers, checks, and copies. Ends with 0 only if "
        "everything that was "
        "promised held.",
    .examples =
        "vdisk demo\n"
        "vdisk demo --keep tour\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<DemoCommand>(); },
};

}  // namespace vdisk::cli
