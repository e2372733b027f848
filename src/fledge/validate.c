/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge validate`: all that can be said of a fledge.toml without fetching or writing anything. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "fledge/command.h"
#include "fledge/config_file.h"
#include "fledge/image.h"
#include "oci/ref.h"

static const char *manifest_file;
const struct opt validate_opts[] = {
    {"manifest", 'm', OPT_STRING, "FILE", "Of version = \"1\" alone (default: manifest.toml beside FILE)", 0, 0,
     &manifest_file},
    GLOBAL,
    {0},
};

static int validate(const char *file, struct config *c, struct vl_error *err)
{
    const struct oci_job job = {.stop = &cli_stop};
    auto_free char *folder = config_folder(file);
    auto_(tree_freep) struct tree *tree = NULL;
    auto_oci_ref ref = {0};
    struct vl_error reason = {0};
    int r;

    if (!folder) return vl_fail_errno(err, ENOMEM, "read %s", file);
    if ((r = config_read(file, manifest_file, c, err)) < 0) return r;
    if (c->from.image && oci_ref_parse(c->from.image, folder, &ref, &reason) < 0)
        return config_fail(c, c->from.at, err, "%s", reason.msg);
    const struct image_sources from = {.folder = folder, .output = folder, .job = &job};
    return config_has_image(c) ? image_plan_layer(c, &from, &tree, NULL, err) : image_plan(c, &from, &tree, NULL, err);
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
                     c.from.image        ? c.from.image
                     : c.from.dockerfile ? c.from.dockerfile
                                         : "an initramfs");
    return EXIT_DONE;
}
