// SPDX-License-Identifier: Apache-2.0
//
// Serves an image to NBD clients: looks at it first, so that what is wrong with it is told as everywhere,
// then has nbdkit serve it until a signal comes or a command ends.
#include <fmt/format.h>
#include <signal.h>

#include <CLI/Error.hpp>
#include <optional>
#include <utility>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"
#include "serve/nbd/served_image.h"
#include "serve/nbd/server.h"

namespace vdisk::cli {

namespace {

namespace nbd = serve::nbd;

// How long a signal that came at the wrong moment may stay unheard.
constexpr int kStepMilliseconds = 200;

class ServeCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image")->required();
    auto* socket = app.add_option("--socket", serve_.socket,
                                  "Serve on a Unix socket at PATH; by default on one of its own")
                       ->type_name("PATH");
    auto* port = app.add_option("--port", serve_.port, "Serve on TCP port N of this host; 0 takes a free one")
                     ->type_name("N");
    port->excludes(socket);
    app.add_option("--address", serve_.address, "With --port: the address to serve on instead of 127.0.0.1")
        ->type_name("ADDRESS")
        ->needs(port);
    app.add_flag("--uri", uri_only_, "Print the URI alone");
    app.add_option("--export", serve_.export_name, "The export that the URI names, such as partition1")
        ->type_name("NAME");
    app.add_flag("--read-only", serve_.read_only, "Let no client write");
    auto* tls = app.add_option("--tls", serve_.tls,
                               "Demand TLS: PATH is a folder of certificates or a file of pre-shared keys");
    tls->type_name("PATH");
    app.add_flag("--tls-verify-peer", serve_.tls_verify_peer,
                 "With --tls: demand certificates of clients too")
        ->needs(tls);
    app.add_option("--run", command_, "Serve until the shell command CMD ends; it finds the URI in $uri")
        ->type_name("CMD");
    app.add_option("--format", words_.format,
                   "Format of the image: raw vhd vhdx vhdset iso; found out by default, but never raw")
        ->type_name("F");
    words_.declare_parents(app);
    app.add_flag("--allow-raw-parent", words_.allow_raw_parent, "Allow a parent that is a raw file")
        ->group("Finding parents");
    words_.declare_output(app);
  }

  int run(Session& session) override {
    const Status looked = look(words_.open_options());
    if (!looked) return session.report(looked.error(), words_.json);
    give_parameters();
    auto server = nbd::Server::start(serve_);
    if (!server) return session.report(server.error(), words_.json);
    const int status = command_.empty() ? serve(session, *server) : run_command(session, *server);
    const Status stopped = server->stop();
    if (!stopped) return session.report(stopped.error(), words_.json);
    return status;
  }

 private:
  /// Opens the image as the server will, and closes it again.
  Status look(const OpenOptions& options) {
    nbd::ServedImage image(image_, options);
    auto wanted = image.export_by_name(serve_.export_name, serve_.read_only);
    if (!wanted) return std::unexpected(std::move(wanted).error());
    size_bytes_ = (*wanted)->size_bytes();
    wanted->reset();
    auto whole = image.export_by_name("", serve_.read_only);
    if (!whole) return std::unexpected(std::move(whole).error());
    serve_.read_only = !(*whole)->writable();
    whole->reset();
    auto exports = image.list();
    if (!exports) return std::unexpected(std::move(exports).error());
    exports_ = *std::move(exports);
    return image.close();
  }

  void give_parameters() {
    auto& words = serve_.parameters;
    words.push_back("file=" + image_);
    if (!words_.format.empty()) words.push_back("format=" + words_.format);
    for (const std::string& folder : words_.parent_directories) words.push_back("parent-dir=" + folder);
    for (const std::string& drive : words_.drives) words.push_back("map-drive=" + drive);
    if (words_.confine) words.emplace_back("confine=true");
    if (words_.allow_raw_parent) words.emplace_back("allow-raw-parent=true");
  }

  void print(Session& session, const nbd::Server& server) const {
    if (words_.json) {
      Json names = Json::array();
      for (const nbd::ExportRow& row : exports_) names.push_back(row.name);
      session.out.put(json_text(Json{{"uri", server.uri()},
                                     {"path", image_},
                                     {"virtual_size_bytes", size_bytes_},
                                     {"read_only", serve_.read_only},
                                     {"exports", names}}) +
                      "\n");
    } else if (uri_only_ || words_.quiet) {
      session.out.put(server.uri() + "\n");
    } else {
      session.out.put(fmt::format("{}: {}, {}, until Ctrl-C\n  {}\n", printable(image_),
                                  exact_size(size_bytes_), serve_.read_only ? "read-only" : "writable",
                                  server.uri()));
    }
    session.out.flush();
  }

  int serve(Session& session, nbd::Server& server) const {
    print(session, server);
    while (!session.cancellation.cancelled()) {
      if (!server.runs(kStepMilliseconds)) break;  // stop() says that it should not have
    }
    return kFine;
  }

  /// The exit status is the command's.
  int run_command(Session& session, const nbd::Server& server) const {
    nbd::Process::Start how;
    how.arguments = {"/bin/sh", "-c", command_};
    how.environment = {"uri=" + server.uri(), "unixsocket=" + server.socket()};
    auto command = nbd::Process::start(how);
    if (!command) return session.report(command.error(), words_.json);
    std::optional<int> status;
    while (!(status = command->wait(kStepMilliseconds))) {
      if (session.cancellation.cancelled()) command->signal(SIGTERM);
    }
    return *status;
  }

  std::string image_, command_;
  bool uri_only_ = false;
  nbd::ServeOptions serve_;
  OpenWords words_;
  std::uint64_t size_bytes_ = 0;
  std::vector<nbd::ExportRow> exports_;
};

}  // namespace

const CommandRow kServeCommand = {
    .name = "serve",
    .arguments = "IMAGE",
    .summary = "Serve a disk to NBD clients",
    .description =
        "Serves the disk, its parents included, over NBD to virtual machines, nbd-client, nbdcopy, "
        "qemu-img and others, until Ctrl-C. Clients find the disk as the export \"\", its partitions as "
        "partition1 and so on, and its parents, read-only, as layer1 and so on. Nobody but this user "
        "reaches it unless --port or --address says so. nbdkit does the serving, with our plugin.",
    .examples =
        "vdisk serve disk.vhdx\n"
        "vdisk serve disk.vhdx --port 10809 --read-only\n"
        "vdisk serve snapshot.avhdx --run 'nbdcopy \"$uri\" disk.raw'\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<ServeCommand>(); },
};

}  // namespace vdisk::cli
