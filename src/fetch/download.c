/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/download.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "config.h"
#include "fetch/address.h"

#define CONNECT_MS    10000L
#define REDIRECTS_MAX 5L
#define FAILURES_MAX  5  /* in a row, none of which brought anything */
#define ATTEMPTS_MAX  50 /* in all */
#define FIRST_WAIT_MS 200
#define WAIT_MAX_MS   30000

struct download {
    const struct download_options *options;
    CURL *curl;
    char host[256];  /* whom the URL names, for messages */
    uint64_t given;  /* bytes that were written */
    uint64_t skip;   /* of this answer: what was written before */
    int64_t total;   /* of the whole; -1: the server does not say */
    bool announced;  /* the first line was written */
    bool no_ranges;  /* the server does not go on where it broke off */
    bool led_inside; /* a redirect to where it may not lead */
    bool has_reach;
    enum reach reach; /* of the URL's own host */
    int written;      /* -errno of writing */
    char words[CURL_ERROR_SIZE];
};

/* --- what comes ------------------------------------------------------------------------------------------------------
 */

static int announce(struct download *d)
{
    curl_off_t size = -1;
    char line[32];

    if (d->announced) return 0;
    d->announced = true;
    (void)curl_easy_getinfo(d->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    d->total = size;
    (void)(size < 0 ? strf(line, sizeof(line), "-\n") : strf(line, sizeof(line), "%lld\n", (long long)size));
    return write_all(d->options->out_fd, line, strlen(line), d->options->deadline_ms);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct download *d = arg;
    size_t taken = n, again;
    long status = 0;

    (void)size; /* always 1 */
    (void)curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) return n; /* a page that goes with it, which nobody wants */
    again = d->skip < n ? (size_t)d->skip : n;
    d->skip -= again;
    data += again;
    n -= again;
    if ((d->written = announce(d)) == 0) d->written = write_all(d->options->out_fd, data, n, d->options->deadline_ms);
    if (d->written < 0) return 0;
    d->given += n;
    return taken;
}

/* Every connection begins here, those of redirects too. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct download *d = arg;
    enum reach to = address_reach(&a->addr);
    long redirects = 0;

    (void)purpose;
    (void)curl_easy_getinfo(d->curl, CURLINFO_REDIRECT_COUNT, &redirects);
    if (redirects == 0 && (!d->has_reach || to > d->reach)) d->reach = to;
    d->has_reach = true;
    d->led_inside = !reach_allowed(d->reach, to);
    return d->led_inside ? CURL_SOCKET_BAD : socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* --- one attempt ----------------------------------------------------------------------------------------------------
 */

static void set_up(struct download *d)
{
    const struct download_options *o = d->options;
    CURL *c = d->curl;

    (void)curl_easy_setopt(c, CURLOPT_URL, o->url);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    (void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(c, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    (void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "volant/" VOLANT_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)o->stall_s);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, d->words);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, d);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, d);
}

static CURLcode attempt(struct download *d)
{
    uint64_t from = d->no_ranges ? 0 : d->given;

    d->skip = d->given - from;
    d->words[0] = '\0';
    d->led_inside = false;
    /* libcurl takes no answer that begins elsewhere: CURLE_RANGE_ERROR. */
    (void)curl_easy_setopt(d->curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)from);
    (void)curl_easy_setopt(d->curl, CURLOPT_TIMEOUT_MS, (long)deadline_left(d->options->deadline_ms) + 1);
    return curl_easy_perform(d->curl);
}

static bool may_pass(CURLcode code, long status)
{
    switch (code) {
    case CURLE_HTTP_RETURNED_ERROR:
        return status == 408 || status == 425 || status == 429 || status >= 500;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_OUT_OF_MEMORY:
        return false;
    default:
        return true;
    }
}

