// SPDX-License-Identifier: Apache-2.0
#include "attach/provider.h"

#include <fcntl.h>

#include <array>

#include "attach/faults.h"
#include "attach/fuse_provider.h"
#include "attach/loop_provider.h"
#include "attach/nbd_provider.h"
#include "base/checked.h"
#include "base/fault.h"
#include "disk/impl.h"

namespace vdisk {

inline namespace v1 {

namespace {
constexpr std::array<std::string_view, 4> kProviderWords = {"auto", "loop", "fuse", "nbd"};
}  // namespace

std::string_view to_string(AttachProvider provider) noexcept {
  return kProviderWords[static_cast<std::size_t>(provider)];
}

std::optional<AttachProvider> parse_attach_provider(std::string_view word) noexcept {
  for (std::size_t i = 0; i < kProviderWords.size(); ++i) {
    if (kProviderWords[i] == word) return static_cast<AttachProvider>(i);
  }
  return std::nullopt;
}

}  // namespace v1

namespace attach {

namespace {

Result<DiskRange> range_of(const Disk& disk, const AttachRequest& request) {
  const DiskGeometry& geometry = disk.geometry();
  const DiskRange whole{{0}, round_down(geometry.virtual_size_bytes, geometry.logical_sector_bytes)};
  const DiskRange range = request.options.range.value_or(whole);
  const std::uint32_t sector = geometry.logical_sector_bytes;
  if (range.length == 0 || !is_multiple(range.at.bytes, sector) || !is_multiple(range.length, sector) ||
      !fits_within(range.at.bytes, range.length, whole.length)) {
    return fail(faults::kRange, "{}: {} bytes at {} are not whole sectors of {} bytes on a disk of {} bytes",
                request.path, range.length, range.at.bytes, sector, geometry.virtual_size_bytes);
  }
  return range;
}

}  // namespace

std::vector<UniqueFd> hold_files(const Disk& disk) {
  std::vector<UniqueFd> files;
  const Chain& chain = disk.impl().chain;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    // None for what lies on a server.
    const int fd = chain.layer(i).image->file().fd();
    if (fd >= 0) files.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  }
  return files;
}

std::span<const Provider* const> providers() noexcept {
  static constexpr std::array kTable = {&kLoopProvider, &kFuseProvider, &kNbdProvider};
  return kTable;
}

Result<Provided> provide(const AttachRequest& request, const TraceSink& trace) {
  OpenOptions open = request.options.open;
  open.trace = trace;
  Disk disk = VDISK_TRY(Disk::open(request.path, open));
  const DiskRange range = VDISK_TRY(range_of(disk, request));
  Provided provided;
  provided.info.image_path = request.path;
  provided.info.format = disk.format();
  provided.info.read_only = request.options.read_only;
  provided.info.permanent = request.options.permanent;
  provided.info.size_bytes = range.length;
  provided.info.logical_sector_bytes = disk.geometry().logical_sector_bytes;
  const Guid id = disk.impl().chain.leaf().properties().virtual_disk_id;
  if (!id.is_zero()) provided.info.disk_id = id;
  DiskToServe what{.disk = std::move(disk), .request = request, .range = range};
  const AttachProvider wanted = request.options.provider;
  std::string reasons;
  for (const Provider* provider : providers()) {
    if (wanted != AttachProvider::kAutomatic && wanted != provider->id) continue;
    const auto refusal = VDISK_TRY(provider->refusal(what));
    if (refusal) {
      provided.notes.push_back(fmt::format("provider {}: {}", to_string(provider->id), *refusal));
      reasons += (reasons.empty() ? "" : "; ") + provided.notes.back();
      continue;
    }
    provided.notes.push_back(fmt::format("provider {} serves {}", to_string(provider->id), request.path));
    provided.info.provider = provider->id;
    provided.device = VDISK_TRY(provider->make(std::move(what)));
    provided.info.device_node = provided.device->node();
    provided.info.companion_process = static_cast<std::uint64_t>(provided.device->companion().process);
    return provided;
  }
  if (reasons.empty()) reasons = fmt::format("this version of vdisk has no provider {}", to_string(wanted));
  return fail(faults::kProvider, "{}: {}", request.path, reasons);
}

Result<std::unique_ptr<ProvidedDevice>> adopt(const AttachRequest& request, const AttachmentInfo& info,
                                              Estate& estate) {
  for (const Provider* provider : providers()) {
    if (provider->id == info.provider) return provider->adopt(request, info, estate);
  }
  return fail(faults::kForeignAnswer,
              "an attachment was handed over by provider {}, which this version has not",
              to_string(info.provider));
}

}  // namespace attach

}  // namespace vdisk
