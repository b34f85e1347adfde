/* SPDX-License-Identifier: Apache-2.0 */
/** The loader for a `.so` in the worker itself: dlopen with local symbols, and its one function.
 *
 *  The dynamic linker trusts what it maps, and runs what a library has for its start. So a file
 * that is cut off or no library at all is refused before it is opened, and what else may be wrong
 * with it is found out by another process, which opens it first (trial.h). */
#ifndef GT_PLUGIN_SO_LOADER_H
#define GT_PLUGIN_SO_LOADER_H

#include "plugin/loader.h"

/** A gt_load_fn. @p arg: the program for the trial, a gantry; NULL: none. */
int gt_so_load(void *arg, const char *path, enum gt_plugin_kind kind, struct gt_loaded *ret,
               struct gantry_err *err);

#endif
