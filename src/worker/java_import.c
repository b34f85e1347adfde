/* SPDX-License-Identifier: Apache-2.0 */
/* A Java worker's store folder.
 *
 * Each file is one JSON object of base64 texts to base64 texts. Behind them: a connector's name as
 * a JSON string and
 * {"properties":{...}}; or the bytes that a source connector used as partition and position, for
 * the file source its file name and {"nextPosition":N}. A file is replaced by writing FILE.tmp,
 * moving the old one to FILE.bak and renaming, so that after a crash FILE may be absent or empty
 * and FILE.bak is the truth.
 *
 * N counts the UTF-16 units that Java's decoder gave for the bytes read, so the file is decoded
 * here in the same way, down to how many replacement characters a damaged sequence gives. (After a
 * restart that worker skipped N bytes, not characters; a file with other than ASCII characters
 * before N then has a position that means nothing. Mostly it is inside a line, and reported.)
 *
 * taskConfig.json is not needed: tasks follow from the connectors. Nor is offset.json: its offsets
 * are those of queues of a broker. */
#include "worker/java_import.h"

#include "base/file.h"
#include "base/json.h"
#include "convert/converters.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 256 << 20,
    BLOCK_BYTES = 256 << 10,
    SEQUENCE_MAX = 4, /* bytes of the longest UTF-8 sequence */
};

static const char connector_file[] = "connectorConfig.json";
static const char position_file[] = "position.json";

/* FOLDER/config/NAME, or its .bak, whichever exists and is not empty, into @p ret; false when
 * neither does. */
static bool find_file(const char *folder, const char *name, char *ret, size_t size)
{
    static const char *const ends[] = {"", ".bak"};
    struct stat st;

    for (size_t i = 0; i < 2; i++) {
        int len = snprintf(ret, size, "%s/config/%s%s", folder, name, ends[i]);
        if (len > 0 && (size_t)len < size && stat(ret, &st) == 0 && S_ISREG(st.st_mode) &&
            st.st_size > 0)
            return true;
    }
    return false;
}

bool gt_java_store_present(const char *folder)
{
    char path[4096];
    return find_file(folder, connector_file, path, sizeof path) ||
           find_file(folder, position_file, path, sizeof path);
}

/* Takes one pair of a file, decoded. */
typedef int (*take_pair)(struct gt_java_store *store, struct gantry_view key,
                         struct gantry_view value, struct gantry_err *err);

static int decode_pair(struct gt_java_store *store, const struct gt_prop *pair, const char *path,
                       struct gt_arena *arena, take_pair take, struct gantry_err *err)
{
    struct gantry_err cause = {0, ""};
    struct gantry_view key, value;

    int rc = gt_base64_decode(gantry_view_of(pair->key), arena, &key);
    if (rc == 0)
        rc = gt_base64_decode(gantry_view_of(pair->value), arena, &value);
    if (rc == GANTRY_INVALID)
        return gantry_err_set(err, GANTRY_CORRUPT,
                              "%s: the entry '%.100s' is not base64; take the file from a backup",
                              path, pair->key);
    if (rc == 0)
        rc = take(store, key, value, &cause);
    if (rc == GANTRY_NO_MEMORY)
        return gantry_err_set(err, rc, "%s: no memory to read it", path);
    if (rc != 0)
        return gantry_err_set(err, GANTRY_CORRUPT,
                              "%s: the entry '%.100s' (base64): %s; take the file from a backup",
                              path, pair->key, cause.text);
    return 0;
}

/* Read a file and hand its pairs to @p take. No file: nothing to do. */
static int read_pairs(struct gt_java_store *store, const char *folder, const char *name,
                      take_pair take, struct gantry_err *err)
{
    struct gantry_err cause;
    struct gt_arena arena;
    struct gt_props pairs;
    struct gt_buf text;
    char path[4096];
    int rc = 0;

    gt_arena_init(&arena, 64 << 10, 64 << 10);
    gt_props_init(&pairs);
    gt_buf_init(&text, FILE_MAX_BYTES);
    if (!find_file(folder, name, path, sizeof path))
        goto out;
    rc = gt_file_read(path, &text, err);
    if (rc != 0)
        goto out;
    rc = gt_json_parse_props(&pairs, gt_buf_view(&text), &cause);
    if (rc == GANTRY_INVALID)
        rc = gantry_err_set(err, GANTRY_CORRUPT, "%s: %s; take the file from a backup", path,
                            cause.text);
    else if (rc != 0)
        rc = gantry_err_set(err, rc, "%s: no memory to read it", path);
    for (size_t i = 0; rc == 0 && i < pairs.count; i++) {
        rc = decode_pair(store, &pairs.items[i], path, &arena, take, err);
        gt_arena_reset(&arena);
    }
out:
    gt_buf_deinit(&text);
    gt_props_deinit(&pairs);
    gt_arena_deinit(&arena);
    return rc;
}

