/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM's folder tells of its present or last boot: the shim's records, and whether a shim holds the console. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "model/schema.h"
#include "vmm/vmm.h"

#define RECORD_MAX   65536
#define NOTE_MAX     (4 << 20) /* a manifest and a configuration are in it */
#define FIND_STEP_MS 10
#define REAP_MS      100

void vmm_exit_done(struct vmm_exit *e)
{
    free(e->stderr_tail);
    *e = (struct vmm_exit){0};
}

/*
 * -ENOENT without an error text where there is no record. An empty file is none either: run.json is not synced, and is
 * left like that if the host itself went down; its VMM went with it.
 */
static int read_record(const char *dir, const char *name, size_t max, json_t **ret, struct vl_error *err)
{
    auto_free char *text = NULL;
    char path[512];
    size_t len;
    int r;

    if ((r = strf(path, sizeof(path), "%s/%s", dir, name)) < 0) return vl_fail_errno(err, r, "path of %s", name);
    r = read_file_at(AT_FDCWD, path, max, &text, &len);
    if (r == -ENOENT || (r == 0 && strspn(text, " \n") == strlen(text))) return -ENOENT;
    if (r < 0) return vl_fail_errno(err, r, "read %s", path);
    return json_parse(text, len, path, ret, err);
}

static int damaged(const char *dir, const char *name, const char *what, struct vl_error *err)
{
    return vl_fail(err, VL_INTERNAL, "%s/%s is damaged: %s", dir, name, what);
}

/* A hex token of the very length, else false. */
static bool take_token(const json_t *root, char ret[static BOOT_TOKEN_LEN + 1])
{
    const char *text = json_string_value(json_object_get(root, "boot"));

    if (!text || strlen(text) != BOOT_TOKEN_LEN || strspn(text, "0123456789abcdef") != BOOT_TOKEN_LEN) return false;
    memcpy(ret, text, BOOT_TOKEN_LEN + 1);
    return true;
}

static bool take_int(const json_t *root, const char *key, json_int_t min, json_int_t max, json_int_t *ret)
{
    const json_t *value = json_object_get(root, key);

    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) return false;
    *ret = json_integer_value(value);
    return true;
}

static bool take_process(const json_t *root, const char *key, struct proc_id *ret)
{
    const json_t *process = json_object_get(root, key);
    json_int_t pid, start;

    if (!take_int(process, "pid", 2, INT32_MAX, &pid) || !take_int(process, "start", 0, INT64_MAX, &start))
        return false;
    *ret = (struct proc_id){.pid = (pid_t)pid, .start = (uint64_t)start};
    return true;
}

int vmm_run_read(const char *dir, struct vmm_run *ret, struct vl_error *err)
{
    json_auto_t *root = NULL;
    struct vmm_run run = {0};
    const char *host;
    int r = read_record(dir, "run.json", RECORD_MAX, &root, err);

    if (r < 0) return r;
    if (!take_token(root, run.boot)) return damaged(dir, "run.json", "no boot token", err);
    host = json_string_value(json_object_get(root, "host_boot_id"));
    if (!host || strf(run.host_boot_id, sizeof(run.host_boot_id), "%s", host) < 0)
        return damaged(dir, "run.json", "no host_boot_id", err);
    if (!take_process(root, "shim", &run.shim)) return damaged(dir, "run.json", "no shim", err);
    if (!take_process(root, "vmm", &run.vmm)) return damaged(dir, "run.json", "no vmm", err);
    *ret = run;
    return 0;
}

bool vmm_run_lives(const struct vmm_run *run)
{
    char boot_id[40];

    host_boot_id(boot_id);
    return str_eq(run->host_boot_id, boot_id) && proc_alive(&run->vmm);
}

void vmm_note_done(struct vmm_note *n)
{
    free(n->name);
    free(n->kernel_cmdline);
    free(n->record);
    *n = (struct vmm_note){0};
}

int vmm_note_read(const char *dir, struct vmm_note *ret, struct vl_error *err)
{
    auto_(vmm_note_done) struct vmm_note n = {0};
    json_auto_t *root = NULL;
    const json_t *record;
    const char *name, *cmdline;
    json_int_t id;
    int r = read_record(dir, "vm.json", NOTE_MAX, &root, err);

    if (r < 0) return r;
    name = json_string_value(json_object_get(root, "name"));
    cmdline = json_string_value(json_object_get(root, "kernel_cmdline"));
    record = json_object_get(root, "record");
    if (!take_int(root, "id", 1, INT64_MAX, &id) || !name || !cmdline || !take_token(root, n.boot) ||
        (record && !json_is_object(record)))
        return damaged(dir, "vm.json", "id, name, boot, kernel_cmdline or record is missing", err);
    n.id = id;
    n.name = strdup(name);
    n.kernel_cmdline = strdup(cmdline);
    if (record) n.record = json_text(record);
    if (!n.name || !n.kernel_cmdline || (record && !n.record)) return vl_fail_errno(err, ENOMEM, "read vm.json");
    *ret = n;
    n = (struct vmm_note){0};
    return 0;
}

