// SPDX-License-Identifier: Apache-2.0
#include "disk/fault_catalogue.h"

#include "chain/faults.h"
#include "disk/faults.h"
#include "disk/ops/create_faults.h"
#include "disk/ops/faults.h"
#include "filesystem/faults.h"
#include "format/registry.h"
#include "io/faults.h"

namespace vdisk {

std::vector<const Fault*> all_faults() {
  std::vector<const Fault*> rows;
  const auto add = [&rows](FaultTable table) { rows.insert(rows.end(), table.begin(), table.end()); };
  add(faults::kBase);
  add(io::faults::kIo);
  add(format::faults::kFormat);
  for (const Format* format : formats()) add(format->faults);
  add(chain::faults::kAll);
  add(filesystem::faults::kAll);
  add(disk::faults::kAll);
  add(ops::faults::kAll);
  add(ops::faults::kCreate);
  return rows;
}

}  // namespace vdisk
