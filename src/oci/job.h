/* SPDX-License-Identifier: Apache-2.0 */
/* What every step of a build needs to know of the build: its bounds, when to stop, whom to tell. */
#pragma once
#include <signal.h>

#include "base/error.h"

#define OCI_LAYERS_MAX  512
#define OCI_DEPTH_MAX   256  /* folders within each other */
#define OCI_PATH_MAX    4095 /* bytes of a path, and of a link's target */
#define OCI_NAME_MAX    255
#define OCI_ENTRIES_MAX 1000000       /* of all layers together */
#define OCI_BYTES_MAX   (32ULL << 30) /* of all layers together, unpacked */

struct oci_job {
    uint64_t max_bytes;   /* unpacked, of all layers; 0: OCI_BYTES_MAX */
    uint32_t max_entries; /* 0: OCI_ENTRIES_MAX */
    int timeout_s; /* of one run of a program, and of one without progress when it is fed by us; 0: half an hour */
    const volatile sig_atomic_t *stop;             /* becomes a signal's number when the build is to end; NULL: never */
    void (*progress)(void *arg, const char *line); /* what is being done now; NULL: nobody looks */
    void *arg;
};

/* VL_UNAVAILABLE if the build is to end. */
int oci_job_check(const struct oci_job *job, struct vl_error *err);
void oci_job_say(const struct oci_job *job, const char *fmt, ...) printf_(2, 3);