/* A JSON text's string, to be freed; NULL: @p err is set. */
static char *read_json_string(struct gantry_view text, struct gantry_err *err)
{
    json_error_t error;
    json_t *json = json_loadb(text.data, text.len, JSON_DECODE_ANY, &error);
    char *copy = NULL;

    if (!json_is_string(json))
        gantry_err_set(err, GANTRY_CORRUPT, "the connector's name is not a JSON string");
    else if ((copy = strdup(json_string_value(json))) == NULL)
        gantry_err_set(err, GANTRY_NO_MEMORY, "no memory");
    json_decref(json);
    return copy;
}

/* {"properties":{...}} */
static int read_properties(struct gantry_view text, struct gt_props *ret, struct gantry_err *err)
{
    struct gt_props outer;
    gt_props_init(&outer);
    int rc = gt_json_parse_props(&outer, text, err);
    const char *inner = gt_props_get(&outer, "properties");
    if (rc == 0 && inner == NULL)
        rc = gantry_err_set(err, GANTRY_CORRUPT, "it has no \"properties\"");
    if (rc == 0)
        rc = gt_json_parse_props(ret, gantry_view_of(inner), err);
    gt_props_deinit(&outer);
    return rc;
}

/* A tombstone: the key is there and a number other than 0. */
static bool is_deleted(const struct gt_props *config)
{
    int64_t mark = 0;
    const char *text = gt_props_get(config, "config-deleted");
    return text != NULL && gt_parse_int(gantry_view_of(text), INT32_MIN, INT32_MAX, &mark) == 0 &&
           mark != 0;
}

static int take_connector(struct gt_java_store *store, struct gantry_view key,
                          struct gantry_view value, struct gantry_err *err)
{
    struct gt_java_connector connector = {NULL, {NULL, 0, 0}};
    struct gt_java_connector *grown;
    int rc = read_properties(value, &connector.config, err);

