/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/options.h"

#include <string.h>

#include "base/opt.h"
#include "base/str.h"

#define FD_MAX                255
#define ID_MAX                (UINT32_MAX - 1) /* the last one means "no change" to setresuid(2) */
#define CONSOLE_BYTES_DEFAULT 1048576

/* What the table fills: opt.h knows 64-bit numbers and lists of texts. */
struct raw {
    const char *boot;
    uint64_t dir_fd, console_listen_fd, status_fd, vmm_console_fd, cgroup_fd, console_bytes, uid, gid, group;
    bool bind_low_ports;
    struct strv inherit;
};

static void raw_done(struct raw *r)
{
    strv_done(&r->inherit);
}

void options_done(struct options *o)
{
    free(o->argv);
    *o = (struct options){0};
}

static int take_inherit(const struct raw *raw, struct options *o, struct vl_error *err)
{
    const int own[] = {o->dir_fd, o->console_listen_fd, o->status_fd, o->vmm_console_fd, o->cgroup_fd};

    if (raw->inherit.len > INHERIT_MAX)
        return vl_fail(err, VL_INVALID, "--inherit is given %zu times, at most %d are allowed", raw->inherit.len,
                       INHERIT_MAX);
    for (size_t i = 0; i < raw->inherit.len; i++) {
        uint64_t fd;

        if (parse_u64(raw->inherit.items[i], 3, FD_MAX, &fd) < 0)
            return vl_fail(err, VL_INVALID, "--inherit is '%s', allowed 3 to %d", raw->inherit.items[i], FD_MAX);
        for (size_t k = 0; k < ARRAY_LEN(own); k++)
            if ((int)fd == own[k])
                return vl_fail(err, VL_INVALID, "--inherit %d: that descriptor has another use already", (int)fd);
        o->inherit[o->n_inherit++] = (int)fd;
    }
    return 0;
}

static int take_ids(const struct raw *raw, struct options *o, struct vl_error *err)
{
    o->drop = raw->uid != UINT64_MAX;
    o->has_group = raw->group != UINT64_MAX;
    if (o->drop != (raw->gid != UINT64_MAX)) return vl_fail(err, VL_INVALID, "--uid and --gid must be given together");
    if ((o->has_group || raw->bind_low_ports) && !o->drop)
        return vl_fail(err, VL_INVALID, "--group and --bind-low-ports need --uid");
    o->uid = (uid_t)raw->uid;
    o->gid = (gid_t)raw->gid;
    o->group = (gid_t)raw->group;
    o->bind_low_ports = raw->bind_low_ports;
    return 0;
}

static int take_numbers(const struct raw *raw, struct options *o, struct vl_error *err)
{
    const struct {
        const char *name;
        uint64_t from;
        int *to;
    } fds[] = {
        {"--dir-fd", raw->dir_fd, &o->dir_fd},
        {"--console-listen-fd", raw->console_listen_fd, &o->console_listen_fd},
        {"--status-fd", raw->status_fd, &o->status_fd},
        {"--vmm-console-fd", raw->vmm_console_fd, &o->vmm_console_fd},
        {"--cgroup-fd", raw->cgroup_fd, &o->cgroup_fd}, /* the one that may be missing */
    };

    if (!raw->boot) return vl_fail(err, VL_INVALID, "--boot is missing");
    o->boot = raw->boot;
    o->console_bytes = raw->console_bytes;
    o->cgroup_fd = -1;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i].from == UINT64_MAX && fds[i].to == &o->cgroup_fd) break;
        if (fds[i].from == UINT64_MAX) return vl_fail(err, VL_INVALID, "%s is missing", fds[i].name);
        *fds[i].to = (int)fds[i].from;
        for (size_t k = 0; k < i; k++)
            if (fds[k].from == fds[i].from)
                return vl_fail(err, VL_INVALID, "%s and %s are the same descriptor", fds[k].name, fds[i].name);
    }
    return take_ids(raw, o, err);
}

int options_parse(int argc, char *const *argv, struct options *ret, struct vl_error *err)
{
    auto_(raw_done) struct raw raw = {
        .dir_fd = UINT64_MAX,
        .console_listen_fd = UINT64_MAX,
        .status_fd = UINT64_MAX,
        .vmm_console_fd = UINT64_MAX,
        .cgroup_fd = UINT64_MAX,
        .uid = UINT64_MAX,
        .gid = UINT64_MAX,
        .group = UINT64_MAX,
        .console_bytes = CONSOLE_BYTES_DEFAULT,
    };
    const struct opt table[] = {
        {.name = "boot", .type = OPT_STRING, .dest = &raw.boot},
        {.name = "dir-fd", .type = OPT_U64, .min = 3, .max = FD_MAX, .dest = &raw.dir_fd},
        {.name = "console-listen-fd", .type = OPT_U64, .min = 3, .max = FD_MAX, .dest = &raw.console_listen_fd},
        {.name = "status-fd", .type = OPT_U64, .min = 3, .max = FD_MAX, .dest = &raw.status_fd},
        {.name = "vmm-console-fd", .type = OPT_U64, .min = 3, .max = FD_MAX, .dest = &raw.vmm_console_fd},
        {.name = "cgroup-fd", .type = OPT_U64, .min = 3, .max = FD_MAX, .dest = &raw.cgroup_fd},
        {.name = "console-bytes", .type = OPT_U64, .min = 4096, .max = 1 << 30, .dest = &raw.console_bytes},
        {.name = "uid", .type = OPT_U64, .min = 1, .max = ID_MAX, .dest = &raw.uid},
        {.name = "gid", .type = OPT_U64, .min = 1, .max = ID_MAX, .dest = &raw.gid},
        {.name = "group", .type = OPT_U64, .min = 1, .max = ID_MAX, .dest = &raw.group},
        {.name = "bind-low-ports", .type = OPT_FLAG, .dest = &raw.bind_low_ports},
        {.name = "inherit", .type = OPT_LIST, .dest = &raw.inherit},
        {0},
    };
    auto_(options_done) struct options o = {0};
    size_t n = 0;
    bool help = false;
    int r;

    if (!(o.argv = calloc((size_t)argc + 1, sizeof(*o.argv)))) return vl_fail_errno(err, ENOMEM, "read options");
    r = opt_parse(table, argc, argv, (const char **)o.argv, (size_t)argc, &n, &help, err);
    if (r < 0) return r;
    if (help) return vl_fail(err, VL_INVALID, "volant-shim is started by volantd and has no use of its own");
    if (n == 0) return vl_fail(err, VL_INVALID, "the VMM's command line is missing (after --)");
    if (o.argv[0][0] != '/') return vl_fail(err, VL_INVALID, "the VMM '%s' is not an absolute path", o.argv[0]);
    if ((r = take_numbers(&raw, &o, err)) < 0 || (r = take_inherit(&raw, &o, err)) < 0) return r;
    *ret = o;
    o = (struct options){0};
    return 0;
}
