# SPDX-License-Identifier: Apache-2.0
"""What a power cut leaves: from the journal of powerloss.c and a seed, one of the states that a disk could be in.

Of each 512-byte sector of a file the disk holds any state since the file's last sync, of a file's size any since then
(what is missing in between reads as zeros), and of each folder's entries those of the last sync and any of the later
ones. How the choice is made is the mode:

    drop       nothing that was not synced is there
    keep       everything is there (what kill -9 leaves)
    zeros      sizes and entries are there, bytes are not
    late       of the writes and entries only the later half
    ordered    each folder's entries up to some point, the bytes by chance (a journal of names)
    random     each sector, size and entry by chance, in any order
"""
import os
import random
import shutil
import struct
from collections import defaultdict

MODES = ("drop", "keep", "zeros", "late", "ordered", "random")
SECTOR = 512
WRITE, TRUNCATE, SYNC, CREATE, MKDIR, UNLINK, RENAME, FOLDER_SYNC = range(1, 9)
RECORD = struct.Struct("<IIQQQQqqqIIIIII")
MAGIC = 0x4A4C5001


class Record:
    def __init__(self, fields, name, name2, old, new):
        (_, self.type, self.inode, self.child, self.other, self.replaced, self.offset, self.old_size, self.new_size,
         _, _, _, _, self.durable, _) = fields
        self.name, self.name2, self.old, self.new = os.fsdecode(name), os.fsdecode(name2), old, new


def read_journal(path):
    records = []
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at + RECORD.size <= len(data):
        fields = RECORD.unpack_from(data, at)
        if fields[0] != MAGIC:
            raise ValueError(f"no record at byte {at} of the journal")
        at += RECORD.size
        old_len, new_len, name_len, name2_len = fields[9:13]
        parts = []
        for size in (name_len, name2_len, old_len, new_len):
            parts.append(data[at:at + size])
            at += size
        if at > len(data):
            break  # the process died while it noted this; the call itself was not made
        records.append(Record(fields, *parts))
    return records


class Chooser:
    """Which of the versions 0 .. last, all of them possible from `least` on, the disk holds."""

    def __init__(self, mode, seed):
        self.mode = mode
        self.random = random.Random(f"{mode} {seed}")
        self.bias = self.random.choice((0.1, 0.5, 0.9))

    def sector(self, least, last, late):
        if self.mode in ("drop", "zeros"):
            return least
        if self.mode == "keep" or (self.mode == "late" and late):
            return last
        if self.mode == "late":
            return least
        if self.random.random() < self.bias:
            return last
        return self.random.randint(least, last)

    def size(self, least, last):
        if self.mode == "drop":
            return least
        if self.mode in ("keep", "zeros", "late"):
            return last
        return self.random.randint(least, last)

    def entry(self, last, late):
        return self.sector(0, last, late) if self.mode != "zeros" else last


def undo(content, event):
    if event.type == WRITE:
        content[event.offset:event.offset + len(event.old)] = event.old
        resize(content, event.old_size)
    else:
        resize(content, event.offset)
        content += event.old
        resize(content, event.old_size)


def redo(content, event):
    resize(content, max(event.new_size, event.offset))
    if event.type == WRITE:
        content[event.offset:event.offset + len(event.new)] = event.new


