// SPDX-License-Identifier: Apache-2.0
#include "cli/output_json.h"

#include "cli/output_text.h"

namespace vdisk::cli {

namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  if (!value) return nullptr;
  return *value;
}

Json or_null(const std::optional<Guid>& guid) {
  if (!guid) return nullptr;
  return guid->to_string();
}

Json or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return text;
}

std::string_view source_word(Extent::Source source) noexcept {
  switch (source) {
    case Extent::Source::kData:
      return "data";
    case Extent::Source::kZero:
      return "zero";
    case Extent::Source::kUnresolved:
      return "unresolved";
  }
  return "";
}

Json parent_json(const std::optional<ImageInfo::Parent>& parent) {
  if (!parent) return nullptr;
  return {{"path", or_null(parent->path)},
          {"resolved", parent->resolved},
          {"identifier", or_null(parent->identifier)},
          {"candidates", parent->candidates}};
}

}  // namespace

std::string json_text(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }
std::string json_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json to_json(const Error& error) {
  return {{"code", error.code()},
          {"name", win32_code_name(error.code())},
          {"fault", error.id()},
          {"message", error.message()}};
}

Json to_json(const Inspection& inspection) {
  const ImageInfo& info = inspection.info;
  Json json;
  json["path"] = info.path;
  json["format"] = info.format ? Json(to_string(*info.format)) : Json(nullptr);
  json["type"] = info.type ? Json(to_string(*info.type)) : Json(nullptr);
  json["virtual_size_bytes"] = or_null(info.virtual_size_bytes);
  json["file_size_bytes"] = or_null(info.file_size_bytes);
  json["allocated_bytes"] = or_null(info.allocated_bytes);
  json["block_size_bytes"] = or_null(info.block_size_bytes);
  json["logical_sector_bytes"] = or_null(info.logical_sector_bytes);
  json["physical_sector_bytes"] = or_null(info.physical_sector_bytes);
  json["identifier"] = or_null(info.identifier);
  json["virtual_disk_id"] = or_null(info.virtual_disk_id);
  json["creator"] = or_null(info.creator);
  json["dirty_log"] = info.dirty_log;
  json["change_tracking_files"] = info.change_tracking_files;
  json["parent"] = parent_json(info.parent);
  json["details"] = Json::object();
  for (const auto& [name, value] : info.details) json["details"][name] = value;
  json["notes"] = info.notes;
  if (inspection.error) json["error"] = to_json(*inspection.error);
  return json;
}

Json to_json(const CheckReport& report, const std::string& path) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) {
    const bool damage = finding.severity == Finding::Severity::kDamage;  // Only that has a code.
    findings.push_back({{"severity", severity_word(finding.severity)},
                        {"path", finding.path},
                        {"code", damage ? Json(finding.code) : Json(nullptr)},
                        {"name", damage ? Json(win32_code_name(finding.code)) : Json(nullptr)},
                        {"fault", finding.fault},
                        {"message", finding.message}});
  }
  return {{"path", path},
          {"damaged", report.damaged()},
          {"blocks_total", report.blocks_total},
          {"blocks_allocated", report.blocks_allocated},
          {"leaked_bytes", report.leaked_bytes},
          {"findings_total", report.findings_total},
          {"findings", std::move(findings)}};
}

Json to_json(const Difference& difference) {
  Json json;
  json["same"] = difference.same;
  json["first_difference_bytes"] = difference.first ? Json(difference.first->bytes) : Json(nullptr);
  json["different_bytes"] = difference.different_bytes;
  return json;
}

Json to_json(const AttachmentInfo& info) {
  return Json{{"image", info.image_path},
              {"device", info.device_node},
              {"partitions", info.partitions},
              {"provider", to_string(info.provider)},
              {"format", to_string(info.format)},
              {"read_only", info.read_only},
              {"permanent", info.permanent},
              {"process", info.process},
              {"companion_process", info.companion_process},
              {"disk_id", info.disk_id ? Json(info.disk_id->to_string()) : Json(nullptr)},
              {"size_bytes", info.size_bytes},
              {"logical_sector_bytes", info.logical_sector_bytes}};
}

Json to_json(const Extent& extent, const std::string& path) {
  const bool data = extent.source == Extent::Source::kData;
  return {{"start_bytes", extent.range.at.bytes},
          {"length_bytes", extent.range.length},
          {"source", source_word(extent.source)},
          {"layer", data ? Json(extent.layer) : Json(nullptr)},
          {"file_offset_bytes", data ? Json(extent.from.bytes) : Json(nullptr)},
          {"path", data ? Json(path) : Json(nullptr)}};
}

}  // namespace vdisk::cli
