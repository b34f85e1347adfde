/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot's bytes: length of the state (varint), the state, then the rows of the tables: table
 * (1 byte), length of key and value (varints), key, value. They are cut into parts anywhere. */
#include "cluster/snapshot_io.h"

#include "base/cursor.h"
#include "store/tables.h"
#include <stdlib.h>

enum {
    PART_BYTES = 900 << 10,
    SNAPSHOT_MAX = 1 << 30,
    COMMIT_BYTES = 4 << 20, /* rows that are put into the store at once */
};

static const enum gt_table tables[] = {GT_TABLE_POSITIONS, GT_TABLE_PROGRESS};

/* --- Writing --- */

struct gt_snapshot_writer {
    struct gt_snapshot_setup setup;
    struct gt_commit marker; /* behind all that was settled before; the scan runs in its done */
    struct gt_mail scanned_mail;
    struct gt_buf bytes;
    struct gantry_err err; /* of the scan */
    int64_t offset;        /* the snapshot is as of this one */
    uint32_t parts, seen;
    int64_t first_offset;
    bool scanning, freed;
};

static void add_varint(struct gt_buf *buf, uint64_t value)
{
    uint8_t *out = (uint8_t *)gt_buf_reserve(buf, 10);
    if (out != NULL)
        buf->len += (size_t)(gt_put_varint(out, value) - out);
}

struct scanning {
    struct gt_buf *bytes;
    enum gt_table table;
};

static int add_row(void *arg, struct gantry_view key, struct gantry_view value)
{
    struct scanning *scanning = arg;
    uint8_t table = (uint8_t)scanning->table;
    gt_buf_add(scanning->bytes, &table, 1);
    add_varint(scanning->bytes, key.len);
    add_varint(scanning->bytes, value.len);
    gt_buf_add_view(scanning->bytes, key);
    gt_buf_add_view(scanning->bytes, value);
    return scanning->bytes->error;
}

/* Thread: the committer, which alone writes to the tables: they stand still. */
static void on_marker(struct gt_commit *commit)
{
    struct gt_snapshot_writer *writer =
        (struct gt_snapshot_writer *)((char *)commit - offsetof(struct gt_snapshot_writer, marker));
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && writer->err.code == 0; i++) {
        struct scanning scanning = {&writer->bytes, tables[i]};
        writer->err.code =
            gt_store_scan(writer->setup.store, tables[i], (struct gantry_view){NULL, 0}, add_row,
                          &scanning, &writer->err);
    }
    gt_mailbox_send(writer->setup.control, &writer->scanned_mail);
}

static const struct gt_commit_ops marker_ops = {.done = on_marker};

static void free_writer(struct gt_snapshot_writer *writer)
{
    gt_buf_deinit(&writer->bytes);
    gt_commit_deinit(&writer->marker);
    free(writer);
}

static void on_scanned(struct gt_mail *mail)
{
    struct gt_snapshot_writer *writer =
        (struct gt_snapshot_writer *)((char *)mail -
                                      offsetof(struct gt_snapshot_writer, scanned_mail));
    writer->scanning = false;
    if (writer->freed) {
        free_writer(writer);
        return;
    }
    if (writer->err.code != 0 || writer->bytes.error != 0) {
        writer->setup.done(writer->setup.arg, -1);
        return;
    }
    struct gantry_view rest = gt_buf_view(&writer->bytes);
    writer->parts = (uint32_t)((rest.len + PART_BYTES - 1) / PART_BYTES);
    for (uint32_t part = 0; part < writer->parts; part++) {
        struct gt_buf entry;
        size_t len = rest.len < PART_BYTES ? rest.len : PART_BYTES;
        gt_buf_init(&entry, 2 * PART_BYTES);
        gt_cluster_add_snapshot(&entry, writer->offset, part, writer->parts,
                                (struct gantry_view){rest.data, len});
        if (entry.error == 0) /* else it stays incomplete, and nobody is told where it is */
            writer->setup.part(writer->setup.arg, gt_buf_view(&entry));
        gt_buf_deinit(&entry);
        rest.data += len;
        rest.len -= len;
    }
    gt_buf_deinit(&writer->bytes);
}

int gt_snapshot_writer_new(const struct gt_snapshot_setup *setup, struct gt_snapshot_writer **ret,
                           struct gantry_err *err)
{
    struct gt_snapshot_writer *writer = calloc(1, sizeof *writer);
    struct gt_buf state;
    gt_buf_init(&state, SNAPSHOT_MAX);
    int code = writer == NULL ? GANTRY_NO_MEMORY : gt_cluster_state_write(setup->state, &state);
    if (code == 0) {
        writer->setup = *setup;
        writer->first_offset = -1;
        writer->offset = gt_cluster_offset(setup->state);
        writer->scanned_mail.run = on_scanned;
        gt_commit_init(&writer->marker, &marker_ops);
        gt_buf_init(&writer->bytes, SNAPSHOT_MAX);
        add_varint(&writer->bytes, state.len);
        gt_buf_add_view(&writer->bytes, gt_buf_view(&state));
        code = writer->bytes.error;
    }
    gt_buf_deinit(&state);
    if (code != 0) {
        if (writer != NULL)
            free_writer(writer);
        return gantry_err_set(err, code, "cannot take a snapshot: %s", gantry_error_text(code));
    }
    writer->scanning = true;
    gt_store_settle(setup->store, &writer->marker);
    *ret = writer;
    return 0;
}

