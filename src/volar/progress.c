/* SPDX-License-Identifier: Apache-2.0 */
#include "volar/progress.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"

#define QUIET_MS 300 /* what is quicker shows nothing */
#define FRAME_MS 100
#define BAR      24

void progress_begin(struct progress *p, const char *label, uint64_t total)
{
    *p = (struct progress){.total = total, .began_ms = mono_ms()};
    (void)strf(p->label, sizeof(p->label), "%s", label);
}

void progress_tick(struct progress *p, uint64_t done)
{
    static const char frames[] = "|/-\\";
    int64_t now = mono_ms();
    int filled;

    if (!*p->label || !isatty(STDERR_FILENO) || now - p->began_ms < QUIET_MS || now - p->shown_ms < FRAME_MS) return;
    p->shown_ms = now;
    if (!p->total) {
        (void)fprintf(stderr, "\r%c %s (%lld s)\033[K", frames[p->turn++ % 4], p->label,
                      (long long)(now - p->began_ms) / 1000);
        return;
    }
    filled = (int)(done * BAR / p->total);
    (void)fprintf(stderr, "\r%s [%.*s%*s] %3d %%\033[K", p->label, filled, "########################", BAR - filled, "",
                  (int)(done * 100 / p->total));
}

void progress_end(struct progress *p)
{
    if (p->shown_ms) (void)fprintf(stderr, "\r\033[K");
    p->shown_ms = 0;
}
