// SPDX-License-Identifier: Apache-2.0
//
// The power goes during each operation on its own: some 2,500 states of each on each kind of disk, four times
// that for the format (the log's way around is in write_crash_test.cc, creation in create_test.cc).
#include <functional>

#include "format/vhdx/write_crash_support.h"

namespace vdisk::vhdx {
namespace {

using testing::ExploreOptions;
using testing::ExploreReport;

class OperationCrashes : public ::testing::TestWithParam<Shape> {
 protected:
  using Scripter = std::function<Script(std::mt19937_64&)>;

  std::uint64_t sector() const { return GetParam().sector_bytes; }
  std::uint64_t block() const { return GetParam().block_bytes; }
  std::uint64_t any_block(std::mt19937_64& random) const {
    return random() % (GetParam().disk_bytes / block()) * block();
  }
  /// At one of a block's edges, where the judge looks.
  Step small_write(std::mt19937_64& random) const {
    const std::uint64_t sectors = kEdgeBytes / sector();
    const std::uint64_t first = random() % sectors;
    const std::uint64_t edge = random() % 2 == 0 ? 0 : block() - kEdgeBytes;
    return Step::write(any_block(random) + edge + first * sector(),
                       (1 + random() % (sectors - first)) * sector());
  }
  Step over_two_blocks(std::mt19937_64& random) const {
    const std::uint64_t at = (1 + random() % (GetParam().disk_bytes / block() - 1)) * block();
    return Step::write(at - 4096, 8192);
  }

  /// Cuts scripts, each on a disk with a past of its own, until there are enough states.
  void search(const char* operation, const Scripter& scripter, Player::End end = Player::End::kKilled) const {
    const std::uint64_t wanted = 2500 * testing::search_scale();
    std::uint64_t states = 0;
    for (std::uint64_t seed = 1; states < wanted; ++seed) {
      std::mt19937_64 random(seed);
      ExploreOptions options;
      options.seed = seed;
      options.exhaustive_pieces = 6;
      options.random_states = 24;
      options.trashed_states = 8;
      options.most_states = 40;
      options.recover_every = 24;
      options.recovery_states = 6;
      const Script before = random_script(GetParam(), seed * 1000, 16);
      const ExploreReport report = explore(GetParam(), before, scripter(random), options, end);
      ASSERT_EQ(report.failure, "") << operation << ", script seed " << seed;
      ASSERT_GT(report.states, 0u);
      states += report.states;
    }
    RecordProperty(std::string("crash_states.vhdx.") + operation, std::to_string(states));
  }
};
INSTANTIATE_TEST_SUITE_P(Shapes, OperationCrashes, ::testing::ValuesIn(all_shapes()),
                         [](const auto& shape) { return shape.param.name(); });

TEST_P(OperationCrashes, Write) {
  search("write", [this](std::mt19937_64& random) {
    Script script;
    for (int i = 0; i < 4; ++i) {
      script.push_back(small_write(random));
      script.push_back(random() % 4 == 0 ? Step::write(any_block(random), block()) : over_two_blocks(random));
      script.push_back(small_write(random));
      script.push_back(Step::flush());
    }
    return script;
  });
}

TEST_P(OperationCrashes, Trim) {
  search("trim", [this](std::mt19937_64& random) {
    Script script;
    for (int i = 0; i < 5; ++i) {
      script.push_back(Step::trim(any_block(random), block()));
      if (i % 2 == 1) script.push_back(small_write(random));  // perhaps into what was freed
      script.push_back(Step::trim(any_block(random), block()));
      script.push_back(Step::flush());
    }
    return script;
  });
}

TEST_P(OperationCrashes, Zero) {
  search("zero", [this](std::mt19937_64& random) {
    Script script;
    for (int i = 0; i < 5; ++i) {
      script.push_back(Step::zero(any_block(random), block()));
      const Step small = small_write(random);
      script.push_back(Step::zero(small.at, small.length));
      if (i % 2 == 1) script.push_back(small_write(random));
      script.push_back(Step::flush());
    }
    return script;
  });
}

TEST_P(OperationCrashes, Flush) {
  search("flush", [this](std::mt19937_64& random) {
    Script script;
    for (int i = 0; i < 8; ++i) {
      script.push_back(small_write(random));
      script.push_back(Step::flush());
      if (i % 3 == 2) script.push_back(Step::flush());
    }
    return script;
  });
}

TEST_P(OperationCrashes, Close) {
  search(
      "close",
      [this](std::mt19937_64& random) {
        Script script;
        for (int i = 0; i < 3; ++i) {
          script.push_back(small_write(random));
          if (random() % 2 == 0) script.push_back(Step::trim(any_block(random), block()));
          script.push_back(Step::reopen());
        }
        script.push_back(small_write(random));
        return script;
      },
      Player::End::kClose);
}

}  // namespace
}  // namespace vdisk::vhdx
