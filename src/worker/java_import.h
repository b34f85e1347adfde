/* SPDX-License-Identifier: Apache-2.0 */
/** A Java worker's store folder, read once: config/connectorConfig.json and position.json (each
 * with .bak). Nothing in it is written or deleted. The file format: docs/migration.md. */
#ifndef GT_WORKER_JAVA_IMPORT_H
#define GT_WORKER_JAVA_IMPORT_H

#include "base/map.h"

struct gt_java_connector {
    char *name;
    struct gt_props config;
};

/** A position of the Java file source, and what became of it. */
struct gt_java_position {
    char *filename; /* partition */
    int64_t chars;  /* nextPosition, in UTF-16 units as the Java code counted */
    int64_t bytes;  /* the same place in bytes; -1 when it could not be found */
    char *problem;  /* NULL, or why bytes is -1: no such file, not at a line's start, file too
                     short, not a position of the file source */
};

struct gt_java_store {
    struct gt_java_connector *connectors; /* without those that are deleted */
    size_t connector_count;
    struct gt_java_position *positions;
    size_t position_count;
};

/** Whether @p folder (storePathRootDir) has such files. */
bool gt_java_store_present(const char *folder);
/** Read it all. GANTRY_CORRUPT names the file and place. May block (decodes the followed files). */
int gt_java_store_read(const char *folder, struct gt_java_store *ret, struct gantry_err *err);
void gt_java_store_deinit(struct gt_java_store *store);

#endif
