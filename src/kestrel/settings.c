/* SPDX-License-Identifier: Apache-2.0 */
/* See settings.h. The file comes from volantd, but a machine may also be booted by hand: nothing is taken for granted.
 */
#include "kestrel/settings.h"

#include <fcntl.h>
#include <string.h>

#include "base/io.h"

#define SETTINGS_MAX    (2 * MANIFEST_MAX)
#define SETTINGS_FOLDER "volant"

static int check_root(const struct guest_root *root, struct vl_error *err)
{
    if (root->init && root->init[0] != '/')
        return vl_fail(err, VL_INVALID, "root.init '%s' is not absolute, begin it with '/'", root->init);
    if (root->fstype && strcmp(root->fstype, "squashfs") != 0 && strcmp(root->fstype, "ext4") != 0 &&
        strcmp(root->fstype, GUEST_FSTYPE_AUTO) != 0)
        return vl_fail(err, VL_INVALID, "root.fstype is '%s', allowed are squashfs, ext4 and " GUEST_FSTYPE_AUTO,
                       root->fstype);
    if (!root->fstype && (root->init || root->persistent))
        return vl_fail(err, VL_INVALID, "root.fstype is missing, say which file system the root disk has");
    return 0;
}

static int check(const struct guest_config *c, struct vl_error *err)
{
    const struct workload *w = &c->workload;
    int r;

    if ((r = check_root(&c->root, err)) < 0) return r;
    if (!c->root.init && (w->entrypoint.len == 0 || w->entrypoint.items[0][0] == '\0'))
        return vl_fail(err, VL_INVALID, "workload.entrypoint is empty, name the program to run");
    if (w->workdir && w->workdir[0] != '/')
        return vl_fail(err, VL_INVALID, "workload.workdir '%s' is not absolute, begin it with '/'", w->workdir);
    for (size_t i = 0; i < w->env.len; i++)
        if (w->env.items[i].key[0] == '\0' || strchr(w->env.items[i].key, '='))
            return vl_fail(err, VL_INVALID, "workload.env has the name '%s', use one without '='", w->env.items[i].key);
    if (!c->shutdown || (strcmp(c->shutdown, "reboot") != 0 && strcmp(c->shutdown, "poweroff") != 0))
        return vl_fail(err, VL_INVALID, "shutdown is '%s', allowed are reboot and poweroff",
                       c->shutdown ? c->shutdown : "");
    return 0;
}

int settings_load(int root_fd, struct guest_config *ret, struct vl_error *err)
{
    auto_guest_config c = {0};
    auto_free char *text = NULL;
    json_auto_t *json = NULL;
    size_t len;
    int r;

    r = read_file_at(root_fd, GUEST_CONFIG_PATH, SETTINGS_MAX, &text, &len);
    if (r == -ENOENT || r == -ENOTDIR)
        return vl_fail(err, VL_NOT_FOUND,
                       "no /" GUEST_CONFIG_PATH
                       ": volantd appends it to the initramfs; if this is one of its VMs, the image did not fit into "
                       "its memory: give it more");
    if (r < 0) return vl_fail_errno(err, r, "read /" GUEST_CONFIG_PATH);
    /* Or jansson opens /dev/urandom for it, some 3 ms of every emulated boot; whose JSON we read is the host, no
     * attacker. */
    json_object_seed(1);
    r = json_parse(text, len, "/" GUEST_CONFIG_PATH, &json, err);
    explicit_bzero(text, len);
    if (r < 0) return r;
    if ((r = schema_decode(&guest_config_schema, json, "/" GUEST_CONFIG_PATH, &c, NULL, err)) < 0) return r;
    if ((r = check(&c, err)) < 0) {
        (void)vl_wrap(err, "/" GUEST_CONFIG_PATH);
        return r;
    }
    (void)unlinkat(root_fd, GUEST_CONFIG_PATH, 0);
    (void)unlinkat(root_fd, SETTINGS_FOLDER, AT_REMOVEDIR); /* stays if the image has more in it */
    *ret = c;
    c = (struct guest_config){0};
    return 0;
}
