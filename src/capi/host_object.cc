// SPDX-License-Identifier: Apache-2.0
#include "capi/host_object.h"

#include <fcntl.h>
#include <virtdisk.h>

#include <cerrno>
#include <optional>

#include "capi/faults.h"
#include "capi/last_error.h"
#include "capi/wide.h"
#include "disk/host_path.h"
#include "io/faults.h"

namespace vdisk::capi {

Result<std::shared_ptr<const HostObject>> HostObject::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return fail_errno(io::faults::fault_for_errno(errno), errno, "opening {}", path);
  return std::shared_ptr<const HostObject>(new HostObject(std::move(fd), path));
}

namespace {

Result<HANDLE> handle_from_path(const WCHAR* path) {
  if (path == nullptr)
    return fail(faults::kPathNull, "Path is NULL: pass the path of a file, folder or device");
  const std::optional<std::string> text = to_utf8(path);
  if (!text || text->empty())
    return fail(faults::kPathText, "Path is {}", text ? "empty" : "not valid Unicode text");
  const std::string here = VDISK_TRY(host_path(*text, ParentSearch::from_environment()));
  return HandleTable::instance().add(VDISK_TRY(HostObject::open(here)));
}

}  // namespace

}  // namespace vdisk::capi

DWORD VirtdiskHandleFromPath(PCWSTR Path, PHANDLE Handle) {
  return vdisk::capi::api_call([&]() -> vdisk::Status {
    if (Handle == nullptr)
      return vdisk::fail(vdisk::capi::faults::kHandleNull, "Handle is NULL: pass a HANDLE to fill in");
    *Handle = VDISK_TRY(vdisk::capi::handle_from_path(Path));
    return {};
  });
}
