/* SPDX-License-Identifier: Apache-2.0 */
/** Errors of the public API.
 *
 *  A function that can fail returns 0 or a negative enum gantry_error and fills the caller's struct
 * gantry_err. The code says what to do (retry, give up, fix the configuration); the text says what,
 * which value and where. Everything here is inline, so that a plugin links to nothing of the
 * runtime. Compiles as C11 and as C++. */
#ifndef GANTRY_ERROR_H
#define GANTRY_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, retriable, text). Values are part of the ABI: add at the end, never renumber. */
#define GANTRY_ERROR_LIST(X)                                                                       \
    X(AGAIN, -1, 1, "not now, try again")                                                          \
    X(NO_MEMORY, -2, 1, "out of memory")                                                           \
    X(INVALID, -3, 0, "invalid value")                                                             \
    X(NOT_FOUND, -4, 0, "not found")                                                               \
    X(EXISTS, -5, 0, "exists already")                                                             \
    X(IO, -6, 1, "input or output failed")                                                         \
    X(NO_SPACE, -7, 1, "no space left")                                                            \
    X(CORRUPT, -8, 0, "stored data is damaged")                                                    \
    X(VERSION, -9, 0, "version not supported")                                                     \
    X(CLOSED, -10, 0, "closed")                                                                    \
    X(TOO_LARGE, -11, 0, "too large")                                                              \
    X(DENIED, -12, 0, "not allowed")                                                               \
    X(BUSY, -13, 1, "in use")                                                                      \
    X(TIMEOUT, -14, 1, "timed out")                                                                \
    X(CHANGED, -15, 0, "changed by someone else")                                                  \
    X(UNSUPPORTED, -16, 0, "not supported")

enum gantry_error {
    GANTRY_OK = 0,
#define X(name, value, retriable, text) GANTRY_##name = value,
    GANTRY_ERROR_LIST(X)
#undef X
};

/** An error with its text. Lives in the caller's storage; a callee writes it only when it fails. */
struct gantry_err {
    int code;       /* enum gantry_error, 0 when unset */
    char text[500]; /* NUL-terminated, one line */
};

/** The short text of a code; "unknown error" for one this header does not know. Thread: any. */
static inline const char *gantry_error_text(int code)
{
    switch (code) {
    case GANTRY_OK:
        return "ok";
#define X(name, value, retriable, text)                                                            \
    case value:                                                                                    \
        return text;
        GANTRY_ERROR_LIST(X)
#undef X
    default:
        return "unknown error";
    }
}

/** Whether trying the same thing again later may help. Thread: any. */
static inline int gantry_error_retriable(int code)
{
    switch (code) {
#define X(name, value, retriable, text)                                                            \
    case value:                                                                                    \
        return retriable;
        GANTRY_ERROR_LIST(X)
#undef X
    default:
        return 0;
    }
}

/** Fill @p err (NULL is allowed) and return @p code, so that `return gantry_err_set(...)` reads
 * well. A text longer than the buffer is cut. Thread: any. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline int
gantry_err_set(struct gantry_err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        (void)vsnprintf(err->text, sizeof err->text, format, args); /* a cut text is still a text */
        va_end(args);
    }
    return code;
}

#ifdef __cplusplus
}
#endif
#endif
