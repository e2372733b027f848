/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest on the web: got with bounds, its media's relative URLs made absolute. volantd gets the media themselves.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/manifest.h"
#include "volar/manifest_file.h"

#define CONNECT_MS    10000L
#define GET_MS        60000L
#define REDIRECTS_MAX 5L

bool is_web_url(const char *s)
{
    return strncasecmp(s, "http://", 7) == 0 || strncasecmp(s, "https://", 8) == 0;
}

static bool is_secure(const char *url)
{
    return strncasecmp(url, "https://", 8) == 0;
}

struct page {
    struct strbuf text;
    bool too_large;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct page *p = arg;

    (void)size; /* always 1 */
    p->too_large = p->text.len + n > MANIFEST_MAX;
    if (p->too_large) return 0;
    strbuf_add(&p->text, data, n);
    return n;
}

static void set_up(CURL *c, struct page *p, char *words)
{
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    (void)curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "volar");
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, GET_MS);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, words);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, p);
}

static int failed(CURL *c, CURLcode code, const struct page *p, const char *words, struct vl_error *err)
{
    long status = 0;

    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (p->too_large)
        return vl_fail(err, VL_INVALID, "it has more than %lu bytes: name the .manifest.json of `fledge build`",
                       MANIFEST_MAX);
    if (code == CURLE_HTTP_RETURNED_ERROR || code == CURLE_OK)
        return vl_fail(err, VL_INVALID, "the server answered with status %ld: correct the url%s", status,
                       status >= 500 ? ", or try again later" : "");
    return vl_fail(err, VL_UNAVAILABLE, "%s: correct the url, or try again later",
                   *words ? words : curl_easy_strerror(code));
}

/* *ret_url: what it was got from in the end, after redirects. */
static int get(CURL *c, const char *url, struct page *p, char **ret_url, struct vl_error *err)
{
    char words[CURL_ERROR_SIZE] = "", *from = NULL;
    CURLcode code;
    long status = 0;

    set_up(c, p, words);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    /* What it says of its media's checksums is believed: https is not led into the clear. */
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, is_secure(url) ? "https" : "http,https");
    code = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) return failed(c, code, p, words, err);
    (void)curl_easy_getinfo(c, CURLINFO_EFFECTIVE_URL, &from);
    if (p->text.failed || !from || !(*ret_url = strdup(from))) return vl_fail_errno(err, ENOMEM, "get it");
    return 0;
}

/* --- URLs --------------------------------------------------------------------------------------------------------- */

/*
 * `url` as it is meant beside `base` (NULL: it is absolute), without user and password: they are for the manifest's
 * server, and what comes of this is stored. The caller's; NULL: it is none.
 */
static char *resolve(const char *base, const char *url)
{
    CURLU *u = curl_url();
    char *text = NULL, *ret = NULL;

    if (u && (!base || curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK) &&
        (!base || curl_url_set(u, CURLUPART_USER, NULL, 0) == CURLUE_OK) &&
        (!base || curl_url_set(u, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK) &&
        curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
        ret = strdup(text);
    curl_free(text);
    curl_url_cleanup(u);
    return ret;
}

/* For messages: neither user nor password nor query, which may be a signature. */
static char *shown(const char *url)
{
    static const CURLUPart secrets[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLU *u = curl_url();
    char *text = NULL, *ret = NULL;

    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
        for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
            (void)curl_url_set(u, secrets[i], NULL, 0);
        if (curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK) ret = strdup(text);
    }
    curl_free(text);
    curl_url_cleanup(u);
    return ret;
}

/* Absolute paths and file:// mean the host's files, which volantd judges: nothing of this machine's is read for a page.
 */
static int settle_url(json_t *manifest, const char *key, const char *base, struct vl_error *err)
{
    json_t *medium = json_object_get(manifest, key);
    const char *url = json_string_value(json_object_get(medium, "url"));
    auto_free char *full = NULL;

    if (!url || !*url || *url == '/' || strstr(url, "://")) return 0;
    if (!(full = resolve(base, url)))
        return vl_fail(err, VL_INVALID, "%s.url '%.80s' cannot be resolved against the manifest's: correct it", key,
                       url);
    return json_object_set_new(medium, "url", json_string(full)) < 0 ? vl_fail_errno(err, ENOMEM, "manifest") : 0;
}

static int decode(const char *what, const char *base, const struct page *p, struct manifest_file *m,
                  struct vl_error *err)
{
    auto_manifest decoded = {0};
    int r;

    if ((r = json_parse(p->text.data ? p->text.data : "", p->text.len, what, &m->json, err)) < 0) return r;
    if ((r = settle_url(m->json, "initramfs", base, err)) < 0 || (r = settle_url(m->json, "rootfs", base, err)) < 0)
        return vl_wrap(err, "%s", what);
    if ((r = manifest_decode(m->json, what, &decoded, NULL, NULL, err)) < 0) return r;
    (void)strf(m->name, sizeof(m->name), "%s", decoded.name);
    (void)strf(m->version, sizeof(m->version), "%s", decoded.version);
    m->remote = true;
    return 0;
}

int manifest_url_read(const char *url, struct manifest_file *ret, struct vl_error *err)
{
    auto_manifest_file m = {.fd = -1};
    auto_free char *from = NULL, *what = NULL;
    struct page p = {0};
    CURL *c = NULL;
    int r;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(c = curl_easy_init()))
        return vl_fail_errno(err, ENOMEM, "libcurl");
    if (!(what = shown(url)))
        r = vl_fail(err, VL_INVALID,
                    "the url of the manifest cannot be read: write http://HOST/... or https://HOST/...");
    else if ((r = get(c, url, &p, &from, err)) < 0)
        (void)vl_wrap(err, "get the manifest %s", what);
    else
        r = decode(what, from, &p, &m, err);
    curl_easy_cleanup(c);
    strbuf_done(&p.text);
    if (r < 0) return r;
    *ret = m;
    m = (struct manifest_file){.fd = -1};
    return 0;
}
