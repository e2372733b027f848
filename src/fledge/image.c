/* SPDX-License-Identifier: Apache-2.0 */
/* See image.h. */
#include "fledge/image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "fledge/busybox.h"
#include "fledge/elf.h"
#include "fledge/entrypoint.h"
#include "fledge/libraries.h"
#include "fledge/mapping.h"

#define MIB (1024UL * 1024)

/* Only where no mapping has something else there. */
static int add_skeleton(struct tree *t, struct vl_error *err)
{
    static const struct {
        const char *path;
        mode_t mode;
    } folders[] = {{"/bin", 0755},     {"/dev", 0755},      {"/etc", 0755},     {"/proc", 0755},    {"/root", 0700},
                   {"/run", 0755},     {"/sbin", 0755},     {"/sys", 0755},     {"/tmp", 01777},    {"/usr/bin", 0755},
                   {"/usr/lib", 0755}, {"/usr/sbin", 0755}, {"/var/log", 0755}, {"/var/tmp", 01777}};
    struct vl_error reason = {0};
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        r = tree_add_folder(t, folders[i].path, folders[i].mode, ORIGIN_SKELETON, NULL, &reason);
        if (r < 0 && reason.kind != VL_CONFLICT) return vl_fail(err, reason.kind, "%s", reason.msg);
    }
    /* PID 1 begins with it as its three descriptors, before it can mount anything. */
    r = tree_add_device(t, "/dev/console", 0600, 5, 1, ORIGIN_SKELETON, &reason);
    if (r < 0 && reason.kind != VL_CONFLICT) return vl_fail(err, reason.kind, "%s", reason.msg);
    return 0;
}

static int add_kestrel(struct tree *t, const char *kestrel, struct vl_error *err)
{
    auto_close int fd = open(kestrel, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    auto_elf elf = {0};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) return vl_fail_errno(err, errno, "open kestrel at '%s'", kestrel);
    if (!S_ISREG(st.st_mode) || elf_read(fd, &elf) < 0 || !elf.x86_64 || elf.interpreter)
        return vl_fail(err, VL_INVALID,
                       "'%s' is no static program for x86-64: name the kestrel that was built with fledge", kestrel);
    return tree_add_file(t, "/init", kestrel, &st, 0755, ORIGIN_KESTREL, err);
}

int image_check_memory(const struct config *c, uint64_t bytes, struct vl_error *err)
{
    uint64_t memory = (uint64_t)c->manifest.resources.memory_mb, need = (3 * bytes / MIB) + 22;

    if (memory >= need) return 0;
    return vl_fail(err, VL_INVALID,
                   "%s: the image has %" PRIu64 " MB and cannot boot in %" PRIu64
                   " MB of memory: map less, or write memory_mb = %" PRIu64 " below [resources]",
                   c->file, bytes / MIB, memory, (need + 15) / 16 * 16);
}

int image_plan_layer(const struct config *c, const struct image_sources *from, struct tree **ret,
                     struct strv *ret_brought, struct vl_error *err)
{
    bool agent = !c->rootfs && c->init == INIT_KESTREL && from->kestrel;
    auto_(tree_freep) struct tree *t = NULL;
    int r;

    if ((r = tree_new(&t, err)) < 0) return r;
    /* First: a mapping that wants /init is told so. */
    if (agent && (r = add_kestrel(t, from->kestrel, err)) < 0) return r;
    if ((r = mappings_apply(c, from->folder, from->output, t, err)) < 0) return r;
    if ((r = libraries_add(c, t, ret_brought, err)) < 0) return r;
    if (c->initramfs.busybox && (r = busybox_add(c, t, from->job, err)) < 0) return r;
    if (!c->rootfs && (r = add_skeleton(t, err)) < 0) return r;
    *ret = take_ptr(t);
    return 0;
}

static int count_entry(const struct node *n, void *arg)
{
    (void)n;
    *(uint64_t *)arg += IMAGE_ENTRY_BYTES;
    return 0;
}

int image_plan(const struct config *c, const struct image_sources *from, struct tree **ret, struct strv *ret_brought,
               struct vl_error *err)
{
    auto_(tree_freep) struct tree *t = NULL;
    uint64_t bytes = 0;
    int r;

    if ((r = image_plan_layer(c, from, &t, ret_brought, err)) < 0) return r;
    if ((r = entrypoint_check(c, t, err)) < 0) return r;
    (void)tree_walk(tree_root(t), count_entry, &bytes);
    if ((r = image_check_memory(c, bytes + tree_size(t), err)) < 0) return r;
    *ret = take_ptr(t);
    return 0;
}
