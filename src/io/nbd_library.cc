// SPDX-License-Identifier: Apache-2.0
#include "io/nbd_library.h"

#include <dlfcn.h>

#include <string>

#include "io/faults.h"

namespace vdisk {

namespace {

constexpr const char* kFileName = "libnbd.so.0";

struct Loaded {
  NbdLibrary library;
  std::string obstacle;  // "" when all is there
};

template <class Function>
void load(void* handle, const char* name, Function*& into, std::string& obstacle) {
  // POSIX promises that a pointer of dlsym can be one to a function.
  into = __builtin_bit_cast(Function*, ::dlsym(handle, name));
  if (into == nullptr) obstacle = fmt::format("{} lacks {}", kFileName, name);
}

Loaded load_library() {
  Loaded loaded;
  void* handle = ::dlopen(kFileName, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    loaded.obstacle = why != nullptr ? why : kFileName;
    return loaded;
  }
#define VDISK_NBD_LOAD(member, function) load(handle, #function, loaded.library.member, loaded.obstacle);
  VDISK_NBD_FUNCTIONS(VDISK_NBD_LOAD)
#undef VDISK_NBD_LOAD
  return loaded;
}

}  // namespace

Result<const NbdLibrary*> NbdLibrary::get() {
  static const Loaded loaded = load_library();
  if (loaded.obstacle.empty()) return &loaded.library;
  return fail(io::faults::kNbdLibrary, "NBD URIs need libnbd: install the package libnbd0 ({})",
              loaded.obstacle);
}

}  // namespace vdisk