def resize(content, size):
    if len(content) > size:
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def sectors_of(event):
    start = event.offset
    end = start + len(event.new) if event.type == WRITE else event.old_size
    return range(start // SECTOR, (max(end, start) + SECTOR - 1) // SECTOR)


def cut_file(path, events, choose):
    """Put on `path` one of the states between the last sync and now."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    for event in reversed(events):
        undo(content, event)
    base = bytes(content)
    sizes = [len(base)]
    versions = {}  # sector: [(bytes, number of the event)]
    least = {}
    least_size = 0
    for number, event in enumerate(events):
        touched = sectors_of(event)
        for sector in touched:
            if sector not in versions:
                versions[sector] = [(base[sector * SECTOR:(sector + 1) * SECTOR], -1)]
        redo(content, event)
        sizes.append(len(content))
        for sector in touched:
            versions[sector].append((bytes(content[sector * SECTOR:(sector + 1) * SECTOR]), number))
            if event.durable:
                least[sector] = len(versions[sector]) - 1
        if event.durable:
            least_size = len(sizes) - 1
    size = sizes[choose.size(least_size, len(sizes) - 1)]
    result = bytearray(base)
    resize(result, max(size, len(base)))
    for sector, row in sorted(versions.items()):
        late = row[-1][1] >= len(events) // 2
        data, _ = row[choose.sector(least.get(sector, 0), len(row) - 1, late)]
        start = sector * SECTOR
        if start < len(result):
            data = data.ljust(SECTOR, b"\0")[:len(result) - start]
            result[start:start + len(data)] = data
    resize(result, size)
    with open(path, "r+b") as file:
        file.write(result)
        file.truncate(size)


class Entry:
    """One change of a name in a folder. `pair`: the entry of the other name of a rename."""

    def __init__(self, number, name, before, after):
        self.number, self.name, self.before, self.after = number, name, before, after
        self.pair = None


def entries_of(record, number):
    if record.type in (CREATE, MKDIR):
        return [Entry(number, record.name, 0, record.child)]
    if record.type == UNLINK:
        return [Entry(number, record.name, record.child, 0)]
    to = Entry(number, record.name2, record.replaced, record.child)
    source = Entry(number, record.name, record.child, 0)
    source.pair = to
    return [to, source]


def choose_entries(entries, choose):
    """name: inode (0: none), as the disk holds the folder."""
    by_name = defaultdict(list)
    for entry in entries:
        by_name[entry.name].append(entry)
    taken = {}
    if choose.mode == "ordered":
        numbers = sorted({entry.number for entry in entries})
        numbers = numbers[:choose.random.randint(0, len(numbers))]
        for name, row in by_name.items():
            taken[name] = sum(entry.number in numbers for entry in row)
    else:
        numbers = sorted({entry.number for entry in entries})
        middle = numbers[len(numbers) // 2]
        for name, row in by_name.items():
            taken[name] = choose.entry(len(row), row[-1].number >= middle)
        # A rename is not torn: its file has one of the two names at least, unless another took the old one.
        for name, row in by_name.items():
            at = taken[name]
            pair = row[at - 1].pair if at > 0 else None
            if pair is not None and taken[pair.name] <= by_name[pair.name].index(pair):
                taken[name] -= 1
    return {name: row[taken[name] - 1].after if taken[name] > 0 else row[0].before for name, row in by_name.items()}


def cut_folder(path, wanted, trash, stage):
    for name, inode in wanted.items():
        full = os.path.join(path, name)
        try:
            there = os.lstat(full).st_ino
        except FileNotFoundError:
            continue
        if there != inode:
            os.rename(full, os.path.join(stage, str(there)))
    for name, inode in wanted.items():
        full = os.path.join(path, name)
        if inode == 0 or os.path.lexists(full):
            continue
        for place in (os.path.join(stage, str(inode)), os.path.join(trash, str(inode)), *siblings(path, inode)):
            if os.path.isdir(place):
                os.rename(place, full)
            elif os.path.lexists(place):
                os.link(place, full)
            else:
                continue
            break
        else:
            raise AssertionError(f"{full}: inode {inode} is nowhere")


def siblings(folder, inode):
    return [entry.path for entry in os.scandir(folder) if entry.inode() == inode]


def find_inodes(places):
    paths = {}
    for place in places:
        paths[os.lstat(place).st_ino] = place
        for folder, folders, files in os.walk(place):
            for name in folders + files:
                full = os.path.join(folder, name)
                paths[os.lstat(full).st_ino] = full
    return paths


def cut_power(journal, roots, mode, seed):
    """Turn what is below the roots into what the disk may hold. The journal is used up. Returns how many writes and
    entries were not synced."""
    choose = Chooser(mode, seed)
    files, folders = defaultdict(list), defaultdict(list)
    for number, record in enumerate(read_journal(os.path.join(journal, "journal"))):
        if record.type in (WRITE, TRUNCATE):
            files[record.inode].append(record)
        elif record.type == SYNC:
            files.pop(record.inode, None)
        elif record.type == FOLDER_SYNC:
            folders.pop(record.inode, None)
        else:
            assert record.type != RENAME or record.inode == record.other, "a rename between folders is not modelled"
            folders[record.inode] += entries_of(record, number)
    trash, stage = os.path.join(journal, "trash"), os.path.join(journal, "stage")
    os.mkdir(stage)
    paths = find_inodes([*roots, trash])
    for inode, events in sorted(files.items()):
        if inode in paths and os.path.isfile(paths[inode]):
            cut_file(paths[inode], events, choose)
    # The deepest first, so that the paths of the others stay what they are.
    known = [(paths[inode], entries) for inode, entries in folders.items() if inode in paths]
    for path, entries in sorted(known, key=lambda item: (-item[0].count("/"), item[0])):
        cut_folder(path, choose_entries(entries, choose), trash, stage)
    shutil.rmtree(journal)
    return sum(map(len, files.values())) + sum(map(len, folders.values()))


def new_journal(folder):
    os.makedirs(os.path.join(folder, "trash"))
    return folder
