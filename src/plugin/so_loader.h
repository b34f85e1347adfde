/* SPDX-License-Identifier: Apache-2.0 */
/** The loader for a `.so` in the worker itself: dlopen with local symbols, and its one function.
 *
 *  The dynamic linker trusts what it maps, so a file that is cut off or no library at all is
 * refused before it sees it. */
#ifndef GT_PLUGIN_SO_LOADER_H
#define GT_PLUGIN_SO_LOADER_H

#include "plugin/loader.h"

/** A gt_load_fn; @p arg is not used. */
int gt_so_load(void *arg, const char *path, enum gt_plugin_kind kind, struct gt_loaded *ret,
               struct gantry_err *err);

#endif
