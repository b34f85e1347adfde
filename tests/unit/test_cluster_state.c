/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's rules, one by one. Faults in all combinations are test_cluster_sim's matter. */
#include "cluster_support.h"

static void a_joiner_owns_the_tasks_of_a_configuration(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    assert_true(gt_cluster_is_member(c->nodes[0].state));
    configure(c, 0, "x", "p", 2);
    assert_told(&c->nodes[0], "config:x=p/2 start:x/0@1 start:x/1@2");
}

static void a_task_starts_at_the_next_owner_when_it_has_stopped(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 2);
    configure(c, 0, "y", "q", 2);
    forget_told(c);
    join(c, 1);
    assert_told(&c->nodes[0], "stop:x/1@2 stop:y/1@4"); /* nothing else is touched */
    assert_told(&c->nodes[1], "config:x=p/2 config:y=q/2");
    stopped(c, 0, "y", 1, 4);
    assert_told(&c->nodes[1], "start:y/1@5");
    stopped(c, 0, "y", 1, 4); /* once more is nothing */
    stopped(c, 0, "x", 1, 2);
    assert_told(&c->nodes[1], "start:x/1@6");
    assert_told(&c->nodes[0], "");
}

static void a_commit_counts_from_the_owner_in_his_epoch_alone(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 1); /* goes to a */
    forget_told(c);
    gt_cluster_add_commit(&c->nodes[0].out, "x", 0, 1, 7, gantry_view_of("A"));
    settle(c);
    assert_told(&c->nodes[0], "commit:7=A");
    assert_told(&c->nodes[1], "commit:0=A");
    gt_cluster_add_commit(&c->nodes[0].out, "x", 0, 2, 8, gantry_view_of("B")); /* epoch */
    gt_cluster_add_commit(&c->nodes[1].out, "x", 0, 1, 9, gantry_view_of("C")); /* not the owner */
    gt_cluster_add_commit(&c->nodes[1].out, "z", 0, 1, 10, gantry_view_of("D"));
    gt_cluster_add_commit(&c->nodes[1].out, "x", 5, 1, 11, gantry_view_of("E"));
    settle(c);
    assert_told(&c->nodes[0], "refused:8");
    assert_told(&c->nodes[1], "refused:9 refused:10 refused:11");
}

static void the_old_owner_commits_until_its_release_and_not_behind_it(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 2);
    join(c, 1);
    forget_told(c);
    gt_cluster_add_commit(&c->nodes[0].out, "x", 1, 2, 1, gantry_view_of("last"));
    settle(c);
    assert_told(&c->nodes[0], "commit:1=last");
    gt_cluster_task_stopped(c->nodes[0].state, "x", 1, 2);
    gt_cluster_add_commit(&c->nodes[0].out, "x", 1, 2, 2, gantry_view_of("late"));
    settle(c);
    assert_told(&c->nodes[0], "refused:2");
    assert_told(&c->nodes[1], "commit:0=last start:x/1@3");
}

static void a_message_of_a_non_member_is_skipped(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    open_node(c, 1); /* does not join */
    read_all(c);
    uint64_t before = gt_cluster_digest(c->nodes[0].state);
    configure(c, 1, "x", "p", 1);
    gt_cluster_add_commit(&c->nodes[1].out, "x", 0, 1, 3, gantry_view_of("A"));
    settle(c);
    assert_told(&c->nodes[1], "refused:3");
    assert_told(&c->nodes[0], "");
    assert_true(before != gt_cluster_digest(c->nodes[0].state)); /* its offset alone */
}

static void a_message_that_is_in_the_log_twice_counts_once(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 1);
    gt_cluster_add_commit(&c->nodes[0].out, "x", 0, 1, 7, gantry_view_of("A"));
    settle(c);
    forget_told(c);
    put_in_log(c, gt_buf_view(&c->log[c->count - 1]));
    put_in_log(c, gt_buf_view(&c->log[0])); /* JOIN */
    read_all(c);
    assert_told(&c->nodes[0], "");
}

static void an_offset_that_was_there_before_is_passed_over(void **state)
{
    struct cluster *c = *state;
    struct gantry_err err;
    join(c, 0);
    uint64_t digest = gt_cluster_digest(c->nodes[0].state);
    assert_int_equal(gt_cluster_message(c->nodes[0].state, 0, gantry_view_of("x"), c->now, &err),
                     0);
    assert_true(digest == gt_cluster_digest(c->nodes[0].state));
}

