/* SPDX-License-Identifier: Apache-2.0 */
/* A name server and brokers in one process, for tests: messages are in memory, and what goes wrong
 * is ordered by commands. It listens on free ports of 127.0.0.1 and answers as a 5.3.3 server does
 * (test_mock compares its replies with captured ones). Main of mock-broker serves the same commands
 * on standard input and on a control port, one a line, each answered by one line of JSON, but for
 * dump, which has many and ends with {"end":...}.
 *
 *   topic NAME [queues=4] [perm=6] [broker=NAME]   make a topic, at all brokers or one
 *   leader BROKER      another address becomes the master; the old one refuses sends as a slave
 *   down BROKER        closes its port and connections; its addresses leave the route
 *   up BROKER          a new port, in the route again; what was stored is there
 *   full BROKER 0|1    sends are answered with 14, SERVICE_NOT_AVAILABLE
 *   deaf BROKER 0|1    stops reading: connections stand, bytes pile up
 *   slow 0|1           replies go out one byte at a time
 *   binary 0|1         replies have binary headers
 *   autocreate 0|1     sends to unknown topics make them (1 at the start)
 *   trim TOPIC BROKER QUEUE OFFSET   what is before is gone: pulls there are answered with 21
 *   behind TOPIC BROKER QUEUE COUNT  the last COUNT messages are stored and cannot be seen yet
 *   forget TOPIC BROKER QUEUE COUNT OTHERS   the last COUNT messages are gone, as if they had not
 *                      been flushed, and OTHERS others are there
 *   count TOPIC        {"count":N} of all its queues
 *   stats              {"requests":{"310":2,...},"connections":N,"members":N}
 *   dump [TOPIC]       every message, by queue and offset
 *   clear              no rule is left
 *   quit               ends mock-broker
 * Rules; CODE is a request code or 0 for any but routes and heartbeats; COUNT requests are met, -1
 * all; with [broker=NAME] [queue=N] [topic=NAME] only those. Of several the first that fits counts.
 *   fail CODE COUNT RESULT [TEXT_WITHOUT_BLANKS]   not carried out, answered with RESULT
 *   lose CODE COUNT          not carried out, never answered
 *   swallow CODE COUNT       carried out, never answered
 *   cut CODE COUNT           carried out, half of the reply, then the connection is closed
 *   close-before CODE COUNT  not carried out, connection closed
 *   close-after CODE COUNT   carried out, connection closed
 *   delay CODE COUNT MS      carried out at once, answered later
 *   late CODE COUNT MS       carried out later
 *   reverse CODE COUNT       replies wait for each other and go out last first
 *   twice CODE COUNT         two equal replies
 *   garbage CODE COUNT       carried out, answered with bytes of another protocol
 *   huge CODE COUNT          carried out, answered with a frame that claims 2 GB
 * Thread: the loop's. */
#ifndef MOCK_H
#define MOCK_H

#include <rocketmq/command.h>
#include <uv.h>

struct mock;

/* brokers: their number, named broker-a, broker-b, ... */
struct mock *mock_start(uv_loop_t *loop, int brokers);
/* "127.0.0.1:PORT"; valid as long as the mock. */
const char *mock_namesrv(const struct mock *mock);
/* The master's address now. */
const char *mock_broker(const struct mock *mock, const char *name);
/* Carry out a line. The answer is appended to ret, each line with its end. false: quit. */
bool mock_command(struct mock *mock, const char *line, struct rmq_buf *ret);
/* Closes all handles; memory is free when the loop has run. */
void mock_stop(struct mock *mock);

#endif
