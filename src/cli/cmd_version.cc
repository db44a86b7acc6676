// SPDX-License-Identifier: Apache-2.0
#include <vdisk/version.h>

#include "cli/tool.h"

namespace vdisk::cli {

namespace {

class VersionCommand final : public Command {
 public:
  void declare(CLI::App&) override {}
  int run(Session& session) override {
    session.out.put("vdisk " VDISK_VERSION_STRING "\n");
    return kFine;
  }
};

}  // namespace

const CommandRow kVersionCommand = {
    .name = "version",
    .arguments = "",
    .summary = "Print the version",
    .description = "Prints the version, as --version does.",
    .examples = "vdisk version\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<VersionCommand>(); },
};

}  // namespace vdisk::cli
