// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/attachment.h>
#include <vdisk/operations.h>

#include <CLI/Error.hpp>
#include <cerrno>
#include <cstdlib>

#include "attach/udev.h"
#include "base/fault.h"
#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"
#include "cli/words.h"

namespace vdisk::cli {

namespace {

/// How often --foreground looks whether it is to end.
constexpr int kLookMilliseconds = 200;

/// What runs between attaching and detaching.
class BoundCommand {
 public:
  explicit BoundCommand(std::vector<std::string> words) : words_(std::move(words)) {}

  /// Runs it with VDISK_DEVICE in its environment. Its exit status, as a shell tells it; 127 when it cannot
  /// be started.
  int run(const std::string& devices, const CancellationToken& cancellation) {
    ::setenv("VDISK_DEVICE", devices.c_str(), 1);
    // Of the terminal's signals, the command decides.
    ::signal(SIGINT, SIG_IGN);
    ::signal(SIGQUIT, SIG_IGN);
    pid_t child = 0;
    if (const int error = spawn(child); error != 0) {
      print_message(fmt::format("{}: {}", words_.front(), errno_text(error)));
      return 127;
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
      if (errno == EINTR && cancellation.cancelled()) ::kill(child, SIGTERM);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  int spawn(pid_t& child) {
    std::vector<char*> arguments;
    for (std::string& word : words_) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t all;
    ::sigfillset(&all);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const int error = ::posix_spawnp(&child, arguments[0], nullptr, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    return error;
  }

  std::vector<std::string> words_;
};

class AttachCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", images_, "The images to attach");
    app.add_flag("--read-only", read_only_, "Attach without write access; always so for ISO");
    app.add_flag("--foreground", foreground_, "Stay, and detach at the end of this process");
    app.add_flag("--partitions,!--no-partitions", partitions_,
                 "Make the partitions appear too (default), or not (--no-partitions)");
    app.add_option("--provider", provider_, "How the kernel gets at the image: auto loop fuse nbd")
        ->type_name("HOW");
    app.add_option("--cow", cow_,
                   "Put all changes into FILE, a differencing image, which is made if it is not there")
        ->type_name("FILE");
    app.add_option("--restricted", restricted_,
                   "Attach so many bytes of the disk from an offset; sizes as 64K, 1G")
        ->type_name("OFFSET,LENGTH");
    app.add_flag("--at-boot", at_boot_, "Attach again at every boot, until detached");
    app.add_flag("--at-boot-all", at_boot_all_,
                 "Attach all that --at-boot remembers; for the system's start");
    words_.declare(app);
  }

  void take_command(std::vector<std::string> words) override { command_ = std::move(words); }

  int run(Session& session) override {
    if (at_boot_all_) return attach_remembered(session);
    if (images_.empty()) throw CLI::RequiredError("IMAGE");
    if (cow_ && images_.size() > 1)
      throw CLI::ValidationError("--cow", "one file takes the changes of one image");
    if (at_boot_ && bound())
      throw CLI::ValidationError("--at-boot", "does not go with an attachment that ends with a process");
    std::vector<Attachment> attached;
    for (const std::string& image : images_) {
      auto attachment = Attachment::attach(image, options_for(image));
      if (!attachment) {
        // All or nothing.
        if (!bound()) {
          for (Attachment& earlier : attached) static_cast<void>(earlier.detach());
        }
        return session.report(attachment.error(), words_.json);
      }
      attached.push_back(*std::move(attachment));
    }
    tell(session, attached);
    if (!bound()) return kFine;
    session.out.flush();
    const int status =
        command_.empty() ? wait_for_end(session, attached.front()) : run_command(session, attached);
    return detach_all(session, attached, status);
  }

 private:
  bool bound() const { return foreground_ || !command_.empty(); }

  AttachOptions options_for(const std::string& image) const {
    AttachOptions options;
    options.open = words_.open_options();
    options.read_only = read_only_ || inspect(image, options.open).info.format == FormatId::kIso;
    options.permanent = !bound();
    options.partitions = partitions_;
    options.cow_file = cow_;
    options.at_boot = at_boot_;
    const auto provider = parse_attach_provider(provider_);
    if (!provider)
      throw CLI::ValidationError("--provider", "'" + provider_ + "' is none of auto, loop, fuse, nbd");
    options.provider = *provider;
    if (!restricted_.empty()) {
      const auto comma = restricted_.find(',');
      if (comma == std::string::npos) throw CLI::ValidationError("--restricted", "wants OFFSET,LENGTH");
      options.range = DiskRange{{parse_size("--restricted", restricted_.substr(0, comma))},
                                parse_size("--restricted", restricted_.substr(comma + 1))};
    }
    return options;
  }

  void tell(Session& session, const std::vector<Attachment>& attached) const {
    if (words_.json) {
      Json all = Json::array();
      for (const Attachment& attachment : attached) all.push_back(to_json(attachment.info()));
      session.out.put(json_text(all.size() == 1 ? all.front() : all) + "\n");
    } else if (command_.empty()) {  // else standard output is the command's
      for (const Attachment& attachment : attached)
        session.out.put(printable(attachment.info().device_node) + "\n");
    }
  }

  static int wait_for_end(Session& session, const Attachment& first) {
    for (;;) {
      ::poll(nullptr, 0, kLookMilliseconds);
      if (session.cancellation.cancelled()) return kFine;
      const auto still = find_attachment(first.info().device_node);
      if (still && !*still) return kFine;
    }
  }

  int run_command(Session& session, const std::vector<Attachment>& attached) {
    std::string devices;
    for (const Attachment& attachment : attached) {
      devices += (devices.empty() ? "" : " ") + attachment.info().device_node;
    }
    return BoundCommand(command_).run(devices, session.cancellation);
  }

  int detach_all(Session& session, std::vector<Attachment>& attached, int status) const {
    for (Attachment& attachment : attached) {
      const Status gone = attachment.detach();
      // Detached by someone else in the meantime is as good.
      if (!gone && gone.error().code() != 1168) status = session.report(gone.error(), words_.json);
    }
    return status;
  }

  int attach_remembered(Session& session) const {
    int status = kFine;
    for (const Error& error : attach_all_at_boot()) status = session.report(error, words_.json);
    return status;
  }

  std::vector<std::string> images_, command_;
  bool read_only_ = false, foreground_ = false, partitions_ = true, at_boot_ = false, at_boot_all_ = false;
  std::string provider_ = "auto", restricted_;
  std::optional<std::string> cow_;
  OpenWords words_;
};

/// Does one thing to attachments that are named, or to all.
class EachAttached : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE|DEVICE", names_, "Attached images, or their devices or partitions");
    app.add_flag("--all", all_, "Everything that is attached");
    words_.declare_output(app);
  }

