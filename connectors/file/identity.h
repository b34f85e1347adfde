/* SPDX-License-Identifier: Apache-2.0 */
/** What makes a file the same file under another name: device, inode, time of birth, hash of its
 * first bytes. Thread: any. */
#ifndef FILE_IDENTITY_H
#define FILE_IDENTITY_H

#include <gantry/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define FILE_HEAD_BYTES 1024

struct file_identity {
    uint64_t device, inode;
    int64_t born_ns;     /* 0: the file system does not say */
    uint64_t head[2];    /* SipHash-2-4-128 of the first head_bytes bytes */
    uint32_t head_bytes; /* up to FILE_HEAD_BYTES; 0: the file was empty */
};

/** What statx says. */
struct file_stat {
    uint64_t device, inode, links;
    int64_t size, born_ns, modified_ns;
    uint32_t mode;
};

/** SipHash-2-4 with 128 bits of result and a fixed key. */
void file_hash(const void *data, size_t len, uint64_t ret[2]);

/** @p path is used only when @p fd is negative; links are followed. -1 with errno. */
int file_stat_get(int fd, const char *path, struct file_stat *ret);

/** Whether what stat tells fits to the identity. Device numbers may change with a reboot; the time
 * of birth is the better witness. */
bool file_identity_fits(const struct file_identity *id, const struct file_stat *st);

/** Take the identity of an open file. -1 with errno. */
int file_identity_get(int fd, const struct file_stat *st, struct file_identity *ret);

/** Look at the first bytes again: 1 when they are the same (and take in more of them where the file
 * has grown), 0 when they are not, -1 with errno. */
int file_identity_recheck(int fd, struct file_identity *id);

/** Whether the open file is the one that @p id tells of: 1, 0, or -1 with errno. A device number
 * may change with a reboot, so it counts only where nothing else can tell. */
int file_identity_is(int fd, const struct file_stat *st, const struct file_identity *id);

#endif
