/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate and key that TCP is served with: PEM files, checked before anybody connects. */
#pragma once
#include "base/error.h"

/* Of GnuTLS, which libmicrohttpd uses: TLS 1.2 and 1.3. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

struct tls {
    char *cert, *key; /* as the files have them; the key is wiped by tls_done */
};
/*
 * VL_INVALID names the file and what is wrong with it: it cannot be read, is no PEM, has expired, wants a password,
 * does not belong to the other one, or the key is open to every user of this host. Blocking.
 */
int tls_load(const char *cert_path, const char *key_path, struct tls *ret, struct vl_error *err);
void tls_done(struct tls *t);
