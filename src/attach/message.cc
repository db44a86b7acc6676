// SPDX-License-Identifier: Apache-2.0
#include "attach/message.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "attach/faults.h"
#include "base/fault.h"
#include "disk/fault_catalogue.h"
#include "serve/fuse/faults.h"
#include "serve/nbd/faults.h"

namespace vdisk::attach {

namespace {

/// More than any list of folders needs, and less than a socket's buffer.
constexpr std::size_t kMostMessageBytes = 128 * 1024;

template <class T>
bool assign(T& into, std::optional<T> value) {
  if (value) into = *std::move(value);
  return value.has_value();
}

const Fault& find_fault(std::string_view id) {
  std::vector<const Fault*> rows = all_faults();
  rows.insert(rows.end(), std::begin(faults::kAll), std::end(faults::kAll));
  rows.insert(rows.end(), std::begin(serve::faults::kFuse), std::end(serve::faults::kFuse));
  rows.insert(rows.end(), std::begin(serve::nbd::faults::kAll), std::end(serve::nbd::faults::kAll));
  const auto row = std::ranges::find(rows, id, [](const Fault* fault) { return fault->id; });
  return row == rows.end() ? faults::kForeignAnswer : **row;
}

}  // namespace

Fields to_fields(const AttachRequest& request) {
  const AttachOptions& options = request.options;
  const OpenOptions& open = options.open;
  Fields fields;
  fields.add("path", request.path);
  if (open.format) fields.add("format", to_string(*open.format));
  fields.add("no_parents", open.no_parents);
  for (const std::string& folder : open.parents.directories) fields.add("parent_folder", folder);
  for (const auto& [drive, folder] : open.parents.drive_map) {
    fields.add("drive", drive);
    fields.add("drive_folder", folder);
  }
  fields.add("confine", open.parents.confine);
  fields.add("ignore_relative", open.parents.ignore_relative);
  fields.add("allow_raw", open.parents.allow_raw);
  fields.add("chain_depth", std::uint64_t{open.limits.chain_depth});
  fields.add("log_bytes", open.limits.log_bytes);
  fields.add("table_bytes", open.limits.table_bytes);
  fields.add("strict_tracking", open.strict_tracking);
  fields.add("read_only", options.read_only);
  fields.add("permanent", options.permanent);
  fields.add("partitions", options.partitions);
  fields.add("provider", to_string(options.provider));
  if (options.range) {
    fields.add("range_at", options.range->at.bytes);
    fields.add("range_length", options.range->length);
  }
  return fields;
}

std::optional<AttachRequest> parse_request(const Fields& fields) {
  AttachRequest request;
  AttachOptions& options = request.options;
  OpenOptions& open = options.open;
  if (fields.has("format") && !(open.format = parse_format(fields.text("format").value_or(""))))
    return std::nullopt;
  open.parents.directories = fields.all("parent_folder");
  const auto drives = fields.all("drive");
  const auto folders = fields.all("drive_folder");
  if (drives.size() != folders.size()) return std::nullopt;
  for (std::size_t i = 0; i < drives.size(); ++i) open.parents.drive_map.emplace_back(drives[i], folders[i]);
  if (fields.has("range_at")) {
    DiskRange range;
    if (!assign(range.at.bytes, fields.number<std::uint64_t>("range_at")) ||
        !assign(range.length, fields.number<std::uint64_t>("range_length"))) {
      return std::nullopt;
    }
    options.range = range;
  }
  const bool whole = assign(request.path, fields.text("path")) &&
                     assign(open.no_parents, fields.flag("no_parents")) &&
                     assign(open.parents.confine, fields.flag("confine")) &&
                     assign(open.parents.ignore_relative, fields.flag("ignore_relative")) &&
                     assign(open.parents.allow_raw, fields.flag("allow_raw")) &&
                     assign(open.limits.chain_depth, fields.number<std::uint32_t>("chain_depth")) &&
                     assign(open.limits.log_bytes, fields.number<std::uint64_t>("log_bytes")) &&
                     assign(open.limits.table_bytes, fields.number<std::uint64_t>("table_bytes")) &&
                     assign(open.strict_tracking, fields.flag("strict_tracking")) &&
                     assign(options.read_only, fields.flag("read_only")) &&
                     assign(options.permanent, fields.flag("permanent")) &&
                     assign(options.partitions, fields.flag("partitions")) &&
                     assign(options.provider, parse_attach_provider(fields.text("provider").value_or("")));
  if (!whole) return std::nullopt;
  open.writable = !options.read_only;
  return request;
}

Fields to_fields(const Error& error) {
  Fields fields;
  const std::string message = error.message();
  const std::string& reason = error.reason();
  fields.add("error", error.id());
  fields.add("errno", static_cast<std::uint64_t>(error.os_errno()));
  fields.add("reason", reason);
  // The frames stand before the reason, each with ": " behind it.
  if (message.size() > reason.size() + 2)
    fields.add("frames", message.substr(0, message.size() - reason.size() - 2));
  return fields;
}

Error parse_error(const Fields& fields) {
  Error error(find_fault(fields.text("error").value_or("")),
              fields.text("reason").value_or("no reason was given"),
              static_cast<int>(fields.number<std::uint32_t>("errno").value_or(0)));
  if (const auto frames = fields.text("frames")) error.add_context(*frames);
  return error;
}

bool send_message(int socket, const Fields& message) noexcept {
  const std::string text = message.format();
  ssize_t sent;
  do {
    sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(text.size());
}

Result<Fields> receive_message(int socket, int milliseconds) {
  pollfd waiting{.fd = socket, .events = POLLIN, .revents = 0};
  int ready;
  do {
    ready = ::poll(&waiting, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return fail(faults::kServerDied, "the other side has not answered for {} ms", milliseconds);
  std::string buffer(kMostMessageBytes, '\0');
  const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
  if (got <= 0) return fail(faults::kServerDied, "the other side ended without an answer");
  buffer.resize(static_cast<std::size_t>(got));
  auto fields = Fields::parse(buffer);
  if (!fields) return fail(faults::kForeignAnswer, "the other side said {} bytes that are no message", got);
  return *std::move(fields);
}

}  // namespace vdisk::attach
