// SPDX-License-Identifier: Apache-2.0
#include "attach/nbd_device.h"

#include <fcntl.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>

#include "attach/faults.h"
#include "attach/nbd_netlink.h"
#include "base/fault.h"
#include "base/random.h"
#include "serve/nbd/transmission.h"

namespace vdisk::attach {

namespace {

/// Others may take the device that was free a moment ago.
constexpr int kMostAttempts = 64;
constexpr int kGoneMilliseconds = 5000;
constexpr int kStepMilliseconds = 10;
/// What was sent to a server that is gone is sent again when it is this old: the pause that users see of it.
/// A server that is only slow loses its connection then, too, and is replaced when it has done what it was
/// asked.
constexpr std::uint64_t kRequestSeconds = 3;
/// How long requests wait for a new socket before they fail.
constexpr std::uint64_t kDeadSeconds = 60;
/// The kernel shows the text in one page of sysfs.
constexpr std::size_t kMostNameBytes = 255;

std::string attribute_of(const std::string& node, const char* name) {
  std::ifstream file("/sys/block/" + node.substr(node.rfind('/') + 1) + "/" + name);
  std::string line;
  std::getline(file, line);
  return line;
}

constexpr std::string_view kOurs = "vdisk:";
constexpr std::size_t kNumberDigits = 16;
constexpr std::string_view kNode = "/dev/nbd";

/// What the `backend` of a device of ours begins with.
std::string backend_prefix(FileIdentity tag) {
  return fmt::format("{}{:016x}{:016x}:", kOurs, tag.device, tag.inode);
}

std::optional<FileIdentity> parse_backend(std::string_view text) {
  if (!text.starts_with(kOurs) || text.size() < kOurs.size() + 2 * kNumberDigits) return std::nullopt;
  text.remove_prefix(kOurs.size());
  FileIdentity tag;
  for (std::uint64_t* number : {&tag.device, &tag.inode}) {
    const char* const end = text.data() + kNumberDigits;
    if (std::from_chars(text.data(), end, *number, 16).ptr != end) return std::nullopt;
    text.remove_prefix(kNumberDigits);
  }
  return tag;
}

std::optional<std::uint32_t> index_of(std::string_view node) noexcept {
  std::uint32_t index = 0;
  if (!node.starts_with(kNode)) return std::nullopt;
  const char* const end = node.data() + node.size();
  if (std::from_chars(node.data() + kNode.size(), end, index).ptr != end) return std::nullopt;
  return index;
}

/// The two ends of one connection.
struct SocketPair {
  UniqueFd kernels;
  UniqueFd servers;

  static Result<SocketPair> make(const std::string& name) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      return fail_errno(faults::kDevice, errno, "making a socket for {}", name);
    return SocketPair{.kernels = UniqueFd(ends[0]), .servers = UniqueFd(ends[1])};
  }
  /// Once our descriptor of the kernel's end is closed: the kernel has one.
  bool is_held() const noexcept {
    pollfd end{.fd = servers.get(), .events = POLLIN, .revents = 0};
    return ::poll(&end, 1, 0) == 0 || (end.revents & POLLHUP) == 0;
  }
};

/// The device goes with its last user.
NbdCommand reconfigure_command(std::uint32_t index, const std::string& backend) {
  NbdCommand command(NBD_CMD_RECONFIGURE);
  command.add(NBD_ATTR_INDEX, index);
  command.add(NBD_ATTR_BACKEND_IDENTIFIER, backend);
  command.add(NBD_ATTR_CLIENT_FLAGS, std::uint64_t{NBD_CFLAG_DISCONNECT_ON_CLOSE});
  return command;
}

int disconnect(std::uint32_t index) {
  int error = 0;
  auto netlink = NbdNetlink::open(error);
  if (!netlink) return error;
  NbdCommand command(NBD_CMD_DISCONNECT);
  command.add(NBD_ATTR_INDEX, index);
  return netlink->send(command);
}

std::unexpected<Error> refused(int error, const std::string& name) {
  if (error == EPERM || error == EACCES) {
    return fail_errno(faults::kNoPrivilege, error, "attaching a disk needs root (CAP_SYS_ADMIN)");
  }
  return fail_errno(faults::kDevice, error, "making an NBD device of {}", name);
}

NbdCommand connect_command(const NbdSetup& setup, const std::string& backend, int socket) {
  NbdCommand command(NBD_CMD_CONNECT);
  command.add(NBD_ATTR_SIZE_BYTES, setup.length_bytes);
  command.add(NBD_ATTR_BLOCK_SIZE_BYTES, std::uint64_t{setup.logical_sector_bytes});
  command.add(NBD_ATTR_SERVER_FLAGS, serve::nbd::transmission_flags(setup.read_only));
  command.add(NBD_ATTR_TIMEOUT, kRequestSeconds);
  command.add(NBD_ATTR_DEAD_CONN_TIMEOUT, kDeadSeconds);
  command.add(NBD_ATTR_BACKEND_IDENTIFIER, backend);
  command.add_socket(socket);
  return command;
}

}  // namespace

