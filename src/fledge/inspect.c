/* SPDX-License-Identifier: Apache-2.0 */
/* `fledge inspect`: what an image is and says, without its layers; or what a manifest that was built says. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/str.h"
#include "fledge/command.h"
#include "fledge/image_config.h"
#include "model/manifest.h"
#include "oci/source.h"

static bool as_json;
const struct opt inspect_opts[] = {
    {"json", 0, OPT_FLAG, NULL, "As JSON, for scripts", 0, 0, &as_json},
    GLOBAL,
    {0},
};

static json_t *layers_json(const struct oci_image *image)
{
    json_t *array = json_array();

    for (size_t i = 0; i < image->n_layers; i++)
        (void)json_array_append_new(array, json_pack("{s:o, s:o, s:I}", "digest",
                                                     json_sprintf("sha256:%s", image->layers[i].hex), "diff_id",
                                                     json_sprintf("sha256:%s", image->layers[i].diff_hex), "size",
                                                     (json_int_t)image->layers[i].size));
    return array;
}

/* {"image", "image_digest", "platform", "layers", "workload", ...} */
static int inspect_image(const char *reference, json_t **ret, struct vl_error *err)
{
    const struct oci_job job = {.stop = &cli_stop};
    auto_(oci_cache_closep) struct oci_cache *cache = NULL;
    auto_(oci_source_closep) struct oci_source *source = NULL;
    auto_oci_ref ref = {0};
    json_auto_t *j = NULL;
    const struct oci_image *image;
    const char *config;
    int r;

    if ((r = oci_ref_parse(reference, ".", &ref, err)) < 0) return r;
    if ((r = oci_cache_open(NULL, &cache, err)) < 0) return r;
    if ((r = oci_source_open(cache, &ref, &job, &source, err)) < 0) return r;
    if ((r = oci_source_config(source, &config, err)) < 0) return r;
    image = oci_source_image(source);
    if ((r = image_config_json(image, reference, &j, err)) < 0) return r;
    if (json_object_set_new(j, "layers", layers_json(image)) < 0 ||
        json_object_set_new(j, "platform", json_sprintf("%s/%s", image->os, image->architecture)) < 0 ||
        (image->created && json_object_set_new(j, "created", json_string(image->created)) < 0))
        return vl_fail_errno(err, ENOMEM, "inspect");
    *ret = take_ptr(j);
    return 0;
}

static int inspect_manifest(const char *file, json_t **ret, struct vl_error *err)
{
    auto_free char *text = NULL;
    size_t len;
    int r = read_file_at(AT_FDCWD, file, MANIFEST_MAX, &text, &len);

    return r < 0 ? vl_fail_errno(err, r, "read %s", file) : json_parse(text, len, file, ret, err);
}

static void print_text(const char *name, const json_t *value)
{
    auto_free char *text =
        json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    auto_strbuf shown = {0};

    if (!text) return;
    strbuf_add_printable(&shown, text, strlen(text));
    (void)printf("%-14s %s\n", name, shown.data ? shown.data : "");
}

static void print_layers(const json_t *layers)
{
    json_int_t total = 0;
    char size[24];
    const json_t *layer;
    size_t i;

    json_array_foreach(layers, i, layer)
    {
        json_int_t bytes = json_integer_value(json_object_get(layer, "size"));

        cli_size((uint64_t)bytes, size);
        (void)printf("%-14s %.19s %10s\n", i ? "" : "layers", json_string_value(json_object_get(layer, "digest")),
                     size);
        total += bytes;
    }
    cli_size((uint64_t)total, size);
    (void)printf("%-14s %zu layers, %s to fetch\n", "", json_array_size(layers), size);
}

static void print(json_t *j)
{
    const char *key, *part;
    json_t *value, *of;

    json_object_foreach(j, key, value)
    {
        if (str_eq(key, "layers") && json_is_array(value)) {
            print_layers(value);
        } else if (str_eq(key, "workload") && json_is_object(value)) {
            json_object_foreach(value, part, of)
            {
                print_text(part, of);
            }
        } else {
            print_text(key, value);
        }
    }
}

int command_inspect(void *ctx, int argc, char *const *argv)
{
    json_auto_t *j = NULL;
    auto_free char *text = NULL;
    struct vl_error err = {0};
    const char *what = NULL;
    int code, r;

    if ((code = cli_parse(ctx, argc, argv, &what)) >= 0) return code;
    if (!what) return cli_report("name an image, or a manifest.json that was built: fledge inspect IMAGE", EXIT_MISUSE);
    r = str_ends(what, ".json") ? inspect_manifest(what, &j, &err) : inspect_image(what, &j, &err);
    if (r < 0) return cli_report(err.msg, EXIT_FAILED);
    if (!as_json) {
        print(j);
    } else {
        if (!(text = json_dumps(j, JSON_INDENT(2)))) return cli_report("out of memory", EXIT_FAILED);
        (void)printf("%s\n", text);
    }
    return EXIT_DONE;
}
