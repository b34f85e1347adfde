/* SPDX-License-Identifier: Apache-2.0 */
/* A writer as the executor sees it: records get their numbers, what is there already is left out,
 * the rest is encoded into portions, and the link takes them. */
#include "topic/rocketmq/writer.h"

#include <stdlib.h>

enum { SCRATCH_MAX = 8 << 20 };

/* --- Life --- */

int gt_rq_writer_open(struct gt_topics *topics, const struct gt_writer_spec *spec,
                      struct gt_writer **ret, struct gantry_err *err)
{
    struct gt_rq_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for the writer of connector %s",
                              spec->claim->connector);
    writer->api.engine = topics->engine;
    writer->topics = (struct gt_rocketmq *)topics;
    writer->connector = strdup(spec->claim->connector);
    if (asprintf(&writer->identity, "%08x.%s", writer->topics->cluster, spec->claim->connector) < 0)
        writer->identity = NULL;
    writer->claim = *spec->claim;
    writer->claim.connector = writer->connector;
    writer->replayable = spec->replayable;
    writer->headers_as_is = spec->headers_as_is;
    writer->wake = spec->wake;
    writer->arg = spec->arg;
    writer->next_seq = 1;
    writer->submitted_tail = &writer->submitted;
    writer->last = &writer->first;
    writer->open_mail.run = gt_rq_writer_on_open;
    writer->submit_mail.run = gt_rq_writer_on_submit;
    writer->close_mail.run = gt_rq_writer_on_close;
    pthread_mutex_init(&writer->lock, NULL);
    gt_map_init(&writer->positions);
    gt_map_init(&writer->choices);
    gt_rq_skips_init(&writer->skips);
    gt_arena_init(&writer->memory, 1024, 0);
    gt_buf_init(&writer->note, SCRATCH_MAX);
    gt_buf_init(&writer->properties, SCRATCH_MAX);
    if (writer->connector == NULL || writer->identity == NULL) {
        gt_rq_writer_free(writer);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a writer");
    }
    gt_link_send(writer->topics->link, &writer->open_mail);
    *ret = &writer->api;
    return 0;
}

void gt_rq_writer_free(struct gt_rq_writer *writer)
{
    size_t cursor = 0;
    struct gantry_view key;
    void *value;
    while (gt_map_next(&writer->positions, &cursor, &key, &value))
        free(value);
    gt_map_deinit(&writer->positions);
    gt_map_deinit(&writer->choices);
    gt_rq_skips_deinit(&writer->skips);
    free(writer->leads);
    gt_arena_deinit(&writer->memory);
    gt_buf_deinit(&writer->note);
    gt_buf_deinit(&writer->properties);
    free(writer->stamp_before);
    free(writer->stamp_after);
    free(writer->connector);
    free(writer->identity);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

int gt_rq_writer_ready(struct gt_writer *api, struct gantry_err *err)
{
    struct gt_rq_writer *writer = (struct gt_rq_writer *)api;
    pthread_mutex_lock(&writer->lock);
    int code = writer->state == WRITER_READY && writer->trouble_text[0] == '\0' &&
               !atomic_load(&writer->waiting);
    if (writer->state == WRITER_FAILED) {
        *err = writer->failure;
        code = err->code;
    } else if (code == 0) {
        gantry_err_set(err, GANTRY_AGAIN, "%s", writer->trouble_text);
    }
    pthread_mutex_unlock(&writer->lock);
    return code;
}

void gt_rq_writer_abandon(struct gt_writer *api)
{
    struct gt_rq_writer *writer = (struct gt_rq_writer *)api;
    const struct gantry_err err = {.code = GANTRY_CLOSED,
                                   .text = "given up, because the task is to stop"};
    if (!atomic_exchange(&writer->abandoned, true))
        gt_rq_writer_break(writer, &err);
}

void gt_rq_writer_close(struct gt_writer *api)
{
    struct gt_rq_writer *writer = (struct gt_rq_writer *)api;
    pthread_mutex_lock(&writer->lock);
    writer->closed = true;
    pthread_mutex_unlock(&writer->lock);
    gt_link_send(writer->topics->link, &writer->close_mail);
}

/* --- Queues --- */

/* The queue that an earlier writer of the task has written to, while it can be written to. */
static uint32_t chosen_before(const struct gt_rq_writer *writer, struct gt_rq_topic *topic)
{
    uint32_t count = gt_topic_queues(&topic->api);
    for (size_t i = 0; i < writer->tail_count; i++) {
        const struct gt_queue_offset *tail = &writer->tails[i];
        if (!gantry_view_equal(tail->topic, gantry_view_of(topic->api.name)))
            continue;
        uint32_t at = gt_topic_find(&topic->api, tail->broker, tail->queue);
        pthread_mutex_lock(&topic->lock);
        bool fine = at < count && atomic_load(&topic->queues[at]->writable);
        pthread_mutex_unlock(&topic->lock);
        if (fine)
            return at;
    }
    return count;
}

/* By the task's number over those that can be written to. */
static uint32_t choose(const struct gt_rq_writer *writer, struct gt_rq_topic *topic)
{
    uint32_t writable = 0, found = 0;
    pthread_mutex_lock(&topic->lock);
    for (uint32_t i = 0; i < topic->queue_count; i++)
        writable += atomic_load(&topic->queues[i]->writable);
    uint32_t wanted = writable != 0 ? writer->claim.task % writable : 0;
    for (uint32_t i = 0; i < topic->queue_count; i++) {
        if (!atomic_load(&topic->queues[i]->writable) && writable != 0)
            continue;
        found = i;
        if (wanted-- == 0)
            break;
    }
    pthread_mutex_unlock(&topic->lock);
    return found;
}

/* How many queues of the topic come before this one by broker, of those with the same id. */
static uint32_t rank_of(const struct gt_rq_topic *topic, uint32_t at, bool all)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < topic->queue_count; i++) {
        const struct gt_rq_queue *queue = topic->queues[i];
        rank += queue->id == topic->queues[at]->id && (all || atomic_load(&queue->writable)) &&
                strcmp(queue->broker, topic->queues[at]->broker) < 0;
    }
    return rank;
}

