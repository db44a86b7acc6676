#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each public C header compiles alone, first in a unit, without a warning: in C99 and C17, in C++11 and C++23.
# Usage: headers_test.sh INCLUDE_DIR [C_COMPILER CXX_COMPILER]
set -u
include=$1
cc=${2:-cc}
cxx=${3:-c++}
warnings="-Wall -Wextra -Wpedantic -Werror -Wundef -Wstrict-aliasing"
failed=0
count=0

compile() { # language compiler standard header
  printf '#include <%s>\nextern int a_unit_is_not_empty;\n' "$4" |
    $2 $warnings -x "$1" -std="$3" -fsyntax-only -I"$include" -I"$include/vdisk/win32" - ||
    { echo "FAILED: $4 as $3 with $2"; failed=1; }
  count=$((count + 1))
}

for path in "$include/virtdisk.h" "$include"/vdisk/win32/*.h; do
  header=$(basename "$path")
  compile c "$cc" c99 "$header"
  compile c "$cc" c17 "$header"
  compile c++ "$cxx" c++11 "$header"
  compile c++ "$cxx" c++23 "$header"
done

# virtdisk.h finds its own headers where only the include folder itself is on the path.
printf '#include <virtdisk.h>\n' | $cc $warnings -x c -std=c17 -fsyntax-only -I"$include" - || failed=1

echo "$count compilations of headers alone"
[ "$count" -gt 100 ] || failed=1
exit $failed
