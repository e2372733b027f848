/* SPDX-License-Identifier: Apache-2.0 */
/* volar doctor: what volantd found, or, where it does not run, what it would find; each with its remedy. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/path.h"
#include "volar/api.h"
#include "volar/output.h"
#include "volar/volar.h"

#define CALL_S   10
#define CHECK_S  60
#define REPAIR_S 600 /* guests that are ended have their time */
#define DISK_LOW (1024ULL * 1024 * 1024)

enum finding { FINE, WARN, FAIL };

static struct {
    bool fix, end_strangers;
} flags;
const struct opt doctor_opts[] = {
    {.name = "fix", .type = OPT_FLAG, .dest = &flags.fix, .help = "Mend what can be mended, and say what was done"},
    {.name = "end-strangers",
     .type = OPT_FLAG,
     .dest = &flags.end_strangers,
     .help = "With --fix: end VMs that run and cannot be taken into the registry, and remove their folders"},
    VOLAR_GLOBAL,
    {0},
};

struct report {
    struct volar *volar;
    json_t *checks; /* for -o json */
    int failed;
};

static void report(struct report *rep, enum finding f, const char *what, const char *fmt, ...) printf_(4, 5);
static void report(struct report *rep, enum finding f, const char *what, const char *fmt, ...)
{
    static const char *const words[] = {"ok  ", "warn", "FAIL"};
    static const char *const names[] = {"ok", "warn", "fail"};
    auto_strbuf safe = {0};
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    strbuf_add_printable(&safe, text, strlen(text));
    if (f == FAIL) rep->failed++;
    (void)json_array_append_new(rep->checks,
                                json_pack("{s:s, s:s, s:s}", "check", what, "result", names[f], "detail", text));
    if (!volar_json(rep->volar)) printf("%s  %-12s  %s\n", words[f], what, safe.data ? safe.data : "");
}

/* --- what volantd says
 * ------------------------------------------------------------------------------------------------- */

static void check_acceleration(struct report *rep, const json_t *info)
{
    const char *accel = text_at(info, NULL, "accel"), *why = text_at(info, NULL, "accel_reason");

    if (str_eq(accel, "kvm"))
        report(rep, FINE, "acceleration", "%s: %s", accel, why);
    else
        report(rep, WARN, "acceleration", "%s: %s. VMs work, but slower%s", accel, why,
               strstr(why, "group kvm") ? ""
                                        : "; for KVM switch virtualisation on in the firmware or, where this host is a "
                                          "VM, nested virtualisation on its host");
}

static void check_kernel(struct report *rep, const json_t *info)
{
    const json_t *kernel = json_object_get(info, "kernel");

    if (json_array_size(json_object_get(kernel, "patches")) == 0 && str_eq(text_at(info, NULL, "accel"), "tcg"))
        report(rep, WARN, "kernel", "%s has no boot patches: VMs boot more slowly; build ours with `make kernel`",
               text_at(info, "kernel", "path"));
    else
        report(rep, FINE, "kernel", "%s at %s", text_at(info, "kernel", "version"), text_at(info, "kernel", "path"));
    if (*text_at(info, "kernel", "rootfs_path"))
        report(rep, FINE, "rootfs kernel", "at %s", text_at(info, "kernel", "rootfs_path"));
    else
        report(rep, WARN, "rootfs kernel", "%s",
               "there is none: plugins with a disk image cannot be booted until bzImage-volant is beside the guest "
               "kernel (`make kernel` makes it) and volantd was started again");
}

static void check_disk(struct report *rep, const char *state_dir)
{
    uint64_t free_bytes;
    char size[24];
    int r = disk_free(state_dir, &free_bytes);

    if (r < 0) {
        report(rep, WARN, "disk", "%s: %s", state_dir, vl_strerror(r));
        return;
    }
    size_text(free_bytes, size);
    if (free_bytes < DISK_LOW)
        report(rep, WARN, "disk", "only %s are free at %s: make room before volantd has to refuse", size, state_dir);
    else
        report(rep, FINE, "disk", "%s free at %s", size, state_dir);
}

static void check_running(struct report *rep, const json_t *info)
{
    long long failed = (long long)json_integer_value(json_object_get(json_object_get(info, "vms_by_status"), "failed"));

    report(rep, FINE, "volantd", "%s answers at %s", text_at(info, NULL, "version"), text_at(info, NULL, "socket"));
    check_acceleration(rep, info);
    report(rep, FINE, "vmm", "%s %s at %s", text_at(info, "vmm", "name"), text_at(info, "vmm", "version"),
           text_at(info, "vmm", "path"));
    check_kernel(rep, info);
    check_disk(rep, text_at(info, NULL, "state_dir"));
    if (failed)
        report(rep, WARN, "vms", "%lld VMs could not be booted: `volar vms list`, then `volar vms get NAME`", failed);
}

