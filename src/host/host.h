/* SPDX-License-Identifier: Apache-2.0 */
/** Hosts: processes that run plugins for the worker. docs/formats/host-protocol.md is what both say
 * to each other.
 *
 *  A plugin that is loaded here looks like any other (struct gantry_plugin); its connectors are
 * proxies. One thread, "gt-hosts", owns all processes: their lines, timers and ends. What a proxy
 * says goes there by mail, as whole frames; what a host says is put into the channel of its task,
 * which is woken. No proxy waits: what takes time is asked, and the answer wakes the task.
 *
 *  A process is started when it is first needed, ends when nothing has needed it for a while, and
 * is ended when it does not keep to the protocol; then all that it had to do fails with the reason.
 */
#ifndef GT_HOST_HOST_H
#define GT_HOST_HOST_H

#include "host/settings.h"
#include "plugin/loader.h"

struct gt_hosts;

/** A connector asks to be split again (@p reason NULL), or cannot go on for that reason. Thread:
 * the hosts' own; must not block. */
typedef void (*gt_reconfigure_fn)(void *arg, const char *connector, const char *reason);

/** Start the thread. @p settings are copied (their texts are not). 0 or GANTRY_NO_MEMORY. */
int gt_hosts_open(const struct gt_hosts_settings *settings, gt_reconfigure_fn reconfigure,
                  void *arg, struct gt_hosts **ret, struct gantry_err *err);
/** The worker is stopping: a host that has not stopped a task within @p timeout_ms is ended.
 * Thread: any. */
void gt_hosts_stop(struct gt_hosts *hosts, int64_t timeout_ms);
/** End all processes, then the thread. No task of a host may be left. May block for a few seconds.
 * NULL is fine. */
void gt_hosts_close(struct gt_hosts *hosts);

/** A gt_load_fn; @p hosts is the struct gt_hosts. Starts a host, which opens the plugin and says
 * what it offers. GANTRY_UNSUPPORTED: something that it needs is not there now (a Java, the Java
 * host's jar); the text says "it needs ...". */
int gt_host_load(void *hosts, const char *path, enum gt_plugin_kind kind, struct gt_loaded *ret,
                 struct gantry_err *err);

#endif
