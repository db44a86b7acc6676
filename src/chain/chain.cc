// SPDX-License-Identifier: Apache-2.0
#include "chain/chain.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"
#include "chain/faults.h"
#include "chain/parent_search.h"
#include "format/registry.h"
#include "io/faults.h"
#include "io/file_lock.h"
#include "io/named_file.h"

namespace vdisk {

namespace {

// VHD time stamps count from 2000-01-01 00:00:00 UTC (formats.md 1.2).
constexpr std::int64_t kVhdEpochUnixSeconds = 946'684'800;

bool links_to(const ParentLocator& locator, const Guid& identifier) {
  // A zero identifier, like the zero parent_linkage2 that Windows writes, never matches (formats.md 2.10).
  return !identifier.is_zero() && std::ranges::find(locator.linkage, identifier) != locator.linkage.end();
}

bool linkage_is_zero(const ParentLocator& locator) {
  return std::ranges::all_of(locator.linkage, &Guid::is_zero);
}

std::string linkage_text(const ParentLocator& locator) {
  std::string text;
  for (const Guid& guid : locator.linkage) {
    if (guid.is_zero()) continue;
    if (!text.empty()) text += " or ";
    text += guid.to_string();
  }
  return text.empty() ? "none" : text;
}

bool is_missing(const Error& error) {
  return error.id() == io::faults::kNotFound.id || error.id() == io::faults::kPathNotFound.id;
}

/// The search for one parent: what was tried, and the first thing that stood in the way.
struct Search {
  const Layer& child;
  const ParentLocator& locator;
  const ParentPaths paths;
  std::vector<std::string> tried = {};
  std::optional<Error> obstacle = std::nullopt;
  std::vector<FileIdentity> seen = {};

  void note(const ParentPath& candidate, std::string_view outcome) {
    tried.push_back(fmt::format("{} ({}): {}", candidate.path, candidate.origin, outcome));
  }
  void refuse(const ParentPath& candidate, Error error) {
    note(candidate, error.reason());
    if (!obstacle) {
      error.add_context(fmt::format("parent {}", candidate.path));
      obstacle = std::move(error);
    }
  }
};

std::string recorded_text(const ParentLocator& locator) {
  std::string text;
  for (const ParentCandidate& candidate : locator.candidates) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{} '{}'", candidate.source, candidate.recorded);
  }
  return text.empty() ? "nothing" : text;
}

std::string list_text(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) {
    if (!text.empty()) text += "; ";
    text += item;
  }
  return text.empty() ? "nothing" : text;
}

class ChainBuilder {
 public:
  explicit ChainBuilder(const OpenOptions& options) : options_(options) {}

  Result<Chain> build(const std::string& path) {
    VDISK_TRY(open_leaf(path));
    while (layers_.back().image->properties().parent) {
      if (options_.no_parents) {
        complete_ = false;
        break;
      }
      Status opened = open_parent();
      if (!opened) {
        Error error = std::move(opened).error();
        for (std::size_t i = layers_.size(); i-- > 1;) {
          error.add_context(fmt::format("parent {}", layers_[i].path));
        }
        error.add_context(fmt::format("opening {}", path));
        return std::unexpected(std::move(error));
      }
    }
    return Chain(std::move(layers_), complete_);
  }

 private:
  bool locks_leaf() const { return options_.lock != LockMode::kNone; }
  bool locks_parents() const { return options_.lock == LockMode::kAutomatic; }

  Status open_leaf(const std::string& path) {
    const PosixOpen how{.writable = options_.writable,
                        .lock = locks_leaf(),
                        // A device has no signature to be wrong about when the caller says that it is raw.
                        .allow_block_device = options_.format == FormatId::kRaw,
                        .direct = options_.direct_io,
                        .trace = options_.trace};
    std::unique_ptr<File> file = VDISK_TRY(open_named_file(path, how));
    const FileIdentity identity = VDISK_TRY(file->identity());
    const Format* format = VDISK_TRY(detect_format(*file, name_with_extension(path), options_.format));
    const ImageOpen open{.writable = options_.writable, .limits = options_.limits, .trace = options_.trace};
    add_layer(path, identity, VDISK_TRY(format->open(std::move(file), open)));
    return {};
  }

