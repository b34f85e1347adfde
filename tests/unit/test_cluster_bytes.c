/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's bytes: messages that are malformed or too large, snapshots whole and damaged. */
#include "cluster_support.h"

/* --- Snapshots --- */

static void a_snapshot_and_what_follows_is_the_same_as_everything(void **state)
{
    struct cluster *c = *state;
    struct gantry_err err;
    struct gt_buf bytes;
    int64_t next = -1;
    gt_buf_init(&bytes, 1 << 20);
    join(c, 0);
    configure(c, 0, "x", "p", 3);
    configure(c, 0, "gone", "p", 2);
    join(c, 1);
    delete_one(c, 0, "gone"); /* its tasks still stop */
    configure(c, 0, "x", "q", 2);
    gt_cluster_add_status(&c->nodes[0].out, "x", 0, 1, "RUNNING", "");
    settle(c);
    assert_int_equal(gt_cluster_state_write(c->nodes[1].state, &bytes), 0);

    open_node(c, 2);
    assert_int_equal(
        gt_cluster_state_read(c->nodes[2].state, gt_buf_view(&bytes), c->now, &next, &err), 0);
    assert_int_equal(next, c->count);
    assert_told(&c->nodes[2], "config:x=q/2");
    c->nodes[2].next = next;
    assert_true(gt_cluster_digest(c->nodes[2].state) == gt_cluster_digest(c->nodes[0].state));
    for (uint64_t epoch = 1; epoch <= 5; epoch++) { /* read_all compares the digests */
        stopped(c, 0, "x", (uint32_t)epoch - 1, epoch);
        stopped(c, 0, "gone", (uint32_t)(epoch + 2) % 3, epoch);
    }
    gt_cluster_join(c->nodes[2].state, c->now);
    settle(c);
    c->now += 100000; /* whose leases are counted from here */
    assert_int_equal(
        gt_cluster_state_read(c->nodes[2].state, gt_buf_view(&bytes), c->now, &next, &err),
        GANTRY_INVALID);
    gt_buf_deinit(&bytes);
}

static void a_damaged_snapshot_is_refused_or_harmless(void **state)
{
    struct cluster *c = *state;
    struct gantry_err err;
    struct gt_buf bytes;
    gt_buf_init(&bytes, 1 << 20);
    join(c, 0);
    configure(c, 0, "x", "p", 3);
    join(c, 1);
    configure(c, 0, "x", "q", 2);
    assert_int_equal(gt_cluster_state_write(c->nodes[1].state, &bytes), 0);
    for (size_t i = 0; i < bytes.len * 9; i++) {
        struct node *node = &c->nodes[2];
        int64_t next;
        size_t len = i < bytes.len ? i : bytes.len, at = (i - len) / 8;
        char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, bytes.data, len);
        if (i >= bytes.len)
            copy[at] = (char)(copy[at] ^ 1 << i % 8);
        open_node(c, 2);
        node->quiet = true;
        int rc = gt_cluster_state_read(node->state, (struct gantry_view){copy, len}, c->now, &next,
                                       &err);
        assert_true(rc == 0 || (err.code == rc && err.text[0] != '\0'));
        assert_true(i >= bytes.len || rc == GANTRY_CORRUPT);
        if (rc == 0) {
            gt_cluster_join(node->state, c->now);
            (void)gt_cluster_digest(node->state);
        }
        close_node(node);
        free(copy);
    }
    gt_buf_deinit(&bytes);
}

