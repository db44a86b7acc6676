// SPDX-License-Identifier: Apache-2.0
#include "serve/nbd/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <system_error>

#include "serve/nbd/faults.h"

namespace vdisk::serve::nbd {

namespace {

namespace fs = std::filesystem;

constexpr int kBacklog = 128;
constexpr std::size_t kGreetingBytes = 18;  // NBDMAGIC, IHAVEOPT, flags
constexpr std::string_view kPluginFile = "nbdkit-vdisk-plugin.so";
constexpr int kWaitStepMilliseconds = 100;

/// As RFC 3986 wants what is not unreserved; slashes may stay.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
  std::string result;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string absolute(const std::string& path) {
  std::error_code error;
  const fs::path found = fs::absolute(path, error);
  return error ? path : found.native();
}

/// The user of the first pre-shared key ("user:key" per line); "" if there is none.
std::string first_key_user(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  const auto colon = line.find(':');
  return colon == std::string::npos ? "" : line.substr(0, colon);
}

Result<std::vector<std::string>> tls_arguments(const ServeOptions& options) {
  std::vector<std::string> words;
  if (options.tls.empty()) return words;
  const bool folder = is_folder(options.tls);
  if (!folder && first_key_user(options.tls).empty()) {
    return fail(faults::kKeys,
                "{}: is neither a folder of certificates nor a file of lines USER:KEY (psktool makes one)",
                options.tls);
  }
  words.emplace_back("--tls=require");
  words.push_back((folder ? "--tls-certificates=" : "--tls-psk=") + absolute(options.tls));
  if (options.tls_verify_peer) words.emplace_back("--tls-verify-peer");
  return words;
}

/// Removes a socket that nobody listens on any more.
void remove_stale(const std::string& path, const sockaddr_un& name) {
  struct stat stat{};
  if (::lstat(path.c_str(), &stat) != 0 || !S_ISSOCK(stat.st_mode)) return;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&name));
  if (::connect(probe.get(), generic, sizeof name) != 0 && errno == ECONNREFUSED) ::unlink(path.c_str());
}

std::unexpected<Error> not_listening(const std::string& where, int error) {
  if (error == EADDRINUSE || error == EEXIST) {
    return fail_errno(faults::kSocketInUse, error, "{}: choose another, or end what serves there", where);
  }
  if (error == EADDRNOTAVAIL || error == ENOENT || error == ENOTDIR) {
    return fail_errno(faults::kSocketName, error, "{}: nothing can be served there", where);
  }
  return fail_errno(faults::kSocket, error, "{}: nothing can be served there", where);
}

/// For others who may connect: nobody. nbdkit sets no mode.
class OwnerOnly {
 public:
  OwnerOnly() : before_(::umask(0177)) {}
  ~OwnerOnly() { ::umask(before_); }
  OwnerOnly(const OwnerOnly&) = delete;
  OwnerOnly& operator=(const OwnerOnly&) = delete;

 private:
  const mode_t before_;
};

Result<UniqueFd> listen_unix(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) {
    return fail(faults::kSocketName, "{}: the path of a socket has at most {} bytes", path,
                sizeof name.sun_path - 1);
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  remove_stale(path, name);
  UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const OwnerOnly mode;
  const auto* generic = static_cast<const sockaddr*>(static_cast<const void*>(&name));
  if (!listening || ::bind(listening.get(), generic, sizeof name) != 0 ||
      ::listen(listening.get(), kBacklog) != 0) {
    return not_listening(path, errno);
  }
  return listening;
}

Result<std::string> private_folder() {
  const char* runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  std::string folder = runtime != nullptr && is_folder(runtime) ? runtime : "/tmp";
  folder += "/vdisk-serve-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return not_listening(folder, errno);
  return folder;
}

std::string uri_of(const ServeOptions& options, const std::string& socket, std::uint16_t port) {
  const bool keys = !options.tls.empty() && !is_folder(options.tls);
  const std::string tls = options.tls.empty() ? "" : "s";
  std::string user = keys ? percent_encoded(first_key_user(options.tls)) + "@" : "";
  std::vector<std::string> query;
  if (!socket.empty()) query.push_back("socket=" + percent_encoded(socket));
  if (!options.tls.empty()) {
    query.push_back((keys ? "tls-psk-file=" : "tls-certificates=") + percent_encoded(absolute(options.tls)));
  }
  std::string host;
  if (socket.empty()) {
    const bool any = options.address == "0.0.0.0" || options.address == "::";
    const bool six = options.address.find(':') != std::string::npos;
    host = fmt::format("{}:{}",
                       any   ? "localhost"
                       : six ? "[" + options.address + "]"
                             : options.address,
                       port);
  }
  std::string uri = fmt::format("nbd{}{}://{}{}/{}", tls, socket.empty() ? "" : "+unix", user, host,
                                percent_encoded(options.export_name));
  if (!query.empty()) uri += fmt::format("?{}", fmt::join(query, "&"));
  return uri;
}

