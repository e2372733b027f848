/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6455 section 4: from an HTTP request to a WebSocket. Who may ask is for access.c, which looks at every request.
 */
#include <openssl/evp.h>
#include <string.h>

#include "volantd/websocket.h"

#define KEY_LEN 24 /* base64 of 16 bytes */

int ws_accept_key(const char *key, char ret[static 32])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[EVP_MAX_MD_SIZE], nonce[KEY_LEN];
    char text[KEY_LEN + sizeof(guid)];
    unsigned n = 0;

    if (strlen(key) != KEY_LEN || !str_ends(key, "==") || EVP_DecodeBlock(nonce, (const void *)key, KEY_LEN) < 0)
        return -EINVAL;
    if (strf(text, sizeof(text), "%s%s", key, guid) < 0 ||
        EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL) != 1)
        return -EINVAL;
    (void)EVP_EncodeBlock((unsigned char *)ret, digest, (int)n);
    return 0;
}

/* Whether a header that lists tokens has this one. */
static bool lists(const char *header, const char *token)
{
    size_t n = strlen(token);

    while (header && *header) {
        size_t len;

        header += strspn(header, " \t,");
        len = strcspn(header, " \t,;");
        if (len == n && strncasecmp(header, token, n) == 0) return true;
        header += strcspn(header, ",");
    }
    return false;
}

bool ws_requested(struct api_req *req)
{
    const char *key = api_req_header(req, "Sec-WebSocket-Key"), *version = api_req_header(req, "Sec-WebSocket-Version");
    char accept[32];

    if (!str_eq(req->method, "GET") || !lists(api_req_header(req, "Upgrade"), "websocket") ||
        !lists(api_req_header(req, "Connection"), "upgrade")) {
        api_header(req, "Upgrade", "websocket");
        (void)api_error(req, 426, "this is a WebSocket: ask with Connection: Upgrade and Upgrade: websocket");
    } else if (!version || !str_eq(version, "13")) {
        api_header(req, "Sec-WebSocket-Version", "13");
        (void)api_error(req, 426, "the header Sec-WebSocket-Version is not 13");
    } else if (!key || ws_accept_key(key, accept) < 0) {
        (void)api_error(req, 400, "the header Sec-WebSocket-Key is not 16 bytes in base64");
    } else {
        return true;
    }
    return false;
}

enum api_end ws_accept(struct api_req *req, const struct api_upgrade *upgrade, struct vl_error *err)
{
    char accept[32] = "";

    if (ws_accept_key(api_req_header(req, "Sec-WebSocket-Key"), accept) < 0) {
        vl_fail(err, VL_INTERNAL, "WebSocket handshake");
        return API_FAILED;
    }
    api_header(req, "Upgrade", "websocket");
    api_header(req, "Sec-WebSocket-Accept", accept);
    req->reply.status = 101;
    req->reply.upgrade = upgrade;
    return API_DONE;
}
