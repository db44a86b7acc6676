// SPDX-License-Identifier: Apache-2.0
//
// Scripts of writes, and what a disk must show after a power cut in the middle of one.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "format/intent_memory.h"
#include "format/vhdx/write_test_support.h"
#include "testing/cow_file.h"
#include "testing/crash_explorer.h"
#include "testing/recording_file.h"

namespace vdisk::vhdx {

struct Step {
  enum class Kind : std::uint8_t { kWrite, kZero, kTrim, kFlush, kReopen, kSuccession };
  Kind kind = Kind::kWrite;
  std::uint64_t at = 0;
  std::uint64_t length = 0;

  static Step write(std::uint64_t at, std::uint64_t length) { return {Kind::kWrite, at, length}; }
  static Step zero(std::uint64_t at, std::uint64_t length) { return {Kind::kZero, at, length}; }
  static Step trim(std::uint64_t at, std::uint64_t length) { return {Kind::kTrim, at, length}; }
  static Step flush() { return {Kind::kFlush}; }
  static Step reopen() { return {Kind::kReopen}; }
  /// The process is killed, the machine is not, and a successor takes over what was answered.
  static Step succession() { return {Kind::kSuccession}; }
};
using Script = std::vector<Step>;

/// The parts of each block that small writes keep to and that are looked at after a crash.
inline constexpr std::uint64_t kEdgeBytes = 8 * kKiB;

inline Script random_script(const Shape& shape, std::uint64_t seed, std::size_t steps) {
  std::mt19937_64 random(seed);
  const std::uint64_t blocks = shape.disk_bytes / shape.block_bytes;
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  Script script;
  while (script.size() < steps) {
    const std::uint64_t block = below(blocks) * shape.block_bytes;
    const std::uint64_t most = std::min<std::uint64_t>(2, (shape.disk_bytes - block) / shape.block_bytes);
    const std::uint64_t whole = (1 + below(most)) * shape.block_bytes;
    const std::uint64_t edge = below(2) == 0 ? block : block + shape.block_bytes - kEdgeBytes;
    const std::uint64_t sectors = kEdgeBytes / shape.sector_bytes;
    const std::uint64_t first = below(sectors);
    const std::uint64_t count = 1 + below(sectors - first);
    const std::uint64_t at = edge + first * shape.sector_bytes;
    switch (below(24)) {
      case 0:
        script.push_back(Step::write(block, whole));
        break;
      case 1:
      case 2:
        script.push_back(Step::trim(block, whole));
        break;
      case 3:
        script.push_back(Step::zero(block, whole));
        break;
      case 4:
        script.push_back(Step::zero(at, count * shape.sector_bytes));
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        script.push_back(Step::flush());
        break;
      case 9:
        if (below(4) == 0) script.push_back(Step::reopen());
        break;
      default:
        script.push_back(Step::write(at, count * shape.sector_bytes));
    }
  }
  return script;
}

/// Plays scripts on one file and keeps the model; promises to the recording what flush and close promise.
class Player {
 public:
  Player(const Shape& shape, Model& model) : shape_(shape), model_(model) {}

  enum class End { kClose, kKilled };
  Status play(const std::shared_ptr<File>& file, const Script& script, testing::Recording* recording,
              End end = End::kClose) {
    const bool served =
        std::ranges::any_of(script, [](const Step& step) { return step.kind == Step::Kind::kSuccession; });
    memory_ = served ? VDISK_TRY(IntentMemory::create()) : nullptr;
    auto image = VDISK_TRY(begin(file));
    for (const Step& step : script) {
      switch (step.kind) {
        case Step::Kind::kWrite:
          // First the model: a step that fails or is cut may have happened in part.
          model_.write(step.at, step.length, ++op_);
          VDISK_TRY(write_image(*image, step.at, stamped(step.at, step.length, op_)));
          break;
        case Step::Kind::kZero:
        case Step::Kind::kTrim:
          model_.zero(step.at, step.length, ++op_);
          VDISK_TRY(
              discard_image(*image, {DiskOffset{step.at}, step.length}, step.kind == Step::Kind::kZero));
          break;
        case Step::Kind::kFlush:
          VDISK_TRY(image->flush());
          keep(recording, "flush");
          break;
        case Step::Kind::kReopen:
          VDISK_TRY(image->close());
          keep(recording, "close");
          image.reset();
          image = VDISK_TRY(begin(file));
          break;
        case Step::Kind::kSuccession: {
          image.reset();
          const bool taken_over = !VDISK_TRY(memory_->pending()).empty();
          image = VDISK_TRY(begin(file));
          // Whoever takes something over flushes.
          if (taken_over) keep(recording, "succession");
          break;
        }
      }
    }
    if (end == End::kKilled) return {};
    VDISK_TRY(image->close());
    keep(recording, "close");
    return {};
  }
  std::uint64_t op() const { return op_; }
  /// The last operation that was promised to be durable.
  std::uint64_t kept() const { return kept_; }

