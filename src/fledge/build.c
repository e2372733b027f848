/* SPDX-License-Identifier: Apache-2.0 */
/* See build.h. First everything is planned and judged, then it is written. */
#include "fledge/build.h"

#include <string.h>

#include "artifact/artifact.h"
#include "base/io.h"
#include "base/path.h"
#include "fledge/archive.h"
#include "fledge/image.h"
#include "fledge/manifest.h"
#include "fledge/output.h"

#define PATH_SIZE 4096
#define NAME_SIZE 96

struct build {
    const struct build_opts *opts;
    struct config config;
    struct tree *tree;
    char folder[PATH_SIZE]; /* of the configuration */
    char archive_name[NAME_SIZE], manifest_name[NAME_SIZE];
    struct output output;
    struct build_result result;
};

void build_result_done(struct build_result *r)
{
    free(r->name);
    free(r->version);
    free(r->archive);
    free(r->manifest);
    strv_done(&r->libraries);
    *r = (struct build_result){0};
}

static void build_done(struct build *b)
{
    config_done(&b->config);
    tree_free(b->tree);
    output_done(&b->output);
    build_result_done(&b->result);
}

static int count_file(const struct node *n, void *arg)
{
    *(size_t *)arg += n->type != NODE_FOLDER;
    return 0;
}

static int find_folder(struct build *b, struct vl_error *err)
{
    const char *path = b->opts->config, *slash = strrchr(path, '/');
    size_t len = slash ? (slash == path ? 1 : (size_t)(slash - path)) : 0;

    if (strf(b->folder, sizeof(b->folder), "%.*s", len ? (int)len : 1, len ? path : ".") < 0)
        return vl_fail_errno(err, ENAMETOOLONG, "open '%.100s...'", path);
    return 0;
}

static int plan(struct build *b, struct vl_error *err)
{
    const char *output = b->opts->output;
    char kestrel[PATH_SIZE];
    int r;

    if ((r = find_folder(b, err)) < 0) return r;
    if ((r = config_read(b->opts->config, &b->config, err)) < 0) return r;
    if (!output) output = b->folder;
    if ((r = find_installed("kestrel", b->opts->kestrel, kestrel, sizeof(kestrel), err)) < 0) return r;
    if ((r = output_open(output, &b->output, err)) < 0) return r;
    const struct image_sources from = {b->folder, output, kestrel};
    if ((r = image_plan(&b->config, &from, &b->tree, &b->result.libraries, err)) < 0) return r;
    (void)tree_walk(tree_root(b->tree), count_file, &b->result.n_files);
    return 0;
}

static int name_files(struct build *b, struct vl_error *err)
{
    const char *folder = b->output.folder, *name = b->config.manifest.name;
    const char *between = str_ends(folder, "/") ? "" : "/";

    if (str_eq(folder, ".")) folder = between = "";
    if (strf(b->archive_name, NAME_SIZE, "%s.cpio.zst", name) < 0 ||
        strf(b->manifest_name, NAME_SIZE, "%s.manifest.json", name) < 0)
        return vl_fail_errno(err, ENAMETOOLONG, "name the files of '%s'", name);
    b->result.name = strdup(name);
    b->result.version = strdup(b->config.manifest.version);
    b->result.archive = strf_new("%s%s%s", folder, between, b->archive_name);
    b->result.manifest = strf_new("%s%s%s", folder, between, b->manifest_name);
    if (!b->result.name || !b->result.version || !b->result.archive || !b->result.manifest)
        return vl_fail_errno(err, ENOMEM, "name the files of '%s'", name);
    return 0;
}

static int write_files(struct build *b, struct vl_error *err)
{
    const struct archive_opts opts = {b->opts->mtime, b->opts->stop};
    char hex[SHA256_HEX + 1];
    auto_free char *text = NULL;
    int archive_fd = -1, manifest_fd = -1, r;

    if ((r = output_add(&b->output, b->archive_name, &archive_fd, err)) < 0) return r;
    if ((r = output_add(&b->output, b->manifest_name, &manifest_fd, err)) < 0) return r;
    if ((r = archive_write_tree(b->tree, archive_fd, &opts, &b->result.unpacked, err)) < 0) return r;
    if ((r = sha256_fd(archive_fd, hex, &b->result.packed, err)) < 0) return r;
    r = manifest_write(&b->config.manifest, b->archive_name, hex, b->result.packed, &text, err);
    if (r < 0) return r;
    if ((r = write_all(manifest_fd, text, strlen(text), -1)) < 0)
        return vl_fail_errno(err, r, "write '%s'", b->result.manifest);
    return output_commit(&b->output, err);
}

int build_run(const struct build_opts *opts, struct build_result *ret, struct vl_error *err)
{
    auto_(build_done) struct build b = {.opts = opts};
    int r;

    if ((r = plan(&b, err)) < 0) return r;
    if ((r = name_files(&b, err)) < 0) return r;
    if ((r = write_files(&b, err)) < 0) {
        (void)vl_wrap(err, "build %s", b.result.archive);
        return r;
    }
    *ret = b.result;
    b.result = (struct build_result){0};
    return 0;
}
