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
#include "attach/device_state.h"
#include "attach/faults.h"
#include "attach/healing.h"
#include "attach/message.h"
#include "attach/provider.h"
#include "attach/registry.h"
#include "attach/server/partition_watch.h"
#include "attach/server_program.h"
#include "attach/udev.h"
#include "base/fault.h"

namespace vdisk::attach {

namespace {

/// How often a device that is to go, but is in use, is looked at.
constexpr int kRetryMilliseconds = 200;
constexpr unsigned kStartSeconds = 120;
/// The fields of an estate that say what it is: the attachment's description; and that another version of the
/// program has served it up to now.
constexpr std::string_view kEstate = "estate";
constexpr std::string_view kRenew = "renew";

Result<FileIdentity> identity_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return fail_errno(faults::kDevice, errno, "asking for the identity of {}", path);
  }
  return FileIdentity{.device = status.st_dev, .inode = status.st_ino};
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
    // Read in any case: what lies unread in a socket that is closed keeps its other side from reading the
    // answer.
    Estate message = VDISK_TRY(Estate::receive(client_.get(), -1));
    if (message.fields.has(kEstate)) return inherit(std::move(message));
    VDISK_TRY(may_attach());
    // A worker that is killed while nobody watches it yet must not leave us waiting for its file for ever.
    ::alarm(kStartSeconds);
    auto request = parse_request(message.fields);
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
    watch_partitions(/*changed=*/false);
    if (partitions_)
      provided_->info.partitions = follow_table(*provided_->device, provided_->info, warnings_);
    const Status published = publish_record();
    if (!published) {
      static_cast<void>(take_away(*provided_->device, request_.options.read_only, Manner::kForce));
      return published;
    }
    ::alarm(0);
    // What udev has seen of the device so far, it has seen before there was a record.
    announce(provided_->device->node());
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

  void watch_partitions(bool changed) {
    if (request_.options.partitions) partitions_.emplace(provided_->device->node(), changed);
  }

  AttachmentRecord record() const {
    AttachmentRecord record;
    static_cast<AttachmentInfo&>(record) = provided_->info;
    record.image = image_;
    record.backing = provided_->device->backing();
    return record;
  }

  Status publish_record() {
    image_ = VDISK_TRY(identity_of(request_.path));
    record_.emplace(VDISK_TRY(publish(record())));
    shown_ = provided_->info;
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
    entrust();
    return {};
  }

  /// All that a successor needs, but for what is the companion's.
  Estate estate() const {
    Estate estate;
    estate.fields = to_fields(request_);
    Fields info;
    add_info(info, provided_->info);
    estate.fields.add(kEstate, info.format());
    estate.fields.add("image_device", image_.device);
    estate.fields.add("image_inode", image_.inode);
    record_->bequeath(estate);
    provided_->device->bequeath(estate);
    estate.add("control", control_.get());
    estate.add("client", client_.get());
    return estate;
  }

  void entrust() {
    provided_->device->entrust([this] { return estate(); });
  }

  /// In the place of a keeper that was killed, or of another version.
  Status inherit(Estate estate) {
    const UniqueFd predecessor = std::move(client_);  // take_over() finds the client's
    const Status taken = take_over(estate);
    Fields answer;
    answer.add("done", true);
    // A predecessor that has not waited goes on by itself.
    if (!send_message(predecessor.get(), taken ? answer : to_fields(taken.error())) || !taken) {
      if (record_) record_->forget();
      ::_exit(1);
    }
    if (estate.fields.has(kRenew)) on_companion(provided_->device->renew());
    entrust();
    show_changes();
    // What the predecessor was told of the table and had not followed.
    if (partitions_) on_partitions();
    return {};
  }

  Status take_over(Estate& estate) {
    auto request = parse_request(estate.fields);
    const auto text = Fields::parse(estate.fields.text(kEstate).value_or(""));
    const auto device = estate.fields.number<std::uint64_t>("image_device");
    const auto inode = estate.fields.number<std::uint64_t>("image_inode");
    AttachmentInfo info;
    if (!request || !text || !take_info(*text, info) || !device || !inode)
      return fail(faults::kForeignAnswer, "an attachment was handed over that this version does not know");
    request_ = *std::move(request);
    image_ = {.device = *device, .inode = *inode};
    record_.emplace(VDISK_TRY(PublishedRecord::inherit(estate)));
    control_ = estate.take("control");
    client_ = estate.take("client");
    auto provided = VDISK_TRY(adopt(request_, info, estate));
    info.process = static_cast<std::uint64_t>(::getpid());
    provided_.emplace(std::move(provided), std::move(info), std::vector<std::string>{});
    watch_partitions(/*changed=*/true);
    return {};
  }