/* By a number, over those that can be written to: its low half says which id, the other one which
 * of the brokers that have it. So equal numbers meet, whichever task and worker they come by. */
static uint32_t by_number(struct gt_rq_topic *topic, uint32_t number)
{
    uint32_t found = 0, ids = 0, brokers = 0;
    pthread_mutex_lock(&topic->lock);
    bool all = true;
    for (uint32_t i = 0; i < topic->queue_count; i++)
        all = all && !atomic_load(&topic->queues[i]->writable);
    for (uint32_t i = 0; i < topic->queue_count; i++) {
        const struct gt_rq_queue *queue = topic->queues[i];
        if ((all || atomic_load(&queue->writable)) && queue->id >= ids)
            ids = queue->id + 1;
    }
    uint32_t id = ids != 0 ? (number & 0xffff) % ids : 0;
    for (uint32_t i = 0; i < topic->queue_count; i++)
        brokers += topic->queues[i]->id == id && (all || atomic_load(&topic->queues[i]->writable));
    for (uint32_t i = 0; i < topic->queue_count && brokers != 0; i++) {
        const struct gt_rq_queue *queue = topic->queues[i];
        if (queue->id == id && (all || atomic_load(&queue->writable)) &&
            rank_of(topic, i, all) == (number >> 16) % brokers)
            found = i;
    }
    pthread_mutex_unlock(&topic->lock);
    return found;
}

uint32_t gt_rq_writer_queue(struct gt_writer *api, struct gt_topic *topic, uint32_t number)
{
    struct gt_rq_writer *writer = (struct gt_rq_writer *)api;
    if (number != 0)
        return by_number((struct gt_rq_topic *)topic, number - 1);
    struct gantry_view name = gantry_view_of(topic->name);
    void *known = gt_map_get(&writer->choices, name);
    if (known != NULL)
        return (uint32_t)(uintptr_t)known - 1;
    uint32_t at = chosen_before(writer, (struct gt_rq_topic *)topic);
    if (at == gt_topic_queues(topic))
        at = choose(writer, (struct gt_rq_topic *)topic);
    /* Not remembered for want of memory: the same is chosen again, unless the route changes. */
    (void)gt_map_put(&writer->choices, name, (void *)((uintptr_t)at + 1), NULL);
    return at;
}

/* --- Batches --- */

