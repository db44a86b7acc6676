// SPDX-License-Identifier: Apache-2.0
#include "capi/host_rules.h"

#include "capi/faults.h"

namespace vdisk::capi {

Status check_host_rules(const std::string& path, std::uint32_t flags, const Contract& contract,
                        const HostVolumeProbe& probe) {
  const HostVolumeFacts facts = probe(path);
  // A volume that compresses as a whole says nothing about this file: a note, except to the letter of the
  // page.
  const bool compressed =
      facts.compressed || (facts.volume_compressed && contract.refuses_compressed_volumes);
  if (compressed && (flags & OPEN_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES) == 0) {
    return fail(
        faults::kHostCompressed,
        "{}: {}; keep images uncompressed, or pass SUPPORT_COMPRESSED_VOLUMES with version 2 parameters",
        path, facts.why);
  }
  if (facts.encrypted && (flags & OPEN_VIRTUAL_DISK_FLAG_SUPPORT_ENCRYPTED_FILES) == 0) {
    return fail(faults::kHostEncrypted,
                "{}: {}; keep images unencrypted, or pass SUPPORT_ENCRYPTED_FILES with version 2 parameters",
                path, facts.why);
  }
  if (facts.loopback_share) {
    return fail(faults::kHostLoopbackShare, "{}: {}; open the file by its local path instead", path,
                facts.why);
  }
  return {};
}

Status check_host_rules_of_new_file(const std::string& path, std::uint32_t flags,
                                    const HostVolumeProbe& probe) {
  if ((flags & CREATE_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES) != 0) return {};
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const HostVolumeFacts facts = probe(folder);
  if (!facts.compressed && !facts.encrypted) return {};
  return fail(faults::kCreateHost,
              "{}: the file system would keep a file in {} {}; pass SUPPORT_COMPRESSED_VOLUMES", path, folder,
              facts.compressed ? "compressed" : "encrypted");
}

}  // namespace vdisk::capi
