/* SPDX-License-Identifier: Apache-2.0 */
#include "volantd/tls.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/str.h"

#define FILE_MAX (256ul * 1024)

DEFINE_AUTO(BIO *, BIO_free)
DEFINE_AUTO(X509 *, X509_free)
DEFINE_AUTO(EVP_PKEY *, EVP_PKEY_free)

void tls_done(struct tls *t)
{
    if (t->key) OPENSSL_cleanse(t->key, strlen(t->key));
    free(t->key);
    free(t->cert);
    *t = (struct tls){0};
}

static int read_pem(const char *path, const char *what, char **ret, struct vl_error *err)
{
    size_t len;
    int r = read_file_at(AT_FDCWD, path, FILE_MAX, ret, &len);

    if (r < 0) return vl_fail(err, VL_INVALID, "cannot read the %s %s: %s", what, path, vl_strerror(r));
    if (strlen(*ret) != len) return vl_fail(err, VL_INVALID, "the %s %s is no PEM file", what, path);
    return 0;
}

static int check_mode(const char *path, struct vl_error *err)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO))
        return vl_fail(err, VL_INVALID, "the key %s is open to every user of this host: chmod o= it", path);
    return 0;
}

/* Nobody is there to be asked for a password. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return 0;
}

static int check_pair(const struct tls *t, const char *cert_path, const char *key_path, struct vl_error *err)
{
    auto_(BIO_freep) BIO *cert_bio = BIO_new_mem_buf(t->cert, -1), *key_bio = BIO_new_mem_buf(t->key, -1);
    auto_(X509_freep) X509 *cert = cert_bio ? PEM_read_bio_X509(cert_bio, NULL, NULL, NULL) : NULL;
    auto_(EVP_PKEY_freep) EVP_PKEY *key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, no_password, NULL) : NULL;

    if (!cert) return vl_fail(err, VL_INVALID, "the certificate %s is no PEM file of one", cert_path);
    if (!key) return vl_fail(err, VL_INVALID, "the key %s is no PEM file of one without a password", key_path);
    if (X509_check_private_key(cert, key) != 1)
        return vl_fail(err, VL_INVALID, "the key %s does not belong to the certificate %s", key_path, cert_path);
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        return vl_fail(err, VL_INVALID, "the certificate %s has expired: renew it", cert_path);
    return 0;
}

int tls_load(const char *cert_path, const char *key_path, struct tls *ret, struct vl_error *err)
{
    auto_(tls_done) struct tls t = {0};
    int r;

    if ((r = read_pem(cert_path, "certificate", &t.cert, err)) < 0 || (r = check_mode(key_path, err)) < 0 ||
        (r = read_pem(key_path, "key", &t.key, err)) < 0 || (r = check_pair(&t, cert_path, key_path, err)) < 0)
        return r;
    *ret = t;
    t = (struct tls){0};
    return 0;
}
