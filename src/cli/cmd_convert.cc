// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

class ConvertCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image to read")->required();
    app.add_option("OUT", target_.path, "The new file; - writes every byte to standard output")->required();
    app.add_option("--format", format_, "Format to write: raw")->type_name("F")->required();
    words_.declare(app, "--source-format");
  }

  int run(Session& session) override {
    if (format_ != "raw") {
      throw CLI::ValidationError(
          "--format", parse_format(format_) ? "only raw can be written" : "'" + format_ + "' is none of raw");
    }
    const bool stream = target_.path == "-";
    if (stream && ::isatty(STDOUT_FILENO) == 1) {
      throw CLI::ValidationError("OUT",
                                 "the bytes of a disk are not for a terminal: redirect standard output");
    }
    const OpenOptions options = words_.open_options();
    const auto disk = Disk::open(image_, options);
    if (!disk) return report(session, disk.error(), stream);

    OperationControl control;
    ProgressBar bar(ProgressBar::choose(words_.quiet), "convert");
    control.cancellation = session.cancellation;
    control.progress = bar.sink();
    control.trace = options.trace;
    const Status status = convert_to_raw(*disk, target_, control);
    bar.clear();
    if (!status) return report(session, status.error(), stream);
    if (!stream) tell(session, *disk, bar.seconds());
    return kFine;
  }

 private:
  /// Standard output belongs to the disk's bytes when it is the target.
  int report(Session& session, const Error& error, bool stream) const {
    if (!stream || !words_.json) return session.report(error, words_.json);
    Output errors(STDERR_FILENO);
    Session aside{errors, session.cancellation};
    const int status = aside.report(error, true);
    errors.flush();
    return status;
  }

  void tell(Session& session, const Disk& disk, double seconds) const {
    const std::uint64_t size = disk.geometry().virtual_size_bytes;
    if (words_.json) {
      session.out.put(
          json_text(Json{{"path", target_.path}, {"format", "raw"}, {"virtual_size_bytes", size}}) + "\n");
    } else if (!words_.quiet) {
      session.out.put(
          fmt::format("{}: {}, raw, in {:.1f} s\n", printable(target_.path), exact_size(size), seconds));
    }
  }

  std::string image_;
  std::string format_;
  RawTarget target_;
  OpenWords words_;
};

}  // namespace

const CommandRow kConvertCommand = {
    .name = "convert",
    .arguments = "IMAGE OUT|- --format raw",
    .summary = "Write the disk's content as another image",
    .description =
        "Writes what the disk shows, all parents included, as a raw file in which zeros are holes, or as a "
        "stream. OUT appears only when it is complete; an existing file is never overwritten.",
    .examples =
        "vdisk convert disk.vhdx disk.raw --format raw\n"
        "vdisk convert snapshot.avhdx - --format raw | sha256sum\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<ConvertCommand>(); },
};

}  // namespace vdisk::cli
