/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What skopeo gets for us. It is asked for documents as they are: on its way into a layout it would rewrite Docker's to
 * OCI's, which changes the image's digest and loses its health check. Layers it writes straight into the cache, each
 * under a name of its own until it is whole.
 */
#include <string.h>

#include "oci/source_internal.h"
#include "oci/tool.h"

#define PACKAGE "skopeo"

static void check_login(const struct oci_source *s, struct vl_error *err)
{
    bool denied = strstr(err->msg, "unauthorized") || strstr(err->msg, "denied") || strstr(err->msg, "401");

    if (denied && s->ref->transport == OCI_REGISTRY)
        (void)vl_wrap(err, "cannot get the image '%s' (is it private? `skopeo login %.*s` lets you in)", s->ref->text,
                      (int)strcspn(s->ref->name, "/"), s->ref->name);
    else
        (void)vl_wrap(err, "cannot get the image '%s'", s->ref->text);
}

/* As skopeo names it: `hex` is a document of that name, NULL what was asked for. */
static char *place(const struct oci_source *s, const char *hex)
{
    const struct oci_ref *ref = s->ref;

    if (ref->transport == OCI_DOCKER_ARCHIVE)
        return strf_new("docker-archive:%s%s%s", ref->name, ref->tag ? ":" : "", ref->tag ? ref->tag : "");
    if (hex) return strf_new("docker://%s@sha256:%s", ref->name, hex);
    return strf_new("docker://%s:%s", ref->name, ref->tag ? ref->tag : "latest");
}

static int inspect(const struct oci_source *s, const char *hex, bool config, char **ret, size_t *ret_len,
                   struct vl_error *err)
{
    auto_free char *from = place(s, hex);
    const char *argv[16] = {"skopeo", "--tmpdir", s->cache->work_path, "inspect", "--raw"};
    size_t n = 5;
    int r;

    if (!from) return vl_fail_errno(err, ENOMEM, "get the image");
    if (config) argv[n++] = "--config";
    if (s->ref->plain_http) argv[n++] = "--tls-verify=false";
    argv[n++] = "--";
    argv[n] = from;
    if ((r = tool_run(argv, PACKAGE, NULL, s->job, OCI_DOCUMENT_MAX, ret, ret_len, err)) < 0) check_login(s, err);
    return r;
}

/* Gives what it got, verified, and keeps it. */
static int keep(const struct oci_source *s, const char *hex, char *text, size_t len, struct vl_error *err)
{
    char found[SHA256_HEX + 1];

    sha256_text(text, len, found);
    if (hex && !str_eq(found, hex))
        return vl_fail(err, VL_INVALID, "asked for sha256:%s of '%s', got sha256:%s: the registry is not to be trusted",
                       hex, s->ref->text, found);
    return oci_cache_put(s->cache, found, text, len, err);
}

int fetch_top(struct oci_source *s, struct vl_error *err)
{
    int r;

    oci_job_say(s->job, "looking for %s", s->ref->text);
    if ((r = inspect(s, NULL, false, &s->top, &s->top_len, err)) < 0) return r;
    return keep(s, NULL, s->top, s->top_len, err);
}

int fetch_document(struct oci_source *s, const char *hex, char **ret, size_t *ret_len, struct vl_error *err)
{
    auto_free char *text = NULL;
    size_t len = 0;
    int r;

    if ((r = inspect(s, hex, false, &text, &len, err)) < 0) return r;
    if ((r = keep(s, hex, text, len, err)) < 0) return r;
    *ret = take_ptr(text);
    *ret_len = len;
    return 0;
}

int fetch_config(struct oci_source *s, char **ret, size_t *ret_len, struct vl_error *err)
{
    auto_free char *text = NULL;
    size_t len = 0;
    int r;

    if ((r = inspect(s, s->image.hex, true, &text, &len, err)) < 0) return r;
    if ((r = keep(s, s->image.config_hex, text, len, err)) < 0) return r;
    *ret = take_ptr(text);
    *ret_len = len;
    return 0;
}

int fetch_layers(struct oci_source *s, struct vl_error *err)
{
    auto_free char *from = place(s, s->image.hex), *to = strf_new("oci:%s/layout:image", s->cache->work_path);
    const char *argv[24] = {"skopeo",
                            "--tmpdir",
                            s->cache->work_path,
                            "--override-os",
                            "linux",
                            "--override-arch",
                            "amd64",
                            "copy",
                            "--quiet",
                            "--retry-times",
                            "2",
                            "--dest-oci-accept-uncompressed-layers",
                            "--dest-shared-blob-dir",
                            s->cache->blobs_path};
    size_t n = 14;
    int r;

    if (!from || !to) return vl_fail_errno(err, ENOMEM, "get the image");
    if (s->ref->plain_http) argv[n++] = "--src-tls-verify=false";
    argv[n++] = "--";
    argv[n++] = from;
    argv[n] = to;
    if ((r = tool_run(argv, PACKAGE, NULL, s->job, 0, NULL, NULL, err)) < 0) check_login(s, err);
    return r;
}
