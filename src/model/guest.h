/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What host and guest say to each other: /volant/config.json in the initramfs, and the JSON of the control channel.
 * AGENT_API is the number in /v1/health; volantd serves every number ever published.
 */
#pragma once
#include "model/manifest.h"

#define AGENT_API          2 /* 2: health checks; an agent of 1 knows `ready` alone */
#define AGENT_API_HEALTH   2
#define GUEST_CONFIG_PATH  "volant/config.json" /* in the appended cpio archive */
#define GUEST_CTL_PORT     "volant.ctl"         /* virtio-serial port names */
#define GUEST_SYNC_PORT    "volant.sync"
#define HEALTH_REASON_MAX  256                             /* bytes of what a failed check says */
#define WORKLOAD_EXIT_LINE "volant: workload exited code=" /* last on the console; decimal code follows */

struct guest_network {
    char *address; /* "192.168.127.10/24"; NULL: no network device is expected */
    char *gateway;
    char *mac; /* selects the interface */
};

/*
 * What the bootloader of bzImage-volant makes the root folder of, before the workload starts. Disks are found by their
 * virtio-blk serial.
 */
struct guest_root {
    char *fstype; /* of the image, on the read-only disk GUEST_ROOT_SERIAL: "squashfs", "ext4", GUEST_FSTYPE_AUTO; NULL:
                     no root */
    bool persistent;    /* changes go to the ext4 disk GUEST_DATA_SERIAL and outlive the boot; else to memory */
    int64_t overlay_mb; /* how much of the memory they may take; 0: half of it */
    char *init;         /* absolute path in the image that gets PID 1 instead of kestrel; NULL: kestrel supervises */
};
#define GUEST_FSTYPE_AUTO "auto" /* the first bytes tell */
#define GUEST_ROOT_SERIAL "volant-root"
#define GUEST_DATA_SERIAL "volant-data"

struct guest_config {
    int64_t api; /* AGENT_API of the volantd that wrote it */
    int64_t vm_id;
    char *hostname;
    char *shutdown; /* "reboot" or "poweroff": how this VMM's machine is ended */
    struct guest_network network;
    struct guest_root root;
    struct health_check health_check; /* type NULL: none, ready_port decides */
    int64_t ready_port;               /* TCP port whose accepting means ready; 0: executed means ready */
    struct workload workload; /* left out only beside root.init, which gets the environment of one that is given */
};
extern const struct schema guest_config_schema;
void guest_config_done(struct guest_config *c);
#define auto_guest_config auto_(guest_config_done) struct guest_config

/* GET /v1/health */
struct guest_health {
    int64_t api;
    char *version; /* of kestrel */
    char *state;   /* "starting", "running", "exited" */
    bool ready;
    char *health; /* api 2: "" no check, "starting", "healthy", "unhealthy" */
    char *reason; /* api 2: what the last failed check found */
    int64_t uptime_ms;
};
extern const struct schema guest_health_schema;

/*
 * A line of GET /v1/events. The first line is `state` with the present state; then `ready` when the workload becomes
 * it; `health` (api 2) with health, ready and reason whenever one of the two changes; and `workload_exited` with code
 * (128 + signal when a signal ended it, as shells say) and signal (left out where 0).
 */
struct guest_event {
    char *type; /* "state", "ready", "health", "workload_exited"; others are to be ignored */
    char *state;
    char *health; /* api 2, in `state` and `health`: as in guest_health */
    char *reason;
    bool ready;
    int64_t code, signal;
};
extern const struct schema guest_event_schema;

/* GET /v1/stats; memory in bytes, CPU in milliseconds since boot. */
struct guest_stats {
    int64_t uptime_ms, memory_total, memory_available, cpu_user_ms, cpu_system_ms, cpu_idle_ms;
    int64_t processes, workload_pid, workload_rss;
};
extern const struct schema guest_stats_schema;

/* A line of GET /v1/logs (fields of contract 1.10; volantd adds `name`). */
struct guest_log {
    char *stream; /* "stdout", "stderr", or "console" (from the console log, after the guest's end) */
    char *line;   /* without its newline, at most LOG_LINE_MAX bytes, valid UTF-8 */
    char *timestamp;
};
extern const struct schema guest_log_schema;
#define LOG_LINE_MAX 16384

/* PUT /v1/clock */
struct guest_clock {
    int64_t unix_us;
};
extern const struct schema guest_clock_schema;