void gt_snapshot_writer_saw(struct gt_snapshot_writer *writer, int64_t offset,
                            struct gantry_view message)
{
    struct gt_cluster_part part;
    if (writer->parts == 0 || gt_cluster_snapshot_part(message, &part, NULL) != 0 ||
        part.offset != writer->offset || part.count != writer->parts ||
        memcmp(part.incarnation.bytes, writer->setup.incarnation.bytes,
               sizeof part.incarnation.bytes) != 0 ||
        part.part != writer->seen)
        return;
    if (part.part == 0)
        writer->first_offset = offset;
    writer->seen++;
    if (writer->seen == writer->parts)
        writer->setup.done(writer->setup.arg, writer->first_offset);
}

void gt_snapshot_writer_free(struct gt_snapshot_writer *writer)
{
    if (writer->scanning)
        writer->freed = true; /* the committer still has it */
    else
        free_writer(writer);
}

/* --- Reading --- */

struct gt_snapshot_reader {
    struct gt_buf bytes;
    struct gt_incarnation incarnation; /* whose snapshot it is */
    int64_t offset;
    uint32_t next, count; /* parts */
    size_t rows;          /* where the rows begin, once it is whole */
};

struct gt_snapshot_reader *gt_snapshot_reader_new(void)
{
    struct gt_snapshot_reader *reader = calloc(1, sizeof *reader);
    if (reader != NULL)
        gt_buf_init(&reader->bytes, SNAPSHOT_MAX);
    return reader;
}

void gt_snapshot_reader_free(struct gt_snapshot_reader *reader)
{
    if (reader == NULL)
        return;
    gt_buf_deinit(&reader->bytes);
    free(reader);
}

int gt_snapshot_reader_add(struct gt_snapshot_reader *reader, struct gantry_view message,
                           struct gantry_view *ret_state, struct gantry_err *err)
{
    struct gt_cluster_part part;
    bool first = reader->next == 0;
    if (gt_cluster_snapshot_part(message, &part, NULL) != 0)
        return first ? gantry_err_set(err, GANTRY_CORRUPT, "it does not begin there") : 0;
    if (first) {
        reader->incarnation = part.incarnation;
        reader->offset = part.offset;
        reader->count = part.count;
    } else if (memcmp(part.incarnation.bytes, reader->incarnation.bytes,
                      sizeof part.incarnation.bytes) != 0 ||
               part.offset != reader->offset || part.part < reader->next) {
        return 0; /* another one's, or a part that was sent twice */
    }
    if (part.part != reader->next || part.count != reader->count)
        return gantry_err_set(err, GANTRY_CORRUPT, "part %u of %u is missing", reader->next,
                              reader->count);
    if (gt_buf_add_view(&reader->bytes, part.bytes) != 0)
        return gantry_err_set(err, reader->bytes.error, "no memory for it");
    if (++reader->next < reader->count)
        return 0;
    struct gt_cursor cursor = gt_cursor_of(reader->bytes.data, reader->bytes.len);
    uint64_t len = gt_cursor_varint(&cursor);
    *ret_state = gt_cursor_bytes(&cursor, (size_t)len);
    if (cursor.bad)
        return gantry_err_set(err, GANTRY_CORRUPT, "its state is cut off");
    reader->rows = reader->bytes.len - gt_cursor_left(&cursor);
    return 1;
}

static void free_commit(struct gt_commit *commit)
{
    gt_commit_deinit(commit);
    free(commit);
}

int gt_snapshot_reader_apply(const struct gt_snapshot_reader *reader, struct gt_store *store,
                             struct gantry_err *err)
{
    static const struct gt_commit_ops ops = {.done = free_commit};
    struct gt_cursor cursor =
        gt_cursor_of(reader->bytes.data + reader->rows, reader->bytes.len - reader->rows);
    struct gt_commit *commit = NULL;
    int code = 0;
    while (gt_cursor_left(&cursor) > 0 && code == 0) {
        int table = gt_cursor_u8(&cursor);
        uint64_t key_len = gt_cursor_varint(&cursor), value_len = gt_cursor_varint(&cursor);
        struct gantry_view key = gt_cursor_bytes(&cursor, (size_t)key_len);
        struct gantry_view value = gt_cursor_bytes(&cursor, (size_t)value_len);
        if (cursor.bad || (table != GT_TABLE_POSITIONS && table != GT_TABLE_PROGRESS)) {
            code = gantry_err_set(err, GANTRY_CORRUPT, "a row of its tables is malformed");
            break;
        }
        if (commit == NULL && (commit = calloc(1, sizeof *commit)) != NULL)
            gt_commit_init(commit, &ops);
        if (commit == NULL) {
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for its tables");
            break;
        }
        gt_commit_put(commit, (enum gt_table)table, key, value);
        code = commit->changes.error;
        if (code == 0 && commit->changes.len >= COMMIT_BYTES) {
            gt_store_settle(store, commit);
            commit = NULL;
        }
    }
    if (code == 0 && commit != NULL)
        gt_store_settle(store, commit);
    else if (commit != NULL)
        free_commit(commit);
    return code;
}

void gt_snapshot_forget(struct gt_commit *commit, const char *connector)
{
    struct gt_key prefix;
    gt_key_prefix(&prefix, connector);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        gt_commit_delete_prefix(commit, tables[i], gt_key_view(&prefix));
}
