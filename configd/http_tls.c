/* TLS towards clients: one context per certificate, 1.2 and newer, no renegotiation. */
#include "configd/http_internal.h"

#include <openssl/err.h>
#include <time.h>

static int tls_fail(struct cfg_error *err, const char *what, const char *file)
{
    unsigned long e = ERR_peek_error(); /* the first says why: a missing file is followed by "system lib" */
    const char *reason = ERR_SYSTEM_ERROR(e) ? strerrordesc_np(ERR_GET_REASON(e)) : ERR_reason_error_string(e);
    (void)cfg_fail(err, CFG_E_IO, "%s %s: %s", what, file, reason ? reason : "cannot be read");
    ERR_clear_error();
    return CFG_E_IO;
}

int cfg_tls_context(SSL_CTX **out, const char *cert, const char *key, struct cfg_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for a TLS context");
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* thousands of idle streams */
    int rc = 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        rc = tls_fail(err, "the TLS certificate", cert);
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        rc = tls_fail(err, "the TLS key", key);
    else if (SSL_CTX_check_private_key(ctx) != 1)
        rc = tls_fail(err, "the TLS key does not belong to the certificate:", key);
    if (rc != 0) {
        SSL_CTX_free(ctx);
        return rc;
    }
    *out = ctx;
    return 0;
}

int64_t cfg_tls_expiry(const SSL_CTX *ctx)
{
    struct tm tm;
    const X509 *certificate = SSL_CTX_get0_certificate(ctx);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm);
}
