// SPDX-License-Identifier: Apache-2.0
//
// The hostile corpus: images that are wrong in one way each, named for their crime. Nothing is stored; each
// is built when it is needed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/file.h"

namespace vdisk::hostile {

/// The files of one case; the first is the one that is opened.
using Files = std::vector<std::pair<std::string, std::unique_ptr<File>>>;

struct Crime {
  std::string_view name;   ///< "vhdx-bat-two-blocks-at-one-place"
  std::string_view fault;  ///< What it is to be found out by.
  /// Where it shows.
  enum class Stage {
    kOpen,   ///< Opening refuses, and check tells the same row.
    kRead,   ///< Opening defers it; reading the whole disk fails.
    kCheck,  ///< Reading is right or harmless; check alone tells.
  } stage = Stage::kOpen;
  std::function<Files()> make;
};

std::vector<Crime> vhd_crimes();
std::vector<Crime> vhdx_crimes();
std::vector<Crime> vhdx_log_crimes();
std::vector<Crime> iso_crimes();
std::vector<Crime> chain_crimes();
std::vector<Crime> detection_crimes();
/// All of them.
std::vector<Crime> crimes();

/// One file.
Files alone(std::string name, std::unique_ptr<File> file);

}  // namespace vdisk::hostile
