/* SPDX-License-Identifier: Apache-2.0 */
/* See image.h. */
#include "oci/image.h"

#include <string.h>

#include "base/str.h"

#define OS           "linux"
#define ARCHITECTURE "amd64"
#define REF_NAME     "org.opencontainers.image.ref.name"

struct platform {
    char *architecture, *os;
};
struct descriptor {
    char *media_type, *digest;
    int64_t size;
    struct platform platform;
    struct strmap annotations;
};
struct index_doc {
    int64_t schema_version;
    struct objects manifests;
};
struct manifest_doc {
    int64_t schema_version;
    struct descriptor config;
    struct objects layers;
};
struct rootfs_doc {
    struct strv diff_ids;
};
struct settings {
    struct strv entrypoint, cmd, env;
    char *user, *workdir, *stop_signal, *volumes, *ports;
    struct strmap labels;
    struct oci_health health;
};
struct config_doc {
    char *architecture, *os, *created;
    struct settings config;
    struct rootfs_doc rootfs;
};

#define AT(type, member) offsetof(struct type, member)
static const struct field platform_fields[] = {
    {"architecture", FIELD_STRING, .offset = AT(platform, architecture), .max = 64},
    {"os", FIELD_STRING, .offset = AT(platform, os), .max = 64},
};
static const struct schema platform_schema = {"platform", sizeof(struct platform), platform_fields,
                                              ARRAY_LEN(platform_fields)};
static const struct field descriptor_fields[] = {
    {"mediaType", FIELD_STRING, .offset = AT(descriptor, media_type), .max = 255},
    {"digest", FIELD_STRING, FIELD_REQUIRED, .offset = AT(descriptor, digest), .max = 255},
    {"size", FIELD_INT, FIELD_REQUIRED, .offset = AT(descriptor, size), .min = 0, .max = 1LL << 40},
    {"platform", FIELD_OBJECT, .offset = AT(descriptor, platform), .sub = &platform_schema},
    {"annotations", FIELD_MAP, .offset = AT(descriptor, annotations)},
};
static const struct schema descriptor_schema = {"descriptor", sizeof(struct descriptor), descriptor_fields,
                                                ARRAY_LEN(descriptor_fields)};
static const struct field index_fields[] = {
    {"schemaVersion", FIELD_INT, .offset = AT(index_doc, schema_version), .min = 2, .max = 2, .def = 2},
    {"manifests", FIELD_OBJECTS, FIELD_REQUIRED, .offset = AT(index_doc, manifests), .max = 1000,
     .sub = &descriptor_schema},
};
static const struct schema index_schema = {"index", sizeof(struct index_doc), index_fields, ARRAY_LEN(index_fields)};
static const struct field manifest_fields[] = {
    {"schemaVersion", FIELD_INT, .offset = AT(manifest_doc, schema_version), .min = 2, .max = 2, .def = 2},
    {"config", FIELD_OBJECT, FIELD_REQUIRED, .offset = AT(manifest_doc, config), .sub = &descriptor_schema},
    {"layers", FIELD_OBJECTS, FIELD_REQUIRED, .offset = AT(manifest_doc, layers), .max = OCI_LAYERS_MAX,
     .sub = &descriptor_schema},
};
static const struct schema manifest_doc_schema = {"manifest", sizeof(struct manifest_doc), manifest_fields,
                                                  ARRAY_LEN(manifest_fields)};
static const struct field health_fields[] = {
    {"Test", FIELD_STRINGS, .offset = AT(oci_health, test)},
    {"Interval", FIELD_INT, .offset = AT(oci_health, interval), .min = 0, .max = INT64_MAX},
    {"Timeout", FIELD_INT, .offset = AT(oci_health, timeout), .min = 0, .max = INT64_MAX},
    {"StartPeriod", FIELD_INT, .offset = AT(oci_health, start_period), .min = 0, .max = INT64_MAX},
    {"Retries", FIELD_INT, .offset = AT(oci_health, retries), .min = 0, .max = INT64_MAX},
};
static const struct schema health_schema = {"Healthcheck", sizeof(struct oci_health), health_fields,
                                            ARRAY_LEN(health_fields)};