std::optional<std::string> no_nbd() {
  int error = 0;
  if (NbdNetlink::open(error)) return std::nullopt;
  if (error == ENOENT) return "the kernel has no NBD devices, or has not loaded them; try 'modprobe nbd'";
  return fmt::format("asking the kernel for NBD: {}", errno_text(error));
}

Result<NbdDevice> NbdDevice::attach(const NbdSetup& setup, const GiveSocket& give) {
  int error = 0;
  auto netlink = NbdNetlink::open(error);
  if (!netlink) return refused(error, setup.name);
  const FileIdentity tag{.device = random_u64(), .inode = random_u64()};
  const std::string name = setup.name.substr(setup.name.rfind('/') + 1);
  const std::string backend = backend_prefix(tag) + name.substr(0, kMostNameBytes);
  SocketPair pair = VDISK_TRY(SocketPair::make(setup.name));
  const NbdCommand connect = connect_command(setup, backend, pair.kernels.get());
  std::uint32_t index = 0;
  error = EBUSY;
  for (int attempt = 0; attempt < kMostAttempts && error == EBUSY; ++attempt) {
    error = netlink->send(connect, &index);
    if (error == EBUSY) ::poll(nullptr, 0, kStepMilliseconds);
  }
  if (error != 0) return refused(error, setup.name);
  pair.kernels.reset();
  const std::string node = fmt::format("/dev/nbd{}", index);
  NbdDevice device(node, index, backend, tag, {});
  const Status opened = [&]() -> Status {
    VDISK_TRY(give(std::move(pair.servers)));
    VDISK_TRY(make_node(node));
    device.fd_ = UniqueFd(::open(node.c_str(), (setup.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    if (!device.fd_) return fail_errno(faults::kDevice, errno, "opening {} for {}", node, setup.name);
    // Not from the start: somebody who watches devices (udev) may have opened and closed it before we do.
    const int refusal = netlink->send(reconfigure_command(index, backend));
    return refusal == 0 ? Status{} : refused(refusal, setup.name);
  }();
  if (opened) return device;
  device.abort();
  return std::unexpected(opened.error());
}

Status NbdDevice::reconnect(const GiveSocket& give) {
  int error = 0;
  auto netlink = NbdNetlink::open(error);
  if (!netlink) return refused(error, node_);
  for (int waited = 0; waited < kGoneMilliseconds; waited += kStepMilliseconds) {
    SocketPair pair = VDISK_TRY(SocketPair::make(node_));
    NbdCommand command = reconfigure_command(index_, backend_);
    command.add_socket(pair.kernels.get());
    error = netlink->send(command);
    if (error != 0) return fail_errno(faults::kDevice, error, "giving {} another server", node_);
    pair.kernels.reset();
    // The kernel takes no socket, and does not say so, before it has seen the end of the one that it has.
    if (pair.is_held()) return give(std::move(pair.servers));
    ::poll(nullptr, 0, kStepMilliseconds);
  }
  return fail(faults::kDevice, "{}: the kernel takes no other server for it", node_);
}

Status NbdDevice::remove() {
  fd_.reset();
  // Whoever watches devices (udev) may have it open for a moment.
  for (int waited = 0; waited < kGoneMilliseconds; waited += kStepMilliseconds) {
    if (nbd_state(node_, tag_) != DeviceState::kOurs) return {};
    ::poll(nullptr, 0, kStepMilliseconds);
  }
  return fail(faults::kDevice, "{}: is still open somewhere; it goes when its last user lets it go", node_);
}

Result<NbdDevice> NbdDevice::adopt(const std::string& node, UniqueFd fd) {
  const std::string backend = attribute_of(node, "backend");
  const auto tag = parse_backend(backend);
  const auto index = index_of(node);
  if (fd && tag && index) return NbdDevice(node, *index, backend, *tag, std::move(fd));
  return fail(faults::kDevice, "{}: is no NBD device of an attachment", node);
}

void NbdDevice::abort() noexcept { static_cast<void>(disconnect(index_)); }

bool is_nbd(const std::string& node) noexcept { return index_of(node).has_value(); }

void abort_nbd(const std::string& node) noexcept {
  if (const auto index = index_of(node)) static_cast<void>(disconnect(*index));
}

DeviceState nbd_state(const std::string& node, FileIdentity tag) {
  // The file `pid` is there for as long as the device is in use.
  if (attribute_of(node, "pid").empty()) return DeviceState::kFree;
  return attribute_of(node, "backend").starts_with(backend_prefix(tag)) ? DeviceState::kOurs
                                                                        : DeviceState::kForeign;
}

}  // namespace vdisk::attach
