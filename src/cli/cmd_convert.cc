// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>
#include <array>
#include <utility>

#include "cli/creation_words.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

constexpr unsigned kMostJobs = 64;

ZeroSearch parse_zeros(const std::string& word) {
  constexpr std::array<std::pair<std::string_view, ZeroSearch>, 3> kWords = {
      {{"auto", ZeroSearch::kUnlessShared}, {"find", ZeroSearch::kAlways}, {"keep", ZeroSearch::kNever}}};
  for (const auto& [name, value] : kWords) {
    if (word == name) return value;
  }
  throw CLI::ValidationError("--zeros", "'" + word + "' is none of auto, find, keep");
}

class ConvertCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image to read, or a block device")->required();
    app.add_option("OUT", out_, "The new image, or a block device to overwrite; - is standard output")
        ->required();
    made_.declare(app);
    app.add_option("--zeros", zeros_,
                   "Zeros stored as data: auto leaves out those it comes by, find all, keep none")
        ->type_name("HOW");
    app.add_flag("--azure", azure_, "A fixed VHD of whole mebibytes, as Azure takes it");
    app.add_flag("--fix-gpt", fix_gpt_, "With --azure: move the backup GPT of a disk that grew");
    app.add_option("--jobs", jobs_, "Threads; 4 by default")
        ->type_name("N")
        ->check(CLI::Range(1U, kMostJobs));
    words_.declare(app, "--source-format");
  }

  int run(Session& session) override {
    const OpenOptions options = words_.open_options(image_);
    const ConvertOptions how = convert_options(options.parents);
    const bool stream = out_ == "-";
    if (stream && ::isatty(STDOUT_FILENO) == 1) {
      throw CLI::ValidationError("OUT",
                                 "the bytes of a disk are not for a terminal: redirect standard output");
    }
    const auto disk = Disk::open(image_, options);
    if (!disk) return report(session, disk.error(), stream);

    OperationControl control;
    ProgressBar bar(ProgressBar::choose(words_.quiet, words_.json), "convert");
    control.cancellation = session.cancellation;
    control.progress = bar.sink();
    control.trace = [&](TraceLevel level, std::string_view text) {
      bar.clear();
      options.trace(level, text);
    };
    const Status status = convert(*disk, out_, how, control);
    bar.clear();
    if (!status) return report(session, status.error(), stream);
    if (stream) return kFine;
    return tell_made(session, out_, how.azure ? FormatId::kVhd : how.target.format, words_, bar.seconds());
  }

 private:
  ConvertOptions convert_options(const ParentSearch& parents) const {
    ConvertOptions how;
    how.target = made_.create_options();
    if (!zeros_.empty()) how.zeros = parse_zeros(zeros_);
    how.target.parents = parents;
    how.device = true;
    how.azure = azure_;
    how.fix_gpt = fix_gpt_;
    if (fix_gpt_ && !azure_) throw CLI::ValidationError("--fix-gpt", "goes with --azure alone");
    how.jobs = jobs_;
    return how;
  }

  /// Standard output belongs to the image when it is the target.
  int report(Session& session, const Error& error, bool stream) const {
    if (!stream || !words_.json) return session.report(error, words_.json);
    Output errors(STDERR_FILENO);
    Session aside{errors, session.cancellation};
    const int status = aside.report(error, true);
    errors.flush();
    return status;
  }

  std::string image_, out_, zeros_;
  CreationWords made_;
  bool azure_ = false;
  bool fix_gpt_ = false;
  unsigned jobs_ = ConvertOptions{}.jobs;
  OpenWords words_;
};

}  // namespace

const CommandRow kConvertCommand = {
    .name = "convert",
    .arguments = "IMAGE OUT|-",
    .summary = "Write the disk's content as another image",
    .description =
        "Makes a new image that shows what the disk shows, all parents included: any format and type to any "
        "other. Zeros become holes or blocks that are not there; on a file system that can, blocks are "
        "shared "
        "instead of copied. OUT appears only when it is complete and flushed; an existing file is never "
        "overwritten. A block device as OUT is: it takes the raw bytes of the disk.",
    .examples =
        "vdisk convert disk.vhd disk.vhdx\n"
        "vdisk convert disk.raw disk.vhdx --source-format raw\n"
        "vdisk convert snapshot.avhdx - --format raw | sha256sum\n"
        "vdisk convert new.vhdx child.vhdx --parent old.vhdx\n"
        "vdisk convert disk.vhdx upload.vhd --azure --fix-gpt\n"
        "vdisk convert disk.vhdx /dev/sdX\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<ConvertCommand>(); },
};

}  // namespace vdisk::cli
