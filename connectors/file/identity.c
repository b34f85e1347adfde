/* SPDX-License-Identifier: Apache-2.0 */
/* An inode number alone is not enough: file systems give the number of a deleted file to the next
 * one. The first bytes tell a log apart from its successor and from itself after a truncation; the
 * birth time, where there is one, tells what the bytes cannot. */
#include "identity.h"

#include "io.h"
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v2 = rotate_left(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t little_endian(const unsigned char *p, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

void file_hash(const void *data, size_t len, uint64_t ret[2])
{
    const uint64_t k0 = 0x0706050403020100u;
    const uint64_t k1 = 0x0f0e0d0c0b0a0908u;
    struct sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee,
                    k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    const unsigned char *p = data;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8)
        sip_word(&s, little_endian(p, 8));
    sip_word(&s, little_endian(p, left) | (uint64_t)len << 56);
    s.v2 ^= 0xee;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    ret[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    ret[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

int file_stat_get(int fd, const char *path, struct file_stat *ret)
{
    struct statx sx;
    int rc = fd >= 0 ? statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx)
                     : statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &sx);
    if (rc != 0)
        return -1;
    ret->device = makedev(sx.stx_dev_major, sx.stx_dev_minor);
    ret->inode = sx.stx_ino;
    ret->links = sx.stx_nlink;
    ret->size = (int64_t)sx.stx_size;
    ret->mode = sx.stx_mode;
    ret->modified_ns = sx.stx_mtime.tv_sec * 1000000000 + sx.stx_mtime.tv_nsec;
    ret->born_ns = 0;
    if ((sx.stx_mask & STATX_BTIME) != 0)
        ret->born_ns = sx.stx_btime.tv_sec * 1000000000 + sx.stx_btime.tv_nsec;
    return 0;
}

bool file_identity_fits(const struct file_identity *id, const struct file_stat *st)
{
    if (st->inode != id->inode)
        return false;
    return st->born_ns != 0 && id->born_ns != 0 ? st->born_ns == id->born_ns
                                                : st->device == id->device;
}

int file_identity_get(int fd, const struct file_stat *st, struct file_identity *ret)
{
    char head[FILE_HEAD_BYTES];
    ssize_t n = file_io_read(fd, head, sizeof head, 0, "source.head");
    if (n < 0)
        return -1;
    ret->device = st->device;
    ret->inode = st->inode;
    ret->born_ns = st->born_ns;
    ret->head_bytes = (uint32_t)n;
    file_hash(head, (size_t)n, ret->head);
    return 0;
}

int file_identity_recheck(int fd, struct file_identity *id)
{
    char head[FILE_HEAD_BYTES];
    ssize_t n = file_io_read(fd, head, sizeof head, 0, "source.head");
    if (n < 0)
        return -1;
    if ((size_t)n < id->head_bytes)
        return 0;
    uint64_t now[2];
    file_hash(head, id->head_bytes, now);
    if (id->head_bytes > 0 && (now[0] != id->head[0] || now[1] != id->head[1]))
        return 0;
    if ((size_t)n > id->head_bytes || id->head_bytes == 0) {
        id->head_bytes = (uint32_t)n;
        file_hash(head, (size_t)n, id->head);
    }
    return 1;
}

int file_identity_is(int fd, const struct file_stat *st, const struct file_identity *id)
{
    if (st->inode != id->inode)
        return 0;
    bool born_known = st->born_ns != 0 && id->born_ns != 0;
    if (born_known && st->born_ns != id->born_ns)
        return 0;
    if (!born_known && id->head_bytes == 0 && st->device != id->device)
        return 0;
    struct file_identity copy = *id;
    return file_identity_recheck(fd, &copy);
}
