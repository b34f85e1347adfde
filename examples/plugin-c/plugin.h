/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLE_PLUGIN_H
#define EXAMPLE_PLUGIN_H

#include <gantry/connector.h>

#ifndef EXAMPLE_VERSION
#define EXAMPLE_VERSION "1.0"
#endif

extern const struct gantry_connector example_counter; /* counter.c: a source */
extern const struct gantry_connector example_append;  /* append.c: a sink */

#endif
