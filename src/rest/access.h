/* SPDX-License-Identifier: Apache-2.0 */
/** Who may ask. Requests that change things are plain GETs, so any page in a browser on this
 * machine could send them; and beyond loopback anybody could. Thread: any; the struct is constant
 * after init. */
#ifndef GT_REST_ACCESS_H
#define GT_REST_ACCESS_H

#include "rest/http_head.h"
#include "rest/rest.h"

struct gt_access {
    char *token;         /* owned; NULL: none is asked for */
    char *allowed_hosts; /* owned; commas between; NULL: none */
    char hostname[256];  /* this machine's name where the listener goes beyond loopback, else "" */
};

/** Whether an address is one of 127.0.0.0/8, ::1 or ::ffff:127.x. 0 and @p ret_loopback, or
 * GANTRY_INVALID when it is no numeric address. */
int gt_access_loopback(const char *address, bool *ret_loopback, struct gantry_err *err);

/** 0; GANTRY_INVALID (address), GANTRY_DENIED (beyond loopback without a token and not insecure),
 * GANTRY_NO_MEMORY. */
int gt_access_init(struct gt_access *access, const struct gt_rest_settings *settings,
                   struct gantry_err *err);
void gt_access_deinit(struct gt_access *access);

/** 0 when the request may go on, else 401 or 403 with the text for the client in @p ret_why. In
 * this order: pages of other sites (Sec-Fetch-Site, Origin), the token, the Host (a name that an
 * attacker points at this machine: DNS rebinding). A right token makes the Host irrelevant: no
 * other site has it. */
int gt_access_check(const struct gt_access *access, const struct gt_http_head *head,
                    const char **ret_why);

#endif