static void the_first_member_makes_a_snapshot_after_10000_messages_or_an_hour(void **state)
{
    struct cluster *c = *state;
    struct gantry_err err;
    join(c, 0);
    join(c, 1);
    struct node *a = &c->nodes[0], *b = &c->nodes[1];
    assert_false(gt_cluster_snapshot_due(a->state, c->now + 3599999));
    assert_true(gt_cluster_snapshot_due(a->state, c->now + 3600000));
    assert_false(gt_cluster_snapshot_due(b->state, c->now + 3600000)); /* ten minutes later */
    assert_true(gt_cluster_snapshot_due(b->state, c->now + 4200000));
    struct gt_buf bytes;
    gt_buf_init(&bytes, 1000);
    for (int64_t i = 0; i < 12500; i++) {
        struct node *by = i % 2 == 0 ? a : b;
        gt_buf_clear(&bytes);
        gt_cluster_sent(by->state, ++by->number, c->now);
        gt_cluster_message_write(&bytes, &by->incarnation, by->number,
                                 (struct gantry_view){"\2", 1});
        assert_int_equal(
            gt_cluster_message(a->state, c->count + i, gt_buf_view(&bytes), c->now, &err), 0);
        assert_int_equal(
            gt_cluster_message(b->state, c->count + i, gt_buf_view(&bytes), c->now, &err), 0);
        assert_int_equal(gt_cluster_snapshot_due(a->state, c->now), i + 2 >= 9999);
        assert_int_equal(gt_cluster_snapshot_due(b->state, c->now), i + 2 >= 12499);
    }
    struct gt_cluster_part part;
    gt_buf_clear(&bytes);
    gt_buf_clear(&a->out);
    gt_cluster_add_snapshot(&a->out, 77, 1, 3, gantry_view_of("bytes"));
    gt_cluster_message_write(&bytes, &a->incarnation, ++a->number, gt_buf_view(&a->out));
    assert_int_equal(gt_cluster_snapshot_part(gt_buf_view(&bytes), &part, &err), 0);
    assert_true(part.offset == 77 && part.part == 1 && part.count == 3 && part.bytes.len == 5);
    assert_int_equal(gt_cluster_snapshot_part(gt_buf_view(&c->log[0]), &part, &err),
                     GANTRY_NOT_FOUND);
    assert_int_equal(gt_cluster_message(a->state, 20000, gt_buf_view(&bytes), c->now, &err), 0);
    assert_false(gt_cluster_snapshot_due(a->state, c->now + 3600000 * 2)); /* nothing has changed */
    gt_buf_deinit(&bytes);
}

/* --- Bytes --- */

static void a_malformed_message_does_nothing(void **state)
{
#define HEADER "GTCL\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x7f"
    static const struct {
        const char *what;
        const char *bytes;
        size_t len;
        int code;
    } cases[] = {
#define CASE(what, bytes, code) {what, bytes, sizeof(bytes) - 1, code}
        CASE("empty", "", GANTRY_CORRUPT),
        CASE("another program's", "hello world, this is long enough", GANTRY_CORRUPT),
        CASE("magic alone", "GTCL", GANTRY_CORRUPT),
        CASE("version 0", "GTCL\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x7f\2", GANTRY_CORRUPT),
        CASE("version 2", "GTCL\2", GANTRY_VERSION),
        CASE("half an incarnation", "GTCL\1\1\0\0\0", GANTRY_CORRUPT),
        CASE("no incarnation", "GTCL\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x7f\2", GANTRY_CORRUPT),
        CASE("number 0", "GTCL\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", GANTRY_CORRUPT),
        CASE("endless number",
             "GTCL\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
             GANTRY_CORRUPT),
        CASE("type 0", HEADER "\0", GANTRY_CORRUPT),
        CASE("type 12", HEADER "\x0c", GANTRY_CORRUPT),
        CASE("half of an entry behind a whole one", HEADER "\2\4\1", GANTRY_CORRUPT),
        CASE("JOIN without a name", HEADER "\1\0\xf0\x2e\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
             GANTRY_CORRUPT),
        CASE("JOIN with a NUL in its name",
             HEADER "\1\1\0\xf0\x2e\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", GANTRY_CORRUPT),
        CASE("JOIN with a lease of 1 ms", HEADER "\1\1q\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
             GANTRY_CORRUPT),
        CASE("JOIN with strategy 3", HEADER "\1\1q\xf0\x2e\3\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
             GANTRY_CORRUPT),
        CASE("DELETE of a name that is longer than the message",
             HEADER "\6\x7f"
                    "abc",
             GANTRY_CORRUPT),
        CASE("DELETE of a name with a huge length",
             HEADER "\6\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", GANTRY_CORRUPT),
        CASE("CONFIG with more tasks than bytes", HEADER "\5\1x\0\1p\xff\xff\3", GANTRY_CORRUPT),
        CASE("CONFIG with too many tasks", HEADER "\5\1x\0\1p\x81\x80\4", GANTRY_CORRUPT),
        CASE("CONFIG without a name", HEADER "\5\0\0\1p\0", GANTRY_CORRUPT),
        CASE("COMMIT without changes", HEADER "\x8\1x\0\1\1", GANTRY_CORRUPT),
        CASE("COMMIT of task 65536", HEADER "\x8\1x\x80\x80\4\1\1\0", GANTRY_CORRUPT),
        CASE("STATUS longer than allowed",
             HEADER "\x9\1x\0\1\x21"
                    "abcdefghijklmnopqrstuvwxyzabcdefg"
                    "\0",
             GANTRY_CORRUPT),
        CASE("RESET without a name", HEADER "\x0a\0", GANTRY_CORRUPT),
        CASE("SNAPSHOT part 1 of 1", HEADER "\x0b\0\1\1\1x", GANTRY_CORRUPT),
        CASE("nothing at all in it", HEADER, 0),
        CASE("good: RENEW", HEADER "\2", 0),
#undef CASE
    };
    struct cluster *c = *state;
    join(c, 0); /* incarnation 1, as in HEADER */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gantry_err err = {0};
        char *copy = malloc(cases[i].len + 1); /* of its own, so that a read past the end is seen */
        assert_non_null(copy);
        memcpy(copy, cases[i].bytes, cases[i].len);
        uint64_t before = gt_cluster_digest(c->nodes[0].state);
        int rc = gt_cluster_message(c->nodes[0].state, c->count + (int64_t)i,
                                    (struct gantry_view){copy, cases[i].len}, c->now, &err);
        if (rc != cases[i].code)
            fail_msg("%s: %d (%s)", cases[i].what, rc, err.text);
        if (rc != 0) {
            assert_true(err.text[0] != '\0');
            assert_true(before == gt_cluster_digest(c->nodes[0].state));
        }
        free(copy);
    }
}

