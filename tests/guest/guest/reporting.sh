# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# How a scenario tells the host what happened. One line each: CASE name ok, CASE name FAILED why; SAY key value; ASK what.

# run_case NAME FUNCTION ARG…: the function, from /cases/cases.sh, in a shell that ends at the first command that fails.
run_case() {
  case_name=$1
  shift
  if sh -eux /cases/cases.sh "$@" >/tmp/said 2>&1 3>&3; then
    echo "CASE $case_name ok" >&3
  else
    echo "CASE $case_name FAILED $(tail -n 12 /tmp/said | tr '\n' '|')" >&3
    cat /tmp/said  # to the console
  fi
}

# say KEY VALUE
say() { echo "SAY $1 $2" >&3; }

# ask WHAT: the host does something, and the guest waits for it.
ask() {
  echo "ASK $1" >&3
  read -r answer <&3
  test "$answer" = done
}
