// SPDX-License-Identifier: Apache-2.0
#include "format/intent_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <new>

#include "format/registry.h"

namespace vdisk {

namespace {

enum class Kind : std::uint32_t { kFresh = 1, kWritten = 2, kDiscard = 3 };

struct Record {
  std::uint64_t block;
  std::uint64_t place;
  std::uint32_t first_sector;
  std::uint32_t sector_count;
  Kind kind;
  std::uint32_t reserved;
};

constexpr std::uint64_t kMagic = 0x31746e65746e6964;  // "dintent1"
// What may be under way when nearly_full() says stop: a thousand tickets, each as large as they come.
constexpr std::uint64_t kMargin = 1024 * WriteTicket::kMostChanges;
static_assert(kMargin < IntentMemory::kCapacity / 2);

/// Adds [first, first + count) and keeps the list sorted and merged.
void add_sectors(std::vector<PendingBlock::Sectors>& list, std::uint32_t first, std::uint32_t count) {
  std::uint64_t begin = first;
  std::uint64_t end = begin + count;
  std::erase_if(list, [&](const PendingBlock::Sectors& other) {
    const std::uint64_t other_end = std::uint64_t{other.first} + other.count;
    if (other.first > end || other_end < begin) return false;
    begin = std::min<std::uint64_t>(begin, other.first);
    end = std::max(end, other_end);
    return true;
  });
  const PendingBlock::Sectors merged{static_cast<std::uint32_t>(begin),
                                     static_cast<std::uint32_t>(end - begin)};
  list.insert(std::ranges::upper_bound(list, merged.first, {}, &PendingBlock::Sectors::first), merged);
}

}  // namespace

/// Lies in memory that other processes map: nothing but numbers.
struct IntentMemory::Ring {
  std::uint64_t magic;
  std::uint64_t capacity;
  std::atomic<std::uint64_t>
      head;  ///< Changes recorded since the beginning; the newest is at (head - 1) % capacity.
  std::atomic<std::uint64_t> tail;  ///< Changes that are forgotten.
  std::atomic<std::uint64_t> lost;  ///< Changes that found no room.
  std::array<Record, kCapacity> records;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Result<std::unique_ptr<IntentMemory>> IntentMemory::map(UniqueFd memory) {
  void* const at = ::mmap(nullptr, sizeof(Ring), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) {
    return fail_errno(format::faults::kIntentMemory, errno, "mapping {} bytes to keep unflushed changes in",
                      sizeof(Ring));
  }
  return std::unique_ptr<IntentMemory>(new IntentMemory(std::move(memory), static_cast<Ring*>(at)));
}

Result<std::unique_ptr<IntentMemory>> IntentMemory::create() {
  UniqueFd memory(::memfd_create("vdisk-intents", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory || ::ftruncate(memory.get(), sizeof(Ring)) != 0) {
    return fail_errno(format::faults::kIntentMemory, errno, "making {} bytes to keep unflushed changes in",
                      sizeof(Ring));
  }
  std::unique_ptr<IntentMemory> made = VDISK_TRY(map(std::move(memory)));
  made->ring_->capacity = kCapacity;
  made->ring_->magic = kMagic;
  return made;
}

Result<std::unique_ptr<IntentMemory>> IntentMemory::open(UniqueFd memory) {
  struct stat stat{};
  if (::fstat(memory.get(), &stat) != 0 || stat.st_size != static_cast<off_t>(sizeof(Ring))) {
    return fail(format::faults::kIntentMemory,
                "descriptor {} holds no list of unflushed changes: {} bytes, not {}", memory.get(),
                stat.st_size, sizeof(Ring));
  }
  std::unique_ptr<IntentMemory> opened = VDISK_TRY(map(std::move(memory)));
  if (opened->ring_->magic != kMagic || opened->ring_->capacity != kCapacity) {
    return fail(format::faults::kIntentMemory,
                "descriptor {} holds no list of unflushed changes: it begins with {:#x}", opened->fd(),
                opened->ring_->magic);
  }
  return opened;
}

IntentMemory::~IntentMemory() { ::munmap(ring_, sizeof(Ring)); }

namespace {

template <class Ring>
void append(Ring& ring, const Record& record) noexcept {
  const std::uint64_t head = ring.head.load(std::memory_order_relaxed);
  if (head - ring.tail.load(std::memory_order_acquire) >= IntentMemory::kCapacity) {
    ring.lost.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ring.records[head % IntentMemory::kCapacity] = record;
  ring.head.store(head + 1,
                  std::memory_order_release);  // What is before head is whole, whenever we are killed.
}

}  // namespace

void IntentMemory::record(const BlockChange& change) noexcept {
  append(*ring_, {change.block, change.place.bytes, change.first_sector, change.sector_count,
                  change.fresh ? Kind::kFresh : Kind::kWritten, 0});
}

void IntentMemory::record_discard(std::uint64_t block) noexcept {
  append(*ring_, {block, 0, 0, 0, Kind::kDiscard, 0});
}

bool IntentMemory::nearly_full() const noexcept {
  return ring_->head.load(std::memory_order_relaxed) - ring_->tail.load(std::memory_order_relaxed) >=
         kCapacity - kMargin;
}

std::uint64_t IntentMemory::position() const noexcept { return ring_->head.load(std::memory_order_acquire); }

void IntentMemory::forget_before(std::uint64_t position) noexcept {
  ring_->tail.store(position, std::memory_order_release);
}

Result<std::vector<PendingBlock>> IntentMemory::pending() const {
  const std::uint64_t head = ring_->head.load(std::memory_order_acquire);
  const std::uint64_t tail = ring_->tail.load(std::memory_order_acquire);
  if (ring_->lost.load(std::memory_order_relaxed) != 0 || head < tail || head - tail > kCapacity) {
    return fail(format::faults::kIntentMemory,
                "the list of unflushed changes is not whole: {} recorded, {} forgotten, {} lost", head, tail,
                ring_->lost.load(std::memory_order_relaxed));
  }
  std::map<std::uint64_t, PendingBlock> blocks;
  for (std::uint64_t at = tail; at != head; ++at) {
    const Record& record = ring_->records[at % kCapacity];
    PendingBlock& block = blocks[record.block];
    block.block = record.block;
    if (record.kind == Kind::kDiscard || record.kind == Kind::kFresh) {
      // A new place makes what came before of no account, as a discard does.
      block.discarded |= record.kind == Kind::kDiscard;
      block.place.reset();
      block.written.clear();
      block.fresh = record.kind == Kind::kFresh;
    }
    if (record.kind == Kind::kDiscard) continue;
    block.place = FileOffset{record.place};
    add_sectors(block.written, record.first_sector, record.sector_count);
  }
  std::vector<PendingBlock> list;
  list.reserve(blocks.size());
  for (auto& [number, block] : blocks) list.push_back(std::move(block));
  return list;
}

}  // namespace vdisk