static const struct field settings_fields[] = {
    {"Entrypoint", FIELD_STRINGS, .offset = AT(settings, entrypoint)},
    {"Cmd", FIELD_STRINGS, .offset = AT(settings, cmd)},
    {"Env", FIELD_STRINGS, .offset = AT(settings, env)},
    {"User", FIELD_STRING, .offset = AT(settings, user), .max = 255},
    {"WorkingDir", FIELD_STRING, .offset = AT(settings, workdir), .max = OCI_PATH_MAX},
    {"StopSignal", FIELD_STRING, .offset = AT(settings, stop_signal), .max = 32},
    {"Volumes", FIELD_JSON, .offset = AT(settings, volumes), .max = 1 << 20},
    {"ExposedPorts", FIELD_JSON, .offset = AT(settings, ports), .max = 1 << 20},
    {"Labels", FIELD_MAP, .offset = AT(settings, labels)},
    {"Healthcheck", FIELD_OBJECT, .offset = AT(settings, health), .sub = &health_schema},
};
static const struct schema settings_schema = {"config", sizeof(struct settings), settings_fields,
                                              ARRAY_LEN(settings_fields)};
static const struct field rootfs_fields[] = {
    {"diff_ids", FIELD_STRINGS, FIELD_REQUIRED, .offset = AT(rootfs_doc, diff_ids), .max = OCI_LAYERS_MAX},
};
static const struct schema rootfs_doc_schema = {"rootfs", sizeof(struct rootfs_doc), rootfs_fields,
                                                ARRAY_LEN(rootfs_fields)};
static const struct field config_fields[] = {
    {"architecture", FIELD_STRING, FIELD_REQUIRED, .offset = AT(config_doc, architecture), .max = 64},
    {"os", FIELD_STRING, FIELD_REQUIRED, .offset = AT(config_doc, os), .max = 64},
    {"created", FIELD_STRING, .offset = AT(config_doc, created), .max = 64},
    {"config", FIELD_OBJECT, .offset = AT(config_doc, config), .sub = &settings_schema},
    {"rootfs", FIELD_OBJECT, FIELD_REQUIRED, .offset = AT(config_doc, rootfs), .sub = &rootfs_doc_schema},
};
static const struct schema config_doc_schema = {"config", sizeof(struct config_doc), config_fields,
                                                ARRAY_LEN(config_fields)};

static void index_doc_done(struct index_doc *d)
{
    schema_done(&index_schema, d);
}

static void manifest_doc_done(struct manifest_doc *d)
{
    schema_done(&manifest_doc_schema, d);
}

static void config_doc_done(struct config_doc *d)
{
    schema_done(&config_doc_schema, d);
}

void oci_image_done(struct oci_image *i)
{
    struct oci_config *c = &i->config;

    free(i->layers);
    free(i->architecture);
    free(i->os);
    free(i->created);
    strv_done(&c->entrypoint);
    strv_done(&c->cmd);
    strv_done(&c->env);
    strv_done(&c->volumes);
    strv_done(&c->exposed_ports);
    strv_done(&c->health.test);
    strmap_done(&c->labels);
    free(c->user);
    free(c->workdir);
    free(c->stop_signal);
    *i = (struct oci_image){0};
}

/* --- which document this is -------------------------------------------------------------------------------------- */

