# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# What a guest does with our disks. Run as `sh -eux cases.sh FUNCTION ARG…`; the first command that fails ends the case.
. /cases/reporting.sh

# pattern BYTES SEED: bytes that differ from seed to seed.
pattern() { tail -c "+$(($2 * 1000))" /noise | head -c "$1"; }

# The last megabyte is flushed by name.
fill() {
  mkdir -p "$1/folder/below"
  for number in 1 2 3 4 5 6; do
    pattern $((number * 33333)) "$number" >"$1/folder/file$number"
  done
  pattern 1048576 7 | dd of="$1/folder/below/flushed" bs=64k conv=fsync
}

filled_sum() { (cd "$1" && find folder -type f | sort | xargs md5sum | sum_of -); }

sum_of() { md5sum "$1" | cut -c -32; }

# The kernel's NBD client on a server of the host.
connect() {
  nbd-client 10.0.2.2 "$2" "/dev/$1" -block-size "$3"
  blockdev --rereadpt "/dev/$1"
}

# nbd_disk NAME NODE PORT SECTOR: two partitions with file systems, filled, trimmed, checked.
nbd_disk() {
  disk=/dev/$2
  connect "$2" "$3" "$4"
  test "$(cat "/sys/block/$2/queue/logical_block_size")" = "$4"
  say "before-$1" "$(dd if="$disk" bs=1M skip=20 count=2 2>/dev/null | sum_of -)"
  printf 'label: gpt\nsize=28MiB, name=first\nname=second\n' | sfdisk -q "$disk"
  mkfs.ext4 -q -F "${disk}p1"
  mkfs.vfat -S "$4" "${disk}p2" >/dev/null
  mkdir -p "/mnt/$1" "/mnt/$1-vfat"
  mount "${disk}p1" "/mnt/$1"
  mount -t vfat "${disk}p2" "/mnt/$1-vfat"
  fill "/mnt/$1"
  fill "/mnt/$1-vfat"
  sum=$(filled_sum "/mnt/$1")
  dd if=/noise of="/mnt/$1/bulk" bs=1M count=8 conv=fsync
  ask "full-$1"
  rm "/mnt/$1/bulk"
  sync
  fstrim -v "/mnt/$1"
  umount "/mnt/$1" "/mnt/$1-vfat"
  ask "trimmed-$1"
  e2fsck -f -n "${disk}p1"
  echo 3 >/proc/sys/vm/drop_caches
  mount -o ro "${disk}p1" "/mnt/$1"
  mount -t vfat -o ro "${disk}p2" "/mnt/$1-vfat"
  test "$(filled_sum "/mnt/$1")" = "$sum"
  test "$(filled_sum "/mnt/$1-vfat")" = "$sum"
  umount "/mnt/$1" "/mnt/$1-vfat"
  nbd-client -d "$disk"
}

# has_tree DEVICE TYPE: the host's files, each with its sum, as the file system's own driver finds them.
has_tree() {
  mkdir -p /mnt/tree
  mount -t "$2" -o ro "$1" /mnt/tree
  test "$(find /mnt/tree -type f | wc -l)" = "$(wc -l </expected)"
  (cd /mnt/tree && md5sum -c /expected)
  umount /mnt/tree
}

# disc NODE PORT TYPE: a disc image.
disc() {
  connect "$1" "$2" 2048
  has_tree "/dev/$1" "$3"
  nbd-client -d "/dev/$1"
}

# partitions NODE PORT: ISO 9660, UDF with ISO 9660 (a bridge), FAT, and an empty UDF that is filled here.
partitions() {
  connect "$1" "$2" 512
  has_tree "/dev/${1}p1" iso9660
  has_tree "/dev/${1}p2" udf
  has_tree "/dev/${1}p3" vfat
  mkdir -p /mnt/from /mnt/to
  mount -t iso9660 -o ro "/dev/${1}p1" /mnt/from
  mount -t udf "/dev/${1}p4" /mnt/to
  cp -r /mnt/from/. /mnt/to
  umount /mnt/from /mnt/to
  echo 3 >/proc/sys/vm/drop_caches
  has_tree "/dev/${1}p4" udf
  say "after-$1" "$(sum_of "/dev/${1}p4")"
  nbd-client -d "/dev/$1"
}

