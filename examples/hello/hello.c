/* SPDX-License-Identifier: Apache-2.0 */
/* The whole user space of a microVM. When it ends, the VM ends, and its exit code is the VM's. */
#include <stdio.h>

int main(void)
{
    (void)puts("Hello from a microVM");
    return 0;
}