int oci_document_kind(const json_t *doc, const char *where, enum oci_document *ret, struct vl_error *err)
{
    bool lists = json_object_get(doc, "manifests"), is_image = json_object_get(doc, "layers");
    const char *type = json_string_value(json_object_get(doc, "mediaType"));
    char shown[QUOTED_SIZE];

    if (!json_is_object(doc)) return vl_fail(err, VL_INVALID, "%s is no JSON object", where);
    if (json_object_get(doc, "fsLayers") || json_integer_value(json_object_get(doc, "schemaVersion")) == 1)
        return vl_fail(err, VL_INVALID, "%s has Docker's schema 1, which was given up in 2017: push the image again",
                       where);
    if (lists && (is_image || json_object_get(doc, "config"))) /* CVE-2021-41190 */
        return vl_fail(err, VL_INVALID, "%s is index and image at once: such a document is refused", where);
    if (!lists && !is_image) return vl_fail(err, VL_INVALID, "%s is neither an index nor an image", where);
    if (type) {
        bool says_index = strstr(type, "index") || strstr(type, "manifest.list");

        if (!str_starts(type, "application/vnd.oci.image.") &&
            !str_starts(type, "application/vnd.docker.distribution."))
            return vl_fail(err, VL_INVALID, "%s has the media type %s: no image of OCI's or Docker's", where,
                           quoted(type, shown));
        if (says_index != lists)
            return vl_fail(err, VL_INVALID, "%s has the media type %s, and the content of another", where,
                           quoted(type, shown));
    }
    *ret = lists ? OCI_INDEX : OCI_MANIFEST;
    return 0;
}

static int check_digest(const struct descriptor *d, const char *what, char hex[static SHA256_HEX + 1],
                        struct vl_error *err)
{
    char shown[QUOTED_SIZE];

    if (!str_starts(d->digest, "sha256:"))
        return vl_fail(err, VL_INVALID, "%s has the digest %s, allowed: sha256:<hex>", what, quoted(d->digest, shown));
    return digest_parse(d->digest, hex, err);
}

/* Nothing said counts as ours: a layout of one image often says nothing. */
static bool fits(const struct platform *p)
{
    return (!p->os || str_eq(p->os, OS)) && (!p->architecture || str_eq(p->architecture, ARCHITECTURE));
}

static void list_platforms(const struct index_doc *index, char *buf, size_t size)
{
    size_t n = 0;

    (void)strf(buf, size, "nothing");
    for (size_t i = 0; i < index->manifests.len; i++) {
        const struct descriptor *d = (const struct descriptor *)index->manifests.items + i;
        const char *name = strmap_get(&d->annotations, REF_NAME);
        char one[160], shown[160];
        int r;

        (void)strf(one, sizeof(one), "%.40s%s%.40s/%.40s", name ? name : "", name ? " for " : "",
                   d->platform.os ? d->platform.os : "any",
                   d->platform.architecture ? d->platform.architecture : "any");
        (void)escape_printable(shown, sizeof(shown), one, strlen(one));
        if ((r = strf(buf + n, size - n, "%s%s", n ? ", " : "", shown)) < 0) return;
        n += (size_t)r;
    }
}

static bool is_meant(const struct descriptor *d, const char *name, const char *hex)
{
    const char *its = strmap_get(&d->annotations, REF_NAME);
    const char *tag = its ? strrchr(its, ':') : NULL; /* some write "docker.io/library/nginx:1" there */

    if (hex && !(str_starts(d->digest, "sha256:") && strcasecmp(d->digest + 7, hex) == 0)) return false;
    return !name || str_eq(its, name) || (tag && !strchr(tag, '/') && str_eq(tag + 1, name));
}

/* Variants of one image are listed with their platforms, different images with their names or with nothing. */
static bool are_two(const struct descriptor *a, const struct descriptor *b)
{
    const char *name_a = strmap_get(&a->annotations, REF_NAME), *name_b = strmap_get(&b->annotations, REF_NAME);

    if (str_eq(a->digest, b->digest)) return false;
    return !str_eq(name_a, name_b) || (!a->platform.os && !b->platform.os);
}

int oci_index_choose(const json_t *doc, const char *where, const char *name, const char *hex, struct oci_listed *ret,
                     struct vl_error *err)
{
    auto_(index_doc_done) struct index_doc index = {0};
    const struct descriptor *found = NULL;
    char all[240];
    int r;

