/* SPDX-License-Identifier: Apache-2.0 */
/* See dockerfile.h. */
#include "fledge/dockerfile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"
#include "oci/tool.h"

#define PACKAGE "buildah"
#define ID_FILE "dockerfile.id"
#define ID_MAX  256

/* Owned arguments: most are made here. */
static int arg(struct strv *argv, const char *text)
{
    return strv_add(argv, text);
}

static int run(const struct strv *args, const struct oci_job *job, struct vl_error *err)
{
    const char **argv = calloc(args->len + 1, sizeof(*argv));
    int r;

    if (!argv) return vl_fail_errno(err, ENOMEM, "run buildah");
    for (size_t i = 0; i < args->len; i++)
        argv[i] = args->items[i];
    r = tool_run(argv, PACKAGE, NULL, job, 0, NULL, NULL, err);
    free(argv);
    return r;
}

static char *below(const char *folder, const char *path)
{
    return *path == '/' || str_eq(folder, ".") ? strdup(path) : strf_new("%s/%s", folder, path);
}

static int make_bud(const struct config *c, const char *file, const char *context, const char *id_file, int64_t mtime,
                    struct strv *argv)
{
    const struct oci_from *f = &c->from;
    int r = arg(argv, "buildah") | arg(argv, "bud") | arg(argv, "--isolation") | arg(argv, "chroot") |
            arg(argv, "--quiet") | strv_addf(argv, "--timestamp=%" PRId64, mtime) | arg(argv, "--iidfile") |
            arg(argv, id_file) | arg(argv, "--file") | arg(argv, file);

    if (f->target) r |= strv_addf(argv, "--target=%s", f->target);
    for (size_t i = 0; i < f->build_args.len; i++)
        r |= strv_addf(argv, "--build-arg=%s=%s", f->build_args.items[i].key, f->build_args.items[i].value);
    return r | arg(argv, "--") | arg(argv, context);
}

static int check_file(const struct config *c, const char *file, const char *context, struct vl_error *err)
{
    struct stat st;

    if (stat(file, &st) < 0 || !S_ISREG(st.st_mode))
        return config_fail(c, c->from.at, err, "dockerfile: there is no file '%.200s': create it, or correct the path",
                           file);
    if (stat(context, &st) < 0 || !S_ISDIR(st.st_mode))
        return config_fail(c, c->from.at, err, "context: there is no folder '%.200s': create it, or correct the path",
                           context);
    return 0;
}

static int read_id(const struct oci_cache *cache, char id[static ID_MAX], struct vl_error *err)
{
    auto_free char *text = NULL;
    size_t len;
    int r = read_file_at(cache->work_fd, ID_FILE, ID_MAX - 1, &text, &len);

    if (r < 0) return vl_fail_errno(err, r, "read the image's identifier from buildah");
    text[strcspn(text, "\n")] = '\0';
    (void)strf(id, ID_MAX, "%s", text);
    return 0;
}

/* Out of buildah's storage, and away from there in any case: also when the build is to end. */
static int take_image(const char *id, const char *to, const struct oci_job *job, struct vl_error *err)
{
    const char *push[] = {"buildah", "push", "--quiet", "--disable-compression", id, to, NULL};
    const char *remove[] = {"buildah", "rmi", id, NULL};
    const struct oci_job last = {.timeout_s = 60};
    struct vl_error ignored;
    int r = tool_run(push, PACKAGE, NULL, job, 0, NULL, NULL, err);

    (void)tool_run(remove, PACKAGE, NULL, &last, 0, NULL, NULL, &ignored);
    return r;
}

static int build(const struct config *c, const char *file, const char *context, int64_t mtime,
                 const struct oci_cache *cache, const struct oci_job *job, const char *to, struct vl_error *err)
{
    auto_free char *id_file = strf_new("%s/" ID_FILE, cache->work_path);
    auto_strv argv = {0};
    char id[ID_MAX];
    int r;

    if (!id_file || make_bud(c, file, context, id_file, mtime, &argv) < 0)
        return vl_fail_errno(err, ENOMEM, "run buildah");
    oci_job_say(job, "building %s", file);
    if ((r = run(&argv, job, err)) < 0) return r;
    if ((r = read_id(cache, id, err)) < 0) return r;
    return take_image(id, to, job, err);
}

int dockerfile_build(const struct config *c, const char *folder, int64_t mtime, const struct oci_cache *cache,
                     const struct oci_job *job, char **ret_reference, struct vl_error *err)
{
    auto_free char *file = below(folder, c->from.dockerfile);
    auto_free char *reference = strf_new("oci:%s/dockerfile:image", cache->work_path), *context = NULL;
    int r;

    if (!file || !reference) return vl_fail_errno(err, ENOMEM, "run buildah");
    context = c->from.context ? below(folder, c->from.context) : config_folder(file);
    if (!context) return vl_fail_errno(err, ENOMEM, "run buildah");
    if ((r = check_file(c, file, context, err)) < 0) return r;
    if ((r = build(c, file, context, mtime, cache, job, reference, err)) < 0) return vl_wrap(err, "build %s", file);
    *ret_reference = take_ptr(reference);
    return 0;
}
