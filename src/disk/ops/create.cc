// SPDX-License-Identifier: Apache-2.0
//
// Making a new image: from options to a specification that every format can simply carry out
// (virtdisk-api.md 3.2).
#include <sys/stat.h>
#include <vdisk/operations.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/checked.h"
#include "base/random.h"
#include "disk/guarded.h"
#include "disk/host_path.h"
#include "disk/impl.h"
#include "disk/ops/create_faults.h"
#include "disk/ops/create_plan.h"
#include "disk/ops/parent_link.h"
#include "format/registry.h"
#include "io/faults.h"
#include "io/new_file.h"

namespace vdisk {

namespace {

using namespace ops::faults;

/// A request while it becomes a specification.
struct Draft {
  const std::string& path;
  const CreateOptions& options;
  const Format& format;
  const CreateLimits& limits;
  DiskType type;
  const DiskGeometry* parent = nullptr;  ///< Set once the parent is open.

  bool child() const noexcept { return type == DiskType::kDifferencing; }
  std::uint32_t logical_sector() const noexcept {
    if (options.logical_sector_bytes != 0) return options.logical_sector_bytes;
    return parent != nullptr ? parent->logical_sector_bytes : 512;
  }
  std::uint32_t physical_sector() const noexcept {
    if (options.physical_sector_bytes != 0) return options.physical_sector_bytes;
    // A VHD is read with the sectors of its host; only 512 can be written into one.
    const bool take = parent != nullptr && offers(limits.sector_sizes, parent->physical_sector_bytes);
    return take ? parent->physical_sector_bytes : limits.physical_sector_bytes;
  }
  std::uint64_t size() const noexcept {
    return options.virtual_size_bytes == 0 && parent != nullptr ? parent->virtual_size_bytes
                                                                : options.virtual_size_bytes;
  }
  std::uint32_t block() const noexcept {
    if (type == DiskType::kFixed) return limits.fixed_block_bytes;
    if (options.block_bytes != 0) return options.block_bytes;
    if (!child()) return limits.dynamic_block_bytes;
    if (limits.differencing_block_bytes != 0) return limits.differencing_block_bytes;
    const bool take = parent != nullptr && offers(limits.block_sizes, parent->block_bytes);
    return take ? parent->block_bytes : limits.dynamic_block_bytes;
  }
  static bool offers(std::span<const std::uint32_t> sizes, std::uint32_t size) noexcept {
    return std::ranges::find(sizes, size) != sizes.end();
  }
};

std::string list_of(std::span<const std::uint32_t> sizes) {
  return fmt::format("{}", fmt::join(sizes, ", "));
}

struct Rule {
  const Fault& fault;
  bool (*broken)(const Draft&);
  std::string (*sentence)(const Draft&);
};

// What the options alone decide, in the order in which a reader would judge them: type, size, block, sectors.
// Windows' own order is *unverified*.
constexpr Rule kRules[] = {
    {kCreateTypeOfChild, [](const Draft& d) { return !d.options.parent.empty() && !d.child(); },
     [](const Draft& d) {
       return fmt::format("a disk with a parent is differencing, not {}", to_string(d.type));
     }},
    {kCreateType,
     [](const Draft& d) {
       return (d.limits.fixed_only && d.type != DiskType::kFixed) || (d.child() && !d.format.has_parents);
     },
     [](const Draft& d) { return fmt::format("{} has no {} disks", d.format.name, to_string(d.type)); }},
    {kCreateNoParent, [](const Draft& d) { return d.child() && d.options.parent.empty(); },
     [](const Draft&) { return std::string("a differencing disk needs a parent"); }},
    {kCreatePreallocation,
     [](const Draft& d) {
       return d.type != DiskType::kFixed &&
              d.options.preallocation.value_or(Preallocation::kNone) != Preallocation::kNone;
     },
     [](const Draft& d) {
       return fmt::format("only a fixed disk takes its space at once; this one is {}", to_string(d.type));
     }},
    {kCreateBlockOfFixed,
     [](const Draft& d) { return d.type == DiskType::kFixed && d.options.block_bytes != 0; },
     [](const Draft& d) {
       return fmt::format("block size {} is given, but nobody chooses that of a fixed disk",
                          d.options.block_bytes);
     }},
    {kCreateBlock,
     [](const Draft& d) {
       return d.options.block_bytes != 0 && !Draft::offers(d.limits.block_sizes, d.options.block_bytes);
     },
     [](const Draft& d) {
       return fmt::format("block size {} is none of those of {}: {}", d.options.block_bytes, d.format.name,
                          list_of(d.limits.block_sizes));
     }},
    {kCreateLogicalSector,
     [](const Draft& d) { return !Draft::offers(d.limits.sector_sizes, d.logical_sector()); },
     [](const Draft& d) {
       return fmt::format("logical sectors of {} bytes are none of those of {}: {}", d.logical_sector(),
                          d.format.name, list_of(d.limits.sector_sizes));
     }},
    {kCreatePhysicalSector,
     [](const Draft& d) { return !Draft::offers(d.limits.sector_sizes, d.physical_sector()); },
     [](const Draft& d) {
       return fmt::format("physical sectors of {} bytes are none of those of {}: {}", d.physical_sector(),
                          d.format.name, list_of(d.limits.sector_sizes));
     }},
    {kCreateSectorOrder, [](const Draft& d) { return d.physical_sector() < d.logical_sector(); },
     [](const Draft& d) {
       return fmt::format("physical sectors of {} bytes are smaller than logical ones of {}",
                          d.physical_sector(), d.logical_sector());
     }},
    {kCreateSizeMissing, [](const Draft& d) { return !d.child() && d.options.virtual_size_bytes == 0; },
     [](const Draft&) { return std::string("no virtual size is given, and no parent to take it from"); }},
    {kCreateSizeOfChild,
     [](const Draft& d) {
       return d.child() && !d.limits.child_may_be_larger && d.options.virtual_size_bytes != 0;
     },
     [](const Draft& d) {
       return fmt::format("a differencing {} has its parent's size; leave out the {} bytes", d.format.name,
                          d.options.virtual_size_bytes);
     }},
    {kCreateSizeTooSmall,
     [](const Draft& d) {
       return d.options.virtual_size_bytes != 0 && d.options.virtual_size_bytes < d.limits.least_bytes;
     },
     [](const Draft& d) {
       return fmt::format("a virtual size of {} bytes is below the least of {}, {} bytes",
                          d.options.virtual_size_bytes, d.format.name, d.limits.least_bytes);
     }},
    {kCreateSizeTooLarge, [](const Draft& d) { return d.size() > d.limits.most_bytes; },
     [](const Draft& d) {
       return fmt::format("a virtual size of {} bytes is beyond the most of {}, {} bytes", d.size(),
                          d.format.name, d.limits.most_bytes);
     }},
    {kCreateSizeUnaligned, [](const Draft& d) { return !is_multiple(d.size(), d.logical_sector()); },
     [](const Draft& d) {
       return fmt::format("a virtual size of {} bytes is no whole number of sectors of {} bytes", d.size(),
                          d.logical_sector());
     }},
};

// What is known once the parent is open.
constexpr Rule kRulesOfChildren[] = {
    {kCreateSectorOfChild,
     [](const Draft& d) { return d.logical_sector() != d.parent->logical_sector_bytes; },
     [](const Draft& d) {
       return fmt::format("logical sectors of {} bytes are asked for, but the parent has sectors of {}",
                          d.logical_sector(), d.parent->logical_sector_bytes);
     }},
    {kCreateSizeBelowParent, [](const Draft& d) { return d.size() < d.parent->virtual_size_bytes; },
     [](const Draft& d) {
       return fmt::format("a virtual size of {} bytes is asked for, but the parent has {}", d.size(),
                          d.parent->virtual_size_bytes);
     }},
};

Status judge(const Draft& draft, std::span<const Rule> rules) {
  for (const Rule& rule : rules) {
    if (rule.broken(draft)) return fail(rule.fault, "{}: {}", draft.path, rule.sentence(draft));
  }
  return {};
}

Result<const Format*> format_of(const std::string& path, const CreateOptions& options) {
  const Format* format = options.format ? &format_by_id(*options.format) : format_by_extension(path);
  if (format == nullptr) {
    return fail(kCreateFormat, "{}: the extension names no format; name one with --format", path);
  }
  if (format->create == nullptr) {
    return fail(kCreateNotCreatable, "{}: {} images cannot be created", path, format->name);
  }
  return format;
}

DiskType type_of(const CreateOptions& options, const CreateLimits& limits) {
  if (options.type) return *options.type;
  if (!options.parent.empty()) return DiskType::kDifferencing;
  return limits.fixed_only ? DiskType::kFixed : DiskType::kDynamic;
}

Preallocation preallocation_of(const Draft& draft) {
  // A fixed disk is one that holds its space (FULL_PHYSICAL_ALLOCATION); raw files are sparse by habit.
  const bool full = draft.type == DiskType::kFixed && !draft.limits.fixed_only;
  return draft.options.preallocation.value_or(full ? Preallocation::kFull : Preallocation::kNone);
}

struct Moment {
  std::int64_t unix_seconds = 0;
  bool reproducible = false;  ///< SOURCE_DATE_EPOCH gave it.
};

/// reproducible-builds.org, "SOURCE_DATE_EPOCH": decimal seconds since 1970; a malformed value ends the
/// build.
Result<Moment> moment_of_creation() {
  const char* text = ::secure_getenv("SOURCE_DATE_EPOCH");
  if (text == nullptr) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return Moment{.unix_seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
  }
  const std::string_view view = text;
  Moment moment{.unix_seconds = 0, .reproducible = true};
  const auto [end, error] = std::from_chars(view.begin(), view.end(), moment.unix_seconds);
  if (error != std::errc() || end != view.end() || moment.unix_seconds < 0) {
    return fail(kCreateEpoch, "SOURCE_DATE_EPOCH is '{}', not a number of seconds since 1970", view);
  }
  return moment;
}

/// A GUID that follows from another: the same one always, and no other purpose's. Version 8 of RFC 9562.
Guid derived_guid(const Guid& from, std::uint64_t purpose) {
  std::uint64_t state = purpose * 0x9E3779B97F4A7C15;
  Guid guid;
  for (std::size_t round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < 16; ++i) {
      // SplitMix64's finaliser over the bytes so far.
      state += from.bytes[i] + 0x9E3779B97F4A7C15;
      state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
      state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
      state ^= state >> 31;
      guid.bytes[i] = static_cast<std::uint8_t>(guid.bytes[i] ^ state);
    }
  }
  guid.bytes[7] = static_cast<std::uint8_t>((guid.bytes[7] & 0x0F) | 0x80);
  guid.bytes[8] = static_cast<std::uint8_t>((guid.bytes[8] & 0x3F) | 0x80);
  return guid;
}

void choose_identifiers(const Draft& draft, const Moment& moment, const Guid& inherited_disk_id,
                        CreateSpec& spec) {
  const bool given = draft.options.identifier && !draft.options.identifier->is_zero();
  spec.identifier = given ? *draft.options.identifier : random_guid();
  spec.file_write_guid = given && moment.reproducible ? derived_guid(spec.identifier, 1) : random_guid();
  // A child is the same disk as its parent (formats.md 2.10); of a new one both ids may be what the caller
  // says.
  spec.virtual_disk_id = draft.child() ? inherited_disk_id : given ? spec.identifier : random_guid();
}

/// The parent and what the child takes from it.
struct Parent {
  Disk disk;
  ParentLink link;
  Guid virtual_disk_id;
};

Result<Parent> open_parent(const Draft& draft) {
  OpenOptions how;
  how.format = draft.options.parent_format;
  how.parents = draft.options.parents;
  how.limits = draft.options.limits;
  // Nothing of it is held on to, so that a parent which someone has open can get a child, as on Windows
  // (virtdisk-api.md 3.2).
  how.lock = LockMode::kNone;
  const std::string path = VDISK_TRY(host_path(draft.options.parent, draft.options.parents));
  Disk disk = VDISK_TRY_CONTEXT(Disk::open(path, how), "the parent of {}", draft.path);
  const Image& leaf = disk.impl().chain.leaf();
  if (disk.format() != draft.format.id) {
    return fail(kCreateParentFormat, "{}: is to be {}, but its parent {} is {}", draft.path,
                draft.format.name, path, leaf.format().name);
  }
  if (leaf.properties().identifier.is_zero()) {
    return fail(kCreateParentIdentifier, "{}: its parent {} has the identifier zero; give it one first",
                draft.path, path);
  }
  ParentLink link = VDISK_TRY(ops::link_to_parent(draft.path, path, draft.options.parents));
  link.identifier = leaf.properties().identifier;
  const Guid disk_id = leaf.properties().virtual_disk_id;
  return Parent{std::move(disk), std::move(link), disk_id};
}

Status must_be_new(const std::string& path) {
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) return {};
  return fail(io::faults::kExists,
              "{}: exists already and is not overwritten: choose another name, or remove it first", path);
}