/* One batch of a poll: records from..to, its note, and for each mark where its records stand. */
struct batch {
    uint32_t from, to;
    struct gt_rq_note note;
    struct gt_rq_place *places;
    struct gantry_view text; /* of the note */
    bool sent;               /* else all of it was there before, and is left out */
};

struct batching {
    struct batch *items; /* owned */
    size_t count, cap;
    struct gt_rq_mark *marks; /* owned: of all */
    struct gt_rq_place *places;
    struct gt_buf texts;
    bool left_out; /* marks that no note has room for */
};

static void free_batching(struct batching *batching)
{
    free(batching->items);
    free(batching->marks);
    free(batching->places);
    gt_buf_deinit(&batching->texts);
}

/* Where the partition stands behind all that was submitted. */
static int find_position(struct gt_rq_writer *writer, struct gt_rq_hash partition,
                         struct gt_rq_hash **ret, struct gantry_err *err)
{
    struct gantry_view key = {(const char *)&partition, sizeof partition};
    struct gt_rq_hash *known = gt_map_get(&writer->positions, key);
    if (known == NULL) {
        known = malloc(sizeof *known);
        if (known == NULL)
            return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a position");
        int code =
            gt_rq_stored_position(writer->topics->store, writer->connector, partition, known, err);
        if (code == 0 && gt_map_put(&writer->positions, key, known, NULL) != 0)
            code = gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a position");
        if (code != 0) {
            free(known);
            return code;
        }
    }
    *ret = known;
    return 0;
}

static int take_mark(struct gt_rq_writer *writer, const struct gantry_mark *from, size_t room,
                     struct gt_rq_mark *mark, struct gantry_err *err)
{
    struct gt_rq_hash *position = NULL;
    *mark = (struct gt_rq_mark){
        .covers = (uint32_t)from->covers,
        .partition_hash = gt_rq_hash_of(from->partition),
        .after = gt_rq_hash_of(from->position),
        .partition = from->partition,
        .position = from->position,
    };
    mark->whole = gt_rq_mark_size(mark) <= room;
    int code = find_position(writer, mark->partition_hash, &position, err);
    if (code == 0) {
        mark->before = *position;
        *position = mark->after;
    }
    return code;
}

static int add_batch(struct batching *batching, const struct batch *batch)
{
    if (batching->count == batching->cap) {
        size_t cap = batching->cap != 0 ? batching->cap * 2 : 4;
        struct batch *grown = realloc(batching->items, cap * sizeof *grown);
        if (grown == NULL)
            return GANTRY_NO_MEMORY;
        batching->items = grown;
        batching->cap = cap;
    }
    batching->items[batching->count++] = *batch;
    return 0;
}

/* Bytes of a note that fit beside the properties of any of the messages. */
static size_t note_room(const struct gt_append_part *parts, size_t part_count)
{
    size_t room = GT_RQ_NOTE_MAX;
    for (size_t i = 0; i < part_count; i++) {
        for (size_t k = 0; k < parts[i].count; k++) {
            size_t one = gt_rq_note_room(&parts[i].messages[k]);
            room = one < room ? one : room;
        }
    }
    return room;
}

/* Cut the poll at marks into batches whose notes are not larger than @p room. A batch has records:
 * marks without any of their own for which its note has no room are left out of it, and nothing is
 * sent behind them before they are committed, so that no later note begins where none has led. */
static int make_batches(struct gt_rq_writer *writer, const struct gt_append *append, uint32_t count,
                        size_t room, struct batching *batching, struct gantry_err *err)
{
    size_t marks = append->mark_count, size = 0;
    batching->marks = calloc(marks + 1, sizeof *batching->marks);
    batching->places = calloc(marks + 1, sizeof *batching->places);
    int code = batching->marks != NULL && batching->places != NULL ? 0 : GANTRY_NO_MEMORY;
    struct batch batch = {.note = {.marks = batching->marks}, .places = batching->places};
    uint32_t covered = 0;
    for (size_t i = 0; i < marks && code == 0; i++) {
        struct gt_rq_mark *mark = &batching->marks[i];
        code = take_mark(writer, &append->marks[i], room, mark, err);
        if (code != 0)
            break;
        uint32_t own = mark->covers - covered;
        batching->places[i] = gt_rq_skips_pass(&writer->skips, mark, own);
        size += mark->whole ? gt_rq_mark_size(mark) : 64;
        bool full = batch.note.mark_count > 0 && size > room;
        if (full && own == 0) {
            batching->left_out = true;
            continue;
        }
        if (full) { /* another batch, or this one again without what has led up to here */
            batch.to = covered;
            if (batch.to > batch.from)
                code = add_batch(batching, &batch);
            else
                batching->left_out = true;
            batch = (struct batch){
                .from = covered, .note = {.marks = mark}, .places = batching->places + i};
            size = mark->whole ? gt_rq_mark_size(mark) : 64;
        }
        batch.note.mark_count++;
        covered = mark->covers;
    }
    batch.to = count;
    if (code == 0 && batch.to > batch.from)
        code = add_batch(batching, &batch);
    if (code == GANTRY_NO_MEMORY)
        return gantry_err_set(err, code, "no memory for a batch");
    return code;
}

