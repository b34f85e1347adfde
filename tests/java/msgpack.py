# SPDX-License-Identifier: Apache-2.0
"""MessagePack as the host protocol uses it: nil, booleans, whole numbers, texts, bytes, arrays, maps. Written from its
specification alone, so that it checks the host's."""
import struct


def pack(value):
    out = bytearray()
    _pack(value, out)
    return bytes(out)


def _head(out, count, small, small_limit, codes):
    """codes: (code, format) for 8, 16, 32 bit lengths; None where there is none."""
    if count < small_limit:
        out.append(small | count)
        return
    for code, form, limit in zip(codes, ">B >H >I".split(), (1 << 8, 1 << 16, 1 << 32)):
        if code is not None and count < limit:
            out.append(code)
            out += struct.pack(form, count)
            return
    raise ValueError(count)


def _pack(value, out):
    if value is None:
        out.append(0xc0)
    elif value is True or value is False:
        out.append(0xc3 if value else 0xc2)
    elif isinstance(value, int):
        if -32 <= value < 128:
            out += struct.pack(">b", value)
        elif value >= 0:
            for code, form, limit in ((0xcc, ">B", 1 << 8), (0xcd, ">H", 1 << 16), (0xce, ">I", 1 << 32), (0xcf, ">Q", 1 << 64)):
                if value < limit:
                    out.append(code)
                    out += struct.pack(form, value)
                    return
        else:
            for code, form, limit in ((0xd0, ">b", 1 << 7), (0xd1, ">h", 1 << 15), (0xd2, ">i", 1 << 31), (0xd3, ">q", 1 << 63)):
                if value >= -limit:
                    out.append(code)
                    out += struct.pack(form, value)
                    return
    elif isinstance(value, str):
        data = value.encode("utf-8")
        _head(out, len(data), 0xa0, 32, (0xd9, 0xda, 0xdb))
        out += data
    elif isinstance(value, (bytes, bytearray)):
        _head(out, len(value), 0, 0, (0xc4, 0xc5, 0xc6))
        out += value
    elif isinstance(value, (list, tuple)):
        _head(out, len(value), 0x90, 16, (None, 0xdc, 0xdd))
        for item in value:
            _pack(item, out)
    elif isinstance(value, dict):
        _head(out, len(value), 0x80, 16, (None, 0xde, 0xdf))
        for key, item in value.items():
            _pack(key, out)
            _pack(item, out)
    else:
        raise TypeError(f"{type(value)} has no place in the protocol")


SIZES = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
LENGTHS = {0xd9: ">B", 0xda: ">H", 0xdb: ">I", 0xc4: ">B", 0xc5: ">H", 0xc6: ">I", 0xdc: ">H", 0xdd: ">I", 0xde: ">H", 0xdf: ">I"}


def unpack(data):
    """The one value that the bytes are."""
    value, at = _unpack(data, 0)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the value")
    return value


def _take(data, at, form):
    size = struct.calcsize(form)
    return struct.unpack_from(form, data, at)[0], at + size


def _unpack(data, at):
    head = data[at]
    at += 1
    if head < 0x80:
        return head, at
    if head >= 0xe0:
        return head - 0x100, at
    if head < 0xc0:
        kind, count = ("map", head & 15) if head < 0x90 else ("array", head & 15) if head < 0xa0 else ("text", head & 31)
    elif head in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[head], at
    elif head in SIZES:
        return _take(data, at, SIZES[head])
    elif head in LENGTHS:
        count, at = _take(data, at, LENGTHS[head])
        kind = "text" if head in (0xd9, 0xda, 0xdb) else "bytes" if head < 0xc7 else "array" if head < 0xde else "map"
    else:
        raise ValueError(f"0x{head:02x} has no place in the protocol")
    if kind in ("text", "bytes"):
        if at + count > len(data):
            raise ValueError("cut short")
        found = bytes(data[at:at + count])
        return (found.decode("utf-8") if kind == "text" else found), at + count
    if kind == "array":
        items = []
        for _ in range(count):
            item, at = _unpack(data, at)
            items.append(item)
        return items, at
    found = {}
    for _ in range(count):
        key, at = _unpack(data, at)
        found[key], at = _unpack(data, at)
    return found, at
