// SPDX-License-Identifier: Apache-2.0
#include "chain/read_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "chain/chain.h"
#include "format/registry.h"
#include "io/memory_file.h"

namespace vdisk {
namespace {

// An image whose every sector is told by a table: from the file (at a place that names layer and sector),
// zeros, or the parent's.
class TableImage final : public Image {
 public:
  TableImage(std::vector<Run::Source> sectors, std::size_t most_runs)
      : sectors_(std::move(sectors)), most_(most_runs) {
    properties_.geometry.virtual_size_bytes = sectors_.size() * 512;
  }
  const Format& format() const noexcept override { return format_by_id(FormatId::kRaw); }
  const ImageProperties& properties() const noexcept override { return properties_; }
  File& file() const noexcept override { return file_; }
  Result<std::uint64_t> allocated_bytes() override { return 0; }

  Result<std::uint64_t> resolve_read(DiskRange range, RunList& runs) override {
    EXPECT_NE(range.length, 0U);
    EXPECT_LE(range.end(), properties_.geometry.virtual_size_bytes);
    runs.clear();
    std::uint64_t at = range.at.bytes;
    while (at < range.end() && runs.size() <= most_) {
      const std::uint64_t end = std::min(range.end(), (at / 512 + 1) * 512);
      // Files hold the sectors backwards, so that no two of them ever continue one another.
      const std::uint64_t from = (sectors_.size() - at / 512) * 1024 + at % 512;
      const Run run{
          .source = sectors_[at / 512], .at = DiskOffset{at}, .length = end - at, .from = FileOffset{from}};
      const std::size_t before = runs.size();
      if (before == most_ && runs.back().source != run.source) break;
      if (!runs.add(run)) break;
      at = end;
      if (runs.size() > most_) break;
    }
    return at - range.at.bytes;
  }

  Run::Source source(std::uint64_t sector) const { return sectors_[sector]; }
  std::uint64_t sectors() const { return sectors_.size(); }

 private:
  std::vector<Run::Source> sectors_;
  std::size_t most_;
  ImageProperties properties_;
  mutable MemoryFile file_;
};

struct Model {
  std::vector<const TableImage*> images;
  std::vector<Layer> layers;

  void add(std::vector<Run::Source> sectors, std::size_t most_runs = RunList::kCapacity) {
    auto image = std::make_unique<TableImage>(std::move(sectors), most_runs);
    images.push_back(image.get());
    layers.push_back({"layer " + std::to_string(layers.size()), std::move(image)});
  }

  // Where the byte is, by looking at one layer after the other.
  PlannedRun where(std::uint64_t at) const {
    for (std::uint32_t i = 0; i < images.size(); ++i) {
      if (at / 512 >= images[i]->sectors()) return {PlannedRun::Source::kZero, i, {}, 0, {}};
      switch (images[i]->source(at / 512)) {
        case Run::Source::kFile:
          return {PlannedRun::Source::kFile, i, {}, 0, {(images[i]->sectors() - at / 512) * 1024 + at % 512}};
        case Run::Source::kZero:
          return {PlannedRun::Source::kZero, i, {}, 0, {}};
        case Run::Source::kParent:
          break;
      }
    }
    return {PlannedRun::Source::kUnresolved, 0, {}, 0, {}};
  }
};

// Plans [at, end) step by step and compares every run, byte by byte at its ends, with the model.
void check_against(const Model& model, const Chain& chain, std::uint64_t at, std::uint64_t end) {
  ReadPlan plan;
  while (at < end) {
    const auto covered = chain.plan_read({{at}, end - at}, plan);
    ASSERT_TRUE(covered);
    ASSERT_GT(*covered, 0U);
    std::uint64_t total = 0;
    for (const PlannedRun& run : plan) {
      ASSERT_EQ(run.at.bytes, at);
      for (std::uint64_t byte = 0; byte < run.length;
           byte += byte + 512 < run.length ? 512 : std::max<std::uint64_t>(1, run.length - 1 - byte)) {
        const PlannedRun expected = model.where(at + byte);
        ASSERT_EQ(run.source, expected.source) << at + byte;
        if (run.source == PlannedRun::Source::kFile) {
          ASSERT_EQ(run.layer, expected.layer);
          ASSERT_EQ(run.from.bytes + byte, expected.from.bytes);
        }
        if (byte + 1 == run.length) break;
      }
      at += run.length;
      total += run.length;
    }
    ASSERT_EQ(total, *covered);
  }
  ASSERT_EQ(at, end);
}

TEST(PlanReadTest, RandomChainsAgreeWithAModel) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&random](std::uint32_t limit) {
      return static_cast<std::uint32_t>(random() % limit);
    };
    Model model;
    const std::uint32_t depth = 1 + below(20);
    const bool complete = below(2) == 0;
    for (std::uint32_t i = 0; i < depth; ++i) {
      std::vector<Run::Source> sectors(1 + below(200));
      const std::uint32_t change = 1 + below(8);  // how long stretches are
      Run::Source source = Run::Source::kParent;
      for (Run::Source& sector : sectors) {
        if (below(change) == 0) source = static_cast<Run::Source>(below(5) < 3 ? 2 : below(2));
        sector = complete && i + 1 == depth && source == Run::Source::kParent ? Run::Source::kZero : source;
      }
      model.add(std::move(sectors), 1 + below(RunList::kCapacity));
    }
    const Chain chain(std::move(model.layers), complete);
    const std::uint64_t size = model.images[0]->sectors() * 512;
    check_against(model, chain, 0, size);
    for (int i = 0; i < 20; ++i) {
      const std::uint64_t at = random() % size;
      check_against(model, chain, at, at + 1 + random() % (size - at));
    }
  }
}

TEST(PlanReadTest, AChildMayBeLargerOrSmallerThanItsParent) {
  Model model;
  model.add(std::vector(100, Run::Source::kParent));
  model.add(std::vector(40, Run::Source::kFile));
  const Chain larger(std::move(model.layers), true);
  check_against(model, larger, 0, 100 * 512);
  check_against(model, larger, 39 * 512 + 100, 41 * 512);
  ReadPlan plan;
  EXPECT_EQ(*larger.plan_read({{40 * 512}, 60 * 512}, plan), 60U * 512);
  EXPECT_EQ(plan[0].source, PlannedRun::Source::kZero);

  Model other;
  other.add(std::vector(10, Run::Source::kParent));
  other.add(std::vector(40, Run::Source::kFile));
  const Chain smaller(std::move(other.layers), true);
  check_against(other, smaller, 0, 10 * 512);
}

TEST(PlanReadTest, AParentThatIsNotOpenIsUnresolved) {
  Model model;
  model.add({Run::Source::kFile, Run::Source::kParent, Run::Source::kZero});
  const Chain chain(std::move(model.layers), false);
  check_against(model, chain, 0, 3 * 512);
}

TEST(PlanReadTest, EveryLayerFragmentedAtOnce) {
  // Each layer gives away every second sector of what it is asked, so that answers nest in all layers.
  Model model;
  for (int i = 0; i < 12; ++i) {
    std::vector<Run::Source> sectors(4096, Run::Source::kParent);
    for (std::size_t s = 0; s < sectors.size(); ++s) {
      if ((s >> i) % 2 != 0) sectors[s] = Run::Source::kFile;
    }
    model.add(std::move(sectors));
  }
  const Chain chain(std::move(model.layers), false);
  check_against(model, chain, 0, 4096 * 512);
}

}  // namespace
}  // namespace vdisk
