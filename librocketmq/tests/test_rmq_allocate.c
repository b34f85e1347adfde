/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation against what the Java strategies printed for the same groups (vectors/rebalance.json),
 * and what must hold for any group: every queue has exactly one owner. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <rocketmq/client.h>
#include <rocketmq/allocate.h>
#include <stdio.h>
#include <stdlib.h>

enum { QUEUES_MAX = 256, MEMBERS_MAX = 64 };

static const struct {
    enum rmq_allocation how;
    const char *name;
} strategies[] = {{RMQ_ALLOCATE_AVERAGE, "AVG"},
                  {RMQ_ALLOCATE_CIRCLE, "AVG_BY_CIRCLE"},
                  {RMQ_ALLOCATE_CONSISTENT_HASH, "CONSISTENT_HASH"}};

static size_t make_queues(struct rmq_queue *ret, size_t brokers, size_t per_broker)
{
    static const char *const names[] = {"broker-a", "broker-b", "broker-c", "broker-d"};
    size_t count = 0;
    assert_true(brokers <= 4 && brokers * per_broker <= QUEUES_MAX);
    for (size_t i = 0; i < brokers * per_broker; i++)
        ret[count++] = (struct rmq_queue){names[i / per_broker], (int32_t)(i % per_broker)};
    return count;
}

static size_t check_case(const json_t *one)
{
    struct rmq_queue queues[QUEUES_MAX];
    const char *members[MEMBERS_MAX];
    const json_t *ids = json_object_get(one, "sorted_cids");
    size_t member_count = json_array_size(ids);
    size_t count =
        make_queues(queues, (size_t)json_integer_value(json_object_get(one, "brokers")),
                    (size_t)json_integer_value(json_object_get(one, "queues_per_broker")));
    size_t checked = 0;
    assert_true(member_count > 0 && member_count <= MEMBERS_MAX);
    for (size_t i = 0; i < member_count; i++)
        members[i] = json_string_value(json_array_get(ids, i));
    for (size_t s = 0; s < 3; s++) {
        for (size_t self = 0; self < member_count; self++, checked++) {
            bool mine[QUEUES_MAX];
            const json_t *wanted =
                json_object_get(json_object_get(one, strategies[s].name), members[self]);
            size_t at = 0;
            assert_int_equal(rmq_allocate(strategies[s].how,
                                          json_string_value(json_object_get(one, "topic")), queues,
                                          count, members, member_count, self, mine),
                             0);
            for (size_t i = 0; i < count; i++) {
                char name[64];
                if (!mine[i])
                    continue;
                (void)snprintf(name, sizeof(name), "%s:%d", queues[i].broker, (int)queues[i].id);
                assert_string_equal(name, json_string_value(json_array_get(wanted, at)));
                at++;
            }
            assert_int_equal(at, json_array_size(wanted));
        }
    }
    return checked;
}

static void test_java_results(void **state)
{
    (void)state;
    char path[4096];
    json_error_t error;
    size_t checked = 0;
    size_t index;
    const json_t *one;
    (void)snprintf(path, sizeof(path), "%s/rebalance.json", getenv("RMQ_VECTORS"));
    json_t *file = json_load_file(path, 0, &error);
    assert_non_null(file);
    json_array_foreach(json_object_get(file, "cases"), index, one) checked += check_case(one);
    json_decref(file);
    assert_int_equal(checked, 126);
}

static void test_one_owner_each(void **state)
{
    (void)state;
    char ids[40][32];
    const char *members[40];
    struct rmq_queue queues[QUEUES_MAX];
    for (int i = 0; i < 40; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "10.0.%02d.7@%d#%d", i, 4000 + i, i * 777);
        members[i] = ids[i];
    }
    for (size_t s = 0; s < 3; s++) {
        for (size_t count = 0; count <= 64; count = count * 2 + 1) {
            for (size_t group = 1; group <= 40; group += 3) {
                size_t owners[QUEUES_MAX] = {0};
                make_queues(queues, 1, count);
                for (size_t self = 0; self < group; self++) {
                    bool mine[QUEUES_MAX];
                    assert_int_equal(rmq_allocate(strategies[s].how, "t", queues, count, members,
                                                  group, self, mine),
                                     0);
                    for (size_t i = 0; i < count; i++)
                        owners[i] += mine[i];
                }
                for (size_t i = 0; i < count; i++)
                    assert_int_equal(owners[i], 1);
            }
        }
    }
}

static void test_not_a_member(void **state)
{
    (void)state;
    struct rmq_queue queues[4];
    bool mine[4] = {true, true, true, true};
    make_queues(queues, 1, 4);
    assert_int_equal(rmq_allocate(RMQ_ALLOCATE_AVERAGE, "t", queues, 4, NULL, 0, 0, mine), 0);
    for (size_t i = 0; i < 4; i++)
        assert_false(mine[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_java_results),
        cmocka_unit_test(test_one_owner_each),
        cmocka_unit_test(test_not_a_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