/* --- where registry and host disagree ----------------------------------------------------------------------------- */

/* A finding goes into the JSON as it came, with the words that all checks have. */
static void check_finding(struct report *rep, json_t *f)
{
    const char *object = text_at(f, NULL, "object"), *detail = text_at(f, NULL, "detail");
    const char *done = text_at(f, NULL, "done"), *failed = text_at(f, NULL, "failed");
    enum finding level = str_eq(text_at(f, NULL, "level"), "fail") ? FAIL : WARN;
    json_t *last;

    if (*done)
        report(rep, FINE, "drift", "%s: %s: %s", object, detail, done);
    else if (*failed)
        report(rep, FAIL, "drift", "%s: %s; cannot be mended: %s", object, detail, failed);
    else
        report(rep, level, "drift", "%s: %s. %s", object, detail, text_at(f, NULL, "remedy"));
    last = json_array_get(rep->checks, json_array_size(rep->checks) - 1);
    if (last) (void)json_object_update_missing(last, f);
}

static void check_drift(struct report *rep)
{
    const char *body = flags.end_strangers ? "{\"end_strangers\":true}" : "{}";
    struct vl_error err = {0};
    json_auto_t *answer = NULL;
    json_t *findings, *f;
    size_t i;
    int r;

    if (flags.fix)
        r = api_json(rep->volar, "POST", "/api/v1/system/repair", body, REPAIR_S, &answer, &err);
    else
        r = api_json(rep->volar, "GET", "/api/v1/system/check", NULL, CHECK_S, &answer, &err);
    if (r < 0) {
        report(rep, FAIL, "drift", "%s", err.msg);
        return;
    }
    findings = json_object_get(answer, "findings");
    if (json_array_size(findings) == 0) report(rep, FINE, "drift", "registry and host agree");
    for (i = 0; (f = json_array_get(findings, i)); i++)
        check_finding(rep, f);
}

/* --- what is there without it
 * -------------------------------------------------------------------------------------------- */

static bool in_path(const char *program, char *found, size_t size)
{
    const char *path = secure_getenv("PATH");

    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        size_t n = strcspn(p, ":");

        if (strf(found, size, "%.*s/%s", (int)n, p, program) > 0 && access(found, X_OK) == 0) return true;
        p += n + (p[n] == ':');
    }
    return false;
}

static void check_installed(struct report *rep, const char *what, const char *name)
{
    struct vl_error err = {0};
    char path[512];

    if (find_installed(name, NULL, path, sizeof(path), &err) < 0)
        report(rep, FAIL, what, "%s", err.msg);
    else
        report(rep, FINE, what, "%s", path);
}

static void check_absent(struct report *rep, const struct vl_error *why)
{
    struct paths paths;
    char path[512];

    report(rep, FAIL, "volantd", "%s", why->msg);
    if (in_path("qemu-system-x86_64", path, sizeof(path)))
        report(rep, FINE, "vmm", "%s", path);
    else
        report(rep, FAIL, "vmm", "no qemu-system-x86_64 in PATH: apt-get install qemu-system-x86");
    check_installed(rep, "kernel", "vmlinux-generic");
    check_installed(rep, "shim", "volant-shim");
    if (paths_find(&paths, NULL) == 0 && access(paths.state_dir, F_OK) == 0) check_disk(rep, paths.state_dir);
}

int doctor(void *ctx, int argc, char *const *argv)
{
    struct volar *v = ctx;
    struct vl_error err = {0};
    json_auto_t *info = NULL, *checks = json_array();
    struct report rep = {.volar = v, .checks = checks};
    size_t n;
    int r = volar_begin(v, argc, argv, NULL, 0, 0, &n);

    if (r >= 0) return r;
    if (flags.end_strangers && !flags.fix) {
        (void)vl_fail(&err, VL_INVALID, "--end-strangers goes with --fix");
        return volar_misuse(v, &err);
    }
    if (api_json(v, "GET", "/api/v1/system/info", NULL, CALL_S, &info, &err) < 0) {
        check_absent(&rep, &err);
    } else {
        check_running(&rep, info);
        check_drift(&rep);
    }
    if (volar_json(v) && print_json(checks) < 0) return EXIT_FAILED;
    return rep.failed ? EXIT_FAILED : EXIT_DONE;
}
