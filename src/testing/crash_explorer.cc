// SPDX-License-Identifier: Apache-2.0
#include "testing/crash_explorer.h"

#include <malloc.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/checked.h"
#include "base/fault.h"

namespace vdisk::testing {

bool CrashState::promised(std::uint64_t promise) const noexcept {
  return std::ranges::any_of(promises, [=](const IoEvent* made) { return made->promise == promise; });
}

namespace {

/// SplitMix64: small, and the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() noexcept {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t limit) noexcept { return next() % limit; }

 private:
  std::uint64_t state_;
};

/// What survives or not as one: the bytes of an event, or a new size.
struct Piece {
  enum class Kind : std::uint8_t { kBytes, kResize, kExtend };
  Kind kind = Kind::kBytes;
  const IoEvent* event = nullptr;
  std::uint64_t size = 0;  ///< kResize, kExtend.
};

struct Fate {
  enum class Kind : std::uint8_t { kLost, kWhole, kHead, kTail, kSome, kTrashed };
  Kind kind = Kind::kLost;
  std::uint64_t unit = 512;  ///< Of a torn piece.
  std::uint64_t random = 0;  ///< Decides where it is torn.
};
using Plan = std::vector<Fate>;

bool is_mutation(const IoEvent& event) noexcept {
  return event.kind != IoEvent::Kind::kFlush && event.kind != IoEvent::Kind::kPromise;
}

/// Adds the event's pieces; `size` is the file's size as the writer sees it, before and after.
void add_pieces(const IoEvent& event, std::uint64_t& size, std::vector<Piece>& pieces) {
  if (event.kind == IoEvent::Kind::kResize) {
    pieces.push_back({Piece::Kind::kResize, &event, event.length});
    size = event.length;
    return;
  }
  if (event.length == 0) return;
  pieces.push_back({Piece::Kind::kBytes, &event, 0});
  const std::uint64_t end = event.at + event.length;
  if (event.kind == IoEvent::Kind::kWrite && end > size) {
    pieces.push_back({Piece::Kind::kExtend, &event, end});
    size = end;
  }
}

void must(const Status& status) { VDISK_ASSERT(status.has_value()); }

/// Puts pieces onto a view. The size is kept apart until finish(): bytes may survive that the size does not
/// show.
class StateBuilder {
 public:
  explicit StateBuilder(std::shared_ptr<CowFile> file) : file_(std::move(file)), size_(*file_->size()) {}

  void apply(const Piece& piece, const Fate& fate) {
    if (fate.kind == Fate::Kind::kLost) return;
    switch (piece.kind) {
      case Piece::Kind::kBytes:
        return apply_bytes(*piece.event, fate);
      case Piece::Kind::kExtend:
        size_ = std::max(size_, piece.size);
        return;
      case Piece::Kind::kResize:
        if (piece.size < *file_->size()) must(file_->resize(piece.size));
        size_ = piece.size;
        return;
    }
  }

  void finish() { must(file_->resize(size_)); }

 private:
  void put(const IoEvent& event, std::uint64_t from, std::uint64_t to) {
    if (from >= to) return;
    if (event.kind == IoEvent::Kind::kWrite) {
      must(file_->write(FileOffset{from}, std::span(event.bytes).subspan(from - event.at, to - from)));
    } else {
      must(file_->punch(FileOffset{from}, to - from));
    }
  }

  void apply_bytes(const IoEvent& event, const Fate& fate) {
    const std::uint64_t end = event.at + event.length;
    const std::uint64_t first = event.at / fate.unit;
    const std::uint64_t sectors = divide_up(end, fate.unit) - first;
    Random random(fate.random);
    const std::uint64_t cut = std::clamp((first + random.below(sectors)) * fate.unit, event.at, end);
    switch (fate.kind) {
      case Fate::Kind::kLost:
        return;
      case Fate::Kind::kWhole:
        return put(event, event.at, end);
      case Fate::Kind::kHead:
        return put(event, event.at, cut);
      case Fate::Kind::kTail:
        return put(event, cut, end);
      case Fate::Kind::kSome:
        return put_some(event, fate.unit, random);
      case Fate::Kind::kTrashed: {
        put(event, event.at, cut);
        std::vector<std::byte> noise(std::min(fate.unit, end - cut));
        for (auto& byte : noise) byte = static_cast<std::byte>(random.next());
        must(file_->write(FileOffset{cut}, noise));
        return;
      }
    }
  }

