// SPDX-License-Identifier: Apache-2.0
#include "base/io_gate.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace vdisk {
namespace {

TEST(IoGate, AnEpochEndsWhenItsPassesHaveLeft) {
  IoGate gate;
  auto pass = std::make_unique<IoGate::Pass>(gate.enter());
  const std::uint64_t freed = gate.epoch();
  EXPECT_FALSE(gate.ended(freed));
  gate.try_advance();
  EXPECT_FALSE(gate.ended(freed));
  const IoGate::Pass later = gate.enter();  // does not hold up the older epoch
  gate.try_advance();
  EXPECT_FALSE(gate.ended(freed));
  pass.reset();
  EXPECT_TRUE(gate.ended(freed));
}

TEST(IoGate, WithoutPassesAnEpochEndsAtTheNextAdvance) {
  IoGate gate;
  const std::uint64_t freed = gate.epoch();
  EXPECT_FALSE(gate.ended(freed));
  gate.try_advance();
  EXPECT_TRUE(gate.ended(freed));
}

TEST(IoGate, NeverEndsAnEpochThatSomeoneIsIn) {
  IoGate gate;
  std::atomic<bool> stop{false};
  std::atomic<const int*> shared{new int(1)};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        const IoGate::Pass pass = gate.enter();
        EXPECT_EQ(*shared.load(), 1);  // a use after free for the sanitizers if the gate lied
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    const int* old = shared.exchange(new int(1));
    const std::uint64_t freed = gate.epoch();
    while (!gate.ended(freed)) {
      gate.try_advance();
      std::this_thread::yield();
    }
    delete old;
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  delete shared.load();
}

}  // namespace
}  // namespace vdisk