    if (rc != 0 || is_deleted(&connector.config))
        goto fail;
    gt_props_remove(&connector.config, "config-deleted");
    connector.name = read_json_string(key, err);
    if (connector.name == NULL) {
        rc = err->code;
        goto fail;
    }
    grown = reallocarray(store->connectors, store->connector_count + 1, sizeof *grown);
    if (grown == NULL) {
        rc = GANTRY_NO_MEMORY;
        goto fail;
    }
    store->connectors = grown;
    store->connectors[store->connector_count++] = connector;
    return 0;
fail:
    free(connector.name);
    gt_props_deinit(&connector.config);
    return rc;
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the sequence that a lead byte begins, 0 when it begins none (0xf5 to 0xf7 count as
 * four, as in Java). */
static size_t sequence_length(uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf7 ? 4 : 0;
}

/* Whether the second byte of a sequence of three or four is out of place. */
static bool is_bad_second(uint8_t lead, uint8_t second)
{
    if (lead == 0xe0)
        return (second & 0xe0) == 0x80 || !is_continuation(second);
    if (lead == 0xf0)
        return second < 0x90 || second > 0xbf;
    if (lead == 0xf4)
        return (second & 0xf0) != 0x80;
    return lead > 0xf4 || !is_continuation(second);
}

/* Decode what is at @p p as the UTF-8 decoder of the JDK does with malformed input replaced:
 * *ret_len bytes become so many UTF-16 units. @p len: how much is there, less than SEQUENCE_MAX
 * only at the end of the file. Source: sun.nio.cs.UTF_8 of JDK 8 to 17; the unit test has its
 * results. */
static int java_decode(const uint8_t *p, size_t len, size_t *ret_len)
{
    size_t need = sequence_length(p[0]);

    *ret_len = 1;
    if (need <= 1)
        return 1; /* ASCII, or one byte replaced */
    if (need == 2) {
        if (len >= 2 && is_continuation(p[1]))
            *ret_len = 2;
        return 1;
    }
    if (len < 2 ? p[0] > 0xf4 : is_bad_second(p[0], p[1]))
        return 1;
    *ret_len = len < need ? len : need; /* at the end of the file the rest is one replacement */
    for (size_t i = 2; i < *ret_len; i++) {
        if (!is_continuation(p[i])) {
            *ret_len = i;
            return 1;
        }
    }
    /* three bytes of a lone surrogate are replaced as a whole, which is one unit as well */
    return *ret_len == 4 ? 2 : 1;
}

/* How far a walk through a file has come. */
struct walk {
    int64_t bytes, units;
};

/* Walk over what is in @p data until @p units is reached or less than a longest sequence is left.
 */
static void walk_block(struct walk *walk, const uint8_t *data, size_t len, bool at_end,
                       int64_t units)
{
    size_t pos = 0;
    while (pos < len && walk->units < units) {
        uint64_t eight;
        if (len - pos >= sizeof eight && units - walk->units >= (int64_t)sizeof eight) {
            memcpy(&eight, data + pos, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                pos += sizeof eight;
                walk->units += (int64_t)sizeof eight;
                continue;
            }
        }
        if (len - pos < SEQUENCE_MAX && !at_end)
            break;
        size_t used;
        walk->units += java_decode(data + pos, len - pos, &used);
        pos += used;
    }
    walk->bytes += (int64_t)pos;
}

/* Walk through an open file. 0 or -1 with errno. */
static int walk_file(int fd, int64_t units, struct walk *walk)
{
    uint8_t *block = malloc(BLOCK_BYTES);
    int rc = block == NULL ? -1 : 0;

    while (rc == 0 && walk->units < units) {
        size_t filled = 0;
        ssize_t got = 1;
        while (got > 0 && filled < BLOCK_BYTES) {
            got = pread(fd, block + filled, BLOCK_BYTES - filled, walk->bytes + (int64_t)filled);
            if (got > 0)
                filled += (size_t)got;
            else if (got < 0 && errno == EINTR)
                got = 1;
        }
        if (got < 0)
            rc = -1;
        else if (filled == 0)
            break;
        else
            walk_block(walk, block, filled, filled < BLOCK_BYTES, units);
    }
    free(block);
    return rc;
}

/* Where the position stands in bytes, or @p problem. Returns the bytes or -1. */
static int64_t find_bytes(int fd, int64_t chars, struct gt_buf *problem)
{
    struct walk walk = {0, 0};
    char before = '\n';

    if (walk_file(fd, chars, &walk) != 0 ||
        (walk.bytes > 0 && pread(fd, &before, 1, walk.bytes - 1) != 1)) {
        gt_buf_addf(problem, "cannot read the file: %s", strerrordesc_np(errno));
        return -1;
    }
    if (walk.units < chars) {
        gt_buf_addf(problem,
                    "the file has only %" PRId64
                    " characters; it was cut or is another one than before",
                    walk.units);
        return -1;
    }
    if (walk.units > chars || before != '\n') {
        gt_buf_addf(problem, "byte %" PRId64 " of the file is not at a line's start", walk.bytes);
        return -1;
    }
    return walk.bytes;
}

/* Find the place in bytes of a position that was read; no memory shows as problem->error. */
static int64_t settle_position(const char *filename, int64_t chars, struct gt_buf *problem)
{
    struct stat st;
    int64_t bytes = -1;

    if (chars == 0)
        return 0;
    int fd = open(filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
    if (fd < 0 || fstat(fd, &st) != 0)
        gt_buf_addf(problem, "cannot open the file: %s", strerrordesc_np(errno));
    else if (!S_ISREG(st.st_mode))
        gt_buf_addf(problem, "it is not a file");
    else
        bytes = find_bytes(fd, chars, problem);
    if (fd >= 0)
        close(fd);
    return bytes;
}

/* N of {"nextPosition":N}, or -1. */
static int64_t read_next_position(struct gantry_view value)
{
    struct gt_props position;
    struct gantry_err err;
    int64_t chars = -1;

    gt_props_init(&position);
    if (gt_json_parse_props(&position, value, &err) == 0) {
        const char *text = gt_props_get(&position, "nextPosition");
        if (text == NULL || gt_parse_int(gantry_view_of(text), 0, INT64_MAX, &chars) != 0)
            chars = -1;
    }
    gt_props_deinit(&position);
    return chars;
}

static int take_position(struct gt_java_store *store, struct gantry_view key,
                         struct gantry_view value, struct gantry_err *err)
{
    struct gt_java_position position = {NULL, read_next_position(value), -1, NULL};
    struct gt_java_position *grown;
    struct gt_buf problem;

    (void)err; /* only no memory, which has no text of its own */
    gt_buf_init(&problem, 4096);
    position.filename = strndup(key.len > 0 ? key.data : "", key.len);
    if (position.filename == NULL)
        goto fail;
    if (position.chars < 0)
        gt_buf_addf(&problem, "'%.*s' is not a position of the file source",
                    (int)(value.len < 200 ? value.len : 200), value.data);
    else if (strlen(position.filename) != key.len)
        gt_buf_addf(&problem, "the file's name has a NUL");
    else
        position.bytes = settle_position(position.filename, position.chars, &problem);
    if (position.bytes < 0) {
        position.problem = gt_buf_take(&problem);
        if (position.problem == NULL)
            goto fail;
    }
    grown = reallocarray(store->positions, store->position_count + 1, sizeof *grown);
    if (grown == NULL)
        goto fail;
    store->positions = grown;
    store->positions[store->position_count++] = position;
    gt_buf_deinit(&problem);
    return 0;
fail:
    gt_buf_deinit(&problem);
    free(position.problem);
    free(position.filename);
    return GANTRY_NO_MEMORY;
}

int gt_java_store_read(const char *folder, struct gt_java_store *ret, struct gantry_err *err)
{
    *ret = (struct gt_java_store){.connectors = NULL};
    int rc = read_pairs(ret, folder, connector_file, take_connector, err);
    if (rc == 0)
        rc = read_pairs(ret, folder, position_file, take_position, err);
    if (rc != 0)
        gt_java_store_deinit(ret);
    return rc;
}

void gt_java_store_deinit(struct gt_java_store *store)
{
    for (size_t i = 0; i < store->connector_count; i++) {
        free(store->connectors[i].name);
        gt_props_deinit(&store->connectors[i].config);
    }
    free(store->connectors);
    for (size_t i = 0; i < store->position_count; i++) {
        free(store->positions[i].filename);
        free(store->positions[i].problem);
    }
    free(store->positions);
    *store = (struct gt_java_store){.connectors = NULL};
}
