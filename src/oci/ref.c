/* SPDX-License-Identifier: Apache-2.0 */
/* See ref.h. */
#include "oci/ref.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

#define ALLOWED                                                                                                        \
    "write a name as in a registry (docker.io/library/nginx:alpine), a folder (./layout), oci:FOLDER[:TAG], "          \
    "oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]"

void oci_ref_done(struct oci_ref *r)
{
    free(r->text);
    free(r->name);
    free(r->tag);
    *r = (struct oci_ref){0};
}

static int invalid(const char *text, const char *why, struct vl_error *err)
{
    char shown[128];

    (void)escape_printable(shown, sizeof(shown), text, strlen(text));
    return vl_fail(err, VL_INVALID, "the image '%s' %s: " ALLOWED, shown, why);
}

/* "@sha256:<hex>" at the end is cut off. */
static int take_digest(char *name, const char *text, struct oci_ref *ret, struct vl_error *err)
{
    char *at = strrchr(name, '@');

    if (!at) return 0;
    if (!str_starts(at + 1, "sha256:") || digest_parse(at + 1, ret->hex, NULL) < 0)
        return invalid(text, "has a digest that is not sha256: and 64 hexadecimal digits", err);
    *at = '\0';
    return 0;
}

static bool is_tag(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len <= 128 && *s != '-' && *s != '.' &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == '\0';
}

static bool is_loopback(const char *name)
{
    size_t len = strcspn(name, "/");
    char host[256];

    if (!name[len] || strf(host, sizeof(host), "%.*s", (int)len, name) < 0) return false;
    if (str_starts(host, "[::1]")) return true;
    host[strcspn(host, ":")] = '\0';
    if (str_eq(host, "localhost") && strpbrk(name, ":/")) return true;
    return str_starts(host, "127.") && host[strspn(host, "0123456789.")] == '\0';
}

static int parse_registry(const char *text, const char *name, struct oci_ref *ret, struct vl_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:[]";
    char *slash, *colon;
    int r;

    ret->transport = OCI_REGISTRY;
    if (str_starts(name, "docker://")) name += strlen("docker://");
    if (!(ret->name = strdup(name))) return vl_fail_errno(err, ENOMEM, "read '%s'", text);
    if ((r = take_digest(ret->name, text, ret, err)) < 0) return r;
    slash = strrchr(ret->name, '/');
    colon = strrchr(slash ? slash : ret->name, ':');
    if (colon) {
        if (!is_tag(colon + 1)) return invalid(text, "has a tag that no registry allows", err);
        if (!(ret->tag = strdup(colon + 1))) return vl_fail_errno(err, ENOMEM, "read '%s'", text);
        *colon = '\0';
    }
    if (!*ret->name || ret->name[strspn(ret->name, allowed)] ||
        !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789[", *ret->name) ||
        str_ends(ret->name, "/") || strstr(ret->name, "//"))
        return invalid(text, "is no name of an image", err);
    ret->plain_http = is_loopback(ret->name);
    return 0;
}

static int set_path(const char *text, const char *path, size_t len, const char *folder, struct oci_ref *ret,
                    struct vl_error *err)
{
    if (len == 0) return invalid(text, "names no file", err);
    ret->name = *path == '/' || str_eq(folder, ".") ? strf_new("%.*s", (int)len, path)
                                                    : strf_new("%s/%.*s", folder, (int)len, path);
    return ret->name ? 0 : vl_fail_errno(err, ENOMEM, "read '%s'", text);
}

/* PATH[:TAG][@DIGEST]; a path with a colon in it cannot be told from one with a tag. */
static int parse_path(const char *text, const char *rest, enum oci_transport transport, const char *folder,
                      struct oci_ref *ret, struct vl_error *err)
{
    auto_free char *path = strdup(rest);
    size_t len;
    int r;

    if (!path) return vl_fail_errno(err, ENOMEM, "read '%s'", text);
    ret->transport = transport;
    if (transport != OCI_DOCKER_ARCHIVE && (r = take_digest(path, text, ret, err)) < 0) return r;
    len = strcspn(path, ":");
    if (path[len] && !path[len + 1]) return invalid(text, "ends with ':' and no tag", err);
    if (path[len] && !(ret->tag = strdup(path + len + 1))) return vl_fail_errno(err, ENOMEM, "read '%s'", text);
    return set_path(text, path, len, folder, ret, err);
}

static int parse(const char *text, const char *folder, struct oci_ref *ret, struct vl_error *err)
{
    static const struct {
        const char *prefix;
        enum oci_transport transport;
    } kinds[] = {{"oci:", OCI_LAYOUT}, {"oci-archive:", OCI_ARCHIVE}, {"docker-archive:", OCI_DOCKER_ARCHIVE}};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_starts(text, kinds[i].prefix))
            return parse_path(text, text + strlen(kinds[i].prefix), kinds[i].transport, folder, ret, err);
    if (*text == '/' || str_starts(text, "./") || str_starts(text, "../") || str_eq(text, ".") || str_eq(text, ".."))
        return parse_path(text, text, OCI_LAYOUT, folder, ret, err);
    return parse_registry(text, text, ret, err);
}

int oci_ref_parse(const char *text, const char *folder, struct oci_ref *ret, struct vl_error *err)
{
    auto_oci_ref ref = {0};
    int r;

    if (!*text) return invalid(text, "is empty", err);
    if (strlen(text) > OCI_REF_MAX) return invalid(text, "is too long", err);
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) return invalid(text, "contains control characters", err);
    if (!(ref.text = strdup(text))) return vl_fail_errno(err, ENOMEM, "read '%s'", text);
    if ((r = parse(text, folder, &ref, err)) < 0) return r;
    *ret = ref;
    ref = (struct oci_ref){0};
    return 0;
}

char *oci_ref_plugin_name(const struct oci_ref *r)
{
    const char *slash = strrchr(r->name, '/'), *from = slash ? slash + 1 : r->name, *dot;
    char *name = strdup(from);

    if (!name) return NULL;
    if (r->transport != OCI_REGISTRY && (dot = strrchr(name, '.')) && dot != name) name[dot - name] = '\0';
    for (char *at = name; *at; at++) {
        if (*at >= 'A' && *at <= 'Z') *at = (char)(*at - 'A' + 'a');
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", *at)) *at = '-';
    }
    return name;
}

char *oci_ref_version(const struct oci_ref *r)
{
    const char *colon = r->tag ? strrchr(r->tag, ':') : NULL;

    if (r->tag) return strdup(colon ? colon + 1 : r->tag);
    return *r->hex ? strf_new("%.12s", r->hex) : strdup("latest");
}