  int run(Session& session) final {
    if (all_ == !names_.empty())
      throw CLI::ValidationError("IMAGE|DEVICE", "wants images or devices, or --all");
    if (all_) {
      const auto attached = attachments();
      if (!attached) return session.report(attached.error(), words_.json);
      for (const AttachmentInfo& info : *attached) names_.push_back(info.device_node);
    }
    int status = kFine;
    Json names = Json::array();
    for (const std::string& name : names_) {
      const Status done = act(name);
      if (done) {
        names.push_back(name);
      } else {
        status = session.report(done.error(), words_.json);
      }
    }
    if (words_.json && status == kFine) session.out.put(json_text(Json{{done_word(), names}}) + "\n");
    return status;
  }

 private:
  virtual Status act(const std::string& name) = 0;
  /// The name of the list in JSON.
  virtual const char* done_word() const noexcept = 0;

  std::vector<std::string> names_;
  bool all_ = false;
  OpenWords words_;
};

class DetachCommand final : public EachAttached {
 public:
  void declare(CLI::App& app) override {
    EachAttached::declare(app);
    app.add_flag("--force", force_,
                 "Also what is in use or does not answer: its users lose what was not flushed");
  }

 private:
  Status act(const std::string& name) override { return detach(name, {.force = force_}); }
  const char* done_word() const noexcept override { return "detached"; }