std::string program_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? "" : program.parent_path().native();
}

}  // namespace

Result<std::string> find_plugin() {
  const std::string here = program_folder();
  const std::array places = {here, here + "/../" VDISK_LIBDIR "/nbdkit/plugins",
                             std::string(VDISK_FULL_LIBDIR "/nbdkit/plugins")};
  for (const std::string& place : places) {
    std::string path = fmt::format("{}/{}", place, kPluginFile);
    if (::access(path.c_str(), R_OK) == 0) return path;
  }
  return fail(faults::kNoPlugin, "{} is not in {}: install the package nbdkit-plugin-vdisk", kPluginFile,
              fmt::join(places, ", "));
}

Server::Address::Address(Address&& other) noexcept
    : listening(std::move(other.listening)),
      path(std::exchange(other.path, {})),
      folder(std::exchange(other.folder, {})),
      port(other.port) {}

Server::Address::~Address() {
  if (!path.empty()) ::unlink(path.c_str());
  if (!folder.empty()) ::rmdir(folder.c_str());
}

Result<Server::Address> Server::listen_tcp(const ServeOptions& options) {
  const std::string where = fmt::format("{} port {}", options.address, *options.port);
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(*options.port);
  if (::getaddrinfo(options.address.c_str(), service.c_str(), &wanted, &found) != 0) {
    return fail(faults::kSocketName, "{}: is not the number of an address, like 127.0.0.1 or ::1",
                options.address);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  Address address;
  address.listening = UniqueFd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(address.listening.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (!address.listening || ::bind(address.listening.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(address.listening.get(), kBacklog) != 0) {
    return not_listening(where, errno);
  }
  // The port is at the same place in both families' structures.
  sockaddr_in6 bound{};
  socklen_t length = sizeof bound;
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&bound));
  if (::getsockname(address.listening.get(), generic, &length) != 0) return not_listening(where, errno);
  address.port = ntohs(bound.sin6_port);
  return address;
}

Result<Server::Address> Server::listen(const ServeOptions& options) {
  if (options.port) return listen_tcp(options);
  Address address;
  if (options.socket.empty()) address.folder = VDISK_TRY(private_folder());
  const std::string path = options.socket.empty() ? address.folder + "/nbd.sock" : absolute(options.socket);
  address.listening = VDISK_TRY(listen_unix(path));
  address.path = path;
  return address;
}

/// A client's first step, and no more: the server's greeting says that it has the image and its keys.
Status Server::wait_for_greeting(const Address& address, Process& process) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  auto* generic = static_cast<sockaddr*>(static_cast<void*>(&name));
  ::getsockname(address.listening.get(), generic, &length);
  const UniqueFd client(::socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::array<char, kGreetingBytes> greeting;
  if (client && ::connect(client.get(), generic, length) == 0) {
    while (!process.wait(0)) {
      pollfd poll{client.get(), POLLIN, 0};
      if (::poll(&poll, 1, kWaitStepMilliseconds) > 0) {
        if (::recv(client.get(), greeting.data(), greeting.size(), 0) > 0) return {};
        break;
      }
    }
  }
  return fail(faults::kServerFailed, "nbdkit did not begin to serve; it says why above");
}

Result<Server> Server::start(const ServeOptions& options) {
  const auto nbdkit = find_program("nbdkit");
  if (!nbdkit) return fail(faults::kNoNbdkit, "nbdkit is not installed: install the package nbdkit");
  const std::string plugin = VDISK_TRY(find_plugin());
  Process::Start how;
  how.arguments = {*nbdkit, "--foreground", "--exit-with-parent"};
  if (options.read_only) how.arguments.emplace_back("--readonly");
  for (std::string& word : VDISK_TRY(tls_arguments(options))) how.arguments.push_back(std::move(word));
  how.arguments.push_back(plugin);
  how.arguments.insert(how.arguments.end(), options.parameters.begin(), options.parameters.end());
  Address address = VDISK_TRY(listen(options));
  how.listening = address.listening.get();
  how.own_group = true;
  Process process = VDISK_TRY(Process::start(how));
  VDISK_TRY(wait_for_greeting(address, process));
  address.listening.reset();  // Who connects is to find the server or nothing.
  std::string uri = uri_of(options, address.path, address.port);
  return Server(std::move(address), std::move(process), std::move(uri));
}

Server::~Server() = default;

Status Server::stop() {
  process_.signal(SIGTERM);
  std::optional<int> status;
  while (!(status = process_.wait(-1))) {
  }
  if (*status == 0) return {};
  return fail(faults::kServerFailed, "nbdkit ended with status {}; it says why above", *status);
}

}  // namespace vdisk::serve::nbd
