/* SPDX-License-Identifier: Apache-2.0 */
/** Who reads and who writes which file: one task owns an output file, and no source follows a file
 * that a sink writes (it would read its own output for ever). Several sources may read one file.
 * Thread: any; one mutex. */
#ifndef FILE_CLAIMS_H
#define FILE_CLAIMS_H

#include <gantry/error.h>
#include <stdbool.h>

struct file_claims;
struct file_claim;

enum file_claim_kind {
    FILE_CLAIM_READ,    /* path: a file that a source follows */
    FILE_CLAIM_PATTERN, /* path: FOLDER/PATTERN, whatever a source may come to follow */
    FILE_CLAIM_WRITE,   /* path: the file of a sink */
};

int file_claims_new(struct file_claims **ret, struct gantry_err *err);
/** No claim may be left. NULL is fine. */
void file_claims_free(struct file_claims *claims);

/** Whether @p connector may claim the path (of file_path_resolve). Its own claims don't count when
 * @p own is false: a validation of a connector that runs. GANTRY_BUSY names the other connector. */
int file_claims_check(struct file_claims *claims, enum file_claim_kind kind, const char *connector,
                      const char *path, bool own, struct gantry_err *err);

/** Check and take. */
int file_claims_take(struct file_claims *claims, enum file_claim_kind kind, const char *connector,
                     const char *path, struct file_claim **ret, struct gantry_err *err);

/** Look again which file the path names: it was made, or another one came into its place. */
void file_claims_renew(struct file_claims *claims, struct file_claim *claim);

/** NULL is fine. */
void file_claims_release(struct file_claims *claims, struct file_claim *claim);

#endif
