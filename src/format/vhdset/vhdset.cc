// SPDX-License-Identifier: Apache-2.0
//
// VHD Set: recognised by its name, and refused with what is known. A .vhds file is a small file of metadata;
// the data lies in .avhdx files beside it. Its layout is not public (formats.md 3.1), so nothing in it is
// guessed.
#include "format/vhdset/vhdset.h"

#include "format/vhdset/faults.h"

namespace vdisk::vhdset {

namespace {

std::unexpected<Error> unknown_layout(File& file) {
  return fail(
      faults::kUnknownLayout,
      "{}: the layout of VHD Sets is not public and cannot be read. The set's data lies in the .avhdx files "
      "beside it, which are differencing VHDX images: open the newest of them instead",
      file.name());
}

// No signature is known, so content never names a VHD Set.
Result<Probe> probe(File&) { return Probe::kNo; }

Result<std::unique_ptr<Image>> open(std::unique_ptr<File> file, const ImageOpen&) {
  return unknown_layout(*file);
}

Status inspect(File& file, const ImageOpen&, ImageInfo& info) {
  info.format = FormatId::kVhdSet;
  return unknown_layout(file);
}

Status check(File& file, const ImageOpen&, CheckSink& sink, const OperationControl&) {
  sink.add(unknown_layout(file).error());
  return {};
}

constexpr std::string_view kExtensions[] = {"vhds"};

}  // namespace

const Format kFormat = {
    .id = FormatId::kVhdSet,
    .name = "vhdset",
    .extensions = kExtensions,
    .has_parents = false,
    .probe = probe,
    .open = open,
    .inspect = inspect,
    .check = check,
    .faults = faults::kAll,
};

}  // namespace vdisk::vhdset
