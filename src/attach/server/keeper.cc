// SPDX-License-Identifier: Apache-2.0
#include "attach/server/keeper.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "attach/block_nodes.h"
#include "attach/control.h"
#include "attach/detaching.h"
#include "attach/faults.h"
#include "attach/healing.h"
#include "attach/loop_device.h"
#include "attach/message.h"
#include "attach/provider.h"
#include "attach/registry.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

/// How often a device that is to go, but is in use, is looked at.
constexpr int kRetryMilliseconds = 200;

Result<FileIdentity> identity_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return fail_errno(faults::kDevice, errno, "asking for the identity of {}", path);
  }
  return FileIdentity{.device = status.st_dev, .inode = status.st_ino};
}

/// What the disk shows, read through the device that it became.
filesystem::PartitionTable read_table(const Provided& provided, std::vector<std::string>& notes) {
  const int fd = provided.device->fd();
  const filesystem::DiskReader read = [fd, &provided](DiskOffset at, std::span<std::byte> into) -> Status {
    while (!into.empty()) {
      const ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(at.bytes));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        return fail_errno(faults::kDevice, got < 0 ? errno : EIO, "reading {}", provided.device->node());
      into = into.subspan(static_cast<std::size_t>(got));
      at.bytes += static_cast<std::uint64_t>(got);
    }
    return {};
  };
  auto table =
      filesystem::read_partition_table(read, provided.info.size_bytes, provided.info.logical_sector_bytes);
  if (!table) {
    notes.push_back(table.error().message());
    return {};
  }
  if (table->damage) notes.push_back(table->damage->message());
  return *std::move(table);
}

class Keeper {
 public:
  explicit Keeper(UniqueFd client) : client_(std::move(client)) {}

  int run() {
    const Status begun = begin();
    if (!begun) {
      send_message(client_.get(), to_fields(begun.error()));
      return 1;
    }
    return serve();
  }

 private:
  Status begin() {
    VDISK_TRY(may_attach());
    const Fields message = VDISK_TRY(receive_message(client_.get(), -1));
    auto request = parse_request(message);
    if (!request)
      return fail(faults::kForeignAnswer, "the client's request is not one that this version knows");
    request_ = *std::move(request);
    // Who is dead must not stand in the way.
    static_cast<void>(heal(RegistryOptions{}));
    VDISK_TRY(refuse_second());
    const TraceSink trace = [this](TraceLevel level, std::string_view text) {
      if (level == TraceLevel::kWarning) warnings_.emplace_back(text);
    };
    provided_.emplace(VDISK_TRY(provide(request_, trace)));
    notes_ = provided_->notes;
    provided_->info.process = static_cast<std::uint64_t>(::getpid());
    if (request_.options.partitions) add_partitions();
    const Status published = publish_record();
    if (!published) {
      static_cast<void>(take_away(*provided_->device, request_.options.read_only, /*force=*/true));
      return published;
    }
    return answer();
  }

  Status refuse_second() {
    const auto identity = identity_of(request_.path);
    if (!identity) return {};  // the open says better what is wrong
    const auto found = VDISK_TRY(find_attachment(*identity));
    if (!found) return {};
    return fail(faults::kAlreadyAttached, "{}: is attached already, as {}", request_.path,
                found->device_node);
  }

  void add_partitions() {
    const filesystem::PartitionTable table = read_table(*provided_, warnings_);
    provided_->info.partitions =
        attach::add_partitions(provided_->device->fd(), provided_->device->node(), table, warnings_);
  }

  Status publish_record() {
    AttachmentRecord record;
    static_cast<AttachmentInfo&>(record) = provided_->info;
    record.image = VDISK_TRY(identity_of(request_.path));
    record.backing = provided_->device->backing();
    record_.emplace(VDISK_TRY(publish(record)));
    control_ = VDISK_TRY(listen_beside(*record_));
    return {};
  }

  /// A client that went away before it heard of its disk has none.
  Status answer() {
    Fields fields;
    fields.add("ready", true);
    add_info(fields, provided_->info);
    for (const std::string& note : notes_) fields.add("note", note);
    for (const std::string& warning : warnings_) fields.add("warning", warning);
    leaving_ = !send_message(client_.get(), fields);
    if (request_.options.permanent) client_.reset();
    return {};
  }

  int serve() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGHUP, SIGINT}) ::sigaddset(&signals, number);
    const UniqueFd signalled(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    while (provided_) {
      if (leaving_ && detach(false)) break;
      std::array<pollfd, 4> waiting = {{{signalled.get(), POLLIN, 0},
                                        {control_.get(), POLLIN, 0},
                                        {client_ ? client_.get() : -1, POLLIN, 0},
                                        {provided_->device->ended_fd(), POLLIN, 0}}};
      if (::poll(waiting.data(), waiting.size(), leaving_ ? kRetryMilliseconds : -1) < 0) continue;
      if (waiting[0].revents != 0) on_signal(signalled.get());
      if (waiting[1].revents != 0) on_control();
      if (waiting[2].revents != 0) {
        // The owner's end: whatever it says, it says that it is done.
        client_.reset();
        leaving_ = true;
      }
      if (provided_ && waiting[3].revents != 0) on_server_end();
    }
    return 0;
  }

  void on_signal(int signalled) {
    signalfd_siginfo info{};
    while (::read(signalled, &info, sizeof info) > 0) leaving_ = true;
  }

  void on_server_end() { detach(true); }

  void on_control() {
    const UniqueFd peer = accept_control(control_.get());
    if (!peer) return;
    const auto request = receive_message(peer.get(), kControlMilliseconds);
    if (!request) return;
    const std::string command = request->text("command").value_or("");
    Fields fields;
    if (command == kDetachCommand || command == kForceCommand) {
      const Status gone = detach(command == kForceCommand);
      if (gone) {
        fields.add("done", true);
      } else {
        fields = to_fields(gone.error());
      }
    } else {
      fields = to_fields(fail(faults::kForeignAnswer, "the server knows no command '{}'", command).error());
    }
    send_message(peer.get(), fields);
  }

  /// After success, or after a forced one, nothing is left but to end.
  Status detach(bool force) {
    const Status gone = take_away(*provided_->device, request_.options.read_only, force);
    if (!gone && !force && gone.error().code() == win32::kBusy) return gone;
    record_.reset();
    control_.reset();
    provided_.reset();
    return gone;
  }

  UniqueFd client_;
  AttachRequest request_;
  std::optional<Provided> provided_;
  std::optional<PublishedRecord> record_;
  UniqueFd control_;
  std::vector<std::string> notes_;
  std::vector<std::string> warnings_;
  bool leaving_ = false;
};

}  // namespace

int keep(UniqueFd client) { return Keeper(std::move(client)).run(); }

}  // namespace vdisk::attach
