/* SPDX-License-Identifier: Apache-2.0 */
/** A writer: what writer.c (the executor's half), sender.c (requests, the link) and opening.c (what
 * an earlier writer left behind, the link) share. */
#ifndef GT_TOPIC_ROCKETMQ_WRITER_H
#define GT_TOPIC_ROCKETMQ_WRITER_H

#include "topic/rocketmq/internal.h"

enum {
    GT_RQ_FRAME_BYTES = 1 << 20,  /* of a request made of several portions ... */
    GT_RQ_FRAME_MESSAGES = 3000,  /* ... and messages in it */
    GT_RQ_PARCEL_BYTES = 3 << 20, /* a portion that has reached this is followed by another */
};

struct gt_rq_writer;
struct gt_rq_lane;

/** The messages of one append for one queue, encoded; several where they take much. */
struct gt_rq_parcel {
    struct gt_rq_parcel *next; /* of the lane */
    struct gt_rq_append *append;
    struct gt_rq_topic *topic; /* where to */
    struct gt_rq_queue *queue;
    struct gt_rq_lane *lane; /* the link's */
    struct rmq_buf body;     /* owned */
    uint64_t first_seq;
    int64_t count;
    int64_t end; /* offset behind its last message, once stored */
};

/** What the engine has of an append. */
struct gt_rq_append {
    struct gt_append *append;
    struct gt_rq_append *next;    /* of the writer */
    struct gt_rq_parcel *parcels; /* owned */
    size_t parcel_count, parcel_cap;
    size_t left;      /* not stored yet; the link's */
    bool skips_ended; /* with it nothing is left to leave out: tails move on from here */
    bool alone;       /* nothing may be sent behind it before it is committed */
};

/** A request under way, or to be sent again. */
struct gt_rq_frame {
    struct gt_rq_lane *lane;
    struct gt_rq_parcel **parcels; /* owned array */
    size_t parcel_count;
    int64_t count;
    uint64_t first_seq;
    bool orphan; /* its appends have ended; its reply frees it */
};

enum gt_rq_lane_state {
    LANE_IDLE,
    LANE_OPENING,  /* its end is being asked for, or committed as its tail */
    LANE_SENDING,  /* a request is on the wire */
    LANE_WAITING,  /* for another try */
    LANE_SETTLING, /* the outcome of a request is looked for */
};

/** A queue as one writer sees it. Thread: the link. */
struct gt_rq_lane {
    struct gt_rq_lane *next;
    struct gt_rq_writer *writer;
    char *topic, *broker; /* owned */
    uint32_t id;
    enum gt_rq_lane_state state;
    bool open;      /* its tail is committed, or is being committed with what was found */
    bool announced; /* the first request of this epoch is stored */
    int64_t seen;   /* up to here the writer has looked before its first request */
    int64_t stored; /* behind its last message that is known to be stored */
    int64_t tail;   /* behind the last one that committed positions cover */
    int64_t held;   /* the tail to be stored while there is something to leave out; -1 */
    struct gt_rq_parcel *waiting, **waiting_tail;
    struct gt_rq_frame *frame; /* owned */
    struct gt_rq_timer timer;
    struct gt_rq_trouble trouble;
    bool shown; /* its trouble */
    char trouble_text[300];
    /* Settling. */
    bool reset; /* the connection has to be closed first */
    struct gt_rq_scan scan;
    bool scanning;
    int64_t from, to;        /* looked through; the end as it was last */
    int64_t looked_ns;       /* since when */
    int64_t asked_ns;        /* for the end, the last time */
    bool looked_late;        /* long enough after that */
    int64_t found_at;        /* offset of the frame's first message; -1 */
    struct gt_commit commit; /* of its tail, while it opens */
    struct gt_mail commit_mail;
    bool committing;
};

enum gt_rq_writer_state { WRITER_OPENING, WRITER_READY, WRITER_FAILED };

struct gt_rq_opening;

struct gt_rq_writer {
    struct gt_writer api; /* first */
    struct gt_rocketmq *topics;
    struct gt_claim claim; /* its name: borrowed, outlives the executor's half */
    char *connector;       /* owned: for the link */
    char *identity;        /* owned: CLUSTER.CONNECTOR, as messages have it */
    bool replayable, headers_as_is;
    void (*wake)(void *arg);
    void *arg;

    pthread_mutex_t lock; /* guards the next nine */
    bool closed;          /* wake is not called any more */
    enum gt_rq_writer_state state;
    struct gantry_err failure;
    char trouble_text[400]; /* "": none */
    struct gt_rq_append *submitted, **submitted_tail;
    bool mail_sent;

    atomic_bool broken; /* an append has failed, or was given up */
    atomic_bool abandoned;
    atomic_bool
        waiting; /* for an append that is `alone`; set by the executor, then the committer's */
    struct gt_mail open_mail, submit_mail, close_mail;

    /* Set by the link before READY, then the executor's. */
    uint64_t epoch;
    struct gt_rq_skips skips;
    bool skipping;
    struct gt_rq_lead *leads; /* owned: batches left out whole, of which no note has told yet */
    size_t lead_count, lead_cap;
    struct gt_arena memory;
    struct gt_queue_offset *tails; /* as they were found: which queue to go on with */
    size_t tail_count;

    /* The executor's. */
    uint64_t next_seq;
    struct gt_map positions;          /* partition hash (16 bytes) to struct gt_rq_hash; owned */
    struct gt_map choices;            /* topic to index + 1 of its queue */
    char *stamp_before, *stamp_after; /* owned */
    struct gt_buf note, properties;

    /* The link's. */
    struct gt_rq_lane *lanes;           /* owned */
    struct gt_rq_append *first, **last; /* appends not yet committed, in their order */
    struct gt_rq_opening *opening;      /* owned */
    size_t outstanding;                 /* replies and mails that name it */
    bool gone;                          /* the executor's half is closed */
    bool holding;                       /* `held` tails are stored */
};

/* --- sender.c; thread: the link where nothing else is said --- */

void gt_rq_writer_on_submit(struct gt_mail *mail);
void gt_rq_writer_on_close(struct gt_mail *mail);
/** Thread: the committer. */
extern const struct gt_commit_ops gt_rq_append_ops;
struct gt_rq_lane *gt_rq_lane_make(struct gt_rq_writer *writer, struct gantry_view topic,
                                   struct gantry_view broker, uint32_t id);
/** Put tails and epoch into a commit. */
void gt_rq_writer_put_tails(struct gt_rq_writer *writer, struct gt_commit *commit);
void gt_rq_writer_came(struct gt_rq_writer *writer);
/** Appends end with this error, and those to come; open another writer. Thread: any. */
void gt_rq_writer_break(struct gt_rq_writer *writer, const struct gantry_err *err);
/** Show what is waited for; "" : nothing. */
void gt_rq_writer_show(struct gt_rq_writer *writer, const char *text);
void gt_rq_writer_free(struct gt_rq_writer *writer);

/* --- opening.c; thread: the link where nothing else is said --- */

/** What the store has of a partition, as a hash; without a position that of nothing. 0,
 * GANTRY_CORRUPT, GANTRY_IO. Thread: any. */
int gt_rq_stored_position(struct gt_store *store, const char *connector,
                          struct gt_rq_hash partition, struct gt_rq_hash *ret,
                          struct gantry_err *err);

void gt_rq_writer_on_open(struct gt_mail *mail);
void gt_rq_opening_stop(struct gt_rq_writer *writer);

#endif