Result<CreateSpec> specify(Draft& draft, bool stream, std::optional<Disk>& opened_parent) {
  VDISK_TRY(judge(draft, kRules));
  const Moment moment = VDISK_TRY(moment_of_creation());
  if (!stream) VDISK_TRY(must_be_new(draft.path));
  CreateSpec spec;
  Guid inherited_disk_id;
  DiskGeometry parent_geometry;
  if (draft.child()) {
    Parent parent = VDISK_TRY(open_parent(draft));
    parent_geometry = parent.disk.geometry();
    draft.parent = &parent_geometry;
    VDISK_TRY(judge(draft, kRulesOfChildren));
    VDISK_TRY(judge(draft, kRules));  // again with what the parent gives
    inherited_disk_id = parent.virtual_disk_id;
    spec.parent = std::move(parent.link);
    opened_parent.emplace(std::move(parent.disk));
  }
  spec.type = draft.type;
  spec.virtual_size_bytes = draft.size();
  spec.block_bytes = draft.block();
  spec.logical_sector_bytes = draft.logical_sector();
  spec.physical_sector_bytes = draft.physical_sector();
  spec.creation_unix_seconds = moment.unix_seconds;
  spec.preallocation = preallocation_of(draft);
  choose_identifiers(draft, moment, inherited_disk_id, spec);
  draft.parent = nullptr;
  return spec;
}

}  // namespace

namespace ops {

Result<CreationPlan> plan_creation(const std::string& path, const CreateOptions& options, bool stream) {
  CreationPlan plan;
  plan.path = stream ? path : VDISK_TRY(host_path(path, options.parents));
  plan.format = VDISK_TRY(format_of(plan.path, options));
  const CreateLimits& limits = *plan.format->create_limits;
  Draft draft{.path = plan.path,
              .options = options,
              .format = *plan.format,
              .limits = limits,
              .type = type_of(options, limits)};
  plan.spec = VDISK_TRY(specify(draft, stream, plan.parent));
  return plan;
}

}  // namespace ops

inline namespace v1 {

Status create(const std::string& path, const CreateOptions& options, const OperationControl& control) {
  return guarded([&]() -> Status {
    const ops::CreationPlan plan = VDISK_TRY(ops::plan_creation(path, options, false));
    NewFile file = VDISK_TRY(NewFile::create(plan.path));
    VDISK_TRY(plan.format->create(file.file(), plan.spec, control));
    if (control.cancellation.cancelled()) {
      return fail(vdisk::faults::kCancelled, "{}: its creation was cancelled; nothing is left of it",
                  plan.path);
    }
    return file.publish();
  });
}

}  // namespace v1

}  // namespace vdisk