  void add_layer(const std::string& path, const FileIdentity& identity, std::unique_ptr<Image> image) {
    layers_.push_back({path, std::move(image)});
    identities_.push_back(identity);
  }

  Status open_parent() {
    const Layer& child = layers_.back();
    const ParentLocator& locator = *child.image->properties().parent;
    if (layers_.size() >= options_.limits.chain_depth) {
      return fail(chain::faults::kTooDeep, "{}: has a parent, but {} files in a chain is the limit",
                  child.path, options_.limits.chain_depth);
    }
    Search search{.child = child,
                  .locator = locator,
                  .paths = find_parent_paths(child.path, locator, options_.parents)};
    for (const ParentPath& candidate : search.paths.to_try) {
      if (VDISK_TRY(try_candidate(search, candidate))) return {};
    }
    if (search.obstacle) {
      if (search.tried.size() > 1)
        search.obstacle->add_context(fmt::format("tried {}", list_text(search.tried)));
      return std::unexpected(*std::move(search.obstacle));
    }
    return not_found(search);
  }

  static Status not_found(const Search& search) {
    std::string help = "If you know where it lies, name that folder with --parent-dir.";
    if (!search.paths.withheld.empty())
      help = fmt::format("Not tried: {}. {}", list_text(search.paths.withheld), help);
    return fail(chain::faults::kParentNotFound,
                "the parent of {} was not found. It records {}, identifier {}. Tried: {}. {}",
                search.child.path, recorded_text(search.locator), linkage_text(search.locator),
                list_text(search.tried), help);
  }

  /// True when the candidate is the parent and became the next layer; false when the search goes on. Fails
  /// only where going on is pointless.
  Result<bool> try_candidate(Search& search, const ParentPath& candidate) {
    const PosixOpen how{.writable = false, .lock = false, .direct = options_.direct_io, .trace = options_.trace};
    auto opened =
        candidate.named ? open_named_file(candidate.path, how) : open_posix_file(candidate.path, how);
    if (!opened) return note_unopened(search, candidate, std::move(opened).error());
    std::unique_ptr<File> file = *std::move(opened);
    const FileIdentity identity = VDISK_TRY(file->identity());
    if (std::ranges::find(search.seen, identity) != search.seen.end()) return false;
    search.seen.push_back(identity);
    // Before anything is read or locked: a leaf that is open for writing would else seem locked by someone
    // else.
    if (const auto known = std::ranges::find(identities_, identity); known != identities_.end()) {
      note_cycle(search, candidate, static_cast<std::size_t>(known - identities_.begin()));
      return false;
    }
    if (VDISK_TRY(file->size()) == 0) {  // also what pseudo files say whose reading could have effects
      search.note(candidate, "is empty");
      return false;
    }
    if (locks_parents() && file->fd() >= 0) {
      Status locked = lock_image_file(file->fd(), candidate.path, LockRole::kReader, options_.trace);
      if (!locked) {
        search.refuse(candidate, std::move(locked).error());
        return false;
      }
    }
    if (!candidate.needs_identity) note_timestamp(search, *file);
    auto image = open_image(search, candidate, std::move(file));
    if (!image) {
      search.refuse(candidate, std::move(image).error());
      return false;
    }
    if (*image == nullptr) return false;
    const std::uint32_t child_sector = search.child.image->properties().geometry.logical_sector_bytes;
    const std::uint32_t parent_sector = (*image)->properties().geometry.logical_sector_bytes;
    if (child_sector != parent_sector) {
      return fail(chain::faults::kSectorSize,
                  "parent {}: has logical sectors of {} bytes, its child {} of {}; a chain needs them equal",
                  candidate.path, parent_sector, search.child.path, child_sector);
    }
    add_layer(candidate.path, identity, *std::move(image));
    return true;
  }

