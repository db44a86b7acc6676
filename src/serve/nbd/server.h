// SPDX-License-Identifier: Apache-2.0
//
// nbdkit with our plugin as a child process, behind a socket that is ready before the caller hears of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.h"
#include "base/unique_fd.h"
#include "serve/nbd/process.h"

namespace vdisk::serve::nbd {

/// What to serve, and where. Without socket and port: a socket in a new folder of the user's own.
struct ServeOptions {
  std::vector<std::string> parameters;  ///< The plugin's: "file=disk.vhdx", …
  bool read_only = false;
  std::string socket;                 ///< Path of a Unix socket.
  std::optional<std::uint16_t> port;  ///< TCP; 0 takes any that is free.
  std::string address = "127.0.0.1";  ///< With `port`: a number of this host.
  std::string tls;  ///< A folder of certificates or a file of pre-shared keys; "" serves without TLS.
  bool tls_verify_peer = false;  ///< Clients need certificates too.
  std::string export_name;       ///< The one that the URI names.
};

/// Thread rule: one thread. Owner: the server ends with it.
class Server {
 public:
  /// Returns once clients are answered. Fails with the rows of faults.h; what nbdkit itself says goes to
  /// standard error.
  static Result<Server> start(const ServeOptions& options);
  Server(Server&&) noexcept = default;
  Server& operator=(Server&&) = delete;
  ~Server();

  /// Where it is, for NBD clients on this host.
  const std::string& uri() const noexcept { return uri_; }
  /// The path of its Unix socket, "" for TCP.
  const std::string& socket() const noexcept { return address_.path; }
  /// True while it runs. Waits at most `milliseconds` for its end, and no longer than until a signal comes.
  bool runs(int milliseconds) { return !process_.wait(milliseconds); }
  /// Ends it and waits until the image is closed. Fails with nbd.server_failed when that failed.
  Status stop();

 private:
  /// A socket that listens, and what is to be removed afterwards.
  struct Address {
    UniqueFd listening;
    std::string path;
    std::string folder;
    std::uint16_t port = 0;
    Address() = default;
    Address(Address&& other) noexcept;
    Address& operator=(Address&&) = delete;
    ~Address();
  };
  Server(Address address, Process process, std::string uri)
      : address_(std::move(address)), process_(std::move(process)), uri_(std::move(uri)) {}
  static Result<Address> listen(const ServeOptions& options);
  static Result<Address> listen_tcp(const ServeOptions& options);
  static Status wait_for_greeting(const Address& address, Process& process);

  Address address_;
  Process process_;
  std::string uri_;
};

/// Where our plugin lies: beside this program, or where both are installed. Fails with nbd.no_plugin.
Result<std::string> find_plugin();

}  // namespace vdisk::serve::nbd
