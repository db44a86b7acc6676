// SPDX-License-Identifier: Apache-2.0
//
// The one command with exit statuses of its own, those of diff(1) and cmp(1): 0 same, 1 different, 2 error.
#include <fmt/format.h>
#include <vdisk/operations.h>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

constexpr int kSame = 0;
constexpr int kDifferent = 1;
constexpr int kError = 2;

class DiffCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("A", a_, "One image")->required();
    app.add_option("B", b_, "The other image")->required();
    words_.declare(app);
    app.add_option("--format-b", format_b_, "Format of B, where it is not that of --format")->type_name("F");
  }

  int run(Session& session) override {
    const OpenOptions options = words_.open_options(a_);
    OpenOptions b_options = words_.open_options(b_);
    if (!format_b_.empty()) {
      b_options.format = parse_format(format_b_);
      if (!b_options.format) {
        throw CLI::ValidationError("--format-b",
                                   "'" + format_b_ + "' is none of raw, vhd, vhdx, vhdset, iso");
      }
    }
    const auto a = Disk::open(a_, options);
    if (!a) return report(session, a.error());
    const auto b = Disk::open(b_, b_options);
    if (!b) return report(session, b.error());

    OperationControl control;
    ProgressBar bar(ProgressBar::choose(words_.quiet), "diff");
    control.cancellation = session.cancellation;
    control.progress = bar.sink();
    control.trace = options.trace;
    const auto difference = diff(*a, *b, control);
    bar.clear();
    if (!difference) return report(session, difference.error());
    if (words_.json) {
      session.out.put(json_text(to_json(*difference)) + "\n");
    } else if (!words_.quiet) {
      print(session, *difference, a->geometry(), b->geometry());
    }
    return difference->same ? kSame : kDifferent;
  }

 private:
  int report(Session& session, const Error& error) const {
    return session.report(error, words_.json) == kInterrupted ? kInterrupted : kError;
  }

  void print(Session& session, const Difference& difference, const DiskGeometry& a,
             const DiskGeometry& b) const {
    if (difference.same) {
      session.out.put(fmt::format("same: {}\n", exact_size(a.virtual_size_bytes)));
      return;
    }
    session.out.put(fmt::format("different: {} in sectors of 512 bytes, first at byte {}\n",
                                exact_size(difference.different_bytes), difference.first->bytes));
    if (a.virtual_size_bytes != b.virtual_size_bytes) {
      session.out.put(fmt::format("  {}: {}\n  {}: {}\n", printable(a_), exact_size(a.virtual_size_bytes),
                                  printable(b_), exact_size(b.virtual_size_bytes)));
    }
  }

  std::string a_;
  std::string b_;
  std::string format_b_;
  OpenWords words_;
};

}  // namespace

const CommandRow kDiffCommand = {
    .name = "diff",
    .arguments = "A B",
    .summary = "Compare what two disks show, whatever their formats",
    .description =
        "Compares the content of two disks, all parents included. Exits with 0 if they are the same, 1 if "
        "they "
        "differ, 2 on an error. Disks of different sizes differ.",
    .examples =
        "vdisk diff disk.vhdx copy.vhd\n"
        "vdisk diff disk.vhdx disk.img --format-b raw\n"
        "vdisk diff --quiet before.vhdx after.avhdx && echo unchanged\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<DiffCommand>(); },
};

}  // namespace vdisk::cli
