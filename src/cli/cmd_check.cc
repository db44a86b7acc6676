// SPDX-License-Identifier: Apache-2.0
#include <vdisk/operations.h>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

class CheckCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image")->required();
    app.add_flag("--azure", azure_, "Also say what keeps Azure from taking the image");
    app.add_flag("--chain", chain_, "Check every parent too, and the links between them");
    words_.declare(app);
  }

  int run(Session& session) override {
    OperationControl control;
    const OpenOptions options = words_.open_options(image_);
    ProgressBar bar(ProgressBar::choose(words_.quiet), "check");
    control.cancellation = session.cancellation;
    control.progress = bar.sink();
    control.trace = options.trace;
    auto report = check(image_, options, chain_, control);
    bar.clear();
    if (!report) return session.report(report.error(), words_.json);
    // A damaged image cannot be judged further, and need not be.
    if (azure_ && !report->damaged()) {
      const auto azure = check_for_azure(image_, options);
      if (!azure) return session.report(azure.error(), words_.json);
      report->findings.insert(report->findings.end(), azure->findings.begin(), azure->findings.end());
      report->findings_total += azure->findings_total;
    }
    session.out.put(words_.json ? json_text(to_json(*report, image_)) + "\n" : check_text(*report, image_));
    return report->damaged() ? kDamaged : kFine;
  }

 private:
  std::string image_;
  bool chain_ = false;
  bool azure_ = false;
  OpenWords words_;
};

}  // namespace

const CommandRow kCheckCommand = {
    .name = "check",
    .arguments = "IMAGE",
    .summary = "Examine an image for damage, without changing it",
    .description =
        "Reads everything that opening an image defers: all block tables and bitmaps, overlaps, leaked "
        "space, "
        "the log, redundant copies. Exits with 3 if the image is damaged; warnings and notes are not damage.",
    .examples =
        "vdisk check disk.vhdx\n"
        "vdisk check --azure upload.vhd\n"
        "vdisk check --chain snapshot.avhdx || echo damaged\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<CheckCommand>(); },
};

}  // namespace vdisk::cli