  /// A random half of the sectors; of a very long range a random half of 4,096 equal stretches.
  void put_some(const IoEvent& event, std::uint64_t unit, Random& random) {
    constexpr std::uint64_t kMostStretches = 4096;
    const std::uint64_t end = event.at + event.length;
    const std::uint64_t step = unit * divide_up(divide_up(event.length, unit), kMostStretches);
    for (std::uint64_t at = event.at; at < end;) {
      const std::uint64_t next = std::min(end, round_down(at, unit) + step);
      if ((random.next() & 1) != 0) put(event, at, next);
      at = next;
    }
  }

  const std::shared_ptr<CowFile> file_;
  std::uint64_t size_ = 0;
};

/// The numbered states of one crash point. Numbers do not depend on how many of them are tried.
class PlanSpace {
 public:
  PlanSpace(const std::vector<Piece>& pieces, const ExploreOptions& options, std::uint64_t salt)
      : pieces_(pieces), options_(options), salt_(salt) {
    const std::size_t n = pieces.size();
    exhaustive_ = n <= options.exhaustive_pieces;
    subsets_ = exhaustive_ ? std::size_t{1} << n : 3 * n + 1;
    for (std::size_t i = 0; i < n; ++i) {
      if (pieces[i].kind == Piece::Kind::kBytes) tearable_.push_back(i);
    }
    torn_ = tearable_.size() * options.tear_bytes.size() * kTears * 2;
    random_ = n == 0 ? 0 : options.random_states;
    for (const std::size_t i : tearable_) {
      if (trash_allowed(*pieces[i].event)) trashable_.push_back(i);
    }
    trashed_ = trashable_.empty() ? 0 : options.trashed_states;
  }

  std::uint64_t count() const noexcept { return subsets_ + torn_ + random_ + trashed_; }

  /// REQUIRES: number < count().
  Plan plan(std::uint64_t number, bool& trashed) const {
    trashed = false;
    if (number < subsets_) return subset(number);
    number -= subsets_;
    if (number < torn_) return torn(number);
    number -= torn_;
    Random random(salt_ ^ (number * 0x2545F4914F6CDD1Du + 1));
    Plan result(pieces_.size());
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = any_fate(pieces_[i], random);
    if (number >= random_) {
      trashed = true;
      const std::size_t victim = trashable_[random.below(trashable_.size())];
      result[victim] = {Fate::Kind::kTrashed, any_unit(random), random.next()};
    }
    return result;
  }

 private:
  static constexpr std::uint64_t kTears = 3;

  bool trash_allowed(const IoEvent& event) const {
    return event.kind == IoEvent::Kind::kWrite &&
           std::ranges::any_of(options_.trashable, [&](const TrashableRange& range) {
             return range.at <= event.at && fits_within(event.at - range.at, event.length, range.length);
           });
  }

  std::uint64_t any_unit(Random& random) const {
    if (options_.tear_bytes.empty()) return 512;
    return options_.tear_bytes[random.below(options_.tear_bytes.size())];
  }

  Fate any_fate(const Piece& piece, Random& random) const {
    const std::uint64_t kind = random.below(8);
    const std::uint64_t unit = any_unit(random);
    if (kind < 3) return {Fate::Kind::kLost};
    if (kind < 6 || piece.kind != Piece::Kind::kBytes || options_.tear_bytes.empty())
      return {Fate::Kind::kWhole};
    return {kind == 6 ? Fate::Kind::kHead : Fate::Kind::kSome, unit, random.next()};
  }

  Plan subset(std::uint64_t number) const {
    const std::size_t n = pieces_.size();
    Plan result(n);
    for (std::size_t i = 0; i < n; ++i) {
      bool there = false;
      if (exhaustive_) {
        there = ((number >> i) & 1) != 0;
      } else if (number <= n) {
        there = i < number;  // prefixes, the whole among them
      } else if (number <= 2 * n) {
        there = i != number - n - 1;  // single omissions
      } else {
        there = i == number - 2 * n - 1;  // single survivors
      }
      result[i].kind = there ? Fate::Kind::kWhole : Fate::Kind::kLost;
    }
    return result;
  }

  /// One torn piece, everything before it there, and what follows it either lost or there.
  Plan torn(std::uint64_t number) const {
    const bool rest = (number & 1) != 0;
    const std::uint64_t how = number / 2 % kTears;
    const std::uint64_t unit = options_.tear_bytes[number / 2 / kTears % options_.tear_bytes.size()];
    const std::size_t victim = tearable_[number / 2 / kTears / options_.tear_bytes.size()];
    Plan result(pieces_.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
      // The victim's own new size, the piece behind it, counts as written with it.
      const bool own_size = i == victim + 1 && pieces_[i].event == pieces_[victim].event;
      result[i].kind = i < victim || rest || own_size ? Fate::Kind::kWhole : Fate::Kind::kLost;
    }
    constexpr Fate::Kind kHow[] = {Fate::Kind::kHead, Fate::Kind::kTail, Fate::Kind::kSome};
    result[victim] = {kHow[how], unit, Random(salt_ ^ number).next()};
    return result;
  }

