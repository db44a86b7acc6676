// SPDX-License-Identifier: Apache-2.0
#include "cli/volume_choice.h"

#include <blkid/blkid.h>
#include <fcntl.h>

#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "attach/faults.h"
#include "base/fault.h"
#include "base/unique_fd.h"

namespace vdisk::cli {

namespace {

namespace faults = attach::faults;

Volume probe(const std::string& path) {
  Volume volume{.path = path, .type = {}, .bytes = 0};
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const std::unique_ptr<blkid_struct_probe, void (*)(blkid_probe)> prober(::blkid_new_probe(),
                                                                          ::blkid_free_probe);
  if (!fd || !prober || ::blkid_probe_set_device(prober.get(), fd.get(), 0, 0) != 0) return volume;
  volume.bytes = static_cast<std::uint64_t>(::blkid_probe_get_size(prober.get()));
  ::blkid_probe_enable_superblocks(prober.get(), 1);
  ::blkid_probe_set_superblocks_flags(prober.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  if (::blkid_do_safeprobe(prober.get()) != 0) return volume;
  const char* usage = nullptr;
  const char* type = nullptr;
  if (::blkid_probe_lookup_value(prober.get(), "USAGE", &usage, nullptr) != 0 ||
      std::string_view(usage) != "filesystem" ||
      ::blkid_probe_lookup_value(prober.get(), "TYPE", &type, nullptr) != 0) {
    return volume;
  }
  volume.type = type;
  return volume;
}

std::string names_of(const std::vector<std::string>& paths) {
  std::string names;
  for (const std::string& path : paths) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", std::filesystem::path(path).filename().string());
  }
  return names.empty() ? "none" : names;
}

}  // namespace

std::string Volume::name() const {
  return path.starts_with("/dev/") ? path : std::filesystem::path(path).filename().string();
}

Result<VolumeChoice> choose_volume(const VolumePaths& paths, const std::optional<std::uint32_t>& wanted) {
  if (wanted) {
    const std::string path = fmt::format("{}{}{}", paths.before_number, *wanted, paths.after_number);
    for (const std::string& there : paths.partitions) {
      if (there == path) return VolumeChoice{probe(path), "it was asked for"};
    }
    return fail(faults::kNoPartition, "{}: has no partition {}; those that it has: {}", paths.image, *wanted,
                names_of(paths.partitions));
  }
  if (paths.partitions.empty()) return VolumeChoice{probe(paths.disk), "the disk has no partitions"};
  std::vector<Volume> usable;
  for (const std::string& path : paths.partitions) {
    if (Volume volume = probe(path); !volume.type.empty()) usable.push_back(std::move(volume));
  }
  if (usable.empty()) {
    return fail(faults::kNoFileSystem, "{}: none of its {} partitions holds a file system that is known",
                paths.image, paths.partitions.size());
  }
  if (usable.size() == 1) {
    return VolumeChoice{std::move(usable.front()), "it is the only one with a file system"};
  }
  std::size_t largest = 0;
  for (std::size_t i = 1; i < usable.size(); ++i) {
    if (usable[i].bytes > usable[largest].bytes) largest = i;
  }
  return VolumeChoice{std::move(usable[largest]),
                      fmt::format("it is the largest of {} with a file system", usable.size())};
}

}  // namespace vdisk::cli
