// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>

#include "cli/output_json.h"
#include "cli/output_text.h"
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
    word("--format", format_, "F", "Format to write: raw vhd vhdx; by default the extension's");
    word("--type", type_, "TYPE",
         "fixed, dynamic or differencing; dynamic by default, differencing with a parent");
    word("--parent", parent_, "IMAGE", "Make a differencing disk of this parent");
    word("--parent-format", parent_format_, "F", "Format of the parent; found out by default");
    word("--block-size", block_, "SIZE", "Block size: VHD 512K or 2M; VHDX 1M to 256M");
    word("--logical-sector-size", logical_, "N", "512, for VHDX also 4096");
    word("--physical-sector-size", physical_, "N", "512, for VHDX also 4096, its default");
    word("--id", identifier_, "GUID", "Identifier; random by default");
    word("--prealloc", preallocation_, "HOW",
         "What a fixed disk takes from the host at once: none, sparse or full");
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
    return tell(session, options);
  }

 private:
  CreateOptions create_options() const {
    CreateOptions options;
    if (!size_.empty()) options.virtual_size_bytes = parse_size("--size", size_);
    if (!format_.empty()) options.format = parse_format_word("--format", format_);
    if (!type_.empty()) options.type = parse_type("--type", type_);
    options.parent = parent_;
    if (!parent_format_.empty()) options.parent_format = parse_format_word("--parent-format", parent_format_);
    if (!block_.empty()) options.block_bytes = parse_small_size("--block-size", block_);
    if (!logical_.empty()) options.logical_sector_bytes = parse_small_size("--logical-sector-size", logical_);
    if (!physical_.empty())
      options.physical_sector_bytes = parse_small_size("--physical-sector-size", physical_);
    if (!identifier_.empty()) {
      options.identifier = Guid::parse(identifier_);
      if (!options.identifier || options.identifier->is_zero()) {
        throw CLI::ValidationError("--id", "'" + identifier_ + "' is no GUID, or the zero one");
      }
    }
    if (!preallocation_.empty()) {
      options.preallocation = parse_preallocation("--prealloc", preallocation_);
    }
    options.parents = words_.open_options().parents;
    return options;
  }

  /// What was made, as its own header says it.
  int tell(Session& session, const CreateOptions& options) const {
    if (words_.quiet && !words_.json) return kFine;
    OpenOptions how;
    how.format = options.format;
    how.no_parents = true;
    const Inspection made = inspect(path_, how);
    if (made.error) return session.report(*made.error, words_.json);
    const ImageInfo& info = made.info;
    const std::string_view format = info.format ? to_string(*info.format) : "";
    const std::string_view type = info.type ? to_string(*info.type) : "";
    const std::uint64_t size = info.virtual_size_bytes.value_or(0);
    if (words_.json) {
      Json json{{"path", path_}, {"format", format}, {"type", type}, {"virtual_size_bytes", size}};
      if (info.identifier) json["identifier"] = info.identifier->to_string();
      session.out.put(json_text(json) + "\n");
    } else {
      session.out.put(fmt::format("{}: {} {}, {}\n", printable(path_), type, format, exact_size(size)));
    }
    return kFine;
  }

  std::string path_, size_, format_, type_, parent_, parent_format_, block_, logical_, physical_, identifier_,
      preallocation_;
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
