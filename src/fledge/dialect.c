/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The later dialect (contract 15.4 and 15.5): fledge.toml with version = "1", and manifest.toml beside it. Both become
 * one tree of the first dialect, so that everything behind this file knows one. What builders of that dialect fetched
 * from somewhere without checking it is refused here with what to write instead.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "config.h"
#include "fledge/config_keys.h"
#include "fledge/config_parts.h"
#include "oci/ref.h"

#define MANIFEST_FILE 1 /* of places */

struct translation {
    const struct config_text *from;
    struct config *c;
    struct toml_node *in, *manifest, *out; /* manifest NULL: there is no manifest.toml */
    bool failed;                           /* out of memory */
    struct vl_error *err;
};

bool dialect_is_v1(const struct toml_node *root)
{
    return !toml_get(root, "plugin") && (toml_get(root, "version") || toml_get(root, "strategy"));
}

/* --- making a tree ------------------------------------------------------------------------------------------------ */

/* A new item of a table or (key NULL) an array; a stand-in without memory. */
static struct toml_node *add(struct translation *t, struct toml_node *to, const char *key, enum toml_type type,
                             struct toml_place at)
{
    static struct toml_node lost;
    struct toml_node *more = reallocarray(to->items, to->n_items + 1, sizeof(*more)), *item;

    if (!more) {
        t->failed = true;
        lost = (struct toml_node){0};
        return &lost;
    }
    to->items = more;
    item = &more[to->n_items++];
    *item = (struct toml_node){.type = type, .at = at, .key_at = at};
    if (key && !(item->key = strdup(key))) t->failed = true;
    return item;
}

static void add_text(struct translation *t, struct toml_node *to, const char *key, const char *text,
                     struct toml_place at)
{
    struct toml_node *item = add(t, to, key, TOML_STRING, at);

    if (!(item->text = strdup(text))) t->failed = true;
    item->text_len = strlen(text);
}

static void add_bool(struct translation *t, struct toml_node *to, const char *key, struct toml_place at)
{
    add(t, to, key, TOML_BOOL, at)->number = 1;
}

/* The value of `from` becomes one of `to`, under another name perhaps; what was there is a number without meaning. */
static void move(struct translation *t, struct toml_node *from, struct toml_node *to, const char *key)
{
    struct toml_node *item = add(t, to, key, from->type, from->at);

    item->key_at = from->key_at;
    item->text = take_ptr(from->text);
    item->text_len = from->text_len;
    item->number = from->number;
    item->base = from->base;
    item->items = take_ptr(from->items);
    item->n_items = from->n_items;
    from->n_items = 0;
    from->type = TOML_INTEGER;
}

/* What is found may be changed: the tree is ours. */
static struct toml_node *get(struct toml_node *table, const char *key)
{
    return (struct toml_node *)toml_get(table, key);
}

static void move_key(struct translation *t, struct toml_node *from, const char *key, struct toml_node *to,
                     const char *as)
{
    struct toml_node *item = get(from, key);

    if (item) move(t, item, to, as);
}

static void move_keys(struct translation *t, struct toml_node *from, const char *const *keys, struct toml_node *to)
{
    for (; *keys; keys++)
        move_key(t, from, *keys, to, *keys);
}

static int refuse(struct translation *t, const struct toml_node *node, const char *fmt, ...) printf_(3, 4);

static int refuse(struct translation *t, const struct toml_node *node, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return config_fail(t->c, node->at, t->err, "%s", text);
}

/* --- fledge.toml -------------------------------------------------------------------------------------------------- */

/* The agent of this release is installed with fledge. Nothing is fetched that nobody has signed or named the sum of. */
static int take_agent(struct translation *t, bool rootfs)
{
    const struct toml_node *agent = toml_get(t->in, "agent"), *node, *source = toml_get(agent, "source_strategy");
    const char *strategy = source ? source->text : "release";

    if (!agent) return 0;
    if (toml_get(t->in, "init")) return refuse(t, agent, "agent: [init] does without one: remove one of the two");
    if (str_eq(strategy, "http"))
        return refuse(t, source,
                      "agent.source_strategy is \"http\": fledge fetches no agents. Fetch it yourself and "
                      "write \"local\" with path, or remove [agent]: one is installed with fledge");
    if (str_eq(strategy, "release")) {
        node = toml_get(agent, "version");
        if (!node || str_eq(node->text, "latest") || str_eq(node->text, VOLANT_VERSION) ||
            str_eq(node->text, "v" VOLANT_VERSION))
            return 0;
        return refuse(t, node,
                      "agent.version is \"%.60s\": the one that is installed with fledge is " VOLANT_VERSION
                      ". Remove it, or fetch the other and write source_strategy = \"local\" with path",
                      node->text);
    }
    if (rootfs)
        return refuse(t, source,
                      "agent.source_strategy is \"local\": VMs of a rootfs get their agent from the kernel "
                      "that is installed with it. Remove [agent]");
    if (!(node = toml_get(agent, "path"))) return refuse(t, agent, "agent.path is missing: add path = \"./kestrel\"");
    return string_set(&t->c->kestrel, node->text) < 0 ? -ENOMEM : 0;
}