# attach_disk IMAGE PROVIDER: the whole tool on this system.
attach_disk() {
  disk=$(vdisk attach "$1" --provider "$2")
  vdisk list --json | grep -q "\"provider\": *\"$2\""
  printf 'label: gpt\nsize=40MiB, name=first\nname=second\n' | sfdisk -q --no-reread --no-tell-kernel "$disk"
  vdisk detach "$disk"
  test ! -e "${disk}p1"
  disk=$(vdisk attach "$1" --provider "$2")
  mkfs.ext4 -q -F "${disk}p1"
  # Partitions stay when somebody else opens the disk.
  dd if="$disk" of=/dev/null bs=4096 count=1
  mkfs.vfat -S "$(cat "/sys/block/${disk#/dev/}/queue/logical_block_size")" "${disk}p2" >/dev/null
  mkdir -p /mnt/a /mnt/b
  mount "${disk}p1" /mnt/a
  mount -t vfat "${disk}p2" /mnt/b
  fill /mnt/a
  fill /mnt/b
  sum=$(filled_sum /mnt/a)
  if vdisk detach "$1"; then false; fi
  umount /mnt/a /mnt/b
  vdisk detach "$1"
  test "$(vdisk list --json | tr -d ' \n')" = '[]'
  vdisk check --chain "$1"
  disk=$(vdisk attach "$1" --provider "$2" --read-only)
  e2fsck -f -n "${disk}p1"
  mount -o ro,noload "${disk}p1" /mnt/a
  mount -t vfat -o ro "${disk}p2" /mnt/b
  test "$(filled_sum /mnt/a)" = "$sum"
  test "$(filled_sum /mnt/b)" = "$sum"
  umount /mnt/a /mnt/b
  vdisk detach "$1"
}

# attach_killed IMAGE PROVIDER: the processes of an attachment are killed while the disk is written.
attach_killed() {
  attach_with_ext4 "$1" "$2"
  worst=0
  for victim in companion_process process companion_process companion_process; do
    before=$(cut -d. -f1 /proc/uptime)
    fill_while kill -9 "$(process_of "$victim")"
    pause=$(($(cut -d. -f1 /proc/uptime) - before))
    if test "$pause" -gt "$worst"; then worst=$pause; fi
  done
  say "pause-$2" "$worst"
  nothing_is_lost "$1"
}

# nothing_is_lost IMAGE: of what is on $disk, mounted on /mnt/a; what was filled in last is in its folder `old`.
nothing_is_lost() {
  fill /mnt/a
  sync
  sum=$(filled_sum /mnt/a)
  umount /mnt/a
  if dmesg | grep -i 'i/o error'; then false; fi
  e2fsck -f -n "$disk"
  echo 3 >/proc/sys/vm/drop_caches
  mount "$disk" /mnt/a
  test "$(filled_sum /mnt/a)" = "$sum"
  test "$(filled_sum /mnt/a/old)" = "$sum"
  umount /mnt/a
  vdisk detach "$1"
  vdisk check --chain "$1"
}

# fill_while COMMAND ARG…: files are written to $disk, mounted on /mnt/a, while that runs.
fill_while() {
  mkdir -p /mnt/a/new
  fill /mnt/a/new &
  writer=$!
  usleep 300000
  "$@"
  wait "$writer"
  rm -rf /mnt/a/old
  mv /mnt/a/new /mnt/a/old
}

attach_with_ext4() {
  disk=$(vdisk attach "$1" --provider "$2")
  mkfs.ext4 -q -F "$disk"
  mkdir -p /mnt/a
  mount "$disk" /mnt/a
}

# attach_restarted IMAGE PROVIDER: the attachment gets new processes while the disk is written.
attach_restarted() {
  dmesg -c >/dev/null
  attach_with_ext4 "$1" "$2"
  for _ in 1 2 3; do
    server=$(process_of process)
    fill_while vdisk restart "$1"
    test "$(process_of process)" != "$server"
  done
  nothing_is_lost "$1"
}

process_of() { vdisk list --json | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"; }

# attach_shut_down IMAGE PROVIDER: as systems go down: all processes are asked to end, then what is mounted goes.
attach_shut_down() {
  attach_with_ext4 "$1" "$2"
  fill /mnt/a
  sum=$(filled_sum /mnt/a)
  kill -TERM -1
  usleep 500000
  pattern 33333 9 >/mnt/a/late
  test "$(filled_sum /mnt/a)" = "$sum"
  umount /mnt/a
  waited=0
  while pidof vdisk-server; do
    test "$waited" -lt 100
    waited=$((waited + 1))
    usleep 200000
  done
  test "$(vdisk list --json | tr -d ' \n')" = '[]'
  vdisk check --chain "$1"
}

# attach_killed_unanswered IMAGE PROVIDER: a kernel that does not send again what a killed process has not answered.
# Errors are allowed, but no device that hangs and no damaged image.
attach_killed_unanswered() {
  attach_with_ext4 "$1" "$2"
  fill /mnt/a
  sync
  sum=$(filled_sum /mnt/a)
  mkdir /mnt/a/new
  (while fill /mnt/a/new; do rm -rf /mnt/a/new/folder; done) &
  writer=$!
  usleep 700000
  kill -9 "$(process_of companion_process)"
  # It goes on until it meets an error.
  wait "$writer"
  umount /mnt/a
  waited=0
  while pidof vdisk-server; do
    test "$waited" -lt 100
    waited=$((waited + 1))
    usleep 200000
  done
  test "$(vdisk list --json | tr -d ' \n')" = '[]'
  vdisk check --chain "$1"
  disk=$(vdisk attach "$1" --provider "$2")
  e2fsck -f -p "$disk" || test $? = 1
  mount "$disk" /mnt/a
  test "$(filled_sum /mnt/a)" = "$sum"
  umount /mnt/a
  vdisk detach "$1"
  vdisk check --chain "$1"
}

# identified IMAGE PROVIDER MODEL: udev, and who asks it, know the disk and its partitions.
identified() {
  disk=$(vdisk attach "$1" --provider "$2")
  id=$(vdisk list --json | sed -n 's/.*"disk_id": *"\([^"]*\)".*/\1/p')
  link=/dev/disk/by-id/vdisk-$id
  udevadm settle
  test "$(lsblk -dnro SERIAL,MODEL "$disk")" = "$id $3"
  test "$(readlink -f "$link")" = "$disk"
  udevadm info -q property -n "$disk" | grep -qx "VDISK_IMAGE=$1"
  printf 'label: gpt\nsize=40MiB, name=first\nname=second\n' | sfdisk -q --no-reread --no-tell-kernel "$disk"
  vdisk list
  udevadm settle
  test "$(udevadm info -q property -n "$disk" | grep ID_PART_TABLE_TYPE)" = ID_PART_TABLE_TYPE=gpt
  for number in 1 2; do
    test "$(readlink -f "$link-part$number")" = "${disk}p$number"
    udevadm info -q property -n "${disk}p$number" | grep -qx "ID_SERIAL=$id"
  done
  # The partitions are there from the start when it is attached again, and nobody takes them away for a moment.
  vdisk detach "$1"
  udevadm settle
  test ! -e "$link" && test ! -e "$link-part1"
  disk=$(vdisk attach "$1" --provider "$2")
  udevadm settle
  test "$(readlink -f "$link-part2")" = "${disk}p2"
  udevadm monitor --kernel >/tmp/events &
  monitor=$!
  usleep 500000
  for _ in 1 2 3; do
    dd if=/dev/null of="$disk" conv=notrunc
    vdisk list
    udevadm settle
    usleep 300000
  done
  kill "$monitor"
  grep -q "change.*/${disk#/dev/} " /tmp/events
  if grep "remove" /tmp/events; then false; fi
  # Nothing is left of one whose processes were both killed.
  server=$(process_of process)
  kill -STOP "$server"
  kill -9 "$(process_of companion_process)" "$server"
  usleep 500000
  vdisk list
  udevadm settle
  test "$(vdisk list --json | tr -d ' \n')" = '[]'
  test ! -e "$link" && test ! -e "$link-part1"
  if lsblk -dnro SERIAL "$disk" | grep "$id"; then false; fi
  vdisk check --chain "$1"
}

# attach_force IMAGE PROVIDER: what is in use goes all the same, and can be attached again.
attach_force() {
  disk=$(vdisk attach "$1" --provider "$2")
  mount "$disk" /mnt/a
  if vdisk detach "$1"; then false; fi
  vdisk detach --force "$1"
  test "$(vdisk list --json | tr -d ' \n')" = '[]'
  umount -l /mnt/a
  vdisk check --chain "$1"
  disk=$(vdisk attach "$1" --provider "$2")
  e2fsck -f -p "$disk" || test $? = 1
  vdisk detach "$1"
}

"$@"
