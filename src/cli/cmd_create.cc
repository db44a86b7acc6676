// SPDX-License-Identifier: Apache-2.0
#include <vdisk/operations.h>

#include <CLI/Error.hpp>

#include "cli/creation_words.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"
#include "cli/words.h"

namespace vdisk::cli {

namespace {

class CreateCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("PATH", path_, "The new image")->required();
    const auto word = [&app](const char* name, std::string& into, const char* type, const char* help) {
      app.add_option(name, into, help)->type_name(type);
    };
    word("--size", size_, "SIZE", "Virtual size: bytes, or with K, M, G, T; a child's is its parent's");
    made_.declare(app);
    word("--physical-sector-size", physical_, "N", "512, for VHDX also 4096, its default");
    word("--id", identifier_, "GUID", "Identifier; random by default");
    words_.declare_parents(app);
    words_.declare_output(app);
  }

  int run(Session& session) override {
    const CreateOptions options = create_options();
    OperationControl control;
    ProgressBar bar(ProgressBar::choose(words_.quiet), "create");
    control.cancellation = session.cancellation;
    control.progress = bar.sink();
    const Status status = create(path_, options, control);
    bar.clear();
    if (!status) return session.report(status.error(), words_.json);
    return tell_made(session, path_, options.format, words_);
  }

 private:
  CreateOptions create_options() const {
    CreateOptions options = made_.create_options();
    if (!size_.empty()) options.virtual_size_bytes = parse_size("--size", size_);
    if (!physical_.empty())
      options.physical_sector_bytes = parse_small_size("--physical-sector-size", physical_);
    if (!identifier_.empty()) {
      options.identifier = Guid::parse(identifier_);
      if (!options.identifier || options.identifier->is_zero()) {
        throw CLI::ValidationError("--id", "'" + identifier_ + "' is no GUID, or the zero one");
      }
    }
    options.parents = words_.open_options().parents;
    return options;
  }

  std::string path_, size_, physical_, identifier_;
  CreationWords made_;
  OpenWords words_;
};

}  // namespace

const CommandRow kCreateCommand = {
    .name = "create",
    .arguments = "PATH",
    .summary = "Make a new, empty image",
    .description =
        "Makes an image that shows zeros, or what its parent shows. PATH appears only when it is complete "
        "and flushed; an "
        "existing file is never overwritten. With --id and SOURCE_DATE_EPOCH in the environment the same "
        "command makes "
        "the same bytes.",
    .examples =
        "vdisk create disk.vhdx --size 64G\n"
        "vdisk create disk.vhd --size 10G --type fixed --prealloc sparse\n"
        "vdisk create child.vhdx --parent base.vhdx\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<CreateCommand>(); },
};

}  // namespace vdisk::cli
