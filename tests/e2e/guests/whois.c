/* SPDX-License-Identifier: Apache-2.0 */
/* Says who it is and whom it runs as: setuid or not. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    printf("user %d as %d\n", (int)getuid(), (int)geteuid());
    return 0;
}
