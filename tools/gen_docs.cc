// SPDX-License-Identifier: Apache-2.0
//
// Prints what the fault rows say: `gen_docs catalogue` one row per line (id, code, name, meaning; tabs between), for
// tools/fault_ledger; `gen_docs errors` the page docs/errors.md.
#include <fmt/format.h>
#include <vdisk/error.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "attach/faults.h"
#include "capi/faults.h"
#include "disk/fault_catalogue.h"
#include "serve/nbd/faults.h"
#include "serve/fuse/faults.h"

namespace {

std::vector<const vdisk::Fault*> sorted_faults() {
  std::vector<const vdisk::Fault*> rows = vdisk::all_faults();
  const auto add = [&rows](vdisk::FaultTable table) { rows.insert(rows.end(), table.begin(), table.end()); };
  add(vdisk::serve::nbd::faults::kAll);
  add(vdisk::serve::faults::kFuse);
  add(vdisk::attach::faults::kAll);
  add(vdisk::capi::faults::kCapi);
  std::ranges::sort(rows, {}, [](const vdisk::Fault* row) { return row->id; });
  return rows;
}

std::string code_text(vdisk::Win32Code code) {
  return code > 0xFFFF ? fmt::format("0x{:08X}", code) : fmt::format("{}", code);
}

std::string catalogue() {
  std::string text;
  for (const vdisk::Fault* row : sorted_faults()) {
    text += fmt::format("{}\t{}\t{}\t{}\n", row->id, code_text(row->code), vdisk::win32_code_name(row->code),
                        row->meaning);
  }
  return text;
}

std::string errors_page() {
  std::string text =
      "# Errors\n\n"
      "Generated from the fault rows in the source by `tools/fault_ledger --write`; a test fails when it is out of\n"
      "date. Each row is one distinct failure: its id, which tests and scripts compare; the code that the C API\n"
      "returns; and what it means. The message that comes with an error says the rest: which file, where, which\n"
      "value, and what to do.\n";
  std::string_view group;
  for (const vdisk::Fault* row : sorted_faults()) {
    const std::string_view prefix = row->id.substr(0, row->id.find('.'));
    if (prefix != group) {
      group = prefix;
      text += fmt::format("\n## {}\n\n| id | code | name | meaning |\n|---|---|---|---|\n", group);
    }
    text += fmt::format("| `{}` | {} | {} | {} |\n", row->id, code_text(row->code), vdisk::win32_code_name(row->code),
                        row->meaning);
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc == 2 ? argv[1] : "";
  if (what != "catalogue" && what != "errors") {
    std::fputs("usage: gen_docs catalogue|errors\n", stderr);
    return 2;
  }
  const std::string text = what == "errors" ? errors_page() : catalogue();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 ? 0 : 1;
}
