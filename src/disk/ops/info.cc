// SPDX-License-Identifier: Apache-2.0
#include <vdisk/operations.h>

#include <algorithm>
#include <iterator>

#include "disk/guarded.h"
#include "disk/host_path.h"
#include "disk/ops/layers.h"

namespace vdisk {

namespace {

Status describe_image(ops::LayerFile layer, const OpenOptions& options, ImageInfo& info) {
  info.file_size_bytes = VDISK_TRY(layer.file->size());
  const Format* format = VDISK_TRY(layer.format());
  info.format = format->id;
  const ImageOpen how{.limits = options.limits, .trace = options.trace};
  const Status described = format->inspect(*layer.file, how, info);
  if (info.parent && !options.no_parents) ops::resolve_parent(layer.path, format->id, options, *info.parent);
  VDISK_TRY(described);
  const std::unique_ptr<Image> image = VDISK_TRY(format->open(std::move(layer.file), how));
  info.allocated_bytes = VDISK_TRY(image->allocated_bytes());
  return {};
}

Inspection failed(const std::string& path, Error error) {
  Inspection inspection;
  inspection.info.path = path;
  inspection.error = std::move(error);
  return inspection;
}

/// What is known is kept, whatever stopped the rest.
Inspection inspect_layer(Result<ops::LayerFile> layer, const std::string& path, const OpenOptions& options) {
  if (!layer) return failed(path, std::move(layer).error());
  Inspection inspection;
  inspection.info.path = path;
  Status described = guarded([&]() -> Status {
    inspection.info.change_tracking_files = change_tracking_files(path);
    return describe_image(*std::move(layer), options, inspection.info);
  });
  std::ranges::move(host_notes(path), std::back_inserter(inspection.info.notes));
  if (!described) inspection.error = std::move(described).error();
  return inspection;
}

/// Adds the parents of the last image in `chain`, until the base or the first error.
void inspect_parents(std::vector<Inspection>& chain, std::vector<FileIdentity> seen,
                     const OpenOptions& options) {
  while (!chain.back().error && chain.back().info.parent) {
    const ImageInfo child = chain.back().info;
    auto layer = child.parent->resolved ? ops::open_parent_layer(*child.parent, *child.format, options)
                                        : Result<ops::LayerFile>(ops::LayerFile{});
    const bool again = layer && std::ranges::find(seen, layer->identity) != seen.end();
    if (!child.parent->resolved || again || chain.size() >= options.limits.chain_depth) {
      // Opening knows best why the chain ends here. From the leaf, if it goes in a circle.
      auto error = ops::chain_error(again ? chain.front().info.path : child.path, options);
      if (error) chain.push_back(failed(child.parent->path, *std::move(error)));
      return;
    }
    if (layer) seen.push_back(layer->identity);
    chain.push_back(inspect_layer(std::move(layer), child.parent->path, options));
  }
}

}  // namespace

inline namespace v1 {

Inspection inspect(const std::string& path, const OpenOptions& options) {
  const Result<std::string> here = host_path(path, options.parents);
  if (!here) return failed(path, here.error());
  return inspect_layer(ops::open_named_layer(*here, options), *here, options);
}

std::vector<Inspection> inspect_chain(const std::string& path, const OpenOptions& options) {
  const Result<std::string> here = host_path(path, options.parents);
  if (!here) return {failed(path, here.error())};
  auto leaf = ops::open_named_layer(*here, options);
  std::vector<FileIdentity> seen;
  if (leaf) seen.push_back(leaf->identity);
  std::vector<Inspection> chain;
  chain.push_back(inspect_layer(std::move(leaf), *here, options));
  if (!options.no_parents) inspect_parents(chain, std::move(seen), options);
  return chain;
}

}  // namespace v1

}  // namespace vdisk
