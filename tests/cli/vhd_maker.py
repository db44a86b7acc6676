# SPDX-License-Identifier: Apache-2.0
"""Makes small VHD files for the tests of the tool, after the VHD specification and without the product's code."""
import struct
import uuid

FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
BLOCK = 2 * 1024 * 1024
UNUSED = 0xFFFFFFFF


def _sum(data):
    return ~sum(data) & 0xFFFFFFFF


def footer(size, kind, identifier, data_offset=0xFFFFFFFFFFFFFFFF):
    head = struct.pack(">8sIIQI4sI4sQQII", b"conectix", 2, 0x10000, data_offset, 0, b"win ", 0xA0000, b"Wi2k", size,
                       size, 0, kind)
    tail = identifier.bytes + bytes(428)
    return head + struct.pack(">I", _sum(head + tail)) + tail


def _sparse_header(table, entries, parent, name, locators, time):
    head = struct.pack(">8sQQIII", b"cxsparse", 0xFFFFFFFFFFFFFFFF, table, 0x10000, entries, BLOCK)
    rows = b"".join(struct.pack(">4sIIIQ", code, 512, len(text), 0, at) for code, text, at in locators)
    tail = parent.bytes + struct.pack(">II", time, 0) + name.encode("utf-16-be").ljust(512, b"\0") + rows.ljust(448, b"\0")
    return head + struct.pack(">I", _sum(head + tail)) + tail


def write_fixed(path, content, identifier=None):
    identifier = identifier or uuid.uuid4()
    with open(path, "wb") as file:
        file.write(content + footer(len(content), FIXED, identifier))
    return identifier


def write_sparse(path, size, blocks, parent=None, recorded="", time=0, identifier=None, overlap=False):
    """`blocks`: number to (bitmap, data). With `parent` (its identifier) a differencing disk that records the relative
    path `recorded`. `overlap`: the second block lies where the first does."""
    identifier = identifier or uuid.uuid4()
    entries = -(-size // BLOCK)
    table_bytes = -(-entries * 4 // 512) * 512
    text = recorded.encode("utf-16-le")
    at = 1536 + table_bytes
    locators = [(b"W2ru", text, at)] if text else []
    if text:
        at += 512
    bat = [UNUSED] * (table_bytes // 4)
    body = b""
    for number, (bitmap, data) in blocks.items():
        bat[number] = (at + len(body)) // 512
        body += bitmap.ljust(512, b"\0") + data.ljust(BLOCK, b"\0")
    if overlap:
        first, second = list(blocks)[:2]
        bat[second] = bat[first]
    end = footer(size, DIFFERENCING if parent else DYNAMIC, identifier, 512)
    name = recorded.replace("\\", "/").rsplit("/", 1)[-1]
    header = _sparse_header(1536, entries, parent or uuid.UUID(int=0), name, locators, time)
    with open(path, "wb") as file:
        file.write(end + header + struct.pack(f">{len(bat)}I", *bat))
        file.write((text.ljust(512, b"\0") if text else b"") + body + end)
    return identifier