  const std::vector<Piece>& pieces_;
  const ExploreOptions& options_;
  const std::uint64_t salt_;
  bool exhaustive_ = false;
  std::uint64_t subsets_ = 0, torn_ = 0, random_ = 0, trashed_ = 0;
  std::vector<std::size_t> tearable_, trashable_;
};

std::string describe(const std::vector<Piece>& pieces, const Plan& plan) {
  constexpr std::string_view kWords[] = {"lost", "whole", "head", "tail", "some", "trashed"};
  std::string text;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::string what = pieces[i].kind == Piece::Kind::kExtend
                                 ? fmt::format("new size {:#x}", pieces[i].size)
                                 : pieces[i].event->to_string();
    text += fmt::format("\n    {}: {}", what, kWords[static_cast<std::size_t>(plan[i].kind)]);
    if (plan[i].kind > Fate::Kind::kWhole) text += fmt::format(" at {}", plan[i].unit);
  }
  return text;
}

struct Step {
  std::uint64_t crash_point = 0;
  std::uint64_t number = 0;
};

/// "seed/point.number/point.number…"
std::optional<std::vector<Step>> parse_seed(std::string_view text, std::uint64_t& seed) {
  const auto number = [&text](std::uint64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
  };
  std::vector<Step> steps;
  if (!number(seed)) return std::nullopt;
  while (!text.empty()) {
    Step step;
    if (text.front() != '/') return std::nullopt;
    text.remove_prefix(1);
    if (!number(step.crash_point) || text.empty() || text.front() != '.') return std::nullopt;
    text.remove_prefix(1);
    if (!number(step.number)) return std::nullopt;
    steps.push_back(step);
  }
  if (steps.empty()) return std::nullopt;
  return steps;
}

class Explorer {
 public:
  Explorer(const ExploreOptions& options, const CrashOracle& oracle) : options_(options), oracle_(oracle) {}

  ExploreReport run(const Recording& recording) {
    std::string only = options_.only;
    if (const char* wanted = std::getenv("VDISK_CRASH_SEED"); only.empty() && wanted != nullptr)
      only = wanted;
    if (!only.empty()) {
      auto steps = parse_seed(only, options_.seed);
      if (!steps) {
        report_.failure = fmt::format("'{}' is no seed", only);
        return report_;
      }
      path_ = std::move(*steps);
    }
    explore(recording, {}, fmt::format("{}", options_.seed), 0);
    return report_;
  }

 private:
  using Promises = std::vector<const IoEvent*>;

  bool failed() const noexcept { return !report_.failure.empty(); }
  const Step* wanted(int depth) const noexcept {
    return static_cast<std::size_t>(depth) < path_.size() ? &path_[static_cast<std::size_t>(depth)] : nullptr;
  }

  /// Walks the record, keeps the durable state and the pieces behind it, and stops at each crash point.
  void explore(const Recording& recording, Promises promises, const std::string& seed, int depth) {
    const auto& events = recording.events();
    const auto durable = std::make_shared<CowFile>(recording.base());
    std::size_t covered = 0;
    std::uint64_t point = 0;
    std::size_t pending = 0;  // mutations since the last crash point
    for (std::size_t i = 0; i <= events.size() && !failed(); ++i) {
      const bool end = i == events.size();
      const bool promise = !end && events[i].kind == IoEvent::Kind::kPromise;
      const bool flush = !end && events[i].kind == IoEvent::Kind::kFlush;
      if (promise) promises.push_back(&events[i]);
      if (end || promise || (flush && pending != 0)) {
        const Step* step = wanted(depth);
        if (step == nullptr || step->crash_point == point) {
          explore_point(recording, durable, covered, i, promises, fmt::format("{}/{}", seed, point), point,
                        depth);
        }
        ++point;
        pending = 0;
      }
      if (flush && events[i].covers > covered) {
        advance(durable, events, covered, events[i].covers);
        covered = events[i].covers;
      }
      if (!end && is_mutation(events[i])) ++pending;
    }
  }

