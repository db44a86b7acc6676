#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# packages_test.sh SOURCE BUILD MAKE_IMAGES: makes the Debian packages, installs them with dpkg into a root of its own,
# builds C and C++ programs against what was installed (pkg-config and CMake), among them the tests of the C API's
# contract with the images of MAKE_IMAGES, runs them and the tool, and removes the packages again. Needs root (dpkg
# gives the files their owner).
set -euo pipefail
source=$1 build=$2 make_images=$3
if ((EUID != 0)); then
  echo "skipped: installing packages needs root"
  exit 77
fi
die() {
  echo "FAILED: $*" >&2
  exit 1
}

cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
  -DVDISK_BUILD_TESTS=OFF >"$build.configure.log" || { cat "$build.configure.log"; die "configure"; }
cmake --build "$build" --parallel "$(nproc)" >"$build.build.log" || { tail -n 50 "$build.build.log"; die "build"; }
rm -f "$build"/*.deb
(cd "$build" && cpack -G DEB >cpack.log) || { cat "$build/cpack.log"; die "cpack"; }
ls "$build"/*.deb

root=$(mktemp -d)
chmod 755 "$root"  # the contract's tests become another user
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info"
touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
dpkg_here() { dpkg --root="$root" --force-script-chrootless --force-depends --log=/dev/null "$@"; }

for package in libvirtdisk1 libvirtdisk-dev vdisk nbdkit-plugin-vdisk; do
  compgen -G "$build/${package}_*.deb" >/dev/null || die "no package $package"
done
# What the packages need must come from what they link to, not from luck.
depends() { dpkg-deb --field "$build"/"$1"_*.deb Depends; }
[[ $(depends libvirtdisk1) == *libfmt* && $(depends libvirtdisk1) == *libisal* ]] || die "libvirtdisk1 depends: $(depends libvirtdisk1)"
[[ $(depends libvirtdisk-dev) == *"libvirtdisk1 (="* ]] || die "libvirtdisk-dev depends: $(depends libvirtdisk-dev)"
[[ $(depends vdisk) == *libc6* ]] || die "vdisk depends: $(depends vdisk)"
[[ $(depends nbdkit-plugin-vdisk) == *nbdkit* ]] || die "nbdkit-plugin-vdisk depends: $(depends nbdkit-plugin-vdisk)"
# Without this the loader's cache would not know the library.
dpkg-deb --info "$build"/libvirtdisk1_*.deb triggers | grep -q ldconfig || die "libvirtdisk1 has no ldconfig trigger"

dpkg_here --install "$build"/*.deb >"$root/install.log" 2>&1 || { cat "$root/install.log"; die "install"; }
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
lib=$root/usr/lib/$multiarch
for file in usr/bin/vdisk usr/libexec/vdisk/vdisk-server usr/lib/systemd/system/vdisk-attach.service \
  usr/lib/udev/rules.d/61-vdisk.rules \
  "usr/lib/$multiarch/libvirtdisk.so" "usr/lib/$multiarch/libvirtdisk.so.1" \
  "usr/lib/$multiarch/libvirtdisk.a" usr/include/virtdisk.h usr/include/vdisk/disk.h \
  usr/include/vdisk/win32/windows.h usr/share/man/man1/vdisk.1 \
  "usr/lib/$multiarch/nbdkit/plugins/nbdkit-vdisk-plugin.so" usr/share/man/man1/nbdkit-vdisk-plugin.1 \
  usr/share/bash-completion/completions/vdisk usr/share/zsh/vendor-completions/_vdisk \
  usr/share/fish/vendor_completions.d/vdisk.fish; do
  [[ -e $root/$file ]] || die "$file is not installed"
done
grep -rlF -e "$source" -e "$build" "$root/usr" --include='*.h' --include='*.pc' --include='*.cmake' &&
  die "an installed file names a folder of the build"

grep -qF '"/usr/bin/vdisk list --udev' "$root/usr/lib/udev/rules.d/61-vdisk.rules" || die "udev's rules do not run the installed tool"

"$root/usr/bin/vdisk" --version
# The installed tool finds the installed plugin, and nothing of the build.
"$root/usr/bin/vdisk" create "$root/served.vhdx" --size 64M --quiet
size=$("$root/usr/bin/vdisk" serve "$root/served.vhdx" --run 'nbdinfo --size "$uri"') || die "vdisk serve"
[[ $size == $((64 << 20)) ]] || die "vdisk serve: the disk has $size bytes"

# A C and a C++ program that know nothing but what is installed.
work=$root/work
mkdir "$work"
cp "$source"/tests/packages/* "$work/"
truncate -s 1M "$work/not-an-image.vhd"
export PKG_CONFIG_LIBDIR=$lib/pkgconfig LD_LIBRARY_PATH=$lib
read -ra flags <<<"$(pkg-config --cflags --libs virtdisk)"
cc -std=c11 -Wall -Wextra -Werror "$work/client.c" -o "$work/c-pkg-config" "${flags[@]}"
c++ -std=c++11 -Wall -Wextra -Werror -x c++ "$work/client.c" -x none -o "$work/cxx-pkg-config" "${flags[@]}"
cmake -S "$work" -B "$work/build" -G Ninja -Dvirtdisk_DIR="$lib/cmake/virtdisk" >"$work/cmake.log" ||
  { cat "$work/cmake.log"; die "find_package"; }
cmake --build "$work/build" >"$work/build.log" || { cat "$work/build.log"; die "build through find_package"; }
for program in c-pkg-config cxx-pkg-config build/client_c build/client_cxx; do
  "$work/$program" "$work/not-an-image.vhd" || die "$program"
done
# The contract of the C API (virtdisk-api.md 7), on real images, from the installed copy, as C and as C++.
for name in open_contract information; do
  test=$source/tests/capi/${name}_test.c
  cc -std=c17 -Wall -Wextra -Wpedantic -Werror -Wno-unused-function "$test" -o "$work/$name-c" "${flags[@]}"
  c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -Wno-unused-function -x c++ "$test" -x none -o "$work/$name-cxx" "${flags[@]}"
  for language in c cxx; do
    "$make_images" "$work/images-$name-$language" "$work/$name-$language" "$work/images-$name-$language" ||
      die "$name as $language against the installed copy"
  done
done
python3 "$source/tests/exports_test.py" --library "$lib/libvirtdisk.so.1" || die "the installed library's exports"

# The archive needs no shared libvirtdisk.
LD_LIBRARY_PATH='' "$work/build/client_cxx" "$work/not-an-image.vhd"

# An installed copy in a folder of the user's choice works too.
cmake --install "$build" --prefix "$root/copy" >"$root/copy.log"
export PKG_CONFIG_LIBDIR=$root/copy/lib/$multiarch/pkgconfig LD_LIBRARY_PATH=$root/copy/lib/$multiarch
read -ra flags <<<"$(pkg-config --cflags --libs virtdisk)"
cc "$work/client.c" -o "$work/c-copy" "${flags[@]}"
"$work/c-copy" "$work/not-an-image.vhd"

dpkg_here --remove nbdkit-plugin-vdisk vdisk libvirtdisk-dev libvirtdisk1 >"$root/remove.log" 2>&1 || { cat "$root/remove.log"; die "remove"; }
left=$([[ ! -d $root/usr ]] || find "$root/usr" ! -type d)
[[ -z $left ]] || die "files are left after removal: $left"
echo "packages: installed, used and removed"
