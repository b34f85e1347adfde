/* SPDX-License-Identifier: Apache-2.0 */
/* gantry: see src/cli/commands.c for what it can do, and ARCHITECTURE.md for how. */
#include "cli/cli.h"

#include <fcntl.h>

/* Started without one of them, a file of ours would get its number: then what is printed goes into
 * the store, and hosts get the wrong line. */
static void open_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR); /* the lowest number that is free */
    }
}

int main(int argc, char **argv)
{
    open_standard_files();
    return gt_cli_main(argc, argv);
}