  int serve() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGHUP, SIGINT}) ::sigaddset(&signals, number);
    const UniqueFd signalled(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    while (provided_) {
      if (leaving_) static_cast<void>(detach(end_ ? Manner::kGiveUp : Manner::kOrderly));
      if (!provided_) break;
      std::array<pollfd, 6> waiting = {{{signalled.get(), POLLIN, 0},
                                        {control_.get(), POLLIN, 0},
                                        {client_.get(), POLLIN, 0},
                                        {provided_->device->ended_fd(), POLLIN, 0},
                                        {partitions_ ? partitions_->closed_fd() : -1, POLLIN, 0},
                                        {partitions_ ? partitions_->finished_fd() : -1, POLLIN, 0}}};
      if (::poll(waiting.data(), waiting.size(), leaving_ ? kRetryMilliseconds : -1) < 0) continue;
      if (waiting[0].revents != 0) on_signal(signalled.get());
      if (waiting[1].revents != 0) on_control();
      if (waiting[2].revents != 0) {
        // The owner's end: whatever it says, it says that it is done.
        client_.reset();
        leaving_ = true;
      }
      if (provided_ && waiting[3].revents != 0) on_companion(provided_->device->revive());
      if (provided_ && (waiting[4].revents | waiting[5].revents) != 0) on_partitions();
    }
    client_.reset();
    outlast_users(lingering_.first, lingering_.second);
    return 0;
  }

  void on_signal(int signalled) {
    signalfd_siginfo info{};
    while (::read(signalled, &info, sizeof info) > 0) leaving_ = true;
  }

  /// There is another companion, or none. What cannot be brought back has errors for its users by now, and
  /// goes when they let it go.
  void on_companion(Status alive) {
    if (!alive) {
      end_ = std::move(alive).error();
      end_->add_context("the disk stopped to work before it was detached");
      leaving_ = true;
    }
    show_changes();
  }

  void on_partitions() {
    if (!partitions_->look(*provided_->device, provided_->info)) return;
    show_changes();
    announce(provided_->device->node());
  }

  /// Waits until the partitions follow what was written before this call.
  void settle_partitions() {
    if (!partitions_) return;
    on_partitions();
    while (partitions_->reading()) {
      std::array<pollfd, 2> waiting = {
          {{partitions_->finished_fd(), POLLIN, 0}, {provided_->device->ended_fd(), POLLIN, 0}}};
      if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
      if (waiting[1].revents != 0) on_companion(provided_->device->revive());
      on_partitions();
    }
  }

  /// Brings the record up to date. One that cannot be written stays as it was.
  void show_changes() {
    if (!record_) return;
    AttachmentInfo& info = provided_->info;
    info.companion_process = static_cast<std::uint64_t>(provided_->device->companion().process);
    if (partitions_) info.partitions = partitions_of(provided_->device->node());
    if (info == shown_) return;
    if (!record_->update(record())) return;
    shown_ = info;
    entrust();
  }

  void on_control() {
    const UniqueFd peer = accept_control(control_.get());
    if (!peer) return;
    const auto request = receive_message(peer.get(), kControlMilliseconds);
    if (!request) return;
    const std::string command = request->text("command").value_or("");
    Fields fields;
    if (command == kRestartCommand) {
      fields = restart(request->text("program").value_or(""), peer.get());
    } else if (command == kShowCommand) {
      settle_partitions();
      add_info(fields, provided_->info);
    } else if (command == kDetachCommand || command == kForceCommand) {
      const Manner careful = end_ ? Manner::kGiveUp : Manner::kOrderly;
      const Status gone = detach(command == kForceCommand ? Manner::kForce : careful);
      if (!gone || end_) {
        fields = to_fields(gone ? *end_ : gone.error());
      } else {
        fields.add("done", true);
      }
    } else {
      fields = to_fields(fail(faults::kForeignAnswer, "the server knows no command '{}'", command).error());
    }
    send_message(peer.get(), fields);
  }

  /// Another program goes on with all this, and this one ends without a word. Returns what went wrong.
  Fields restart(const std::string& program, int peer) {
    settle_partitions();
    Estate all = estate();
    provided_->device->companion().bequeath(all);
    all.fields.add(kRenew, true);
    const Status given = hand_over(all, program);
    if (!given) return to_fields(given.error());
    Fields answer;
    answer.add("done", true);
    send_message(peer, answer);
    ::_exit(0);
  }

  /// After success, and after whatever cannot be undone, nothing is left but to end.
  Status detach(Manner manner) {
    const std::string node = provided_->device->node();
    const FileIdentity backing = provided_->device->backing();
    if (manner == Manner::kForce) provided_->device->abort();
    settle_partitions();
    Status gone = take_away(*provided_->device, request_.options.read_only, manner);
    // Somebody uses it, or it could not be flushed: all is as it was.
    if (!gone && provided_->device->fd() >= 0) return gone;
    record_.reset();
    control_.reset();
    partitions_.reset();
    provided_.reset();
    announce(node);
    lingering_ = {node, backing};
    // What was asked for by force is done: who still has the device has nothing but errors from it, and an
    // image that could not be closed is as after a power cut.
    if (manner == Manner::kForce) return {};
    return gone;
  }

  UniqueFd client_;
  AttachRequest request_;
  std::optional<Provided> provided_;
  std::optional<PublishedRecord> record_;
  std::optional<PartitionWatch> partitions_;
  FileIdentity image_;
  AttachmentInfo shown_;  ///< What the record says.
  UniqueFd control_;
  std::vector<std::string> notes_;
  std::vector<std::string> warnings_;
  bool leaving_ = false;      ///< The device is to go as soon as nobody uses it.
  std::optional<Error> end_;  ///< Why what served it could not be brought back.
  std::pair<std::string, FileIdentity> lingering_;
};

}  // namespace

int keep(UniqueFd client) { return Keeper(std::move(client)).run(); }

}  // namespace vdisk::attach