static void a_late_copy_of_a_join_does_not_bring_a_member_back(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    int64_t join_of_b = c->count - 1;
    gt_cluster_leave(c->nodes[1].state, c->now);
    settle(c);
    assert_true(gt_cluster_left(c->nodes[1].state));
    put_in_log(c, gt_buf_view(&c->log[join_of_b]));
    read_all(c);
    configure(c, 0, "x", "p", 2);
    assert_told(&c->nodes[0], "config:x=p/2 start:x/0@1 start:x/1@2");
}

static void a_join_that_a_removal_has_overtaken_is_asked_for_again(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    open_node(c, 2);
    read_all(c);
    gt_cluster_join(c->nodes[2].state, c->now); /* asked for, not sent */
    gt_cluster_leave(c->nodes[1].state, c->now);
    send(c, &c->nodes[1]);
    settle(c);
    assert_true(gt_cluster_is_member(c->nodes[2].state));
    assert_int_equal(c->nodes[2].number, 2);
}

static int64_t expire(struct cluster *c, int by, int target, int64_t offset)
{
    /* as lease.c asks for it: type, incarnation, zigzag of the offset */
    struct gt_buf *out = &c->nodes[by].out;
    uint8_t number[10];
    gt_buf_add_char(out, 4);
    gt_buf_add(out, c->nodes[target].incarnation.bytes, 16);
    gt_buf_add(out, number, (size_t)(gt_put_varint(number, gt_zigzag(offset)) - number));
    settle(c);
    return offset;
}

static void expire_counts_only_if_the_target_has_sent_nothing_since(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    (void)expire(c, 0, 1, c->count - 2); /* before its JOIN */
    assert_true(gt_cluster_is_member(c->nodes[1].state));
    (void)expire(c, 0, 1, c->count - 1);
    assert_false(gt_cluster_is_member(c->nodes[1].state));
    assert_told(&c->nodes[1], "fenced");
}

static void an_expired_owner_is_fenced_and_another_one_starts(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 2);
    forget_told(c);
    gt_cluster_add_commit(&c->nodes[1].out, "x", 1, 2, 5, gantry_view_of("A"));
    struct gt_buf late;
    gt_buf_init(&late, 1000);
    gt_buf_add_view(&late, gt_buf_view(&c->nodes[1].out));
    gt_buf_clear(&c->nodes[1].out);
    (void)expire(c, 0, 1, c->count - 1);
    assert_told(&c->nodes[1], "fence:x/1@2 fenced");
    assert_told(&c->nodes[0], "start:x/1@3");
    post(c, &c->nodes[1], &late); /* was under way all the time */
    read_all(c);
    assert_told(&c->nodes[1], "refused:5");
    assert_told(&c->nodes[0], "");
    gt_buf_deinit(&late);
}

static void the_lease_counts_from_sending(void **state)
{
    struct cluster *c = *state;
    open_node(c, 0);
    struct node *node = &c->nodes[0];
    gt_cluster_join(node->state, c->now);
    assert_true(gt_cluster_lease_until(node->state) == INT64_MIN);
    send(c, node);
    c->now += 4000; /* the way back */
    read_all(c);
    assert_int_equal(gt_cluster_lease_until(node->state), 1000 + LEASE);
    (void)gt_cluster_tick(node->state, c->now);
    send(c, node); /* a renewal, sent at 5000 */
    c->now = 1000 + LEASE - 1;
    read_all(c);
    assert_int_equal(gt_cluster_lease_until(node->state), 5000 + LEASE);
    assert_told(node, "");
    (void)gt_cluster_tick(node->state, 5000 + LEASE);
    assert_told(node, "fenced");
    assert_true(gt_cluster_lease_until(node->state) == INT64_MIN);
}

static void a_message_that_is_sent_again_counts_from_its_first_sending(void **state)
{
    struct cluster *c = *state;
    open_node(c, 0);
    struct node *node = &c->nodes[0];
    gt_cluster_join(node->state, c->now);
    send(c, node);
    gt_cluster_sent(node->state, 1, c->now + 3000);
    c->now += 3000;
    read_all(c);
    assert_int_equal(gt_cluster_lease_until(node->state), 1000 + LEASE);
}

static void a_join_that_comes_back_too_late_starts_nothing(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 1);
    gt_cluster_leave(c->nodes[0].state, c->now);
    stopped(c, 0, "x", 0, 1);
    assert_true(gt_cluster_left(c->nodes[0].state));
    open_node(c, 1);
    read_all(c);
    gt_cluster_join(c->nodes[1].state, c->now);
    send(c, &c->nodes[1]);
    c->now += LEASE;
    read_all(c);
    assert_told(&c->nodes[1], "config:x=p/1 fenced");
}

