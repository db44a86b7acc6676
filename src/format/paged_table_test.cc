// SPDX-License-Identifier: Apache-2.0
#include "format/paged_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <thread>
#include <vector>

#include "io/faults.h"

namespace vdisk {
namespace {

using Bytes = std::span<std::byte, PagedTable::kPageBytes>;

void fill(Bytes into, std::uint64_t number) {
  std::ranges::fill(into, std::byte{0});
  std::memcpy(into.data(), &number, sizeof number);
}

std::uint64_t number_of(const PagedTable::Page* page) {
  std::uint64_t number = 0;
  std::memcpy(&number, page->bytes, sizeof number);
  return number;
}

TEST(PagedTable, LoadsEachPageOnceAndKeepsItsPlace) {
  std::vector<unsigned> loads(3);
  PagedTable table(3, 1 << 20, [&loads](std::uint64_t page, Bytes into) -> Status {
    ++loads[page];
    fill(into, page + 10);
    return {};
  });
  const auto first = table.page(2);
  ASSERT_TRUE(first);
  EXPECT_EQ(number_of(*first), 12U);
  EXPECT_EQ(*table.page(2), *first);
  EXPECT_EQ(loads, (std::vector<unsigned>{0, 0, 1}));
}

TEST(PagedTable, ZeroPagesAreSharedAndCostNothing) {
  PagedTable table(std::uint64_t{131104}, 0, [](std::uint64_t, Bytes into) -> Status {
    std::ranges::fill(into, std::byte{0});
    return {};
  });
  const auto first = table.page(0);
  const auto last = table.page(131103);
  ASSERT_TRUE(first && last) << "a limit of 0 bytes allows zero pages";
  EXPECT_EQ(*first, *last);
  EXPECT_TRUE(PagedTable::is_zero(*first));
}

TEST(PagedTable, AFailedLoadIsTriedAgain) {
  bool broken = true;
  PagedTable table(1, 1 << 20, [&broken](std::uint64_t, Bytes into) -> Status {
    if (broken) return fail(io::faults::kDevice, "broken");
    fill(into, 7);
    return {};
  });
  const auto failed = table.page(0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().id(), "io.device");
  broken = false;
  const auto page = table.page(0);
  ASSERT_TRUE(page);
  EXPECT_EQ(number_of(*page), 7U);
}

TEST(PagedTable, BoundsItsMemory) {
  PagedTable table(3, 2 * PagedTable::kPageBytes, [](std::uint64_t page, Bytes into) -> Status {
    fill(into, page + 1);
    return {};
  });
  ASSERT_TRUE(table.page(0));
  ASSERT_TRUE(table.page(1));
  for (int i = 0; i < 2; ++i) {
    const auto third = table.page(2);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().id(), faults::kMemory.id);
    EXPECT_EQ(third.error().code(), 8U);
  }
  EXPECT_EQ(number_of(*table.page(1)), 2U) << "what is loaded stays usable";
}

TEST(PagedTable, ThreadsThatLoadOnePageAtOnceCountItOnce) {
  constexpr unsigned kThreads = 4;
  std::barrier all_read(kThreads);
  PagedTable table(1, PagedTable::kPageBytes, [&all_read](std::uint64_t, Bytes into) -> Status {
    fill(into, 5);
    all_read.arrive_and_wait();
    return {};
  });
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] { failed += table.page(0) ? 0 : 1; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0U);
}

// Run under TSan too. All threads ask for the same pages at the same moment; each must see whole pages, and
// the same copy as everyone else.
TEST(PagedTable, ManyThreadsSeeOneCopyOfEachPage) {
  constexpr std::uint64_t kPages = 1500;  // more than two leaves of the directory
  constexpr unsigned kThreads = 8;
  std::atomic<unsigned> loads{0};
  PagedTable table(kPages, kPages * PagedTable::kPageBytes,
                   [&loads](std::uint64_t page, Bytes into) -> Status {
                     ++loads;
                     fill(into, page % 3 == 0 ? 0 : page);
                     into.back() = into.front();
                     return {};
                   });
  std::vector<std::vector<const PagedTable::Page*>> seen(kThreads,
                                                         std::vector<const PagedTable::Page*>(kPages));
  std::atomic<unsigned> wrong{0};
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      for (std::uint64_t i = 0; i < kPages; ++i) {
        const std::uint64_t number = t % 2 == 0 ? i : kPages - 1 - i;
        const auto page = table.page(number);
        if (!page || number_of(*page) != (number % 3 == 0 ? 0 : number) ||
            (*page)->bytes[PagedTable::kPageBytes - 1] != (*page)->bytes[0]) {
          ++wrong;
        } else {
          seen[t][number] = *page;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0U);
  for (unsigned t = 1; t < kThreads; ++t) EXPECT_EQ(seen[t], seen[0]);
  EXPECT_GE(loads, kPages);
  // The copies that lost their race do not count against the limit: every page is still loadable.
  for (std::uint64_t i = 0; i < kPages; ++i) ASSERT_TRUE(table.page(i));
}

}  // namespace
}  // namespace vdisk