static int failed(const struct download *d, CURLcode code, long status, struct vl_error *err)
{
    enum vl_kind kind = may_pass(code, status) ? VL_UNAVAILABLE : VL_INVALID;
    const char *remedy = kind == VL_INVALID ? "correct the url" : "try again later";

    if (d->written < 0) return vl_fail_errno(err, d->written, "hand over what %s sends", d->host);
    if (d->led_inside)
        return vl_fail(err, VL_INVALID,
                       "%s leads to an address that may not be asked: link-local, or one further inside this site than "
                       "the url's own: correct the url",
                       d->host);
    if (code == CURLE_HTTP_RETURNED_ERROR)
        return vl_fail(err, kind, "%s answered with status %ld: %s", d->host, status, remedy);
    if (code == CURLE_OK)
        return vl_fail(err, VL_INVALID, "%s answered with status %ld: correct the url", d->host, status);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        remedy = "its certificate is not trusted: mend it, or add its authority to this host's";
    return vl_fail(err, kind, "%s, after %llu bytes: %s: %s", d->host, (unsigned long long)d->given,
                   *d->words ? d->words : curl_easy_strerror(code), remedy);
}

/* 1: all is there; 0: it is to be tried again. */
static int judge(struct download *d, CURLcode code, long status, struct vl_error *err)
{
    if (code == CURLE_OK && (status == 200 || status == 206)) {
        if ((d->written = announce(d)) < 0) return failed(d, code, status, err); /* of an empty one */
        if (d->total < 0 || d->given == (uint64_t)d->total) return 1;
        return failed(d, CURLE_PARTIAL_FILE, status, err);
    }
    if (d->announced && d->total >= 0 && d->given == (uint64_t)d->total) return 1;
    if (d->written < 0 || d->led_inside || code == CURLE_OK) return failed(d, code, status, err);
    if (code == CURLE_RANGE_ERROR || (status == 416 && d->given > 0)) {
        if (d->no_ranges) return failed(d, code, status, err);
        d->no_ranges = true;
        return 0;
    }
    (void)failed(d, code, status, err); /* the last word, if no other attempt follows */
    return may_pass(code, status) ? 0 : -EIO;
}

/* Doubles with each failure; a server that says when it may be asked again is obeyed, within reason. */
static int64_t wait_after(const struct download *d, int failures)
{
    int64_t ms = (int64_t)FIRST_WAIT_MS << (failures - 1);
    curl_off_t said_s = 0;

    if (curl_easy_getinfo(d->curl, CURLINFO_RETRY_AFTER, &said_s) == CURLE_OK && said_s * 1000 > ms) ms = said_s * 1000;
    return ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS;
}

static int run(struct download *d, struct vl_error *err)
{
    int failures = 0, r;

    for (int n = 0; n < ATTEMPTS_MAX; n++) {
        uint64_t before = d->given;
        CURLcode code = attempt(d);
        long status = 0;
        int64_t ms;

        (void)curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
        if ((r = judge(d, code, status, err)) != 0) return r < 0 ? r : 0;
        failures = d->given > before ? 1 : failures + 1;
        if (code == CURLE_RANGE_ERROR || status == 416) continue;
        ms = wait_after(d, failures);
        if (failures >= FAILURES_MAX || mono_ms() + ms >= d->options->deadline_ms) break;
        pause_ms(ms);
    }
    return -EIO; /* the last failure is in err */
}

static int name_host(struct download *d, struct vl_error *err)
{
    CURLU *u = curl_url();
    char *host = NULL;
    int r = 0;

    if (!u || curl_url_set(u, CURLUPART_URL, d->options->url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        r = vl_fail(err, VL_INVALID, "the url cannot be read: write http://HOST/... or https://HOST/...");
    else
        (void)escape_printable(d->host, sizeof(d->host), host, strlen(host));
    curl_free(host);
    curl_url_cleanup(u);
    return r;
}

int download(const struct download_options *o, struct vl_error *err)
{
    struct download d = {.options = o, .total = -1};
    int r;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(d.curl = curl_easy_init()))
        return vl_fail_errno(err, ENOMEM, "libcurl");
    if ((r = name_host(&d, err)) == 0) {
        set_up(&d);
        r = run(&d, err);
    }
    curl_easy_cleanup(d.curl);
    return r;
}
