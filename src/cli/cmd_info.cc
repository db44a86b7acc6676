// SPDX-License-Identifier: Apache-2.0
#include <vdisk/operations.h>

#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

class InfoCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", images_, "The images to describe")->required()->expected(-1);
    app.add_flag("--chain", chain_, "Describe every parent too, leaf first");
    words_.declare(app);
  }

  int run(Session& session) override {
    Json all = Json::array();
    int status = kFine;
    bool first = true;
    for (const std::string& image : images_) {
      if (session.cancellation.cancelled()) return kInterrupted;
      const OpenOptions options = words_.open_options(image);
      const std::vector<Inspection> chain =
          chain_ ? inspect_chain(image, options) : std::vector<Inspection>{inspect(image, options)};
      for (const Inspection& layer : chain) {
        if (layer.error) status = kFailed;
      }
      if (words_.json) {
        all.push_back(describe_json(chain));
      } else {
        print(session, chain, first);
      }
      first = false;
    }
    // One image is an object, so that `jq .format` works; several are an array.
    if (words_.json) session.out.put(json_text(images_.size() == 1 ? all.front() : all) + "\n");
    return status;
  }

 private:
  Json describe_json(const std::vector<Inspection>& chain) const {
    Json json = to_json(chain.front());
    if (!chain_) return json;
    Json layers = Json::array();
    for (const Inspection& layer : chain) layers.push_back(to_json(layer));
    json["chain"] = std::move(layers);
    // A script that looks at one place must not miss the error of a parent.
    for (const Inspection& layer : chain) {
      if (layer.error && !json.contains("error")) json["error"] = to_json(*layer.error);
    }
    return json;
  }

  static void print(Session& session, const std::vector<Inspection>& chain, bool first) {
    for (const Inspection& layer : chain) {
      // An image of which nothing is known has nothing to print but its error.
      const bool known = layer.info.format || layer.info.file_size_bytes;
      if (known) {
        session.out.put((first ? "" : "\n") + info_text(layer));
        first = false;
      }
      if (layer.error) {
        session.out.flush();
        print_message(describe(*layer.error));
      }
    }
  }

  std::vector<std::string> images_;
  bool chain_ = false;
  OpenWords words_;
};

}  // namespace

const CommandRow kInfoCommand = {
    .name = "info",
    .arguments = "IMAGE…",
    .summary = "Describe images: format, sizes, identifiers, parent",
    .description =
        "Says what an image is. Of a damaged image it prints all that can be known, and exits with 1.",
    .examples =
        "vdisk info disk.vhdx\n"
        "vdisk info --chain --parent-dir /backup/bases snapshot.avhdx\n"
        "vdisk info --json disk.vhd | jq .virtual_size_bytes\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<InfoCommand>(); },
};

}  // namespace vdisk::cli