static void a_new_incarnation_takes_the_place_of_the_old_one(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 4);
    forget_told(c);
    struct node *b = &c->nodes[1];
    b->deaf = true;
    (void)gt_cluster_tick(b->state, c->now + LEASE); /* was away for a lease; nobody has noticed */
    assert_told(b, "fence:x/1@2 fence:x/3@4 fenced");
    b->deaf = false;
    b->incarnation = incarnation_of(++c->incarnations);
    b->number = 0;
    c->now += LEASE;
    (void)gt_cluster_reach(c->nodes[0].state, GT_REACH_REFUSED, c->now - LEASE + 1);
    gt_cluster_state_rejoin(b->state, b->incarnation, c->now);
    settle(c);
    assert_true(gt_cluster_is_member(b->state));
    assert_told(b, "start:x/1@5 start:x/3@6"); /* its own ones, at once */
}

static void a_process_that_knows_its_former_life_is_over_replaces_it(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 2);
    struct gt_incarnation former = c->nodes[1].incarnation;
    close_node(&c->nodes[1]);
    open_node_as(c, 2, "b@77", former);
    read_all(c);
    gt_cluster_join(c->nodes[2].state, c->now);
    settle(c);
    assert_told(&c->nodes[2], "config:x=p/2 start:x/1@3");
}

static void a_silent_member_is_expired_after_a_lease_and_a_quarter(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 2);
    forget_told(c);
    c->nodes[1].deaf = true;
    int64_t sent = c->now;
    pass(c, LEASE + LEASE / 4 - 100);
    assert_told(&c->nodes[0], "");
    pass(c, 500);
    assert_told(&c->nodes[0], "start:x/1@3");
    assert_true(c->now - sent < 8500);
}

static void the_next_in_order_expires_when_the_first_does_not(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    join(c, 2);
    configure(c, 0, "x", "p", 3);
    forget_told(c);
    c->nodes[0].deaf = c->nodes[1].deaf = true; /* a would be the first to expire b */
    pass(c, LEASE + LEASE / 4 + 700);
    assert_told(&c->nodes[2], "start:x/0@5 start:x/1@6");
}

static void nobody_counts_while_he_cannot_read_and_then_begins_anew(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 2);
    forget_told(c);
    c->nodes[1].deaf = true;
    pass(c, LEASE);
    gt_cluster_reach(c->nodes[0].state, GT_REACH_LOST, c->now);
    pass(c, LEASE - 1000); /* its renewals still come back in this test */
    assert_told(&c->nodes[0], "");
    gt_cluster_reach(c->nodes[0].state, GT_REACH_OK, c->now);
    pass(c, LEASE);
    assert_told(&c->nodes[0], "");
    pass(c, LEASE / 4 + 500);
    assert_told(&c->nodes[0], "start:x/1@3");
}

static void silence_needs_proof_by_a_message_of_ones_own(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 2);
    struct node *a = &c->nodes[0];
    c->nodes[1].deaf = true;
    pass(c, LEASE + 1000);
    forget_told(c);
    for (int i = 0; i < 20; i++) { /* what a sends now does not come back */
        c->now += 100;
        (void)gt_cluster_tick(a->state, c->now);
    }
    assert_int_equal(a->out.len, 1); /* one RENEW, no EXPIRE */
    send(c, a);
    read_all(c);
    assert_int_equal(a->out.data[0], 4); /* EXPIRE, now that it is back */
}

static void a_jump_of_the_clock_is_no_silence_of_others(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    pass(c, 2100);
    struct node *a = &c->nodes[0];
    int64_t at = c->now + LEASE - 2200; /* just not beyond a's own lease */
    for (int i = 0; i < 20; i++) {
        (void)gt_cluster_tick(a->state, at);
        send(c, a);
        read_node(c, a); /* its renewal is back: the log can be read, and b is silent in it */
    }
    assert_int_equal(a->out.len, 0);
    read_all(c);
    assert_true(gt_cluster_is_member(c->nodes[1].state));
}

