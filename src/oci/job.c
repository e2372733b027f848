/* SPDX-License-Identifier: Apache-2.0 */
/* See job.h. */
#include "oci/job.h"

#include <stdarg.h>
#include <stdio.h>

int oci_job_check(const struct oci_job *job, struct vl_error *err)
{
    if (!job->stop || !*job->stop) return 0;
    return vl_fail(err, VL_UNAVAILABLE, "interrupted by signal %d: nothing was kept", (int)*job->stop);
}

void oci_job_say(const struct oci_job *job, const char *fmt, ...)
{
    char line[200];
    va_list args;

    if (!job->progress) return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    job->progress(job->arg, line);
}