  bool force_ = false;
};

class RestartCommand final : public EachAttached {
  Status act(const std::string& name) override { return restart_server(name); }
  const char* done_word() const noexcept override { return "restarted"; }
};

class ListCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("--udev", udev_, "Print what udev is to know of DEVICE, for udev's rules")
        ->type_name("DEVICE");
    words_.declare_output(app);
  }

  int run(Session& session) override {
    if (udev_) return tell_udev(session);
    const auto attached = attachments();
    if (!attached) return session.report(attached.error(), words_.json);
    if (words_.json) {
      Json all = Json::array();
      for (const AttachmentInfo& info : *attached) all.push_back(to_json(info));
      session.out.put(json_text(all) + "\n");
      return kFine;
    }
    for (const AttachmentInfo& info : *attached) {
      session.out.put(fmt::format("{:<12} {:<6} {:<5} {:<3} {:>12}  {}\n", printable(info.device_node),
                                  to_string(info.format), to_string(info.provider),
                                  info.read_only ? "ro" : "rw", human_size(info.size_bytes),
                                  printable(info.image_path)));
    }
    return kFine;
  }

 private:
  /// Most devices that udev asks for are not ours: that is no failure to speak of.
  int tell_udev(Session& session) const {
    const auto found = attach::recorded_at(*udev_);
    if (!found || !*found) return kFailed;
    session.out.put(attach::udev_properties(**found));
    return kFine;
  }

  std::optional<std::string> udev_;
  OpenWords words_;
};

}  // namespace

const CommandRow kAttachCommand = {
    .name = "attach",
    .arguments = "IMAGE… [-- COMMAND…]",
    .summary = "Make images appear as disks of this system",
    .description =
        "Prints the block device that each image became. It stays until it is detached or the system goes "
        "down; with "
        "--foreground or a COMMAND, which finds the device in VDISK_DEVICE, it ends with that. Needs root; "
        "without root "
        "'vdisk mount --as-files' shows the disk as a file.",
    .examples =
        "vdisk attach disk.vhdx\n"
        "vdisk attach --read-only --json backup.vhd | jq -r .device\n"
        "vdisk attach base.vhdx --cow changes.vhdx\n"
        "vdisk attach disk.vhdx -- sh -c 'fsck -n \"$VDISK_DEVICE\"p1'\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<AttachCommand>(); },
    .takes_command = true,
};

const CommandRow kDetachCommand = {
    .name = "detach",
    .arguments = "IMAGE|DEVICE…",
    .summary = "Take attached disks away",
    .description =
        "Flushes, removes the device and closes the image cleanly. A disk that is in use stays as it is, and "
        "the message "
        "says who uses it.",
    .examples =
        "vdisk detach disk.vhdx\n"
        "vdisk detach /dev/loop0\n"
        "vdisk detach --all\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<DetachCommand>(); },
};

const CommandRow kRestartCommand = {
    .name = "restart",
    .arguments = "IMAGE|DEVICE…",
    .summary = "Replace the servers of attached disks by the installed version",
    .description =
        "For after an update: the disk stays where it is, whoever uses it notices a pause. A server that is "
        "told to "
        "give way to a program that cannot take over goes on itself.",
    .examples = "vdisk restart --all\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<RestartCommand>(); },
};

const CommandRow kListCommand = {
    .name = "list",
    .arguments = "",
    .summary = "List attached images",
    .description =
        "One line for each: device, format, provider, rights, size, image. What killed servers left is put "
        "right on the way, and partitions follow what was written to partition tables before.",
    .examples =
        "vdisk list\n"
        "vdisk list --json | jq -r '.[].device'\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<ListCommand>(); },
};

}  // namespace vdisk::cli