static void a_refusal_is_as_good_as_a_renewal_unless_told_otherwise(void **state)
{
    struct cluster *c = *state;
    for (int stop = 0; stop < 2; stop++) {
        c->stop_when_unreachable = stop == 1;
        join(c, stop);
        struct node *node = &c->nodes[stop];
        int64_t until = gt_cluster_lease_until(node->state);
        gt_cluster_reach(node->state, GT_REACH_REFUSED, c->now + 3000);
        assert_int_equal(gt_cluster_lease_until(node->state), until + (stop == 1 ? 0 : 3000));
        (void)gt_cluster_tick(node->state, c->now + LEASE);
        assert_told(node, stop == 1 ? "fenced" : "");
        (void)gt_cluster_tick(node->state, c->now + LEASE + 3000);
        assert_told(node, stop == 1 ? "" : "fenced");
        gt_cluster_reach(node->state, GT_REACH_REFUSED, c->now + LEASE + 3000); /* too late */
        assert_true(gt_cluster_lease_until(node->state) == INT64_MIN);
        c->now += 20000;
    }
}

static void a_replaced_configuration_stops_its_old_tasks_before_new_ones_start(void **state)
{
    static const size_t counts[] = {1, 3, 0, 2};
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 2);
    uint64_t epoch = 1;
    size_t running = 2;
    for (size_t i = 0; i < 4; i++) {
        char props[2] = {(char)('a' + i), 0};
        char expected[200];
        forget_told(c);
        configure(c, 0, "x", props, counts[i]);
        size_t len = 0;
        for (size_t k = 0; k < running; k++)
            len += (size_t)snprintf(expected + len, sizeof expected - len, "stop:x/%zu@%u ", k,
                                    (unsigned)(epoch + k));
        snprintf(expected + len, sizeof expected - len, "config:x=%s/%zu%s", props, counts[i],
                 running == 0 ? " start:x/0@7 start:x/1@8" : "");
        assert_told(&c->nodes[0], expected);
        for (size_t k = running; k-- > 0;) {
            stopped(c, 0, "x", (uint32_t)k, epoch + k);
            if (k > 0)
                assert_told(&c->nodes[0], "");
        }
        epoch += running;
        running = counts[i];
        assert_int_equal(c->nodes[0].starts, epoch - 1 + running);
    }
}

static void a_deleted_connector_commits_until_it_has_stopped_and_waits_when_made_again(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 1);
    forget_told(c);
    delete_one(c, 0, "x");
    assert_told(&c->nodes[0], "stop:x/0@1 gone:x");
    configure(c, 0, "x", "q", 1);
    assert_told(&c->nodes[0], "config:x=q/1");
    gt_cluster_add_commit(&c->nodes[0].out, "x", 0, 1, 1, gantry_view_of("last"));
    settle(c);
    assert_told(&c->nodes[0], "commit:1=last");
    stopped(c, 0, "x", 0, 1);
    assert_told(&c->nodes[0], "start:x/0@2");
    delete_one(c, 0, "nothing");
    delete_one(c, 0, "x");
    delete_one(c, 0, "x");
    stopped(c, 0, "x", 0, 2);
    assert_told(&c->nodes[0], "stop:x/0@2 gone:x");
}

static void deleting_while_moving_stops_once_and_starts_nowhere(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 2);
    configure(c, 0, "y", "p", 1);
    join(c, 1);
    assert_told(&c->nodes[0], "config:x=p/2 start:x/0@1 start:x/1@2 config:y=p/1 start:y/0@3 "
                              "stop:x/1@2");
    delete_one(c, 1, NULL);
    assert_told(&c->nodes[0], "stop:y/0@3 gone:y stop:x/0@1 gone:x");
    stopped(c, 0, "x", 1, 2);
    stopped(c, 0, "x", 0, 1);
    stopped(c, 0, "y", 0, 3);
    assert_told(&c->nodes[1], "config:x=p/2 config:y=p/1 gone:y gone:x");
}

static void one_that_is_to_get_back_what_it_stops_gets_it_anew(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 2);
    join(c, 1);
    forget_told(c);
    gt_cluster_leave(c->nodes[1].state, c->now); /* x/1 was on its way to b */
    settle(c);
    assert_told(&c->nodes[0], "");
    stopped(c, 0, "x", 1, 2);
    assert_told(&c->nodes[0], "start:x/1@3");
}

