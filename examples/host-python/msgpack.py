# SPDX-License-Identifier: Apache-2.0
"""As much of MessagePack as the host protocol needs."""
import struct


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if -32 <= value <= 127:
            return struct.pack("b", value)
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, str):
        data = value.encode()
        return b"\xdb" + struct.pack(">I", len(data)) + data
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pack(key) + pack(one) for key, one in value.items())
    raise TypeError(f"cannot pack {type(value)}")


FIXED = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q", 0xca: ">f", 0xcb: ">d"}
SIZES = {0xc4: ">B", 0xc5: ">H", 0xc6: ">I", 0xd9: ">B", 0xda: ">H", 0xdb: ">I", 0xdc: ">H", 0xdd: ">I", 0xde: ">H", 0xdf: ">I"}


def unpack(data, at=0):
    """(value, index behind it). Texts and bytes are both bytes but for keys of maps, which are texts."""
    first = data[at]
    at += 1
    if first <= 0x7f or first >= 0xe0:
        return (first if first <= 0x7f else first - 256), at
    if first in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[first], at
    if first in FIXED:
        return struct.unpack_from(FIXED[first], data, at)[0], at + struct.calcsize(FIXED[first])
    if first <= 0xbf:
        size = first & (0x1f if first >= 0xa0 else 0x0f)
    else:
        size = struct.unpack_from(SIZES[first], data, at)[0]
        at += struct.calcsize(SIZES[first])
    if 0xa0 <= first <= 0xbf or first in (0xc4, 0xc5, 0xc6, 0xd9, 0xda, 0xdb):
        return bytes(data[at:at + size]), at + size
    if first <= 0x8f or first in (0xde, 0xdf):
        pairs = {}
        for _ in range(size):
            key, at = unpack(data, at)
            pairs[key.decode()], at = unpack(data, at)
        return pairs, at
    items = []
    for _ in range(size):
        item, at = unpack(data, at)
        items.append(item)
    return items, at
