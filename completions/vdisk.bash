# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of vdisk(1) for bash.
_vdisk() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W 'open info map check create convert diff io demo attach detach list restart serve mount umount help version --help --version' -- "$word")
    return
  fi
  case $previous in
    --format)
      local formats='raw vhd vhdx vhdset iso'
      [[ $command != create && $command != convert ]] || formats='raw vhd vhdx'
      [[ $command != open ]] || formats='vhd vhdx vhdset iso'
      mapfile -t COMPREPLY < <(compgen -W "$formats" -- "$word")
      return ;;
    --source-format | --format-b) mapfile -t COMPREPLY < <(compgen -W 'raw vhd vhdx vhdset iso' -- "$word"); return ;;
    --parent-format) mapfile -t COMPREPLY < <(compgen -W 'vhd vhdx' -- "$word"); return ;;
    --type) mapfile -t COMPREPLY < <(compgen -W 'fixed dynamic differencing' -- "$word"); return ;;
    --prealloc) mapfile -t COMPREPLY < <(compgen -W 'none sparse full' -- "$word"); return ;;
    --logical-sector-size | --physical-sector-size) mapfile -t COMPREPLY < <(compgen -W '512 4096' -- "$word"); return ;;
    --contract) mapfile -t COMPREPLY < <(compgen -W 'windows10 page2018 windows7' -- "$word"); return ;;
    --zeros) mapfile -t COMPREPLY < <(compgen -W 'auto find keep' -- "$word"); return ;;
    --parent-dir | --keep) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --map-drive | --access | --flags | --version | --rw-depth | --size | --block-size | --id | --jobs | --command | -c) -c | --restricted) return ;;
    --provider) mapfile -t COMPREPLY < <(compgen -W 'auto loop fuse nbd' -- "$word"); return ;;
    --parent-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    --map-drive | --access | --flags | --version | --rw-depth | --size | --block-size | --id | --jobs | --command | -c | --port | --address | --export | --run) return ;;
  esac
  case $command in
    open) options='--format --access --flags --version --rw-depth --contract --parent-dir --confine --map-drive --json --help' ;;
    info) options='--chain --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    map) options='--format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    check) options='--azure --chain --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    create) options='--size --format --type --parent --parent-format --block-size --logical-sector-size --physical-sector-size --id --prealloc --parent-dir --confine --map-drive --json --quiet --verbose --help' ;;
    convert) options='--format --type --parent --parent-format --block-size --logical-sector-size --prealloc --zeros --azure --fix-gpt --jobs --source-format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    diff) options='--format --format-b --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    io) options='--command --read-only --keep-going --strict-tracking --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    demo) options='--keep --help' ;;
    help) options='open info map check create convert diff io demo attach detach list restart serve mount umount help version' ;;
    attach) options='--read-only --foreground --partitions --no-partitions --provider --cow --restricted --at-boot --at-boot-all --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    detach) options='--all --force --json --quiet --verbose --help' ;;
    restart) options='--all --json --quiet --verbose --help' ;;
    list) options='--udev --json --quiet --verbose --help' ;;
    serve) options='--socket --port --address --uri --export --read-only --tls --tls-verify-peer --run --format --parent-dir --confine --map-drive --allow-raw-parent --json --quiet --verbose --help' ;;
    mount) options='--as-files --read-only --foreground --format --parent-dir --confine --map-drive --no-parents --allow-raw-parent --json --quiet --verbose --help' ;;
    umount) options='--json --quiet --verbose --help' ;;
  esac
  if [[ $word == -* || $command == help ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -o filenames -F _vdisk vdisk
