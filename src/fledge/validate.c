/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge validate`: all that can be said of a fledge.toml without fetching or writing anything. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fledge/command.h"
#include "fledge/config_file.h"
#include "fledge/image.h"
#include "oci/ref.h"

const struct opt validate_opts[] = {GLOBAL, {0}};

static int validate(const char *file, struct config *c, struct vl_error *err)
{
    const char *slash = strrchr(file, '/');
    auto_free char *folder = slash ? strf_new("%.*s", slash == file ? 1 : (int)(slash - file), file) : strdup(".");
    auto_(tree_freep) struct tree *tree = NULL;
    auto_oci_ref ref = {0};
    struct vl_error reason = {0};
    int r;

    if (!folder) return vl_fail_errno(err, ENOMEM, "read %s", file);
    if ((r = config_read(file, c, err)) < 0) return r;
    if (c->rootfs && oci_ref_parse(c->image, folder, &ref, &reason) < 0)
        return config_fail(c, c->image_at, err, "%s", reason.msg);
    const struct image_sources from = {.folder = folder, .output = folder};
    return image_plan_layer(c, &from, &tree, NULL, err);
}

int command_validate(void *ctx, int argc, char *const *argv)
{
    const char *file = "fledge.toml";
    struct vl_error err = {0};
    auto_config c = {0};
    int code;

    if ((code = cli_parse(ctx, argc, argv, &file)) >= 0) return code;
    if (validate(file, &c, &err) < 0) return cli_report(err.msg, EXIT_FAILED);
    if (!cli_quiet)
        (void)printf("%s is good: %s %s, %s\n", file, c.manifest.name, c.manifest.version,
                     c.rootfs ? c.image : "an initramfs");
    return EXIT_DONE;
}