static void what_fits_into_no_message_is_refused_when_it_is_written(void **state)
{
    struct gt_buf buf;
    char name[400], *big = calloc(1, GT_CLUSTER_MESSAGE_MAX);
    (void)state;
    assert_non_null(big);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    gt_buf_init(&buf, 1 << 24);
    gt_cluster_add_commit(&buf, "x", 0, 1, 1, (struct gantry_view){big, GT_CLUSTER_MESSAGE_MAX});
    assert_int_equal(buf.error, GANTRY_TOO_LARGE);
    gt_buf_clear(&buf);
    gt_cluster_add_config(&buf, "x", 1, (struct gantry_view){big, GT_CLUSTER_MESSAGE_MAX}, NULL, 0);
    assert_int_equal(buf.error, GANTRY_TOO_LARGE);
    gt_buf_clear(&buf);
    gt_cluster_add_reset(&buf, name);
    assert_int_equal(buf.error, GANTRY_TOO_LARGE);
    gt_buf_clear(&buf);
    gt_cluster_add_delete(&buf, ""); /* would be all */
    assert_int_equal(buf.error, GANTRY_TOO_LARGE);
    gt_buf_clear(&buf);
    gt_cluster_add_status(&buf, "x", 0, 1, name, "\xe2\x82\xac");
    assert_int_equal(buf.error, 0);
    assert_int_equal(buf.len, 1 + 2 + 1 + 1 + 1 + 32 + 1 + 3); /* cut */
    gt_buf_deinit(&buf);
    free(big);
}

static void settings_without_a_name_or_incarnation_are_refused(void **state)
{
    struct gt_cluster_io io = {0};
    struct gt_cluster_settings settings = {.name = "x"};
    struct gt_cluster_state *made;
    (void)state;
    assert_int_equal(gt_cluster_state_new(&settings, &io, &made), GANTRY_INVALID);
    settings.incarnation = incarnation_of(1);
    settings.name = "";
    assert_int_equal(gt_cluster_state_new(&settings, &io, &made), GANTRY_INVALID);
    gt_cluster_state_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_snapshot_and_what_follows_is_the_same_as_everything),
        CLUSTER_TEST(a_damaged_snapshot_is_refused_or_harmless),
        CLUSTER_TEST(the_first_member_makes_a_snapshot_after_10000_messages_or_an_hour),
        CLUSTER_TEST(a_malformed_message_does_nothing),
        CLUSTER_TEST(what_fits_into_no_message_is_refused_when_it_is_written),
        CLUSTER_TEST(settings_without_a_name_or_incarnation_are_refused),
    };
    return cmocka_run_group_tests_name("cluster_bytes", tests, NULL, NULL);
}
