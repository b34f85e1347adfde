/* SPDX-License-Identifier: Apache-2.0 */
/* Names and texts of errors from their one list, and the two ways to fill a struct rmq_err. */
#include "internal.h"
#include <stdarg.h>
#include <stdio.h>

const char *rmq_error_name(int code)
{
    switch (code) {
    case RMQ_OK:
        return "OK";
#define RMQ_ERROR_NAME(number, name, text)                                                         \
    case -number:                                                                                  \
        return #name;
        RMQ_ERROR_LIST(RMQ_ERROR_NAME)
    default:
        return "UNKNOWN";
    }
}

const char *rmq_error_text(int code)
{
    switch (code) {
    case RMQ_OK:
        return "no error";
#define RMQ_ERROR_TEXT(number, name, text)                                                         \
    case -number:                                                                                  \
        return text;
        RMQ_ERROR_LIST(RMQ_ERROR_TEXT)
    default:
        return "unknown error";
    }
}

int rmq_fail(struct rmq_err *err, int code, const char *format, ...)
{
    if (err == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    err->code = code;
    err->server_code = 0;
    (void)vsnprintf(err->text, sizeof(err->text), format, arguments); /* cut when long */
    va_end(arguments);
    return code;
}

int rmq_refuse(struct rmq_err *err, int32_t server_code, const char *what, struct rmq_view remark)
{
    int len = remark.len > 160 ? 160 : (int)remark.len;
    rmq_fail(err, RMQ_REFUSED, "%s: the server answered code %d%s%.*s", what, (int)server_code,
             len > 0 ? ": " : "", len, len > 0 ? remark.data : "");
    if (err != NULL)
        err->server_code = server_code;
    return RMQ_REFUSED;
}
