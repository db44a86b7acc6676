// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>
#include <array>
#include <utility>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"
#include "cli/words.h"
#include "disk/host_path.h"

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
    const auto word = [&app](const char* name, std::string& into, const char* type, const char* help) {
      app.add_option(name, into, help)->type_name(type);
    };
    word("--format", format_, "F", "Format to write: raw vhd vhdx; by default the extension's");
    word("--type", type_, "TYPE", "fixed or dynamic, its default; differencing with --parent");
    word("--parent", parent_, "PARENT", "Write only what differs from this parent");
    word("--parent-format", parent_format_, "F", "Format of the parent; found out by default");
    word("--block-size", block_, "SIZE", "Block size: VHD 512K or 2M; VHDX 1M to 256M");
    word("--logical-sector-size", logical_, "N", "512, for VHDX also 4096; the source's by default");
    word("--prealloc", preallocation_, "HOW",
         "What a fixed disk takes from the host at once: none (default), sparse or full");
    word("--zeros", zeros_, "HOW",
         "Zeros stored as data: auto leaves out those it comes by, find all, keep none");
    app.add_flag("--azure", azure_, "A fixed VHD of whole mebibytes, as Azure takes it");
    app.add_flag("--fix-gpt", fix_gpt_, "With --azure: move the backup GPT of a disk that grew");
    app.add_option("--jobs", jobs_, "Threads; 2 by default")
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
    return stream ? kFine : tell(session, how, bar.seconds());
  }

 private:
  ConvertOptions convert_options(const ParentSearch& parents) const {
    ConvertOptions how;
    CreateOptions& target = how.target;
    if (!format_.empty()) target.format = parse_format_word("--format", format_);
    if (!type_.empty()) target.type = parse_type("--type", type_);
    target.parent = parent_;
    if (!parent_format_.empty()) target.parent_format = parse_format_word("--parent-format", parent_format_);
    if (!block_.empty()) target.block_bytes = parse_small_size("--block-size", block_);
    if (!logical_.empty()) target.logical_sector_bytes = parse_small_size("--logical-sector-size", logical_);
    if (!preallocation_.empty()) target.preallocation = parse_preallocation("--prealloc", preallocation_);
    if (!zeros_.empty()) how.zeros = parse_zeros(zeros_);
    target.parents = parents;
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

  /// What was made, as its own header says it.
  int tell(Session& session, const ConvertOptions& how, double seconds) const {
    if (words_.quiet && !words_.json) return kFine;
    OpenOptions options;
    options.format = how.azure ? FormatId::kVhd : format_for(out_, how.target.format);
    options.no_parents = true;
    const Inspection made = inspect(out_, options);
    if (made.error) return session.report(*made.error, words_.json);
    const ImageInfo& info = made.info;
    const std::string_view format = info.format ? to_string(*info.format) : "";
    const std::string_view type = info.type ? to_string(*info.type) : "";
    const std::uint64_t size = info.virtual_size_bytes.value_or(0);
    if (words_.json) {
      session.out.put(json_text(Json{{"path", out_},
                                     {"format", format},
                                     {"type", type},
                                     {"virtual_size_bytes", size},
                                     {"seconds", seconds}}) +
                      "\n");
    } else {
      session.out.put(fmt::format("{}: {} {}, {}, in {:.1f} s\n", printable(out_), type, format,
                                  exact_size(size), seconds));
    }
    return kFine;
  }

  std::string image_, out_, format_, type_, parent_, parent_format_, block_, logical_, preallocation_, zeros_;
  bool azure_ = false;
  bool fix_gpt_ = false;
  unsigned jobs_ = 2;
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
