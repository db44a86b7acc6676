# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of vdisk(1) for bash.
_vdisk() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W 'open info map check convert diff help version --help --version' -- "$word")
    return
  fi
  case $previous in
    --format)
      local formats='raw vhd vhdx vhdset iso'
      [[ $command != convert ]] || formats=raw
      [[ $command != open ]] || formats='vhd vhdx vhdset iso'
      mapfile -t COMPREPLY < <(compgen -W "$formats" -- "$word")
      return ;;
    --source-format) mapfile -t COMPREPLY < <(compgen -W 'raw vhd vhdx vhdset iso' -- "$word"); return ;;
    --contract) mapfile -t COMPREPLY < <(compgen -W 'windows10 page2018 windows7' -- "$word"); return ;;
    --parent-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --map-drive | --access | --flags | --version | --rw-depth) return ;;
  esac
  case $command in
    open) options='--format --access --flags --version --rw-depth --contract --parent-dir --confine --map-drive --json --help' ;;
    info) options='--chain --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    map) options='--format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    check) options='--chain --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    convert) options='--format --source-format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    diff) options='--format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    help) options='open info map check convert diff help version' ;;
  esac
  if [[ $word == -* || $command == help ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -o filenames -F _vdisk vdisk
