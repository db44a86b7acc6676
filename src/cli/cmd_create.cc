// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/progress_bar.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

/// "64G": a whole number and a binary unit of K, M, G, T, also written Ki, KiB, KB.
std::uint64_t parse_size(const std::string& option, const std::string& word) {
  const auto refuse = [&] {
    return CLI::ValidationError(option, "'" + word + "' is no size; write 1048576, 512K, 64M, 10G or 2T");
  };
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc()) throw refuse();
  std::string_view unit(end, static_cast<std::size_t>(word.data() + word.size() - end));
  if (unit.empty()) return number;
  const char letter = static_cast<char>(unit.front() & ~0x20);
  unit.remove_prefix(1);
  const auto power = std::string_view("KMGT").find(letter);
  if (power == std::string_view::npos || !(unit.empty() || unit == "i" || unit == "iB" || unit == "B"))
    throw refuse();
  const auto bytes = checked_multiply(number, std::uint64_t{1} << (10 * (power + 1)));
  if (!bytes) throw refuse();
  return *bytes;
}

std::uint32_t parse_small_size(const std::string& option, const std::string& word) {
  const std::uint64_t bytes = parse_size(option, word);
  if (bytes == 0 || bytes > std::numeric_limits<std::uint32_t>::max()) {
    throw CLI::ValidationError(option, "'" + word + "' is not between 1 byte and 4 GiB");
  }
  return static_cast<std::uint32_t>(bytes);
}

FormatId parse_format_word(const std::string& option, const std::string& word) {
  const auto format = parse_format(word);
  if (!format) throw CLI::ValidationError(option, "'" + word + "' is none of raw, vhd, vhdx, vhdset, iso");
  return *format;
}

template <class T, std::size_t kCount>
T parse_word(const std::string& option, const std::string& word,
             const std::array<std::pair<std::string_view, T>, kCount>& table) {
  std::string known;
  for (const auto& [name, value] : table) {
    if (name == word) return value;
    known += known.empty() ? "" : ", ";
    known += name;
  }
  throw CLI::ValidationError(option, "'" + word + "' is none of " + known);
}

constexpr std::array<std::pair<std::string_view, DiskType>, 3> kTypes = {
    {{"fixed", DiskType::kFixed},
     {"dynamic", DiskType::kDynamic},
     {"differencing", DiskType::kDifferencing}}};
constexpr std::array<std::pair<std::string_view, Preallocation>, 3> kPreallocations = {
    {{"none", Preallocation::kNone}, {"sparse", Preallocation::kSparse}, {"full", Preallocation::kFull}}};

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
    if (!type_.empty()) options.type = parse_word("--type", type_, kTypes);
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
      options.preallocation = parse_word("--prealloc", preallocation_, kPreallocations);
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
