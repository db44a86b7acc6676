// SPDX-License-Identifier: Apache-2.0
//
// What a disk was told, by several threads at once, and whether it shows that: for the tests that work
// through Disk on real files and kill the writer, fill the host, or only write a lot. Every sector that is
// written says which operation wrote it and which sector it is, so that another block's bytes, older values
// and mixtures all show.
//
// A story lies in memory that a forked writer shares with whoever judges after the writer was killed.
#pragma once

#include <vdisk/disk.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace vdisk::testing {

/// One way a disk may be, with its parents.
struct DiskKind {
  FormatId format = FormatId::kVhdx;
  int depth = 1;  ///< Files in the chain; with more than one the leaf is differencing.
  std::uint32_t block_bytes = 1 << 20;
  std::uint32_t sector_bytes = 512;
  std::uint64_t disk_bytes = 16 << 20;

  std::string name() const;
  std::string file_name(int layer) const;
};

/// Makes the chain in `folder`, its parents with random content, and returns the path of the leaf, which is
/// new. Ends the program when that fails.
std::string make_disk(const std::string& folder, const DiskKind& kind, std::uint64_t seed);

/// Thread rule: told() and ended() of one narrator from one thread; all else while nobody writes.
class DiskStory {
 public:
  static constexpr unsigned kMostNarrators = 4;
  static constexpr std::uint32_t kMostDeeds = 4096;  ///< Of one narrator.
  static constexpr std::uint64_t kUnit = 512;

  enum class Verb : std::uint8_t { kWrite, kZero, kTrim, kFlush };
  struct Deed {
    Verb verb = Verb::kFlush;
    bool failed = false;
    std::uint32_t serial = 0;  ///< Of all deeds of the story; part of what a write writes.
    std::uint64_t first = 0;   ///< In units, as `count`.
    std::uint64_t count = 0;
    std::uint32_t covers[kMostNarrators] = {};  ///< kFlush: how many deeds of each narrator it makes certain.
  };

  explicit DiskStory(const DiskKind& kind);
  ~DiskStory();
  DiskStory(const DiskStory&) = delete;
  DiskStory& operator=(const DiskStory&) = delete;

  /// Takes what the disk shows for where the story begins.
  void begin(const Disk& disk);

  /// Which certainty a judge asks for.
  enum class Certain {
    kFlushed,  ///< What a flush covered; of the rest each sector may show any value since then.
    kDone,     ///< All that was answered.
  };
  /// "" when each sector shows what it may, else the first that does not.
  std::string judge(const Disk& disk, Certain certain) const;

  const DiskKind& kind() const noexcept { return kind_; }
  /// Deeds that have begun, of all narrators: for whoever waits for a moment to kill them.
  std::uint64_t begun() const noexcept;

  // For narrators.
  Deed& tell(unsigned narrator, Verb verb, std::uint64_t first, std::uint64_t count);
  void end(unsigned narrator, bool fine);

 private:
  struct Chapter {
    std::atomic<std::uint32_t> begun = 0;
    std::atomic<std::uint32_t> ended = 0;
    Deed deeds[kMostDeeds];
  };
  struct Shared {
    std::atomic<std::uint32_t> serial = 0;
    Chapter chapters[kMostNarrators];
  };

  const DiskKind kind_;
  Shared* const shared_;
  std::vector<std::uint64_t> beginning_;  ///< What each unit shows.
};

/// Does random things to a disk and tells them to the story; owns a part of the disk that no other narrator
/// writes to: whole blocks, and sectors of blocks that all of them share.
class Narrator {
 public:
  /// REQUIRES: the same `narrators` (at most kMostNarrators) for all of them.
  Narrator(const Disk& disk, DiskStory& story, unsigned number, unsigned narrators, std::uint64_t seed)
      : disk_(disk), story_(story), number_(number), narrators_(narrators), random_(seed) {}

  /// Of 16 steps some 4 flush, 2 trim, 2 zero and the rest write.
  Status step();
  Status write(std::uint64_t first, std::uint64_t count);
  Status discard(DiskStory::Verb verb, std::uint64_t first, std::uint64_t count);
  Status flush();

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  std::uint64_t block_units() const { return story_.kind().block_bytes / DiskStory::kUnit; }
  std::uint64_t own_block();

  const Disk& disk_;
  DiskStory& story_;
  const unsigned number_;
  const unsigned narrators_;
  std::mt19937_64 random_;
};

/// What `check` finds in the chain at `path` beyond what a killed or cut writer may leave
/// (docs/durability.md): lost space, a footer or header copy to mend, a log to replay. "" if nothing.
std::string check_flaws(const std::string& path);

}  // namespace vdisk::testing