  /// In place, and not with another view upon it: the views of a long record would stand on one another by
  /// the hundred. No state outlives its crash point.
  static void advance(const std::shared_ptr<CowFile>& durable, const std::vector<IoEvent>& events,
                      std::size_t from, std::size_t to) {
    StateBuilder builder(durable);
    std::uint64_t size = *durable->size();
    std::vector<Piece> pieces;
    for (std::size_t i = from; i < to; ++i) {
      if (is_mutation(events[i])) add_pieces(events[i], size, pieces);
    }
    for (const Piece& piece : pieces) builder.apply(piece, {Fate::Kind::kWhole});
    builder.finish();
  }

  void explore_point(const Recording& recording, const std::shared_ptr<CowFile>& durable, std::size_t from,
                     std::size_t to, const Promises& promises, const std::string& seed, std::uint64_t point,
                     int depth) {
    ++report_.crash_points;
    std::vector<Piece> pieces;
    std::uint64_t size = *durable->size();
    for (std::size_t i = from; i < to; ++i) {
      if (is_mutation(recording.events()[i])) add_pieces(recording.events()[i], size, pieces);
    }
    const std::uint64_t salt =
        Random(options_.seed + (point << 20) + static_cast<std::uint64_t>(depth)).next();
    const PlanSpace space(pieces, options_, salt);
    const std::uint64_t most = depth == 0 ? options_.most_states : options_.recovery_states;
    const std::uint64_t tried = std::min<std::uint64_t>(space.count(), most);
    for (std::uint64_t k = 0; k < tried && !failed(); ++k) {
      std::uint64_t number = k;
      if (const Step* step = wanted(depth)) {
        if (k != 0 || step->number >= space.count()) return;
        number = step->number;
      } else if (tried < space.count()) {
        // Evenly, a random one of each stretch.
        const std::uint64_t first = k * space.count() / tried;
        const std::uint64_t next = (k + 1) * space.count() / tried;
        number = first + Random(salt + k).below(std::max<std::uint64_t>(next - first, 1));
      }
      CrashState state;
      const Plan plan = space.plan(number, state.trashed);
      const auto file = std::make_shared<CowFile>(durable);
      StateBuilder builder(file);
      for (std::size_t i = 0; i < pieces.size(); ++i) builder.apply(pieces[i], plan[i]);
      builder.finish();
      state.file = file;
      state.promises = promises;
      state.events_issued = to;
      state.depth = depth;
      state.seed = fmt::format("{}.{}", seed, number);
      visit(state, [&] { return describe(pieces, plan); });
    }
  }

  template <class Describe>
  void visit(CrashState& state, const Describe& describe_state) {
    const auto report = [&](const std::string& wrong) {
      report_.failure = fmt::format(
          "{}\n  state {} after {} events (again: VDISK_CRASH_SEED={}); of what no flush had covered:{}",
          wrong, state.seed, state.events_issued, state.seed, describe_state());
    };
    const std::shared_ptr<File> kept = state.file;
    const bool descends = wanted(state.depth + 1) != nullptr;
    if (!descends) {
      ++report_.states;
      if (state.depth > 0) ++report_.recovery_states;
      state.file = std::make_shared<CowFile>(kept);
      if (const std::string wrong = oracle_(state); !wrong.empty()) return report(wrong);
    }
    if (!options_.recover || state.depth >= options_.recovery_depth) return;
    if (path_.empty() && report_.states % std::max<std::size_t>(options_.recover_every, 1) != 0) return;
    ++report_.recovered;
    Recording recovery(kept);
    if (const Status status = options_.recover(std::make_unique<RecordingFile>(recovery)); !status) {
      return report("recovery fails: " + status.error().message());
    }
    recovery.promise(kRecovered, "recovered");
    explore(recovery, state.promises, state.seed, state.depth + 1);
    if (failed())
      report_.failure += fmt::format("\n  which is a crash of the recovery of{}", describe_state());
  }

  ExploreOptions options_;
  const CrashOracle& oracle_;
  std::vector<Step> path_;
  ExploreReport report_;
};

}  // namespace

ExploreReport explore_crashes(const Recording& recording, const ExploreOptions& options,
                              const CrashOracle& oracle) {
  // Each state reads a log or a table of megabytes; memory that goes back to the kernel each time costs half
  // of all.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  return Explorer(options, oracle).run(recording);
}

std::uint64_t search_scale() {
  const char* text = std::getenv("VDISK_LONG");
  return text == nullptr ? 1 : std::max<std::uint64_t>(8, std::strtoull(text, nullptr, 10));
}

}  // namespace vdisk::testing
