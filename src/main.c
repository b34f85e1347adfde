/* SPDX-License-Identifier: Apache-2.0 */
/* gantry: see src/cli/commands.c for what it can do, and ARCHITECTURE.md for how. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return gt_cli_main(argc, argv);
}
