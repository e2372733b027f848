/* SPDX-License-Identifier: Apache-2.0 */
/* See crash.h. Empty but in the builds of tests/e2e/crash. */
#include "base/crash.h"

#ifdef VOLANT_CRASH_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

void crash_point(const char *name)
{
    static atomic_ulong hits;
    const char *at = secure_getenv("VOLANT_CRASH_AT");
    size_t len = strlen(name);
    uint64_t wanted = 1;

    if (!at || strncmp(at, name, len) != 0 || (at[len] != '\0' && at[len] != ':')) return;
    if (at[len] == ':' && parse_u64(at + len + 1, 1, UINT32_MAX, &wanted) < 0) return;
    if (atomic_fetch_add(&hits, 1) + 1 == wanted) (void)kill(getpid(), SIGKILL);
}
#endif
