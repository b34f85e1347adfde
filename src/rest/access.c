/* SPDX-License-Identifier: Apache-2.0 */
/* Access rules. An Origin must name the very host and port that the request was sent to; a Host
 * must be an IP address, localhost, this machine's name beyond loopback, or a name that the
 * operator listed. */
#include "rest/access.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int gt_access_loopback(const char *address, bool *ret_loopback, struct gantry_err *err)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, address, &four) == 1) {
        *ret_loopback = ntohl(four.s_addr) >> 24 == 127;
        return 0;
    }
    if (inet_pton(AF_INET6, address, &six) == 1) {
        *ret_loopback =
            IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
        return 0;
    }
    return gantry_err_set(err, GANTRY_INVALID,
                          "rest.address '%s': not a numeric address; give one such as 127.0.0.1, "
                          "0.0.0.0 or ::1",
                          address);
}

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

int gt_access_init(struct gt_access *access, const struct gt_rest_settings *settings,
                   struct gantry_err *err)
{
    bool loopback = false;

    memset(access, 0, sizeof *access);
    int rc = gt_access_loopback(settings->address, &loopback, err);
    if (rc != 0)
        return rc;
    if (!loopback && !is_given(settings->token) && !settings->insecure)
        return gantry_err_set(
            err, GANTRY_DENIED,
            "rest.address %s is beyond loopback and rest.token is not set: anybody "
            "could control this worker; set rest.token (or rest.token.file), or "
            "rest.insecure=true if that is meant",
            settings->address);
    if (is_given(settings->token))
        access->token = strdup(settings->token);
    if (is_given(settings->allowed_hosts))
        access->allowed_hosts = strdup(settings->allowed_hosts);
    if ((is_given(settings->token) && access->token == NULL) ||
        (is_given(settings->allowed_hosts) && access->allowed_hosts == NULL)) {
        gt_access_deinit(access);
        return gantry_err_set(err, GANTRY_NO_MEMORY, "rest: out of memory");
    }
    if (!loopback && gethostname(access->hostname, sizeof access->hostname - 1) != 0)
        access->hostname[0] = '\0'; /* then only listed names and addresses are taken */
    return 0;
}

void gt_access_deinit(struct gt_access *access)
{
    free(access->token);
    free(access->allowed_hosts);
    memset(access, 0, sizeof *access);
}

/* Compare in a time that tells nothing but the length of what was sent. */
static bool token_equal(struct gantry_view given, const char *token)
{
    size_t len = strlen(token);
    volatile unsigned char differs = given.len != len;

    for (size_t i = 0; i < given.len; i++)
        differs = differs | (unsigned char)(given.data[i] ^ token[len > 0 ? i % len : 0]);
    return differs == 0;
}

static bool token_given(const struct gt_access *access, const struct gt_http_head *head)
{
    static const char scheme[] = "Bearer ";
    size_t skip = sizeof scheme - 1;
    struct gantry_view value = head->authorization;

    if (value.len < skip || strncasecmp(value.data, scheme, skip) != 0)
        return false;
    value.data += skip;
    value.len -= skip;
    return token_equal(gt_view_trim(value), access->token);
}

static bool equal_nocase(struct gantry_view a, struct gantry_view b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

/* The host without its port, an IPv6 address without its brackets. */
static struct gantry_view host_name(struct gantry_view host)
{
    if (host.len > 0 && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', host.len);
        if (end != NULL)
            return (struct gantry_view){host.data + 1, (size_t)(end - host.data - 1)};
        return host;
    }
    const char *colon = host.len > 0 ? memchr(host.data, ':', host.len) : NULL;
    if (colon != NULL)
        host.len = (size_t)(colon - host.data);
    return host;
}

static bool is_address(struct gantry_view name)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr parsed;

    if (name.len == 0 || name.len >= sizeof text)
        return false;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    return inet_pton(AF_INET, text, &parsed) == 1 || inet_pton(AF_INET6, text, &parsed) == 1;
}

static bool is_listed(const char *list, struct gantry_view name)
{
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        struct gantry_view item = gt_view_trim((struct gantry_view){list, len});
        if (item.len > 0 && equal_nocase(item, name))
            return true;
        list += len + (list[len] == ',' ? 1 : 0);
    }
    return false;
}

static bool host_allowed(const struct gt_access *access, struct gantry_view host)
{
    struct gantry_view name = host_name(host);

    if (host.data == NULL)
        return true; /* HTTP/1.0 without one; browsers always send it */
    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--; /* the root's dot */
    return is_address(name) || equal_nocase(name, gantry_view_of("localhost")) ||
           (access->hostname[0] != '\0' && equal_nocase(name, gantry_view_of(access->hostname))) ||
           is_listed(access->allowed_hosts, name);
}

static bool same_origin(struct gantry_view origin, struct gantry_view host)
{
    static const char scheme[] = "http://";
    size_t skip = sizeof scheme - 1;

    if (host.data == NULL || origin.len < skip || strncasecmp(origin.data, scheme, skip) != 0)
        return false;
    origin.data += skip;
    origin.len -= skip;
    return equal_nocase(origin, host);
}

int gt_access_check(const struct gt_access *access, const struct gt_http_head *head,
                    const char **ret_why)
{
    struct gantry_view site = head->fetch_site;

    if (site.data != NULL && !equal_nocase(site, gantry_view_of("same-origin")) &&
        !equal_nocase(site, gantry_view_of("none"))) {
        *ret_why = "Refused: a page of another site sent this request (Sec-Fetch-Site). Open this "
                   "address directly, or use a program such as curl.";
        return 403;
    }
    if (head->origin.data != NULL && !same_origin(head->origin, head->host)) {
        *ret_why = "Refused: a page of another site sent this request (Origin). Open this address "
                   "directly, or use a program such as curl.";
        return 403;
    }
    if (access->token != NULL) {
        *ret_why = "This worker asks for a token (its setting rest.token): send the header "
                   "Authorization: Bearer TOKEN.";
        return token_given(access, head) ? 0 : 401;
    }
    if (!host_allowed(access, head->host)) {
        *ret_why = "Refused: the Host header has a name that this worker does not go by. Use its "
                   "IP address or localhost, or list the name in its setting rest.allowed.hosts.";
        return 403;
    }
    return 0;
}
