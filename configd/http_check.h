/* What the edge checks before a handler runs: where it may listen, Host, Origin, content type. Pure.
 *
 * A web page that a browser on this machine shows can send requests to a loopback daemon. It cannot set Host, cannot
 * hide Origin on anything that writes, and cannot send JSON content types without asking (OPTIONS, never granted). */
#ifndef CFG_CONFIGD_HTTP_CHECK_H
#define CFG_CONFIGD_HTTP_CHECK_H

#include "configd/http.h"

struct cfg_listen {
    char host[256]; /* without brackets; "" never */
    uint16_t port;
    bool loopback; /* nothing but this machine can reach it */
    bool wildcard; /* 0.0.0.0 or :: */
};
/* "127.0.0.1:7117", "[::1]:0", "localhost:7117", ":7117" (every address), "7117" (loopback). CFG_E_INVALID. */
CFG_MUST_CHECK int cfg_listen_parse(struct cfg_listen *out, const char *text, struct cfg_error *err);
/* Beyond loopback only with TLS and tokens: CFG_E_FORBIDDEN with the options to add in the hint. */
CFG_MUST_CHECK int cfg_listen_check(const struct cfg_listen *l, bool tls, bool tokens, struct cfg_error *err);

/* The names a Host header may hold. All borrowed. */
struct cfg_hosts {
    const struct cfg_listen *listen;
    const char *const *allowed; /* --allowed-host, without ports */
    size_t n_allowed;
    const char *advertised; /* host of --advertise, or NULL */
};
/* host: the header's value, NULL when absent. A loopback name, the listen host, an allowed name; while listening on
 * every address also any IP literal, since a page can rebind names only. CFG_E_INVALID when absent or malformed,
 * CFG_E_ORIGIN for another name. */
CFG_MUST_CHECK int cfg_check_host(const struct cfg_hosts *h, const char *host, struct cfg_error *err);
/* origin: the header's value, NULL when absent (no browser, or a browser's plain read). CFG_E_ORIGIN. */
CFG_MUST_CHECK int cfg_check_origin(const char *origin, const char *host, bool tls, struct cfg_error *err);
/* coding: the value of Content-Encoding, NULL when absent. CFG_E_MEDIA_TYPE for any but identity. */
CFG_MUST_CHECK int cfg_check_coding(const char *coding, struct cfg_error *err);
/* accepted: the route's enum cfg_body bits. *kind is the bit found, 0 for a request without body. application/json on a
 * route that takes merge patches is one. CFG_E_MEDIA_TYPE naming what is taken. */
CFG_MUST_CHECK int cfg_check_body(unsigned *kind, unsigned accepted, const char *content_type, size_t body_len,
                                  struct cfg_error *err);

#endif
