// SPDX-License-Identifier: Apache-2.0
//
// The public API of attached disks: the client's side of vdisk-server.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <vdisk/attachment.h>
#include <vdisk/operations.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "attach/at_boot.h"
#include "attach/block_nodes.h"
#include "attach/control.h"
#include "attach/faults.h"
#include "attach/healing.h"
#include "attach/message.h"
#include "attach/nbd_device.h"
#include "attach/registry.h"
#include "attach/server_program.h"
#include "base/fault.h"
#include "disk/guarded.h"
#include "disk/host_path.h"
#include "serve/fuse/mount.h"

namespace vdisk {

namespace {

namespace attach_faults = attach::faults;
using attach::FoundRecord;

/// How long a server may be silent before --force ends it.
constexpr int kForceMilliseconds = 5000;
/// How long whoever lists attachments waits for one of them.
constexpr int kShowMilliseconds = 2000;

std::string absolute(const std::string& path) {
  std::error_code error;
  const auto whole = std::filesystem::absolute(path, error);
  return error ? path : whole.lexically_normal().string();
}

/// Two names of one thing: a device by its number, a file by its identity.
bool same_file(const std::string& a, const std::string& b) {
  struct stat left{};
  struct stat right{};
  if (::stat(a.c_str(), &left) != 0 || ::stat(b.c_str(), &right) != 0) return false;
  if (S_ISBLK(left.st_mode) && S_ISBLK(right.st_mode)) return left.st_rdev == right.st_rdev;
  return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

bool means(const std::string& word, const FoundRecord& found) {
  const AttachmentInfo& info = found.record;
  if (word == info.device_node || same_file(word, info.device_node)) return true;
  for (const std::string& node : info.partitions) {
    if (word == node || same_file(word, node)) return true;
  }
  struct stat status{};
  if (::stat(word.c_str(), &status) != 0) return absolute(word) == info.image_path;
  return FileIdentity{.device = status.st_dev, .inode = status.st_ino} == found.record.image;
}

Result<std::optional<FoundRecord>> find_live(const std::string& word) {
  for (FoundRecord& found : VDISK_TRY(attach::heal({}))) {
    if (means(word, found)) return std::move(found);
  }
  return std::nullopt;
}

/// The differencing image that takes the writes: made if it is not there yet.
Status prepare_cow(const std::string& cow, const std::string& base, const OpenOptions& open) {
  struct stat status{};
  if (::stat(cow.c_str(), &status) == 0) return {};
  CreateOptions options;
  options.parent = base;
  options.parent_format = open.format;
  options.parents = open.parents;
  options.limits = open.limits;
  return create(cow, options);
}

Result<attach::AttachRequest> request_of(const std::string& path, const AttachOptions& options) {
  attach::AttachRequest request{.path = absolute(VDISK_TRY(host_path(path, options.open.parents))),
                                .options = options};
  OpenOptions& open = request.options.open;
  for (std::string& folder : open.parents.directories) folder = absolute(folder);
  for (auto& [drive, folder] : open.parents.drive_map) folder = absolute(folder);
  if (options.cow_file) {
    const std::string cow = absolute(*options.cow_file);
    VDISK_TRY_CONTEXT(prepare_cow(cow, request.path, open), "the file for the changes of {}", path);
    request.path = cow;
    open.format.reset();
  }
  return request;
}

void tell(const TraceSink& trace, const attach::Fields& answer) {
  if (!trace) return;
  for (const std::string& note : answer.all("note")) trace(TraceLevel::kNote, note);
  for (const std::string& warning : answer.all("warning")) trace(TraceLevel::kWarning, warning);
}

/// Ends a server that does not answer; the kernel then fails what waits for it.
Status end_server(const FoundRecord& found, pid_t server) {
  if (found.record.provider == AttachProvider::kFuse) {
    static_cast<void>(serve::abort_connection(minor(static_cast<dev_t>(found.record.backing.device))));
  }
  if (found.record.provider == AttachProvider::kNbd) attach::abort_nbd(found.record.device_node);
  // Neither must have the time to replace the other.
  ::kill(server, SIGSTOP);
  if (found.record.companion_process != 0)
    ::kill(static_cast<pid_t>(found.record.companion_process), SIGKILL);
  ::kill(server, SIGKILL);
  for (int waited = 0; waited < kForceMilliseconds; waited += 10) {
    const auto record = attach::find_attachment(found.record.image);
    if (record && !*record) break;
    ::usleep(10 * 1000);
  }
  VDISK_TRY(attach::heal({}));
  return {};
}

/// Asks the server of an attachment, and waits for its answer; as that says.
Result<attach::Fields> ask(int control, std::string_view command, int milliseconds,
                           attach::Fields request = {}) {
  request.add("command", command);
  attach::send_message(control, request);
  attach::Fields answer = VDISK_TRY(attach::receive_message(control, milliseconds));
  if (answer.has("error")) return std::unexpected(attach::parse_error(answer));
  return answer;
}

Status detach_found(const FoundRecord& found, const DetachOptions& options) {
  pid_t server = 0;
  const UniqueFd control = VDISK_TRY(attach::connect_control(found, server));
  const auto answer = options.force ? ask(control.get(), attach::kForceCommand, kForceMilliseconds)
                                    : ask(control.get(), attach::kDetachCommand, -1);
  if (answer) return {};
  if (options.force && answer.error().id() == attach_faults::kServerDied.id) return end_server(found, server);
  return std::unexpected(answer.error());
}

/// The attachment as its server knows it; as the record says where the server cannot be asked.
AttachmentInfo current(const FoundRecord& found) {
  pid_t server = 0;
  const auto control = attach::connect_control(found, server);
  AttachmentInfo info;
  if (control) {
    const auto answer = ask(control->get(), attach::kShowCommand, kShowMilliseconds);
    if (answer && attach::take_info(*answer, info)) return info;
  }
  return found.record;
}

}  // namespace

inline namespace v1 {

struct Attachment::Impl {
  AttachmentInfo info;
  /// To the server; its end is the disk's, unless the disk is permanent.
  UniqueFd owner;
};

Attachment::Attachment(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Attachment::Attachment(Attachment&&) noexcept = default;
Attachment& Attachment::operator=(Attachment&& other) noexcept {
  Attachment old(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}

Attachment::~Attachment() {
  // A disk in use outlives this; its server has heard that it is to go.
  if (impl_ && impl_->owner) static_cast<void>(detach());
}

const AttachmentInfo& Attachment::info() const noexcept { return impl_->info; }

Status Attachment::detach(const DetachOptions& options) {
  const Status gone = vdisk::detach(impl_->info.device_node, options);
  if (gone) impl_->owner.reset();
  return gone;
}

Result<Attachment> Attachment::attach(const std::string& path, const AttachOptions& options) {
  return guarded([&]() -> Result<Attachment> {
    const attach::AttachRequest request = VDISK_TRY(request_of(path, options));
    UniqueFd server = VDISK_TRY(attach::start_server());
    // A server that is gone already has said why.
    attach::send_message(server.get(), to_fields(request));
    const attach::Fields answer = VDISK_TRY(attach::receive_message(server.get(), -1));
    if (answer.has("error")) return std::unexpected(attach::parse_error(answer));
    auto impl = std::make_unique<Impl>();
    if (!attach::take_info(answer, impl->info)) {
      return fail(attach_faults::kForeignAnswer, "{}: vdisk-server is of another version", path);
    }
    tell(options.open.trace, answer);
    if (!options.permanent) impl->owner = std::move(server);
    Attachment attachment(std::move(impl));
    if (options.at_boot) VDISK_TRY(attach::remember_at_boot(request));
    return attachment;
  });
}

Result<std::vector<AttachmentInfo>> attachments() {
  return guarded([]() -> Result<std::vector<AttachmentInfo>> {
    std::vector<AttachmentInfo> all;
    for (const FoundRecord& found : VDISK_TRY(attach::heal({}))) all.push_back(current(found));
    return all;
  });
}

Result<std::optional<AttachmentInfo>> find_attachment(const std::string& image_or_device) {
  return guarded([&]() -> Result<std::optional<AttachmentInfo>> {
    const auto found = VDISK_TRY(find_live(image_or_device));
    if (!found) return std::nullopt;
    return current(*found);
  });
}

std::vector<Error> attach_all_at_boot() {
  std::vector<Error> failures;
  for (attach::AttachRequest& request : attach::remembered_at_boot()) {
    const auto attached = find_attachment(request.path);
    if (attached && *attached) continue;
    request.options.permanent = true;
    auto attachment = Attachment::attach(request.path, request.options);
    if (!attachment) failures.push_back(std::move(attachment).error());
  }
  return failures;
}

Status detach(const std::string& image_or_device, const DetachOptions& options) {
  return guarded([&]() -> Status {
    const auto found = VDISK_TRY(find_live(image_or_device));
    if (!found) return fail(attach_faults::kNotAttached, "{}: is not attached", image_or_device);
    VDISK_TRY(detach_found(*found, options));
    return attach::forget_at_boot(found->record.image_path);
  });
}

Status restart_server(const std::string& image_or_device) {
  return guarded([&]() -> Status {
    const auto found = VDISK_TRY(find_live(image_or_device));
    if (!found) return fail(attach_faults::kNotAttached, "{}: is not attached", image_or_device);
    attach::Fields request;
    request.add("program", absolute(VDISK_TRY(attach::find_server())));
    pid_t server = 0;
    const UniqueFd control = VDISK_TRY(attach::connect_control(*found, server));
    VDISK_TRY(ask(control.get(), attach::kRestartCommand, -1, std::move(request)));
    return {};
  });
}

}  // namespace v1

}  // namespace vdisk
