// SPDX-License-Identifier: Apache-2.0
//
// The text form of attachment records.
#include <charconv>

#include "attach/fields.h"
#include "attach/registry.h"

namespace vdisk::attach {

namespace {

constexpr std::string_view kFirstLine = "vdisk-attachment 1\n";

template <class T>
bool assign(T& into, std::optional<T> value) {
  if (value) into = *std::move(value);
  return value.has_value();
}

}  // namespace

void add_info(Fields& fields, const AttachmentInfo& info) {
  fields.add("image", info.image_path);
  fields.add("device_node", info.device_node);
  for (const std::string& node : info.partitions) fields.add("partition", node);
  fields.add("provider", to_string(info.provider));
  fields.add("format", to_string(info.format));
  fields.add("read_only", info.read_only);
  fields.add("permanent", info.permanent);
  fields.add("process", info.process);
  fields.add("companion_process", info.companion_process);
  if (info.disk_id) fields.add("disk_id", info.disk_id->to_string());
  fields.add("size_bytes", info.size_bytes);
  fields.add("logical_sector_bytes", std::uint64_t{info.logical_sector_bytes});
}

bool take_info(const Fields& fields, AttachmentInfo& info) {
  info.partitions = fields.all("partition");
  if (const auto id = fields.text("disk_id")) info.disk_id = Guid::parse(*id);
  const auto provider = parse_attach_provider(fields.text("provider").value_or(""));
  const auto format = parse_format(fields.text("format").value_or(""));
  return assign(info.image_path, fields.text("image")) &&
         assign(info.device_node, fields.text("device_node")) && assign(info.provider, provider) &&
         assign(info.format, format) && assign(info.read_only, fields.flag("read_only")) &&
         assign(info.permanent, fields.flag("permanent")) &&
         assign(info.process, fields.number<std::uint64_t>("process")) &&
         assign(info.companion_process, fields.number<std::uint64_t>("companion_process")) &&
         assign(info.size_bytes, fields.number<std::uint64_t>("size_bytes")) &&
         assign(info.logical_sector_bytes, fields.number<std::uint32_t>("logical_sector_bytes"));
}

std::string format_record(const AttachmentRecord& record) {
  Fields fields;
  fields.add("handshake", std::uint64_t{record.handshake});
  fields.add("image_device", record.image.device);
  fields.add("image_inode", record.image.inode);
  fields.add("backing_device", record.backing.device);
  fields.add("backing_inode", record.backing.inode);
  add_info(fields, record);
  return std::string(kFirstLine) + fields.format();
}

std::optional<AttachmentRecord> parse_record(std::string_view text) {
  if (text.size() > kMostRecordBytes || !text.starts_with(kFirstLine)) return std::nullopt;
  const auto fields = Fields::parse(text.substr(kFirstLine.size()));
  AttachmentRecord record;
  if (!fields || !assign(record.handshake, fields->number<std::uint32_t>("handshake")) ||
      !assign(record.image.device, fields->number<std::uint64_t>("image_device")) ||
      !assign(record.image.inode, fields->number<std::uint64_t>("image_inode")) ||
      !assign(record.backing.device, fields->number<std::uint64_t>("backing_device")) ||
      !assign(record.backing.inode, fields->number<std::uint64_t>("backing_inode")) ||
      !take_info(*fields, record)) {
    return std::nullopt;
  }
  return record;
}

}  // namespace vdisk::attach
