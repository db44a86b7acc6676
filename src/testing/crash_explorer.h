// SPDX-License-Identifier: Apache-2.0
//
// The second half of the crash net: from a Recording, the states in which a power cut could have left the
// file, each shown to an oracle.
//
// The model. A crash point lies before each flush returns, at each promise, and at the end. Everything before
// the last completed flush is there. Of what came after it, any subset may be there, and each piece of it
// whole, torn (some of its sectors of 512 or 4096 bytes) or, where the test says that the format can tell,
// trashed (the sector that was being written holds noise). A write that makes the file longer is two pieces,
// its bytes and the new size: either may survive alone (bytes behind the end are lost, a size without its
// bytes shows zeros). Which order the pieces reached the disk in needs no search: pieces that do not overlap
// give the same state in every order, and of overlapping ones no cache lets the older replace the newer.
//
// All subsets are tried when the pieces are few; else every prefix, single omission and single survivor, and
// random subsets. States are copy-on-write views; none is copied.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "testing/recording_file.h"

namespace vdisk::testing {

struct TrashableRange {
  std::uint64_t at = 0;
  std::uint64_t length = 0;
};

/// One state for the oracle.
struct CrashState {
  std::shared_ptr<File> file;  ///< May be changed at will; open it through a CowFile to keep it as it is.
  std::vector<const IoEvent*> promises;  ///< All that were made before the crash, outer recordings' first.
  std::size_t events_issued = 0;         ///< Events of the recording that was cut.
  int depth = 0;                         ///< 0: a crash of the operation; 1: of its recovery; …
  bool trashed = false;
  std::string seed;  ///< Reproduces the state: see ExploreOptions::only.

  bool promised(std::uint64_t promise) const noexcept;
};

/// Looks at a state; "" if all is well, else what is wrong.
using CrashOracle = std::function<std::string(CrashState&)>;

/// Made at the end of each recovery that succeeded.
inline constexpr std::uint64_t kRecovered = ~std::uint64_t{0};

struct ExploreOptions {
  std::uint64_t seed = 1;
  std::size_t exhaustive_pieces = 8;  ///< Up to so many pieces: all subsets.
  std::size_t random_states = 64;     ///< Random subsets, torn at random, for each crash point.
  std::size_t trashed_states = 32;    ///< For each crash point; none unless `trashable`.
  std::size_t most_states = 4096;     ///< For each crash point: beyond it the states are sampled evenly.
  std::vector<std::uint64_t> tear_bytes = {512, 4096};
  std::vector<TrashableRange>
      trashable;  ///< Where noise in the sector being written must be detected or rebuilt.

  /// What repairs a file after a crash (a writable open); unset: nothing. It is recorded, must succeed on
  /// every state, and is crashed again; the oracle judges those states too.
  std::function<Status(std::unique_ptr<File>)> recover;
  int recovery_depth = 1;            ///< How often recoveries are crashed, one within the other.
  std::size_t recover_every = 1;     ///< Recovers only each n-th state.
  std::size_t recovery_states = 32;  ///< `most_states` (and the bound of the random ones) within recoveries.

  /// The seed of a failure report: builds and judges that state alone. Unset: the environment's
  /// VDISK_CRASH_SEED.
  std::string only;
};

struct ExploreReport {
  std::uint64_t crash_points = 0;
  std::uint64_t states = 0;           ///< Judged, of all depths.
  std::uint64_t recovered = 0;        ///< Recoveries run.
  std::uint64_t recovery_states = 0;  ///< Judged, of depth 1 and more.
  std::string failure;  ///< "" or the first failure, with its seed and what the state was made of.
};

/// Stops at the first failure. Deterministic: the same recording, options and seed give the same states.
ExploreReport explore_crashes(const Recording& recording, const ExploreOptions& options,
                              const CrashOracle& oracle);

/// How many times as many states as usual a search should go through: 1, with VDISK_LONG in the environment
/// 8, or VDISK_LONG itself where that is a larger number.
std::uint64_t search_scale();

}  // namespace vdisk::testing