static int take_source(struct translation *t, bool rootfs)
{
    static const char *const keys[] = {"image", "dockerfile", "context", "target", "build_args", NULL};
    struct toml_node *source = get(t->in, "source"), *initramfs, *url = get(source, "busybox_url");
    struct toml_place at = source ? source->at : t->in->at;
    bool any = false;

    if (url)
        return refuse(t, url,
                      "source.busybox_url is \"%.80s\": fledge fetches no programs. Remove it: the busybox of "
                      "this host is taken (Debian's package busybox-static), which busybox_sha256 can pin",
                      url->text);
    if (rootfs && (url = get(source, "busybox_sha256")))
        return refuse(t, url, "source.busybox_sha256 is of strategy = \"initramfs\": remove it");
    for (size_t i = 0; keys[i]; i++)
        any |= toml_get(source, keys[i]) != NULL;
    if (any || (rootfs && source)) move_keys(t, source, keys, add(t, t->out, "oci_source", TOML_TABLE, at));
    if (rootfs) return 0;
    initramfs = add(t, t->out, "initramfs", TOML_TABLE, at); /* that dialect never goes without it */
    add_bool(t, initramfs, "busybox", at);
    move_key(t, source, "busybox_sha256", initramfs, "busybox_sha256");
    return 0;
}

static bool is_zero(const struct toml_node *node)
{
    return node && node->type != TOML_STRING && node->number == 0;
}

static int take_filesystem(struct translation *t)
{
    static const char *const numbers[] = {"size_buffer_mb", "preallocate", "compression_level", NULL};
    struct toml_node *in = get(t->in, "filesystem"), *type = get(in, "type"), *node, *out;

    if (!in) return 0;
    if (type && (str_eq(type->text, "xfs") || str_eq(type->text, "btrfs")))
        return refuse(t, type,
                      "filesystem.type is \"%s\": such a file system takes root and a loop device to fill, and "
                      "the guest's kernel has none. Write \"ext4\", or \"squashfs\"",
                      type->text);
    if ((node = get(in, "overlay_size")))
        return refuse(t, node,
                      "filesystem.overlay_size is the VM's business: half of its memory, or a disk of its own "
                      "(volar vms create --disk-size). Remove it");
    out = add(t, t->out, "filesystem", TOML_TABLE, in->at);
    out->key_at = in->key_at;
    move_key(t, in, "type", out, "type");
    for (size_t i = 0; numbers[i]; i++) /* 0 and false mean what is left out */
        if (!is_zero(get(in, numbers[i]))) move_key(t, in, numbers[i], out, numbers[i]);
    return 0;
}

static void take_mappings(struct translation *t)
{
    struct toml_node *in = get(t->in, "mappings"), *out, *one;

    if (!in) return;
    out = add(t, t->out, "file_mappings", TOML_ARRAY, in->at);
    for (size_t i = 0; i < in->n_items; i++) {
        one = add(t, out, NULL, TOML_TABLE, in->items[i].key_at);
        add_text(t, one, "source", in->items[i].key, in->items[i].key_at);
        move(t, &in->items[i], one, "dest");
    }
}

static int check_mappings(struct translation *t)
{
    const struct toml_node *in = toml_get(t->in, "mappings");

    for (size_t i = 0; in && i < in->n_items; i++) {
        if (!*in->items[i].key) return config_fail(t->c, in->items[i].key_at, t->err, "mappings: a source is empty");
        if (!*in->items[i].text) return refuse(t, &in->items[i], "mappings: the destination of a source is empty");
    }
    return 0;
}

/* --- manifest.toml ------------------------------------------------------------------------------------------------ */

static int read_manifest(struct translation *t)
{
    struct toml_problem problem = {0};
    int r;

    if (!t->from->manifest) return 0;
    r = toml_parse_text(t->from->manifest, t->from->manifest_len, &t->manifest, &problem);
    problem.at.file = MANIFEST_FILE;
    if (r == -EINVAL) return config_fail(t->c, problem.at, t->err, "this is not TOML: %s", problem.text);
    if (r < 0) return vl_fail_errno(t->err, r, "read %s", t->from->manifest_file);
    toml_set_file(t->manifest, MANIFEST_FILE);
    return keys_check(t->from->manifest_file, v1_manifest_keys, t->manifest, t->err);
}

/* A name that a plugin may have. */
static void clean_name(char *name)
{
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c)) *c = '-';
    if (strlen(name) > 63) name[63] = '\0';
    if (*name == '.' || *name == '-' || *name == '_') *name = 'x';
}

/* Where no manifest.toml says it: of the image, or of the folder. */
static char *default_name(struct translation *t)
{
    const struct toml_node *image = toml_get(toml_get(t->in, "source"), "image");
    auto_free char *real = NULL;
    auto_oci_ref ref = {0};
    struct vl_error ignored;
    const char *slash;
    char *name;

    if (image && oci_ref_parse(image->text, t->from->folder, &ref, &ignored) == 0) return oci_ref_plugin_name(&ref);
    real = realpath(t->from->folder ? t->from->folder : ".", NULL);
    slash = real ? strrchr(real, '/') : NULL;
    if ((name = strdup(slash && slash[1] ? slash + 1 : "plugin"))) clean_name(name);
    return name;
}