  static Result<bool> note_unopened(Search& search, const ParentPath& candidate, Error error) {
    if (is_missing(error)) {
      search.note(candidate, "does not exist");
    } else if (error.id() == io::faults::kNotRegular.id || error.id() == io::faults::kInvalidName.id) {
      search.note(candidate, error.reason());
    } else if (error.id() == io::faults::kAccessDenied.id) {
      auto denied =
          fail(chain::faults::kParentAccessDenied, "{}; give this user the right to read it", error.reason());
      search.refuse(candidate, std::move(denied).error());
    } else {
      // No free descriptor, a failing disk: no other candidate can tell more.
      error.add_context(fmt::format("parent {}", candidate.path));
      return std::unexpected(std::move(error));
    }
    return false;
  }

  void note_cycle(Search& search, const ParentPath& candidate, std::size_t layer) {
    // By name alone a child finds itself whenever its parent has the same name in another folder: no cycle.
    if (candidate.by_name && !links_to(search.locator, layers_[layer].image->properties().identifier)) {
      search.note(candidate, "is already part of the chain");
      return;
    }
    auto cycle = fail(chain::faults::kCycle,
                      "{}: is recorded as the parent of {}, but stands above it in the chain as {}",
                      candidate.path, search.child.path, layers_[layer].path);
    search.refuse(candidate, std::move(cycle).error());
  }

  void note_timestamp(const Search& search, const File& file) const {
    struct stat stat{};
    if (!search.locator.timestamp || !options_.trace || ::fstat(file.fd(), &stat) != 0) return;
    const std::int64_t seconds = std::int64_t{stat.st_mtime} - kVhdEpochUnixSeconds;
    if (seconds == std::int64_t{*search.locator.timestamp}) return;
    // Copying a file changes its time, so this alone refuses nothing (formats.md 1.11, cases 23 and 24).
    options_.trace(TraceLevel::kNote,
                   fmt::format("{}: was last changed at {}, its child {} records {}", file.name(),
                               utc_text(stat.st_mtime), search.child.path,
                               utc_text(kVhdEpochUnixSeconds + *search.locator.timestamp)));
  }

  /// Null when the file is not the parent (said to `search`).
  Result<std::unique_ptr<Image>> open_image(Search& search, const ParentPath& candidate,
                                            std::unique_ptr<File> file) {
    const ImageOpen how{.writable = false, .limits = options_.limits, .trace = options_.trace};
    const Format& format = search.child.image->format();
    if (linkage_is_zero(search.locator)) return open_raw(search, candidate, std::move(file), how);
    // Out there an untrusted image may point at any file: what is no image is not described, only passed
    // over.
    if (candidate.needs_identity && VDISK_TRY(format.probe(*file)) != Probe::kYes) {
      search.note(candidate, fmt::format("holds no {} image", format.name));
      return nullptr;
    }
    const Format* found = VDISK_TRY(detect_format(*file, name_with_extension(candidate.path), format.id));
    std::unique_ptr<Image> image = VDISK_TRY(found->open(std::move(file), how));
    const Guid& identifier = image->properties().identifier;
    if (links_to(search.locator, identifier)) return image;
    return fail(
        chain::faults::kIdentityMismatch,
        "{}: its identifier is {}, but the child {} records {}; the parent was changed or replaced since the "
        "child was made",
        candidate.path, identifier.to_string(), search.child.path, linkage_text(search.locator));
  }

  /// Xen's tools make VHD children of raw files; such a parent has no identifier, and the child records zero.
  Result<std::unique_ptr<Image>> open_raw(Search& search, const ParentPath& candidate,
                                          std::unique_ptr<File> file, const ImageOpen& how) {
    if (!options_.parents.allow_raw) {
      search.note(candidate,
                  "the child records no parent identifier, as for a raw parent, which must be allowed "
                  "with --allow-raw-parent");
      return nullptr;
    }
    if (candidate.needs_identity) {
      search.note(candidate,
                  "lies outside the child's folder, and a raw file has no identifier that could be "
                  "compared; name its folder with --parent-dir");
      return nullptr;
    }
    return format_by_id(FormatId::kRaw).open(std::move(file), how);
  }

  const OpenOptions& options_;
  std::vector<Layer> layers_;
  bool complete_ = true;
  std::vector<FileIdentity> identities_;
};

}  // namespace

