// SPDX-License-Identifier: Apache-2.0
#include "cli/creation_words.h"

#include <fmt/format.h>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/words.h"
#include "disk/host_path.h"

namespace vdisk::cli {

void CreationWords::declare(CLI::App& app) {
  const auto word = [&app](const char* name, std::string& into, const char* type_name, const char* help) {
    app.add_option(name, into, help)->type_name(type_name);
  };
  word("--format", format, "F", "Format to write: raw vhd vhdx; by default the extension's");
  word("--type", type, "TYPE",
       "fixed, dynamic or differencing; dynamic by default, with --parent differencing");
  word("--parent", parent, "PARENT",
       "Make a differencing disk, which holds only what differs from this parent");
  word("--parent-format", parent_format, "F", "Format of the parent; found out by default");
  word("--block-size", block, "SIZE", "Block size: VHD 512K or 2M; VHDX 1M to 256M");
  word("--logical-sector-size", logical, "N", "512, for VHDX also 4096; by default the parent's or source's");
  word("--prealloc", preallocation, "HOW",
       "What a fixed disk takes from the host at once: none, sparse or full");
}

CreateOptions CreationWords::create_options() const {
  CreateOptions options;
  if (!format.empty()) options.format = parse_format_word("--format", format);
  if (!type.empty()) options.type = parse_type("--type", type);
  options.parent = parent;
  if (!parent_format.empty()) options.parent_format = parse_format_word("--parent-format", parent_format);
  if (!block.empty()) options.block_bytes = parse_small_size("--block-size", block);
  if (!logical.empty()) options.logical_sector_bytes = parse_small_size("--logical-sector-size", logical);
  if (!preallocation.empty()) options.preallocation = parse_preallocation("--prealloc", preallocation);
  return options;
}

int tell_made(Session& session, const std::string& path, std::optional<FormatId> format,
              const OpenWords& words, std::optional<double> seconds) {
  if (words.quiet && !words.json) return kFine;
  OpenOptions how;
  how.format = format_for(path, format);
  how.no_parents = true;
  const Inspection made = inspect(path, how);
  if (made.error) return session.report(*made.error, words.json);
  const ImageInfo& info = made.info;
  const std::string_view format_word = info.format ? to_string(*info.format) : "";
  const std::string_view type_word = info.type ? to_string(*info.type) : "";
  const std::uint64_t size = info.virtual_size_bytes.value_or(0);
  if (words.json) {
    Json json{{"path", path}, {"format", format_word}, {"type", type_word}, {"virtual_size_bytes", size}};
    if (info.identifier) json["identifier"] = info.identifier->to_string();
    if (seconds) json["seconds"] = *seconds;
    session.out.put(json_text(json) + "\n");
    return kFine;
  }
  session.out.put(fmt::format("{}: {} {}, {}{}\n", printable(path), type_word, format_word, exact_size(size),
                              seconds ? fmt::format(", in {:.1f} s", *seconds) : ""));
  return kFine;
}

}  // namespace vdisk::cli
