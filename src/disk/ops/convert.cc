// SPDX-License-Identifier: Apache-2.0
//
// Any disk to any new image: what the target is to be follows from the options and the source, then the bulk
// copier fills a file that has no name yet, or a stream.
#include <unistd.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <memory>

#include "base/checked.h"
#include "disk/guarded.h"
#include "disk/host_path.h"
#include "disk/impl.h"
#include "disk/ops/bulk_copy.h"
#include "disk/ops/content.h"
#include "disk/ops/convert_into.h"
#include "disk/ops/create_plan.h"
#include "disk/ops/device_target.h"
#include "disk/ops/faults.h"
#include "disk/ops/gpt.h"
#include "disk/ops/stream.h"
#include "format/registry.h"
#include "io/host_disk.h"
#include "io/new_file.h"
#include "io/share.h"

namespace vdisk {

namespace {

using namespace ops::faults;

constexpr std::uint64_t kAzureUnitBytes = kMiB;
constexpr unsigned kMostJobs = 64;

bool offers(std::span<const std::uint32_t> sizes, std::uint32_t size) {
  return std::ranges::find(sizes, size) != sizes.end();
}

void remark(const OperationControl& control, const std::string& text) {
  if (control.trace) control.trace(TraceLevel::kWarning, text);
}

Status take_azure(const std::string& path, CreateOptions& target) {
  const bool vhd = target.format.value_or(FormatId::kVhd) == FormatId::kVhd;
  const bool fixed = target.type.value_or(DiskType::kFixed) == DiskType::kFixed && target.parent.empty();
  if (!vhd || !fixed) {
    return fail(kAzureKind, "{}: for Azure it is to be a fixed vhd; leave out --format, --type and --parent",
                path);
  }
  target.format = FormatId::kVhd;
  target.type = DiskType::kFixed;
  return {};
}

/// The options of the target's creation, with what it takes from the source.
Result<CreateOptions> options_of_target(const Disk& source, const std::string& path,
                                        const ConvertOptions& options, std::uint64_t& size) {
  CreateOptions target = options.target;
  const DiskGeometry& geometry = source.geometry();
  size = target.virtual_size_bytes == 0 ? geometry.virtual_size_bytes : target.virtual_size_bytes;
  if (size < geometry.virtual_size_bytes) {
    return fail(kBelowSource, "{}: is to have {} bytes, but the source has {}", path, size,
                geometry.virtual_size_bytes);
  }
  if (options.azure) {
    VDISK_TRY(take_azure(path, target));
    size = round_up(size, kAzureUnitBytes);
  }
  if (!target.preallocation) target.preallocation = Preallocation::kNone;
  const Format* format = target.format ? &format_by_id(*target.format) : format_by_extension(path);
  if (format == nullptr || format->create_limits == nullptr) return target;  // planning has the words
  const CreateLimits& limits = *format->create_limits;
  const bool child = !target.parent.empty();
  const bool fixed = limits.fixed_only || target.type == DiskType::kFixed;
  // A format whose children have their parent's size wants none said.
  target.virtual_size_bytes = child && !limits.child_may_be_larger ? 0 : size;
  if (target.logical_sector_bytes == 0 && !child &&
      offers(limits.sector_sizes, geometry.logical_sector_bytes)) {
    target.logical_sector_bytes = geometry.logical_sector_bytes;
  }
  if (format->id == source.format()) {
    if (target.physical_sector_bytes == 0) target.physical_sector_bytes = geometry.physical_sector_bytes;
    if (target.block_bytes == 0 && !fixed && offers(limits.block_sizes, geometry.block_bytes)) {
      target.block_bytes = geometry.block_bytes;
    }
  }
  // Sectors that only another format of the source's has, or that 4 KiB ones do not allow.
  if (!offers(limits.sector_sizes, target.physical_sector_bytes) ||
      target.physical_sector_bytes < target.logical_sector_bytes) {
    target.physical_sector_bytes = options.target.physical_sector_bytes;
  }
  return target;
}

/// The content of the target, with a GPT that fits its size where that is wanted.
Result<std::vector<ops::Patch>> patches_for(const Disk& source, const std::string& path,
                                            const ConvertOptions& options, std::uint64_t size,
                                            const OperationControl& control) {
  if (size == source.geometry().virtual_size_bytes) return {};
  const auto gpt = VDISK_TRY(ops::read_gpt(source));
  if (!gpt) return {};
  if (options.fix_gpt && is_multiple(size, gpt->sector_bytes)) {
    return ops::move_backup_gpt(source, *gpt, size);
  }
  remark(control,
         fmt::format("{}: the disk grew, and its backup GPT no longer lies at its end; --fix-gpt moves it",
                     path));
  return {};
}

void remark_on_sectors(const Disk& source, const ops::CreationPlan& plan, const OperationControl& control) {
  const std::uint32_t from = source.geometry().logical_sector_bytes;
  const std::uint32_t to = plan.spec.logical_sector_bytes;
  // A disc's content counts in its own way; that of a raw file may have been made for either.
  const bool raw_file = source.format() == FormatId::kRaw && from == 512;
  if (from == to || source.format() == FormatId::kIso || raw_file) return;
  remark(control,
         fmt::format("{}: has sectors of {} bytes, the source {}; partition tables and file systems count in "
                     "sectors and may not be found",
                     plan.path, to, from));
}

/// A conversion, decided.
struct Order {
  ops::CreationPlan plan;
  std::uint64_t size = 0;  ///< Of the target's disk.
  std::vector<ops::Patch> patches;
};

Result<Order> decide(const Disk& source, const std::string& target, bool nothing_there,
                     const ConvertOptions& options, const OperationControl& control) {
  Order order;
  const CreateOptions wanted = VDISK_TRY(options_of_target(source, target, options, order.size));
  order.plan = VDISK_TRY(ops::plan_creation(target, wanted, nothing_there));
  if (order.plan.spec.virtual_size_bytes != order.size) {
    return fail(kUnlikeParent, "{}: would have its parent's {} bytes, but the source has {}", order.plan.path,
                order.plan.spec.virtual_size_bytes, order.size);
  }
  remark_on_sectors(source, order.plan, control);
  order.patches = VDISK_TRY(patches_for(source, order.plan.path, options, order.size, control));
  return order;
}

Status copy_content(const Disk& source, const Order& order, File& target, BulkWriter& writer,
                    std::vector<bool> shares, const ConvertOptions& options,
                    const OperationControl& control) {
  const ops::CreationPlan& plan = order.plan;
  const ops::Content content(source, order.size, order.patches);
  const ops::BulkCopyJob job{.content = content,
                             .parent = plan.parent ? &*plan.parent : nullptr,
                             .sector_bytes = plan.spec.logical_sector_bytes,
                             .target = target,
                             .writer = writer,
                             .shares = std::move(shares),
                             .zeros = options.zeros,
                             .jobs = std::clamp(options.jobs, 1U, kMostJobs)};
  VDISK_TRY(ops::copy_in_bulk(job, control));
  VDISK_TRY(writer.finish());
  return ops::check_cancelled(control, "the conversion");
}

/// Everything but the flush.
Status fill(const Disk& source, const Order& order, File& target, const ConvertOptions& options,
            const OperationControl& control) {
  const ops::CreationPlan& plan = order.plan;
  std::vector<bool> shares;
  if (options.zeros != ZeroSearch::kAlways && !plan.parent) {
    const Chain& chain = source.impl().chain;
    for (std::size_t i = 0; i < chain.size(); ++i) {
      shares.push_back(VDISK_TRY(can_share(chain.layer(i).image->file(), target)));
    }
  }
  const auto writer = VDISK_TRY(plan.format->begin_bulk(target, plan.spec, control));
  return copy_content(source, order, target, *writer, std::move(shares), options, control);
}

Status convert_to_device(const Disk& source, const std::string& path, const ConvertOptions& given,
                         const OperationControl& control) {
  const ConvertOptions options = VDISK_TRY(ops::options_for_device(path, given));
  const Order order = VDISK_TRY(decide(source, path, true, options, control));
  const std::unique_ptr<File> device = VDISK_TRY(ops::open_device_target(path, order.size));
  ops::DeviceWriter writer(*device, order.size, control);
  VDISK_TRY(copy_content(source, order, *device, writer, {}, options, control));
  VDISK_TRY(device->flush());
  const std::uint64_t rest = VDISK_TRY(device->size()) - order.size;
  if (rest != 0) {
    remark(control, fmt::format("{}: the device is larger than the disk; its last {} bytes are as they were",
                                path, rest));
  }
  return {};
}

Status convert_any(const Disk& source, const std::string& target, const ConvertOptions& options,
                   const OperationControl& control) {
  const bool stream = target == "-";
  if (!stream && options.device) {
    const std::string path = VDISK_TRY(host_path(target, options.target.parents));
    if (is_block_device(path)) return convert_to_device(source, path, options, control);
  }
  Order order = VDISK_TRY(decide(source, target, stream, options, control));
  if (stream) {
    const ops::Content content(source, order.size, std::move(order.patches));
    return ops::stream_image(content, order.plan, STDOUT_FILENO, control);
  }
  NewFile file = VDISK_TRY(NewFile::create(order.plan.path));
  VDISK_TRY(fill(source, order, file.file(), options, control));
  return file.publish();
}

}  // namespace

Status ops::convert_into(const Disk& source, File& target, const ConvertOptions& options,
                         const OperationControl& control) {
  const Order order = VDISK_TRY(decide(source, target.name(), true, options, control));
  VDISK_TRY(fill(source, order, target, options, control));
  return target.flush();
}

inline namespace v1 {

Status convert(const Disk& source, const std::string& target, const ConvertOptions& options,
               const OperationControl& control) {
  return guarded([&] { return convert_any(source, target, options, control); });
}

}  // namespace v1

}  // namespace vdisk
