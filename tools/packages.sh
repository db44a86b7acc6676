# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The one list of Debian 12 packages that this project needs, by purpose, and the function that sees to them.
# Sourced by ./run, ./test and bench/run.

declare -A VDISK_PACKAGES=(
  # To build the library and the tool, with the man pages.
  [build]="g++ cmake ninja-build pkg-config libfmt-dev libcli11-dev nlohmann-json3-dev libisal-dev liburing-dev libblkid-dev
    scdoc ccache nbdkit nbdkit-plugin-dev libnbd-dev"
  # To build and run the tests: the test libraries, other people's tools to compare with, unpackers for the corpus,
  # file systems for the host rules and their drivers of the user's space, what builds and inspects packages, and a
  # virtual machine with what it needs.
  [test]="libgtest-dev libgmock-dev librapidcheck-dev qemu-utils libvhdi-utils p7zip-full xz-utils bzip2
    sharutils ncompress zstd unzip python3 binutils dpkg-dev file e2fsprogs btrfs-progs xfsprogs util-linux
    fdisk ntfs-3g mount git libnbd-bin fio fuse3 procps
    fuse2fs fuseiso fusefat squashfuse exfat-fuse squashfs-tools exfatprogs dosfstools mtools xorriso
    qemu-system-x86 busybox-static kmod nbd-client genisoimage udftools syslinux syslinux-common"
  # The second compiler: thread-safety analysis, sanitizers, fuzzing, lint.
  [clang]="clang-22 libclang-rt-22-dev llvm-22 clang-tidy-22"
  # The benchmarks and the tool that they are compared with.
  [bench]="libbenchmark-dev qemu-utils python3 libnbd-bin fio util-linux fuse3 nbdkit"
)

# Prints the packages of the named groups that are not installed, on one line.
vdisk_missing_packages() {
  local group
  local -a wanted=()
  for group in "$@"; do
    # shellcheck disable=SC2206  # words of the list
    wanted+=(${VDISK_PACKAGES[$group]})
  done
  local installed
  installed=" $(dpkg-query -W -f='${Package}:${db:Status-Status} ' "${wanted[@]}" 2>/dev/null || true)"
  local package
  local -a missing=()
  for package in "${wanted[@]}"; do
    [[ $installed == *" $package:installed "* || " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
  done
  echo "${missing[*]-}"
}

# Runs apt-get, waiting up to five minutes while another program holds its locks. What it said is in vdisk_apt_said.
vdisk_apt_said=
vdisk_apt_get() {
  local status attempt
  for ((attempt = 0; attempt < 30; ++attempt)); do
    status=0
    vdisk_apt_said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=60 "$@" </dev/null 2>&1) || status=$?
    [[ $status != 0 && $vdisk_apt_said =~ Could\ not\ get\ lock|Unable\ to\ (acquire|lock) ]] || break
    echo "vdisk: another program holds the package database; trying again" >&2
    sleep 10
  done
  return "$status"
}

# Sees to it that the packages of the named groups are installed: installs them as root, and otherwise says what
# to run. Returns 1 when something is missing afterwards.
vdisk_need_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "vdisk: this is not a Debian system; if the build fails, see tools/packages.sh for what it needs" >&2
    return 0
  fi
  local missing
  missing=$(vdisk_missing_packages "$@")
  [[ -n $missing ]] || return 0
  local -a names
  read -ra names <<<"$missing"
  if ((EUID != 0)); then
    echo "vdisk: these Debian packages are missing. Install them and run this again:" >&2
    echo "  sudo apt-get update && sudo apt-get install --no-install-recommends $missing" >&2
    return 1
  fi
  echo "vdisk: installing: $missing" >&2
  # The lists of a fresh machine are empty or stale: they are fetched only when they do not know a package, or when
  # what they know is no longer to be had.
  if apt-cache show --no-all-versions "${names[@]}" >/dev/null 2>&1 &&
    vdisk_apt_get install --no-install-recommends --yes "${names[@]}"; then
    return 0
  fi
  vdisk_apt_get update || true
  if ! vdisk_apt_get install --no-install-recommends --yes "${names[@]}"; then
    echo "$vdisk_apt_said" >&2
    echo "vdisk: could not install the packages above. By hand:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends $missing" >&2
    return 1
  fi
}