static void reset_counts_only_while_nothing_is_owned(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    configure(c, 0, "x", "p", 1);
    forget_told(c);
    gt_cluster_add_reset(&c->nodes[0].out, "x");
    settle(c);
    assert_told(&c->nodes[0], "");
    gt_cluster_add_delete(&c->nodes[0].out, "x");
    gt_cluster_add_reset(&c->nodes[0].out, "x"); /* still stopping */
    settle(c);
    assert_told(&c->nodes[0], "stop:x/0@1 gone:x");
    assert_true(gt_cluster_stopping(c->nodes[0].state, "x"));
    stopped(c, 0, "x", 0, 1);
    assert_false(gt_cluster_stopping(c->nodes[0].state, "x"));
    gt_cluster_add_reset(&c->nodes[0].out, "x");
    gt_cluster_add_reset(&c->nodes[0].out, "never");
    settle(c);
    assert_told(&c->nodes[0], "reset:x reset:never");
}

static void one_who_is_no_member_may_reset_what_nobody_runs(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    open_node(c, 1);
    configure(c, 0, "x", "p", 1);
    forget_told(c);
    gt_cluster_add_reset(&c->nodes[1].out, "x");
    settle(c);
    assert_told(&c->nodes[0], "");
    gt_cluster_leave(c->nodes[0].state, c->now);
    stopped(c, 0, "x", 0, 1);
    assert_true(gt_cluster_left(c->nodes[0].state));
    forget_told(c);
    gt_cluster_add_reset(&c->nodes[1].out, "x");
    settle(c);
    assert_told(&c->nodes[0], "reset:x");
    assert_told(&c->nodes[1], "reset:x");
    assert_false(gt_cluster_is_member(c->nodes[1].state));
}

static void whoever_leaves_stops_everything_first_and_starts_nothing_more(void **state)
{
    struct cluster *c = *state;
    join(c, 0);
    join(c, 1);
    configure(c, 0, "x", "p", 2);
    forget_told(c);
    gt_cluster_leave(c->nodes[1].state, c->now);
    settle(c);
    assert_told(&c->nodes[1], "stop:x/1@2");
    assert_false(gt_cluster_left(c->nodes[1].state));
    configure(c, 0, "y", "p", 2); /* one of them falls to b */
    assert_told(&c->nodes[1], "config:y=p/2");
    assert_told(&c->nodes[0], "config:y=p/2 start:y/0@3");
    stopped(c, 1, "x", 1, 2);
    assert_true(gt_cluster_left(c->nodes[1].state));
    assert_told(&c->nodes[0], "start:x/1@5 start:y/1@6");
    assert_told(&c->nodes[1], "");
}

static void leaving_without_having_joined_is_done_at_once(void **state)
{
    struct cluster *c = *state;
    open_node(c, 0);
    gt_cluster_leave(c->nodes[0].state, c->now);
    assert_true(gt_cluster_left(c->nodes[0].state));
    open_node(c, 1);
    gt_cluster_join(c->nodes[1].state, c->now); /* under way */
    gt_cluster_leave(c->nodes[1].state, c->now);
    assert_false(gt_cluster_left(c->nodes[1].state));
    settle(c);
    assert_true(gt_cluster_left(c->nodes[1].state));
    join(c, 2);
    gt_cluster_leave(c->nodes[2].state, c->now + LEASE); /* the lease is over */
    assert_true(gt_cluster_left(c->nodes[2].state));
    close_node(&c->nodes[0]);
}

static void the_strategy_of_the_first_member_counts(void **state)
{
    struct cluster *c = *state;
    c->strategy = GT_STRATEGY_AVERAGE;
    join(c, 1); /* b, joins first */
    c->strategy = GT_STRATEGY_INCREMENTAL;
    join(c, 0);
    assert_int_equal(gt_cluster_strategy_used(c->nodes[0].state), GT_STRATEGY_AVERAGE);
    configure(c, 0, "x", "p", 2); /* the connector is dealt to a, so the tasks to b and a */
    assert_told(&c->nodes[0], "config:x=p/2 start:x/1@2");
    gt_cluster_leave(c->nodes[1].state, c->now);
    stopped(c, 1, "x", 0, 1);
    assert_int_equal(gt_cluster_strategy_used(c->nodes[0].state), GT_STRATEGY_INCREMENTAL);
}

/* --- Looks --- */

static int show_task(void *arg, const struct gt_cluster_task_view *view)
{
    gt_buf_addf(arg, "%s/%u %s%s %s(%s) ", view->connector, view->task,
                view->owner != NULL ? view->owner : "-", view->moving ? "!" : "", view->status,
                view->reason);
    return 0;
}

static int show_member(void *arg, const char *name)
{
    gt_buf_addf(arg, "%s ", name);
    return 0;
}