    if ((r = schema_decode(&index_schema, doc, "", &index, NULL, err)) < 0) return vl_wrap(err, "%s", where);
    for (size_t i = 0; i < index.manifests.len; i++) {
        const struct descriptor *d = (const struct descriptor *)index.manifests.items + i;

        if (!is_meant(d, name, hex) || !fits(&d->platform)) continue;
        if (found && !name && !hex && are_two(found, d))
            return vl_fail(err, VL_INVALID, "%s holds several images: name one with :TAG or @DIGEST", where);
        if (!found || (!found->platform.os && d->platform.os)) found = d;
    }
    if (!found) {
        list_platforms(&index, all, sizeof(all));
        return vl_fail(err, VL_INVALID, "%s holds no image%s%s%s for " OS "/" ARCHITECTURE ", but: %s", where,
                       name || hex ? " '" : "",
                       name  ? name
                       : hex ? hex
                             : "",
                       name || hex ? "'" : "", all);
    }
    if ((r = check_digest(found, where, ret->hex, err)) < 0) return r;
    ret->size = (uint64_t)found->size;
    return 0;
}

/* --- the manifest ------------------------------------------------------------------------------------------------ */

static bool is_layer_type(const char *type)
{
    static const char *const types[] = {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    };
    static const char *const packings[] = {"", "+gzip", "+zstd", ".gzip", ".zstd"};

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        for (size_t j = 0; j < ARRAY_LEN(packings) && str_starts(type, types[i]); j++)
            if (str_eq(type + strlen(types[i]), packings[j])) return true;
    return false;
}

static int take_layer(const struct descriptor *d, size_t i, const char *where, struct oci_layer *ret,
                      struct vl_error *err)
{
    char shown[QUOTED_SIZE], what[160];

    (void)strf(what, sizeof(what), "%.100s: layers[%zu]", where, i);
    if (!d->media_type || !is_layer_type(d->media_type))
        return vl_fail(err, VL_INVALID, "%s has the media type %s, allowed: tar archives, plain, gzip or zstd", what,
                       quoted(d->media_type ? d->media_type : "", shown));
    if (d->size == 0) return vl_fail(err, VL_INVALID, "%s has no bytes: such an archive does not exist", what);
    ret->size = (uint64_t)d->size;
    return check_digest(d, what, ret->hex, err);
}

int oci_manifest_decode(const json_t *doc, const char *where, struct oci_image *ret, struct vl_error *err)
{
    auto_(manifest_doc_done) struct manifest_doc m = {0};
    auto_free struct oci_layer *layers = NULL;
    char shown[QUOTED_SIZE], config_hex[SHA256_HEX + 1];
    bool docker;
    int r;

    if ((r = schema_decode(&manifest_doc_schema, doc, "", &m, NULL, err)) < 0) return vl_wrap(err, "%s", where);
    docker = m.config.media_type && str_eq(m.config.media_type, "application/vnd.docker.container.image.v1+json");
    if (!docker && m.config.media_type && !str_eq(m.config.media_type, "application/vnd.oci.image.config.v1+json"))
        return vl_fail(err, VL_INVALID, "%s: config has the media type %s: this is no image that could be booted",
                       where, quoted(m.config.media_type, shown));
    if ((uint64_t)m.config.size > OCI_DOCUMENT_MAX)
        return vl_fail(err, VL_TOO_LARGE, "%s: config has %lld bytes, allowed %lu", where, (long long)m.config.size,
                       OCI_DOCUMENT_MAX);
    if ((r = check_digest(&m.config, where, config_hex, err)) < 0) return r;
    if (!(layers = calloc(m.layers.len + 1, sizeof(*layers)))) return vl_fail_errno(err, ENOMEM, "read %s", where);
    for (size_t i = 0; i < m.layers.len; i++)
        if ((r = take_layer((const struct descriptor *)m.layers.items + i, i, where, &layers[i], err)) < 0) return r;
    memcpy(ret->config_hex, config_hex, sizeof(config_hex));
    ret->config_size = (uint64_t)m.config.size;
    ret->config_is_docker = docker;
    ret->n_layers = m.layers.len;
    ret->layers = take_ptr(layers);
    return 0;
}

