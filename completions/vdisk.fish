# SPDX-License-Identifier: Apache-2.0
# Completion of vdisk(1) for fish.
set -l seen __fish_seen_subcommand_from
set -l commands open info map check convert diff help version
complete -c vdisk -n "not $seen $commands" -f
complete -c vdisk -n "not $seen $commands" -l help -s h -d 'Print help'
complete -c vdisk -n "not $seen $commands" -l version -d 'Print the version'
complete -c vdisk -n "not $seen $commands" -a open -d "Make one OpenVirtualDisk call and print its code"
complete -c vdisk -n "not $seen $commands" -a info -d "Describe images"
complete -c vdisk -n "not $seen $commands" -a map -d "Show which file and offset holds each range of the disk"
complete -c vdisk -n "not $seen $commands" -a check -d "Examine an image for damage"
complete -c vdisk -n "not $seen $commands" -a convert -d "Write the disk's content as another image"
complete -c vdisk -n "not $seen $commands" -a diff -d "Compare what two disks show"
complete -c vdisk -n "not $seen $commands" -a help -d "Explain a command"
complete -c vdisk -n "not $seen $commands" -a version -d "Print the version"
complete -c vdisk -n "$seen help" -f -a "$commands"
complete -c vdisk -n "$seen open" -l format -x -a 'vhd vhdx vhdset iso' -d 'Format of the image'
complete -c vdisk -n "$seen open" -l access -x -d 'The access mask'
complete -c vdisk -n "$seen open" -l flags -x -d 'The flags'
complete -c vdisk -n "$seen open" -l version -x -d 'Version of the parameters'
complete -c vdisk -n "$seen open" -l rw-depth -x -d 'RWDepth of version 1'
complete -c vdisk -n "$seen open" -l contract -x -a 'windows10 page2018 windows7' -d 'The contract level'
complete -c vdisk -n "$seen open" -l parent-dir -x -a '(__fish_complete_directories)' -d 'Also look for parents in DIR'
complete -c vdisk -n "$seen open" -l confine -d 'Follow no recorded path out of the given folders'
complete -c vdisk -n "$seen open" -l map-drive -x -d 'What a Windows drive or share means here'
complete -c vdisk -n "$seen open" -l json -d 'Print JSON'
complete -c vdisk -n "$seen info" -l chain -d 'The parents too'
complete -c vdisk -n "$seen info" -l format -x -a 'raw vhd vhdx vhdset iso' -d 'Format of the image'
complete -c vdisk -n "$seen info" -l parent-dir -x -a '(__fish_complete_directories)' -d 'Also look for parents in DIR'
complete -c vdisk -n "$seen info" -l confine -d 'Follow no recorded path out of the given folders'
complete -c vdisk -n "$seen info" -l map-drive -x -d 'What a Windows drive or share means here'
complete -c vdisk -n "$seen info" -l no-parents -d 'Open the image alone'
complete -c vdisk -n "$seen info" -l allow-raw-parent -d 'Allow a parent that is a raw file'
complete -c vdisk -n "$seen info" -l json -d 'Print JSON'
complete -c vdisk -n "$seen info" -l quiet -s q -d 'Errors only'
complete -c vdisk -n "$seen info" -l verbose -s v -d 'Remarks too'
complete -c vdisk -n "$seen map" -l format -x -a 'raw vhd vhdx vhdset iso' -d 'Format of the image'
complete -c vdisk -n "$seen map" -l parent-dir -x -a '(__fish_complete_directories)' -d 'Also look for parents in DIR'
complete -c vdisk -n "$seen map" -l confine -d 'Follow no recorded path out of the given folders'
complete -c vdisk -n "$seen map" -l map-drive -x -d 'What a Windows drive or share means here'
complete -c vdisk -n "$seen map" -l no-parents -d 'Open the image alone'
complete -c vdisk -n "$seen map" -l allow-raw-parent -d 'Allow a parent that is a raw file'
complete -c vdisk -n "$seen map" -l json -d 'Print JSON'
complete -c vdisk -n "$seen map" -l quiet -s q -d 'Errors only'
complete -c vdisk -n "$seen map" -l verbose -s v -d 'Remarks too'
complete -c vdisk -n "$seen check" -l chain -d 'The parents too'
complete -c vdisk -n "$seen check" -l format -x -a 'raw vhd vhdx vhdset iso' -d 'Format of the image'
complete -c vdisk -n "$seen check" -l parent-dir -x -a '(__fish_complete_directories)' -d 'Also look for parents in DIR'
complete -c vdisk -n "$seen check" -l confine -d 'Follow no recorded path out of the given folders'
complete -c vdisk -n "$seen check" -l map-drive -x -d 'What a Windows drive or share means here'
complete -c vdisk -n "$seen check" -l no-parents -d 'Open the image alone'
complete -c vdisk -n "$seen check" -l allow-raw-parent -d 'Allow a parent that is a raw file'
complete -c vdisk -n "$seen check" -l json -d 'Print JSON'
complete -c vdisk -n "$seen check" -l quiet -s q -d 'Errors only'
complete -c vdisk -n "$seen check" -l verbose -s v -d 'Remarks too'
complete -c vdisk -n "$seen convert" -l format -x -a raw -d 'Format to write'
complete -c vdisk -n "$seen convert" -l source-format -x -a 'raw vhd vhdx vhdset iso' -d 'Format of the image to read'
complete -c vdisk -n "$seen convert" -l parent-dir -x -a '(__fish_complete_directories)' -d 'Also look for parents in DIR'
complete -c vdisk -n "$seen convert" -l confine -d 'Follow no recorded path out of the given folders'
complete -c vdisk -n "$seen convert" -l map-drive -x -d 'What a Windows drive or share means here'
complete -c vdisk -n "$seen convert" -l no-parents -d 'Open the image alone'
complete -c vdisk -n "$seen convert" -l allow-raw-parent -d 'Allow a parent that is a raw file'
complete -c vdisk -n "$seen convert" -l json -d 'Print JSON'
complete -c vdisk -n "$seen convert" -l quiet -s q -d 'Errors only'
complete -c vdisk -n "$seen convert" -l verbose -s v -d 'Remarks too'
complete -c vdisk -n "$seen diff" -l format -x -a 'raw vhd vhdx vhdset iso' -d 'Format of the image'
complete -c vdisk -n "$seen diff" -l parent-dir -x -a '(__fish_complete_directories)' -d 'Also look for parents in DIR'
complete -c vdisk -n "$seen diff" -l confine -d 'Follow no recorded path out of the given folders'
complete -c vdisk -n "$seen diff" -l map-drive -x -d 'What a Windows drive or share means here'
complete -c vdisk -n "$seen diff" -l no-parents -d 'Open the image alone'
complete -c vdisk -n "$seen diff" -l allow-raw-parent -d 'Allow a parent that is a raw file'
complete -c vdisk -n "$seen diff" -l json -d 'Print JSON'
complete -c vdisk -n "$seen diff" -l quiet -s q -d 'Errors only'
complete -c vdisk -n "$seen diff" -l verbose -s v -d 'Remarks too'