static bool is_there(const struct gt_rq_writer *writer, const struct batch *batch, uint32_t record,
                     uint32_t check)
{
    uint32_t covered = 0;
    for (uint32_t k = 0; k < batch->note.mark_count; k++) {
        if (record < batch->note.marks[k].covers)
            return gt_rq_skips_has(&writer->skips, &batch->places[k], record - covered + 1, check);
        covered = batch->note.marks[k].covers;
    }
    return false;
}

static uint32_t check_of(const struct gt_append_part *part, size_t at)
{
    const struct gt_message *message = &part->messages[at];
    return part->records != NULL ? gt_rq_check_of(part->records[at].key, part->records[at].value)
                                 : gt_rq_check_of(message->key, message->body);
}

/* Which batches have a record that is to be sent. */
static void find_sent(const struct gt_rq_writer *writer, struct batching *batching,
                      const struct gt_append_part *parts, size_t part_count)
{
    for (size_t i = 0; i < batching->count; i++)
        batching->items[i].sent = !writer->skipping;
    for (size_t p = 0; p < part_count && writer->skipping; p++) {
        struct batch *batch = batching->items;
        for (size_t i = 0; i < parts[p].count; i++) {
            uint32_t record = parts[p].ordinals != NULL ? parts[p].ordinals[i] : (uint32_t)i;
            while (record >= batch->to)
                batch++;
            batch->sent = batch->sent ||
                          !is_there(writer, batch, record - batch->from, check_of(&parts[p], i));
        }
    }
}

/* No note will tell of this batch: the next one of its partitions does, so that who reads them
 * finds the way from the positions of older ones. */
static int leave_out(struct gt_rq_writer *writer, const struct batch *batch)
{
    uint32_t covered = 0;
    for (uint32_t k = 0; k < batch->note.mark_count; k++) {
        const struct gt_rq_mark *mark = &batch->note.marks[k];
        size_t at = 0;
        while (at < writer->lead_count &&
               !gt_rq_hash_equal(writer->leads[at].partition, mark->partition_hash))
            at++;
        if (at == writer->lead_cap) {
            size_t cap = writer->lead_cap != 0 ? writer->lead_cap * 2 : 4;
            struct gt_rq_lead *grown = realloc(writer->leads, cap * sizeof *grown);
            if (grown == NULL)
                return GANTRY_NO_MEMORY;
            writer->leads = grown;
            writer->lead_cap = cap;
        }
        struct gt_rq_lead *lead = &writer->leads[at];
        if (at == writer->lead_count) {
            *lead = (struct gt_rq_lead){.partition = mark->partition_hash, .before = mark->before};
            writer->lead_count++;
        }
        lead->after = mark->after;
        lead->count += mark->covers - covered;
        covered = mark->covers;
    }
    return 0;
}

static bool has_mark_of(const struct gt_rq_note *note, struct gt_rq_hash partition)
{
    for (uint32_t k = 0; k < note->mark_count; k++) {
        if (gt_rq_hash_equal(note->marks[k].partition_hash, partition))
            return true;
    }
    return false;
}

/* The leads of the note's partitions come to stand in front, and are its own. */
static void take_leads(struct gt_rq_writer *writer, struct gt_rq_note *note)
{
    note->leads = writer->leads;
    for (size_t i = 0; i < writer->lead_count; i++) {
        if (!has_mark_of(note, writer->leads[i].partition))
            continue;
        struct gt_rq_lead lead = writer->leads[i];
        writer->leads[i] = writer->leads[note->lead_count];
        writer->leads[note->lead_count++] = lead;
    }
}