int vmm_cmdline_read(const char *dir, const char *boot, char **ret)
{
    auto_(vmm_note_done) struct vmm_note n = {0};
    int r = vmm_note_read(dir, &n, NULL);

    if (r < 0) return r;
    if (!str_eq(n.boot, boot)) return -ENOENT;
    *ret = take_ptr(n.kernel_cmdline);
    return 0;
}

int vmm_exit_read(const char *dir, struct vmm_exit *ret, struct vl_error *err)
{
    json_auto_t *root = NULL;
    struct vmm_exit e = {0};
    const char *text;
    json_int_t exited, code, signo;
    int r = read_record(dir, "exit.json", RECORD_MAX, &root, err);

    if (r < 0) return r;
    if (!take_token(root, e.boot)) return damaged(dir, "exit.json", "no boot token", err);
    if (!take_int(root, "exited_ms", 0, INT64_MAX, &exited) || !take_int(root, "code", -1, 255, &code) ||
        !take_int(root, "signal", 0, 128, &signo) || !(text = json_string_value(json_object_get(root, "stderr"))))
        return damaged(dir, "exit.json", "exited_ms, code, signal or stderr is missing", err);
    e.exited_ms = exited;
    e.code = (int)code;
    e.signal = (int)signo;
    if (!(e.stderr_tail = strdup(text))) return vl_fail_errno(err, ENOMEM, "read exit.json");
    *ret = e;
    return 0;
}

/* --- children ----------------------------------------------------------------------------------------------------- */

/*
 * Reaps it where it is a child of ours: volantd has not been restarted since it was launched. A process whose threads
 * are still going is not to be had at once. False if it is there still.
 */
static bool reap(pid_t pid, int64_t deadline_ms)
{
    pid_t r;

    while ((r = waitpid(pid, NULL, WNOHANG)) == 0 && deadline_left(deadline_ms) > 0)
        (void)poll(NULL, 0, 1);
    return r != 0; /* -1, ECHILD: its parent was another volantd */
}

static int shim_end(const struct proc_id *shim, int64_t deadline_ms)
{
    auto_close int fd = -1;
    struct pollfd p;
    int r = proc_open(shim, &fd);

    if (r == -ESRCH) return 0;
    if (r < 0) return reap(shim->pid, deadline_ms) && !proc_alive(shim) ? 0 : r; /* no descriptor, for instance */
    p = (struct pollfd){.fd = fd, .events = POLLIN};
    while ((r = poll(&p, 1, deadline_left(deadline_ms))) < 0)
        if (errno != EINTR) return -errno;
    return r == 0 ? -ETIMEDOUT : 0;
}

static int wait_for_shim(const struct proc_id *shim, int64_t deadline_ms)
{
    int r = shim_end(shim, deadline_ms);

    if (r < 0 || !reap(shim->pid, mono_ms() + REAP_MS)) proc_reap_later(shim->pid);
    return r;
}

int vmm_exit_wait(const char *dir, const struct vmm_run *run, int64_t deadline_ms, struct vmm_exit *ret,
                  struct vl_error *err)
{
    auto_(vmm_exit_done) struct vmm_exit e = {0};
    int r = wait_for_shim(&run->shim, deadline_ms);

    if (r < 0) return vl_fail_errno(err, r, "wait for the shim of %s", dir);
    if ((r = vmm_exit_read(dir, &e, err)) < 0) return r;
    if (!str_eq(e.boot, run->boot)) return -ENOENT;
    *ret = e;
    e = (struct vmm_exit){0};
    return 0;
}

/* Whether whoever holds the listening socket is still there: 0 if not, within `ms`. */
static bool held(int fd, int ms)
{
    struct pollfd p = {.fd = fd};
    char byte;

    if (poll(&p, 1, ms) > 0) return false; /* hung up: nobody will ever accept, or the shim has ended */
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;
}

int vmm_run_find(const char *dir, const char *boot, int64_t deadline_ms, struct vmm_run *ret, struct vl_error *err)
{
    auto_close int console = -1;
    struct vmm_run run;
    char path[512];
    bool alive;
    int r;

    if ((r = strf(path, sizeof(path), "%s/console.sock", dir)) < 0) return vl_fail_errno(err, r, "path of %s", dir);
    console = unix_connect(path);
    if (console < 0 && console != -ENOENT && console != -ECONNREFUSED)
        return vl_fail_errno(err, console, "connect to %s", path);
    for (;;) {
        alive =
            console >= 0 && held(console, 0); /* asked before the file is read: what it wrote before its end counts */
        r = vmm_run_read(dir, &run, err);
        if (r == 0 && (str_eq(run.boot, boot) || vmm_run_lives(&run))) break;
        if (r < 0 && r != -ENOENT) return r;
        if (!alive) return -ENOENT;
        if (deadline_left(deadline_ms) == 0) return vl_fail_errno(err, ETIMEDOUT, "%s: its shim does not begin", dir);
        (void)held(console, FIND_STEP_MS);
    }
    *ret = run;
    return 0;
}
