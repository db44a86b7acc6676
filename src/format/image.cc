// SPDX-License-Identifier: Apache-2.0
#include "format/image.h"

#include <algorithm>

#include "base/fault_ledger.h"
#include "format/registry.h"

namespace vdisk {

inline namespace v1 {

bool CheckReport::damaged() const noexcept {
  return std::ranges::find(findings, Finding::Severity::kDamage, &Finding::severity) != findings.end();
}

}  // namespace v1

void CheckSink::add_text(Finding::Severity severity, const Fault& fault, std::string message) {
  record_fault_in_ledger(fault.id);  // A finding provokes its row as an error does.
  ++report_.findings_total;
  // Damage must show even when a thousand notes came first: the last slot is given up for it.
  if (report_.findings.size() >= CheckReport::kMostFindings) {
    if (severity != Finding::Severity::kDamage || report_.damaged()) return;
    report_.findings.pop_back();
  }
  report_.findings.push_back({severity, path_, std::string(fault.id), fault.code, std::move(message)});
}

void CheckSink::add(const Error& error) {
  add_text(Finding::Severity::kDamage, error.fault(), error.message());
}

Result<WriteTicket> Image::resolve_write(DiskRange, RunList&) {
  return fail(format::faults::kNotWritable, "{}: not opened for writing", file().name());
}

Status Image::discard(DiskRange, bool, std::vector<DiskRange>&) {
  return fail(format::faults::kNotWritable, "{}: not opened for writing", file().name());
}

Status Image::flush() { return {}; }
Status Image::close() { return {}; }

// An image whose mapping never changes has nothing to keep.
Status Image::keep_intents(IntentMemory&) { return {}; }

void describe(const Image& image, ImageInfo& info) {
  const ImageProperties& properties = image.properties();
  info.format = image.format().id;
  info.type = properties.type;
  info.virtual_size_bytes = properties.geometry.virtual_size_bytes;
  info.block_size_bytes = properties.geometry.block_bytes;
  info.logical_sector_bytes = properties.geometry.logical_sector_bytes;
  info.physical_sector_bytes = properties.geometry.physical_sector_bytes;
  if (!properties.identifier.is_zero()) info.identifier = properties.identifier;
  if (!properties.virtual_disk_id.is_zero()) info.virtual_disk_id = properties.virtual_disk_id;
  info.creator = properties.creator;
  info.dirty_log = properties.dirty_log;
  info.payload_4k_aligned = properties.payload_4k_aligned;
  if (properties.parent) {
    info.parent.emplace();
    info.parent->locator = *properties.parent;
    if (!properties.parent->linkage.empty()) info.parent->identifier = properties.parent->linkage.front();
  }
  info.details = properties.details;
  info.notes = properties.notes;
}

}  // namespace vdisk
