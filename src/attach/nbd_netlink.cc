// SPDX-License-Identifier: Apache-2.0
#include "attach/nbd_netlink.h"

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <span>

#include "base/checked.h"
#include "base/endian.h"

namespace vdisk::attach {

namespace {

constexpr std::size_t kAnswerBytes = 16 * 1024;

std::size_t aligned(std::size_t bytes) noexcept { return round_up(bytes, std::size_t{NLA_ALIGNTO}); }

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
  to.resize(aligned(to.size()));
}

void append_attribute(std::vector<std::byte>& to, std::uint16_t type, std::span<const std::byte> value) {
  const nlattr head{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + value.size()), .nla_type = type};
  append(to, bytes_of(head));
  append(to, value);
}

/// Calls visit(type, value) for each attribute; what is not whole ends the walk.
template <class Visit>
void for_each_attribute(std::span<const std::byte> bytes, Visit&& visit) {
  while (bytes.size() >= sizeof(nlattr)) {
    const auto head = load<nlattr>(bytes);
    if (head.nla_len < sizeof(nlattr) || head.nla_len > bytes.size()) return;
    visit(head.nla_type & NLA_TYPE_MASK, bytes.subspan(sizeof(nlattr), head.nla_len - sizeof(nlattr)));
    bytes = bytes.subspan(std::min(aligned(head.nla_len), bytes.size()));
  }
}

/// Sends one request of `family` and gives what is answered to visit(type, value): 0 or an errno.
template <class Visit>
int exchange(int socket, std::uint16_t family, std::uint8_t command, std::uint32_t sequence,
             std::span<const std::byte> attributes, Visit&& visit) {
  std::vector<std::byte> message;
  nlmsghdr head{};
  head.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) + sizeof(genlmsghdr) + attributes.size());
  head.nlmsg_type = family;
  head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  head.nlmsg_seq = sequence;
  const genlmsghdr generic{.cmd = command, .version = 1, .reserved = 0};
  append(message, bytes_of(head));
  append(message, bytes_of(generic));
  append(message, attributes);
  ssize_t moved;
  do {
    moved = ::send(socket, message.data(), message.size(), 0);
  } while (moved < 0 && errno == EINTR);
  if (moved < 0) return errno;
  std::vector<std::byte> answer(kAnswerBytes);
  for (;;) {
    moved = ::recv(socket, answer.data(), answer.size(), 0);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return moved < 0 ? errno : EPROTO;
    auto rest = std::span<const std::byte>(answer).first(static_cast<std::size_t>(moved));
    while (rest.size() >= sizeof(nlmsghdr)) {
      const auto found = load<nlmsghdr>(rest);
      if (found.nlmsg_len < sizeof(nlmsghdr) || found.nlmsg_len > rest.size()) return EPROTO;
      const auto body = rest.subspan(sizeof(nlmsghdr), found.nlmsg_len - sizeof(nlmsghdr));
      rest = rest.subspan(std::min(aligned(found.nlmsg_len), rest.size()));
      if (found.nlmsg_seq != sequence) continue;  // not an answer
      if (found.nlmsg_type == NLMSG_ERROR) {
        if (body.size() < sizeof(int)) return EPROTO;
        return -load<int>(body);  // 0 is the acknowledgement, which comes last
      }
      if (found.nlmsg_type == family && body.size() >= sizeof(genlmsghdr))
        for_each_attribute(body.subspan(sizeof(genlmsghdr)), visit);
    }
  }
}

}  // namespace

void NbdCommand::add(std::uint16_t attribute, std::uint32_t value) {
  append_attribute(attributes_, attribute, bytes_of(value));
}
void NbdCommand::add(std::uint16_t attribute, std::uint64_t value) {
  append_attribute(attributes_, attribute, bytes_of(value));
}
void NbdCommand::add(std::uint16_t attribute, std::string_view text) {
  const std::string terminated(text);
  append_attribute(attributes_, attribute,
                   std::as_bytes(std::span(terminated.c_str(), terminated.size() + 1)));
}
void NbdCommand::add_socket(int socket) {
  std::vector<std::byte> number;
  append_attribute(number, NBD_SOCK_FD, bytes_of(static_cast<std::uint32_t>(socket)));
  std::vector<std::byte> item;
  append_attribute(item, NBD_SOCK_ITEM | NLA_F_NESTED, number);
  append_attribute(attributes_, NBD_ATTR_SOCKETS | NLA_F_NESTED, item);
}

std::optional<NbdNetlink> NbdNetlink::open(int& error) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  error = errno;
  if (!socket) return std::nullopt;
  constexpr std::string_view kName = NBD_GENL_FAMILY_NAME;
  std::vector<std::byte> name;
  append_attribute(name, CTRL_ATTR_FAMILY_NAME, std::as_bytes(std::span(kName.data(), kName.size() + 1)));
  std::uint16_t family = 0;
  error = exchange(socket.get(), GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, name,
                   [&](int type, std::span<const std::byte> value) {
                     if (type == CTRL_ATTR_FAMILY_ID && value.size() >= sizeof family)
                       family = load<std::uint16_t>(value);
                   });
  if (error == 0 && family == 0) error = EPROTO;
  if (error != 0) return std::nullopt;
  return NbdNetlink(std::move(socket), family);
}

int NbdNetlink::send(const NbdCommand& command, std::uint32_t* index) {
  return exchange(socket_.get(), family_, command.command_, sequence_++, command.attributes_,
                  [&](int type, std::span<const std::byte> value) {
                    if (type == NBD_ATTR_INDEX && index != nullptr && value.size() >= sizeof *index)
                      *index = load<std::uint32_t>(value);
                  });
}

}  // namespace vdisk::attach
