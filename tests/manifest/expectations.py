# SPDX-License-Identifier: Apache-2.0
"""What each real image must do, and why. Rows are keyed by the stored file's name in manifest.tsv.

A row that is not here must open, pass `check` and give the manifest's content hash where it has one; a disc (ISO, UDF)
gives its own unpacked hash, a fixed VHD its unpacked bytes without the footer. Virtual sizes must equal what qemu-img
and vhdiinfo say, except where a row names the tool that is wrong.
"""
from dataclasses import dataclass, field

PARENT_NOT_FOUND = 0xC03A000D
FOOTER_CHECKSUM = 0xC03A0002


@dataclass
class Expected:
    code: int | None = None          # convert (and info, but for a missing parent) fails so; None: opens
    damaged: bool = False            # `check` finds damage (exit status 3)
    fixed: bool = False              # fixed VHD: the content is the file without its last 512 bytes
    too_large: bool = False          # a terabyte of zeros is no test: `map` and a sparse file instead of a stream
    size: int | None = None          # virtual size
    type: str | None = None
    dirty_log: bool = False
    wrong: dict = field(default_factory=dict)     # tool -> why it cannot be compared


EXPECTED = {
    # Virtual PC writes a CHS geometry below the current size; qemu-img shows the geometry for creator "vpc ", Windows
    # and libvhdi the current size (formats.md 1.9). 127 GiB without one allocated block.
    "qemu/virtualpc-dynamic.vhd.bz2": Expected(
        size=136365211648, type="dynamic", too_large=True, wrong={"qemu-img": "shows the CHS size"}),
    # Creator "win ": everyone uses the current size.
    "qemu/hyperv2012r2-dynamic.vhd.bz2": Expected(size=136365211648, type="dynamic", too_large=True),
    # Disk2vhd: the creator ends in NUL, the geometry is the maximum; the current size counts (formats.md 1.10).
    "qemu/d2v-zerofilled.vhd.bz2": Expected(size=263454720, type="dynamic"),
    "qemu/iotest-dynamic-1G.vhdx.bz2": Expected(size=1 << 30, type="dynamic"),
    # A log with entries that a Windows writer left behind. A reader must apply it in memory (formats.md 2.7);
    # qemu-img refuses it read-only, libvhdi ignores the log but shows the size.
    "qemu/iotest-dirtylog-10G-4M.vhdx.bz2": Expected(
        size=10 << 30, type="dynamic", dirty_log=True, wrong={"qemu-img": "refuses a dirty log"}),
    "DiscUtils/btrfs.vhdx.gz": Expected(size=1 << 30, type="dynamic"),
    "DiscUtils/swap.vhdx.gz": Expected(size=10 << 30, type="dynamic"),
    # The checksums of both footers are wrong: the file was made by hand for a parser that does not look at them.
    # libvhdi does not either, so its size proves nothing here.
    "dfvfs/image.vhd.xz": Expected(code=FOOTER_CHECKSUM, damaged=True),
    "dfvfs/image-differential.vhd.xz": Expected(code=FOOTER_CHECKSUM, damaged=True),
    "dfvfs/ext2.vhd.xz": Expected(size=4212736, type="dynamic"),
    "plaso/image.vhd.xz": Expected(size=104448, type="dynamic"),
    "go-vhd/qemu.vhd.xz": Expected(size=41953280, type="dynamic"),
    "go-vhd/xapi.vhd.xz": Expected(size=41943040, type="dynamic"),
    "go-vhd/win8.1-1GB.vhd.xz": Expected(size=1 << 30, type="dynamic"),
    "go-vhd/win8.vhd.xz": Expected(size=41943040, type="dynamic"),
    # Alone in its folder, its parent (".\win8.vhd") is not to be found; qemu-img opens it as if it had none.
    "go-vhd/win8-child.vhd.xz": Expected(code=PARENT_NOT_FOUND, size=41943040, type="differencing"),
    "encrypt-cloud-image/dynamic.vhd.xz": Expected(size=1079296, type="dynamic"),
    "vhdtool/win7fixed.vhd.bz2": Expected(
        size=209715200, type="fixed", fixed=True),
}
