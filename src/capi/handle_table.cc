// SPDX-License-Identifier: Apache-2.0
#include "capi/handle_table.h"

namespace vdisk::capi {

namespace {

// A handle's bits: 2 zero bits, 22 bits of slot, then the generation.
constexpr unsigned kSlotShift = 2;
constexpr unsigned kGenerationShift = 24;
constexpr std::uint64_t kSlotMask = (std::uint64_t{1} << (kGenerationShift - kSlotShift)) - 1;

HANDLE make_handle(std::uint32_t slot, std::uint32_t generation) noexcept {
  const std::uint64_t bits =
      (std::uint64_t{generation} << kGenerationShift) | (std::uint64_t{slot} << kSlotShift);
  return reinterpret_cast<HANDLE>(static_cast<std::uintptr_t>(bits));  // NOLINT: a handle is a number
}

}  // namespace

HandleTable& HandleTable::instance() {
  // Never destroyed: a thread that outlives main may still close its handles.
  static HandleTable* const table = new HandleTable;
  return *table;
}

HandleTable::Slot* HandleTable::slot_of(HANDLE handle) const {
  const auto bits = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle));  // NOLINT
  const std::uint64_t slot = (bits >> kSlotShift) & kSlotMask;
  if (slot >= slots_.size() ||
      make_handle(static_cast<std::uint32_t>(slot), slots_[slot].generation) != handle) {
    return nullptr;
  }
  return slots_[slot].object == nullptr ? nullptr : &slots_[slot];
}

HANDLE HandleTable::add(std::shared_ptr<const HandleObject> object) {
  const MutexLock lock(mutex_);
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
    free_.reserve(slots_.size());  // so that remove() cannot fail
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot].object = std::move(object);
  return make_handle(slot, slots_[slot].generation);
}

std::shared_ptr<const HandleObject> HandleTable::find(HANDLE handle) const {
  const MutexLock lock(mutex_);
  const Slot* slot = slot_of(handle);
  return slot == nullptr ? nullptr : slot->object;
}

bool HandleTable::remove(HANDLE handle) {
  std::shared_ptr<const HandleObject> last;  // closed outside the lock: closing does I/O
  const MutexLock lock(mutex_);
  Slot* slot = slot_of(handle);
  if (slot == nullptr) return false;
  last.swap(slot->object);
  ++slot->generation;
  free_.push_back(static_cast<std::uint32_t>(slot - slots_.data()));
  return true;
}

}  // namespace vdisk::capi

BOOL CloseHandle(HANDLE handle) {
  if (vdisk::capi::HandleTable::instance().remove(handle)) return TRUE;
  SetLastError(ERROR_INVALID_HANDLE);
  return FALSE;
}