/* --- the configuration ------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* {"80/tcp": {}} to its keys. */
static int take_keys(const char *text, struct strv *ret, struct vl_error *err)
{
    json_auto_t *object = NULL;
    const char *key;
    json_t *value;
    int r;

    if (!text) return 0;
    if ((r = json_parse(text, strlen(text), "config", &object, err)) < 0) return r;
    json_object_foreach(object, key, value) if (strv_add(ret, key) < 0) return vl_fail_errno(err, ENOMEM,
                                                                                             "read config");
    if (ret->len > FIELD_ITEMS_MAX) return vl_fail(err, VL_TOO_LARGE, "more than %d entries", FIELD_ITEMS_MAX);
    if (ret->len > 1) qsort(ret->items, ret->len, sizeof(*ret->items), compare);
    return 0;
}

static int take_settings(struct settings *from, struct oci_config *to, struct vl_error *err)
{
    int r;

    if ((r = take_keys(from->volumes, &to->volumes, err)) < 0) return vl_wrap(err, "config.Volumes");
    if ((r = take_keys(from->ports, &to->exposed_ports, err)) < 0) return vl_wrap(err, "config.ExposedPorts");
    to->entrypoint = from->entrypoint;
    to->cmd = from->cmd;
    to->env = from->env;
    to->user = from->user;
    to->workdir = from->workdir;
    to->stop_signal = from->stop_signal;
    to->labels = from->labels;
    to->health = from->health;
    free(from->volumes);
    free(from->ports);
    *from = (struct settings){0};
    return 0;
}

static int take_diffs(const struct strv *diff_ids, const char *where, struct oci_image *image, struct vl_error *err)
{
    char shown[QUOTED_SIZE];
    int r;

    if (diff_ids->len != image->n_layers)
        return vl_fail(err, VL_INVALID,
                       "%s names %zu layers in rootfs.diff_ids, the manifest %zu: they belong to "
                       "different images",
                       where, diff_ids->len, image->n_layers);
    for (size_t i = 0; i < image->n_layers; i++) {
        if (!str_starts(diff_ids->items[i], "sha256:"))
            return vl_fail(err, VL_INVALID, "%s: rootfs.diff_ids[%zu] is %s, allowed: sha256:<hex>", where, i,
                           quoted(diff_ids->items[i], shown));
        if ((r = digest_parse(diff_ids->items[i], image->layers[i].diff_hex, err)) < 0)
            return vl_wrap(err, "%s: rootfs.diff_ids[%zu]", where, i);
    }
    return 0;
}

int oci_config_decode(const json_t *doc, const char *where, struct oci_image *image, struct vl_error *err)
{
    auto_(config_doc_done) struct config_doc c = {0};
    char os[QUOTED_SIZE], architecture[QUOTED_SIZE];
    int r;

    if ((r = schema_decode(&config_doc_schema, doc, "", &c, NULL, err)) < 0) return vl_wrap(err, "%s", where);
    if (!str_eq(c.os, OS) || !str_eq(c.architecture, ARCHITECTURE))
        return vl_fail(err, VL_INVALID, "the image is for %s on %s: VMs here need one for " OS "/" ARCHITECTURE,
                       quoted(c.os, os), quoted(c.architecture, architecture));
    if ((r = take_diffs(&c.rootfs.diff_ids, where, image, err)) < 0) return r;
    if ((r = take_settings(&c.config, &image->config, err)) < 0) return vl_wrap(err, "%s", where);
    image->os = take_ptr(c.os);
    image->architecture = take_ptr(c.architecture);
    image->created = take_ptr(c.created);
    return 0;
}