static void take_identity(struct translation *t)
{
    static const char *const keys[] = {"name", "version", "runtime", NULL};
    struct toml_place at = t->manifest ? t->manifest->at : t->in->at;
    struct toml_node *plugin = add(t, t->out, "plugin", TOML_TABLE, at);
    auto_free char *name = NULL;

    move_key(t, t->in, "strategy", plugin, "strategy");
    if (t->manifest) {
        move_keys(t, t->manifest, keys, plugin);
        return;
    }
    if (!(name = default_name(t))) t->failed = true;
    add_text(t, plugin, "name", name ? name : "", at);
    add_text(t, plugin, "version", "1.0.0", at);
}

static int take_ports(struct translation *t, struct toml_node *workload)
{
    const struct toml_node *expose = toml_get(toml_get(t->manifest, "network"), "expose");
    struct toml_node *out;
    char text[40];

    if (!expose || expose->n_items == 0) return 0;
    out = add(t, workload, "exposed_ports", TOML_ARRAY, expose->at);
    for (size_t i = 0; i < expose->n_items; i++) {
        const struct toml_node *port = toml_get(&expose->items[i], "port");
        const struct toml_node *protocol = toml_get(&expose->items[i], "protocol");

        if (port->number > 65535)
            return refuse(t, port, "network.expose[%zu].port is %lld, allowed 1 to 65535", i, (long long)port->number);
        (void)strf(text, sizeof(text), "%d/%s", (int)port->number, protocol ? protocol->text : "tcp");
        add_text(t, out, NULL, text, port->at);
    }
    return 0;
}

static int take_workload(struct translation *t)
{
    struct toml_node *in = get(t->manifest, "workload"), *env = get(t->manifest, "env"), *program, *args, *out, *array;
    const struct toml_node *expose = toml_get(toml_get(t->manifest, "network"), "expose");
    static const char *const keys[] = {"workdir", "base_url", NULL};

    if (!in && !env && !expose) return 0;
    out = add(t, t->out, "workload", TOML_TABLE, in ? in->at : env ? env->at : expose->at);
    out->key_at = (in ? in : env ? env : expose)->key_at;
    program = get(in, "entrypoint");
    args = get(in, "args");
    if (args && !program)
        return refuse(t, args, "workload.args without entrypoint: add entrypoint = \"/usr/local/bin/program\"");
    if (program) {
        array = add(t, out, "entrypoint", TOML_ARRAY, program->at);
        move(t, program, array, NULL);
        for (size_t i = 0; args && i < args->n_items; i++)
            move(t, &args->items[i], array, NULL);
    }
    move_keys(t, in, keys, out);
    if (env) move(t, env, out, "env");
    return take_ports(t, out);
}

/* What this version has no use for goes into the manifest as it is, for one that has. */
static int take_extra(struct translation *t)
{
    static const char *const keys[] = {"network", "actions", "cloud_init", "devices", NULL};
    const struct toml_node *node;

    for (const char *const *key = keys; *key; key++) {
        if (!(node = toml_get(t->manifest, *key))) continue;
        if (!t->c->extra && !(t->c->extra = json_object())) return -ENOMEM;
        if (json_object_set_new(t->c->extra, *key, node_json(node)) < 0) return -ENOMEM;
    }
    return 0;
}

static int translate(struct translation *t)
{
    static const char *const whole[] = {"resources", "health_check", NULL};
    const struct toml_node *strategy;
    bool rootfs;
    int r;

    if ((r = keys_check(t->c->file, v1_keys, t->in, t->err)) < 0) return r;
    if ((r = check_mappings(t)) < 0) return r;
    if ((r = read_manifest(t)) < 0) return r;
    strategy = toml_get(t->in, "strategy");
    rootfs = str_eq(strategy->text, "oci_rootfs");
    if ((r = take_agent(t, rootfs)) < 0) return r;
    take_identity(t);
    if ((r = take_source(t, rootfs)) < 0) return r;
    if ((r = take_filesystem(t)) < 0) return r;
    move_key(t, t->in, "init", t->out, "init");
    take_mappings(t);
    if ((r = take_extra(t)) < 0) return r;
    if ((r = take_workload(t)) < 0) return r;
    move_keys(t, t->manifest, whole, t->out);
    return 0;
}

int dialect_translate(const struct config_text *from, struct config *c, struct vl_error *err)
{
    struct translation t = {.from = from, .c = c, .in = c->root, .err = err};
    int r;

    if (!(t.out = calloc(1, sizeof(*t.out)))) return vl_fail_errno(err, ENOMEM, "read %s", c->file);
    t.out->type = TOML_TABLE;
    t.out->at = c->root->at;
    r = translate(&t);
    toml_free(t.in);
    toml_free(t.manifest);
    c->root = t.out;
    if (r == -ENOMEM || (r == 0 && t.failed)) return vl_fail_errno(err, ENOMEM, "read %s", c->file);
    return r;
}