static void write_note(struct gt_rq_writer *writer, struct gt_rq_note *note, size_t room)
{
    take_leads(writer, note);
    gt_buf_clear(&writer->note);
    gt_rq_note_write(&writer->note, note);
    if (note->lead_count > 0 && writer->note.len > (room + 2) / 3 * 4) { /* without, then */
        uint32_t count = note->lead_count;
        note->lead_count = 0;
        gt_buf_clear(&writer->note);
        gt_rq_note_write(&writer->note, note);
        note->lead_count = count;
    }
    if (note->lead_count == 0)
        return;
    writer->lead_count -= note->lead_count;
    memmove(writer->leads, writer->leads + note->lead_count,
            writer->lead_count * sizeof *writer->leads);
}

/* Numbers, and the texts of the notes. */
static int finish_batches(struct gt_rq_writer *writer, struct batching *batching,
                          const struct gt_append_part *parts, size_t part_count, size_t room,
                          struct gantry_err *err)
{
    for (size_t i = 0; i < batching->count; i++) {
        struct batch *batch = &batching->items[i];
        batch->note.first_seq = writer->next_seq + batch->from;
        batch->note.count = batch->to - batch->from;
        for (uint32_t k = 0; k < batch->note.mark_count; k++)
            batch->note.marks[k].covers -= batch->from;
    }
    find_sent(writer, batching, parts, part_count);
    for (size_t i = 0; i < batching->count; i++) {
        struct batch *batch = &batching->items[i];
        if (!batch->sent) {
            if (leave_out(writer, batch) != 0)
                return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for a batch");
            continue;
        }
        write_note(writer, &batch->note, room);
        batch->text.data = (const char *)(uintptr_t)batching->texts.len; /* made a pointer below */
        batch->text.len = writer->note.len;
        gt_buf_add_view(&batching->texts, gt_buf_view(&writer->note));
        int code = writer->note.error != 0 ? writer->note.error : batching->texts.error;
        if (code != 0)
            return gantry_err_set(err, code, "the marks of a batch: %s", gantry_error_text(code));
    }
    for (size_t i = 0; i < batching->count; i++) {
        struct batch *batch = &batching->items[i];
        batch->text.data = batching->texts.data + (uintptr_t)batch->text.data;
    }
    return 0;
}

/* --- Parcels --- */

static struct gt_rq_parcel *add_parcel(struct gt_rq_append *own, const struct gt_append_part *part)
{
    if (own->parcel_count == own->parcel_cap) {
        size_t cap = own->parcel_cap != 0 ? own->parcel_cap * 2 : 2;
        struct gt_rq_parcel *grown = realloc(own->parcels, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        own->parcels = grown;
        own->parcel_cap = cap;
    }
    struct gt_rq_topic *topic = (struct gt_rq_topic *)part->topic;
    struct gt_rq_parcel *parcel = &own->parcels[own->parcel_count++];
    *parcel = (struct gt_rq_parcel){.append = own, .topic = topic, .end = -1};
    pthread_mutex_lock(&topic->lock);
    parcel->queue = topic->queues[part->queue];
    pthread_mutex_unlock(&topic->lock);
    rmq_buf_init(&parcel->body, RMQ_BODY_MAX - 64); /* the first one of an epoch gets a property */
    return parcel;
}

static int encode_part(struct gt_rq_writer *writer, struct gt_rq_append *own,
                       const struct gt_append_part *part, const struct batching *batching,
                       struct gantry_err *err)
{
    const struct gt_rq_stamp stamp = {gantry_view_of(writer->stamp_before),
                                      gantry_view_of(writer->stamp_after), writer->headers_as_is};
    struct gt_rq_parcel *parcel = NULL;
    const struct batch *batch = batching->items, *noted = NULL;
    size_t guess = 0;
    for (size_t i = 0; i < part->count; i++) {
        uint32_t record = part->ordinals != NULL ? part->ordinals[i] : (uint32_t)i;
        const struct gt_message *message = &part->messages[i];
        const struct gantry_record *from = part->records != NULL ? &part->records[i] : NULL;
        while (record >= batch->to)
            batch++;
        uint32_t check = check_of(part, i);
        if (writer->skipping && is_there(writer, batch, record - batch->from, check))
            continue;
        size_t about = message->body.len + message->properties.len + message->key.len + 1024;
        if (parcel == NULL || parcel->body.len + about > GT_RQ_PARCEL_BYTES) {
            bool fresh = parcel == NULL || parcel->count > 0;
            parcel = fresh ? add_parcel(own, part) : parcel;
            if (parcel == NULL)
                return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for %zu messages",
                                      part->count);
            noted = NULL;
            if (guess > 0)
                (void)rmq_buf_reserve(&parcel->body, guess);
        }
        uint64_t seq = writer->next_seq + record;
        bool has_time = from == NULL || from->timestamp_ms != 0;
        int code = gt_rq_encode(&parcel->body, message, has_time, &stamp, seq, check,
                                noted == batch ? (struct gantry_view){NULL, 0} : batch->text,
                                &writer->properties, err);
        if (code != 0)
            return code;
        noted = batch;
        if (parcel->count++ == 0) {
            parcel->first_seq = seq;
            guess = parcel->body.len * (part->count + part->count / 8);
            if (guess < GT_RQ_PARCEL_BYTES)
                (void)rmq_buf_reserve(&parcel->body, guess); /* else it grows, or fails then */
        }
    }
    return 0;
}

