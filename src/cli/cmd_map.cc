// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"
#include "disk/impl.h"

namespace vdisk::cli {

namespace {

/// Takes the extents one after another and prints those that cannot grow any more, so that a disk of any size
/// needs a bounded amount of memory.
class ExtentPrinter {
 public:
  ExtentPrinter(Output& out, const Disk& disk, std::vector<std::string> paths, bool json)
      : out_(out), paths_(std::move(paths)), json_(json), data_bytes_(paths_.size(), 0) {
    const std::uint64_t size = disk.geometry().virtual_size_bytes;
    width_ = std::max(static_cast<int>(fmt::formatted_size("{}", size)), kLeastWidth);
    if (json_) {
      out_.put("[");
    } else {
      out_.put(fmt::format("{:>{}}  {:>{}}  {:<10}  {:>{}}  {}\n", "Start", width_, "Length", width_, "Layer",
                           "File offset", width_, "File"));
    }
  }

  void add(const Extent& extent) {
    if (held_ && continues(*held_, extent)) {
      held_->range.length += extent.range.length;
      return;
    }
    print_held();
    held_ = extent;
  }

  void finish(const Error* error) {
    print_held();
    if (!json_) return;
    if (error != nullptr) print_item(Json{{"error", to_json(*error)}});
    out_.put(items_ == 0 ? "]\n" : "\n]\n");
  }

  void print_totals() {
    out_.put("\nTotals\n");
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      out_.put(fmt::format("  {:<12}{}  {}\n", fmt::format("layer {}", i), exact_size(data_bytes_[i]),
                           printable(paths_[i])));
    }
    out_.put(fmt::format("  {:<12}{}\n", "zero", exact_size(zero_bytes_)));
    if (unresolved_bytes_ != 0) {
      out_.put(fmt::format("  {:<12}{}  in parents that were not opened\n", "unresolved",
                           exact_size(unresolved_bytes_)));
    }
  }

 private:
  static constexpr int kLeastWidth = 12;

  static bool continues(const Extent& last, const Extent& next) noexcept {
    if (last.source != next.source) return false;
    if (last.source != Extent::Source::kData) return true;
    return last.layer == next.layer && last.from.bytes + last.range.length == next.from.bytes;
  }

  void print_item(const Json& json) {
    out_.put(items_ == 0 ? "\n  " : ",\n  ");
    out_.put(json_line(json));
    ++items_;
  }

  void print_held() {
    if (!held_) return;
    const Extent& extent = *held_;
    const bool data = extent.source == Extent::Source::kData;
    const std::string& path = data ? paths_.at(extent.layer) : kNoPath;
    if (json_) {
      print_item(to_json(extent, path));
    } else {
      const std::string_view other = extent.source == Extent::Source::kZero ? "zero" : "unresolved";
      std::string line =
          fmt::format("{:>{}}  {:>{}}  ", extent.range.at.bytes, width_, extent.range.length, width_);
      line +=
          data ? fmt::format("{:<10}  {:>{}}  {}\n", extent.layer, extent.from.bytes, width_, printable(path))
               : fmt::format("{}\n", other);
      out_.put(line);
    }
    if (data) {
      data_bytes_.at(extent.layer) += extent.range.length;
    } else {
      (extent.source == Extent::Source::kZero ? zero_bytes_ : unresolved_bytes_) += extent.range.length;
    }
    held_.reset();
  }

  static inline const std::string kNoPath;
  Output& out_;
  const std::vector<std::string> paths_;
  const bool json_;
  int width_ = 0;
  std::optional<Extent> held_;
  std::uint64_t items_ = 0;
  std::vector<std::uint64_t> data_bytes_;
  std::uint64_t zero_bytes_ = 0;
  std::uint64_t unresolved_bytes_ = 0;
};

class MapCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image")->required();
    words_.declare(app);
  }

  int run(Session& session) override {
    const auto disk = Disk::open(image_, words_.open_options(image_));
    if (!disk) return session.report(disk.error(), words_.json);
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < disk->layer_count(); ++i) paths.push_back(disk->impl().chain.layer(i).path);

    ExtentPrinter printer(session.out, *disk, std::move(paths), words_.json);
    const std::uint64_t size = disk->geometry().virtual_size_bytes;
    std::vector<Extent> extents;
    for (std::uint64_t at = 0; at < size && session.out.failure() == 0;) {
      if (session.cancellation.cancelled()) {
        printer.finish(nullptr);
        return kInterrupted;
      }
      extents.clear();
      const auto covered = disk->extents({{at}, size - at}, extents);
      if (!covered) {
        printer.finish(&covered.error());
        session.out.flush();
        if (!words_.json) print_message(describe(covered.error()));
        return kFailed;
      }
      for (const Extent& extent : extents) printer.add(extent);
      at += *covered;
    }
    printer.finish(nullptr);
    if (!words_.json) printer.print_totals();
    return kFine;
  }

 private:
  std::string image_;
  OpenWords words_;
};

}  // namespace

const CommandRow kMapCommand = {
    .name = "map",
    .arguments = "IMAGE",
    .summary = "Show which file and offset holds each range of the disk",
    .description =
        "Lists the ranges of the virtual disk in order, each with the layer (0 is the image itself, 1 its "
        "parent) and the offset in that layer's file where its bytes are, and the totals of each layer.",
    .examples =
        "vdisk map disk.vhdx\n"
        "vdisk map --json snapshot.avhdx | jq '[.[] | select(.layer == 0) | .length_bytes] | add'\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<MapCommand>(); },
};

}  // namespace vdisk::cli
