/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told (sd_notify(3)): that volantd serves, how many VMs there are, that it lives, that it
 * stops. Without NOTIFY_SOCKET nothing is sent. Loop thread.
 */
#pragma once
#include "engine/engine.h"
#include "store/store.h"

struct systemd_config {
    struct loop *loop;
    struct store *store;
    void (*status)(void *arg, char *buf, size_t size); /* a line for `systemctl status` */
    void *arg;
};
struct systemd;
/* What comes now may take so long without a sign of life; the unit's own time counts again from systemd_ready on. */
void systemd_patience(int64_t ms);
/* READY=1. From now on, where the unit has a watchdog, WATCHDOG=1 twice in its time for as long as transactions run. */
int systemd_ready(const struct systemd_config *cfg, struct systemd **ret, struct vl_error *err);
/* Before the store is closed, which ends a transaction on its way. NULL is fine. */
void systemd_free(struct systemd *s);
/* STOPPING=1 */
void systemd_stopping(void);

/* "3 VMs: 2 running, 1 stopped" */
void systemd_status_text(const struct engine_summary *s, char *buf, size_t size);