static void release(struct gt_append *append)
{
    struct gt_rq_append *own = append->own;
    if (own == NULL)
        return;
    for (size_t i = 0; i < own->parcel_count; i++)
        rmq_buf_deinit(&own->parcels[i].body);
    free(own->parcels);
    free(own);
}

static uint32_t count_records(const struct gt_append_part *parts, size_t part_count)
{
    size_t count = 0;
    for (size_t i = 0; i < part_count; i++)
        count += parts[i].count; /* each record is in one part */
    return (uint32_t)count;
}

static int encode(struct gt_rq_writer *writer, struct gt_append *append,
                  const struct gt_append_part *parts, size_t part_count, struct gantry_err *err)
{
    struct gt_rq_append *own = append->own;
    struct batching batching = {0};
    uint32_t count = count_records(parts, part_count);
    gt_buf_init(&batching.texts, (size_t)64 << 20);
    size_t room = note_room(parts, part_count);
    int code = make_batches(writer, append, count, room, &batching, err);
    if (code == 0)
        code = finish_batches(writer, &batching, parts, part_count, room, err);
    for (size_t i = 0; i < part_count && code == 0; i++)
        code = encode_part(writer, own, &parts[i], &batching, err);
    writer->next_seq += count;
    if (writer->skipping && !gt_rq_skips_trim(&writer->skips)) {
        writer->skipping = false;
        own->skips_ended = true;
    }
    if (batching.left_out) {
        own->alone = true;
        atomic_store(&writer->waiting, true);
    }
    free_batching(&batching);
    return code;
}

int gt_rq_submit(struct gt_topics *api, struct gt_append *append,
                 const struct gt_append_part *parts, size_t part_count,
                 struct gt_append_scratch *scratch, struct gantry_err *err)
{
    struct gt_rq_writer *writer = (struct gt_rq_writer *)append->writer;
    (void)api;
    (void)scratch;
    if (writer == NULL)
        return gantry_err_set(err, GANTRY_INVALID, "RocketMQ takes messages from writers only");
    append->commit.ops = &gt_rq_append_ops;
    if (append->commit.claim == NULL)
        append->commit.claim = &writer->claim;
    append->release = release;
    if (append->commit.changes.error != 0)
        return gantry_err_set(err, append->commit.changes.error, "a change was not taken");
    struct gt_rq_append *own = calloc(1, sizeof *own);
    if (own == NULL)
        return gantry_err_set(err, GANTRY_NO_MEMORY, "no memory for an append");
    own->append = append;
    append->own = own;
    int code = encode(writer, append, parts, part_count, err);
    if (code != 0) {
        /* Its marks and numbers are used up: what comes after must not go on from there. */
        gt_rq_writer_break(writer, err);
        return code;
    }
    for (size_t i = 0; i < own->parcel_count; i++)
        append->bytes += own->parcels[i].body.len;
    own->left = own->parcel_count;

    pthread_mutex_lock(&writer->lock);
    *writer->submitted_tail = own;
    writer->submitted_tail = &own->next;
    pthread_mutex_unlock(&writer->lock);
    gt_link_send(writer->topics->link, &writer->submit_mail);
    return 0;
}
