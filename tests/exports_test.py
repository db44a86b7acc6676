#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libvirtdisk.so exports the 29 names of the Windows library and the Virtdisk… names below, and nothing else."""
import argparse
import pathlib
import re
import subprocess
import sys

# Exports of VirtDisk.dll, in the order of its ordinals 1 to 29.
API = """AddVirtualDiskParent ApplySnapshotVhdSet AttachVirtualDisk BreakMirrorVirtualDisk CompactVirtualDisk
CompleteForkVirtualDisk CreateVirtualDisk DeleteSnapshotVhdSet DeleteVirtualDiskMetadata DetachVirtualDisk
EnumerateVirtualDiskMetadata ExpandVirtualDisk ForkVirtualDisk GetAllAttachedVirtualDiskPhysicalPaths
GetStorageDependencyInformation GetVirtualDiskInformation GetVirtualDiskMetadata GetVirtualDiskOperationProgress
GetVirtualDiskPhysicalPath MergeVirtualDisk MirrorVirtualDisk ModifyVhdSet OpenVirtualDisk QueryChangesVirtualDisk
RawSCSIVirtualDisk ResizeVirtualDisk SetVirtualDiskInformation SetVirtualDiskMetadata TakeSnapshotVhdSet""".split()
# What Windows keeps in other libraries, and functions of our own.
OWN = [f"Virtdisk{name}" for name in """CancelIo CancelIoEx CloseHandle CreateEventA CreateEventW FlushFileBuffers
GetContract GetLastError GetLastErrorText GetOverlappedResult HandleFromPath ReadFile ResetEvent SetContract SetEvent
SetLastError Sleep VendorMicrosoft VendorUnknown Version WaitForMultipleObjects WaitForSingleObject WriteFile""".split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", type=pathlib.Path, required=True)
    library = parser.parse_args().library
    assert len(API) == 29

    output = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True).stdout
    symbols = [line.split()[-1] for line in output.splitlines()]
    names = {symbol.split("@")[0] for symbol in symbols} - {"VIRTDISK_1"}
    bad = [f"{name} is not exported" for name in API + OWN if name not in names]
    bad += [f"{name} is exported" for name in sorted(names - set(API + OWN))]
    bad += [f"{symbol} has no version VIRTDISK_1" for symbol in symbols
            if symbol != "VIRTDISK_1" and "VIRTDISK_1" not in symbol and "@" not in symbol]

    dynamic = subprocess.run(["readelf", "-d", str(library)], check=True, capture_output=True, text=True).stdout
    soname = re.search(r"\(SONAME\).*\[(.*)\]", dynamic)
    if not soname or soname.group(1) != "libvirtdisk.so.1":
        bad.append(f"the SONAME is {soname.group(1) if soname else 'missing'}, not libvirtdisk.so.1")
    if "TEXTREL" in dynamic:
        bad.append("the library has text relocations")
    for line in bad:
        print(line)
    print(f"{len(names)} names, {len(bad)} complaints")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