static void states_are_shown_until_the_owner_changes(void **state)
{
    struct cluster *c = *state;
    struct gt_buf text;
    gt_buf_init(&text, 10000);
    join(c, 1);
    join(c, 0);
    configure(c, 0, "y", "p", 1);
    configure(c, 0, "x", "p", 1);
    gt_cluster_add_status(&c->nodes[1].out, "x", 0, 2, "FAILED", "disk");
    gt_cluster_add_status(&c->nodes[1].out, "y", 0, 1, "RUNNING", NULL); /* not b's */
    settle(c);
    gt_cluster_tasks(c->nodes[0].state, NULL, show_task, &text);
    assert_string_equal(gt_buf_cstr(&text), "x/0 b@2 FAILED(disk) y/0 a@1 () ");
    gt_buf_clear(&text);
    gt_cluster_tasks(c->nodes[0].state, "y", show_task, &text);
    gt_cluster_tasks(c->nodes[0].state, "z", show_task, &text);
    assert_string_equal(gt_buf_cstr(&text), "y/0 a@1 () ");
    gt_buf_clear(&text);
    gt_cluster_members(c->nodes[0].state, show_member, &text);
    assert_string_equal(gt_buf_cstr(&text), "a@1 b@2 ");
    gt_cluster_leave(c->nodes[1].state, c->now);
    stopped(c, 1, "x", 0, 2);
    gt_buf_clear(&text);
    gt_cluster_tasks(c->nodes[0].state, "x", show_task, &text);
    assert_string_equal(gt_buf_cstr(&text), "x/0 a@1 () ");
    gt_buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_joiner_owns_the_tasks_of_a_configuration),
        CLUSTER_TEST(a_task_starts_at_the_next_owner_when_it_has_stopped),
        CLUSTER_TEST(a_commit_counts_from_the_owner_in_his_epoch_alone),
        CLUSTER_TEST(the_old_owner_commits_until_its_release_and_not_behind_it),
        CLUSTER_TEST(a_message_of_a_non_member_is_skipped),
        CLUSTER_TEST(a_message_that_is_in_the_log_twice_counts_once),
        CLUSTER_TEST(an_offset_that_was_there_before_is_passed_over),
        CLUSTER_TEST(a_late_copy_of_a_join_does_not_bring_a_member_back),
        CLUSTER_TEST(a_join_that_a_removal_has_overtaken_is_asked_for_again),
        CLUSTER_TEST(expire_counts_only_if_the_target_has_sent_nothing_since),
        CLUSTER_TEST(an_expired_owner_is_fenced_and_another_one_starts),
        CLUSTER_TEST(the_lease_counts_from_sending),
        CLUSTER_TEST(a_message_that_is_sent_again_counts_from_its_first_sending),
        CLUSTER_TEST(a_join_that_comes_back_too_late_starts_nothing),
        CLUSTER_TEST(a_new_incarnation_takes_the_place_of_the_old_one),
        CLUSTER_TEST(a_process_that_knows_its_former_life_is_over_replaces_it),
        CLUSTER_TEST(a_silent_member_is_expired_after_a_lease_and_a_quarter),
        CLUSTER_TEST(the_next_in_order_expires_when_the_first_does_not),
        CLUSTER_TEST(nobody_counts_while_he_cannot_read_and_then_begins_anew),
        CLUSTER_TEST(silence_needs_proof_by_a_message_of_ones_own),
        CLUSTER_TEST(a_jump_of_the_clock_is_no_silence_of_others),
        CLUSTER_TEST(a_refusal_is_as_good_as_a_renewal_unless_told_otherwise),
        CLUSTER_TEST(a_replaced_configuration_stops_its_old_tasks_before_new_ones_start),
        CLUSTER_TEST(a_deleted_connector_commits_until_it_has_stopped_and_waits_when_made_again),
        CLUSTER_TEST(deleting_while_moving_stops_once_and_starts_nowhere),
        CLUSTER_TEST(one_that_is_to_get_back_what_it_stops_gets_it_anew),
        CLUSTER_TEST(reset_counts_only_while_nothing_is_owned),
        CLUSTER_TEST(one_who_is_no_member_may_reset_what_nobody_runs),
        CLUSTER_TEST(whoever_leaves_stops_everything_first_and_starts_nothing_more),
        CLUSTER_TEST(leaving_without_having_joined_is_done_at_once),
        CLUSTER_TEST(the_strategy_of_the_first_member_counts),
        CLUSTER_TEST(states_are_shown_until_the_owner_changes),
    };
    return cmocka_run_group_tests_name("cluster_state", tests, NULL, NULL);
}