 private:
  Result<std::unique_ptr<Image>> begin(const std::shared_ptr<File>& file) {
    auto image = VDISK_TRY(open(std::make_unique<SharedFile>(file), true));
    if (memory_) VDISK_TRY(image->keep_intents(*memory_));
    return image;
  }
  void keep(testing::Recording* recording, const char* what) {
    kept_ = op_;
    if (recording != nullptr) recording->promise(op_, what);
  }
  const Shape& shape_;
  Model& model_;
  std::uint64_t op_ = 0;
  std::uint64_t kept_ = 0;
  std::unique_ptr<IntentMemory> memory_;  ///< Of scripts with a succession.
};

/// "" when every unit near the edges of every block shows what it may.
inline std::string compare_edges(const Shape& shape, const Model& model, Image& image,
                                 std::uint64_t flushed) {
  for (std::uint64_t block = 0; block < shape.disk_bytes; block += shape.block_bytes) {
    for (const std::uint64_t at : {block, block + shape.block_bytes - kEdgeBytes}) {
      std::string problem = model.compare_after_crash(image, at, kEdgeBytes, flushed);
      if (!problem.empty()) return problem;
    }
  }
  return {};
}

inline std::uint64_t flushed_op(const testing::CrashState& state) {
  std::uint64_t flushed = 0;
  for (const auto* promise : state.promises) {
    if (promise->promise != testing::kRecovered) flushed = std::max(flushed, promise->promise);
  }
  return flushed;
}

/// The whole judgement of a state: opens, is sound, shows what it may; and after another session too.
inline std::string judge_state(const Shape& shape, const Model& model, testing::CrashState& state,
                               bool with_session) {
  const std::uint64_t flushed = flushed_op(state);
  {
    auto image = open(std::make_unique<testing::CowFile>(state.file));
    if (!image) return "does not open: " + image.error().message();
    std::string problem = compare_edges(shape, model, **image, flushed);
    if (!problem.empty()) return problem;
  }
  const CheckReport report = check(*state.file);
  if (report.damaged()) return "damaged: " + report.findings.front().message;
  if (state.promised(testing::kRecovered)) {
    std::string problem = check_problem(*state.file, true);
    if (!problem.empty()) return "not clean after recovery: " + problem;
  }
  if (!with_session) return {};
  // Whoever goes on writing after the crash harms nothing.
  Model later(shape.disk_bytes, shape.initial());
  const auto file = std::make_shared<testing::CowFile>(state.file);
  auto image = open(std::make_unique<SharedFile>(file), true);
  if (!image) return "does not open for writing: " + image.error().message();
  constexpr std::uint64_t kLaterOp = 1u << 30;
  for (std::uint64_t block = 0; block < shape.disk_bytes; block += 3 * shape.block_bytes) {
    const std::uint64_t at = block + kEdgeBytes;  // No script writes there by itself, and nobody looks.
    if (auto status = write_image(**image, at, stamped(at, 2 * shape.sector_bytes, kLaterOp)); !status)
      return "a later write fails: " + status.error().message();
  }
  if (auto status = (*image)->close(); !status) return "a later close fails: " + status.error().message();
  std::string problem = check_problem(*file, true);
  if (!problem.empty()) return "not clean after a later session: " + problem;
  return compare_edges(shape, model, **open(std::make_unique<SharedFile>(file)), flushed);
}

/// Where noise must be noticed: headers, log and the BAT's pages that are in the log while they are written.
inline std::vector<testing::TrashableRange> trashable(const Shape& shape) {
  VhdxBuilder builder = shape.builder();
  return {{kHeaderAt[0], kHeaderBytes},
          {kHeaderAt[1], kHeaderBytes},
          {builder.log_offset(), kMiB},
          {builder.bat_offset(), 4096}};
}

inline Status open_and_close(std::unique_ptr<File> file) {
  auto image = VDISK_TRY(open(std::move(file), true));
  return image->close();
}

/// A disk that was in use before: `before` is played and closed, then `script` is recorded and cut.
inline testing::ExploreReport explore(const Shape& shape, const Script& before, const Script& script,
                                      testing::ExploreOptions options,
                                      Player::End end = Player::End::kClose) {
  Model model(shape.disk_bytes, shape.initial());
  Player player(shape, model);
  const std::shared_ptr<File> base = shape.file();
  EXPECT_EQ(message_of(player.play(base, before, nullptr)), "");
  testing::Recording recording(base);
  recording.promise(player.kept(), "the disk as it was");
  const auto file = std::make_shared<testing::RecordingFile>(recording);
  EXPECT_EQ(message_of(player.play(file, script, &recording, end)), "");
  options.trashable = trashable(shape);
  options.recover = open_and_close;
  std::uint64_t judged = 0;
  return testing::explore_crashes(recording, options, [&](testing::CrashState& state) {
    return judge_state(shape, model, state, ++judged % 32 == 0);
  });
}

}  // namespace vdisk::vhdx