Chain::Chain(std::vector<Layer> layers, bool complete) : layers_(std::move(layers)), complete_(complete) {
  VDISK_ASSERT(!layers_.empty());
  for (const Layer& layer : layers_) {
    hops_.push_back({layer.image.get(), layer.image->properties().geometry.virtual_size_bytes});
  }
}

Result<Chain> Chain::open(const std::string& path, const OpenOptions& options) {
  return ChainBuilder(options).build(path);
}

Result<std::uint64_t> Chain::plan_read(DiskRange range, ReadPlan& plan) const {
  plan.clear();
  // While each layer answers with one run, following it needs nothing but the run. A shorter answer than
  // asked for is the caller's to continue.
  Run run{.source = Run::Source::kParent, .at = range.at, .length = range.length, .from = {}};
  RunList runs;
  for (std::uint32_t layer = 0; layer < hops_.size(); ++layer) {
    const Hop& hop = hops_[layer];
    if (run.at.bytes >= hop.size_bytes) {
      plan.add({PlannedRun::Source::kZero, layer, run.at, run.length, {}});
      return run.length;
    }
    const std::uint64_t length = std::min(run.length, hop.size_bytes - run.at.bytes);
    static_cast<void>(VDISK_TRY(hop.image->resolve_read({run.at, length}, runs)));
    if (runs.size() != 1) return flatten(layer, runs, plan);
    run = runs[0];
    if (run.source == Run::Source::kParent) continue;
    plan.add({run.source == Run::Source::kFile ? PlannedRun::Source::kFile : PlannedRun::Source::kZero, layer,
              run.at, run.length, run.from});
    return run.length;
  }
  plan.add(
      {PlannedRun::Source::kUnresolved, static_cast<std::uint32_t>(hops_.size()), run.at, run.length, {}});
  return run.length;
}

namespace {

/// Lists of runs whose consumption was put off because one of them led into the parent. Each takes a kilobyte
/// of stack, so there are few; a disk that is fragmented in more layers at once is read in more steps.
constexpr std::size_t kMostPending = 6;

struct Pending {
  const RunList* runs;
  std::size_t next;
  std::uint32_t layer;
  bool cut;  // the layer told less than it was asked: what follows in the lists before this one is not next
};

}  // namespace

// The answer `first` of layer `first_layer` has several runs. Walks them in disk order, descending where one
// leads to the parent; `lists` holds the answers on the way down.
Result<std::uint64_t> Chain::flatten(std::uint32_t first_layer, const RunList& first, ReadPlan& plan) const {
  std::array<RunList, kMostPending> lists;
  std::array<Pending, kMostPending> pending;
  pending[0] = {&first, 0, first_layer, false};
  std::size_t depth = 1;
  std::uint64_t covered = 0;
  bool last = false;  // no room to put anything off: what comes next ends the plan
  while (depth != 0) {
    Pending& top = pending[depth - 1];
    if (top.next == top.runs->size()) {
      if (top.cut) break;
      --depth;
      continue;
    }
    Run run = (*top.runs)[top.next++];
    std::uint32_t layer = top.layer;
    bool put_off = false;
    while (run.source == Run::Source::kParent && ++layer < hops_.size()) {
      const Hop& hop = hops_[layer];
      if (run.at.bytes >= hop.size_bytes) {
        run.source = Run::Source::kZero;
        break;
      }
      RunList& runs = lists[depth - 1];
      const std::uint64_t length = std::min(run.length, hop.size_bytes - run.at.bytes);
      const std::uint64_t told = VDISK_TRY(hop.image->resolve_read({run.at, length}, runs));
      const bool cut = told < run.length;
      if (runs.size() > 1 && depth < kMostPending) {
        pending[depth++] = {&runs, 0, layer, cut};
        put_off = true;
        break;
      }
      last = last || cut || runs.size() > 1;
      run = runs[0];
    }
    if (put_off) continue;
    PlannedRun planned{PlannedRun::Source::kZero, layer, run.at, run.length, run.from};
    if (run.source == Run::Source::kFile) planned.source = PlannedRun::Source::kFile;
    if (run.source == Run::Source::kParent) planned.source = PlannedRun::Source::kUnresolved;
    if (!plan.add(planned)) break;
    covered += run.length;
    if (last) break;
  }
  return covered;
}

}  // namespace vdisk
