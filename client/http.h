/* What every request of this library has in common: libcurl made ready once, options of a handle, headers, and curl's
 * failures in our words. Thread-safe (a handle belongs to one thread). */
#ifndef CFG_CLIENT_HTTP_H
#define CFG_CLIENT_HTTP_H

#include "client/target.h"
#include <curl/curl.h>

/* curl_global_init, once per process. CFG_E_INTERNAL. */
CFG_MUST_CHECK int cfg_http_global(struct cfg_error *err);
/* Sets a fresh or reset handle up for `server` of t and `path`: URL, TLS, no signals, no proxy, no redirects. errbuf
 * holds CURL_ERROR_SIZE bytes and outlives the transfer. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_http_prepare(CURL *easy, const struct cfg_target *t, size_t server, const char *path,
                                    char *errbuf, struct cfg_error *err);
/* Authorization or Configd-User. The list is returned-owned (curl_slist_free_all); NULL without memory. */
struct curl_slist *cfg_http_headers(const struct cfg_target *t);
/* Appends one header to *list, which stays valid on failure. CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_http_add_header(struct curl_slist **list, const char *name, const char *value);
/* *err for a transfer that failed: CFG_E_CONNECT (nothing was sent), CFG_E_TIMEOUT, CFG_E_PROTOCOL (no HTTP), else
 * CFG_E_UNAVAILABLE (the connection broke). Returns the code. */
int cfg_http_fail(struct cfg_error *err, CURLcode code, const char *errbuf, const char *server);
/* Whether a request that ended so can have reached a server. */
bool cfg_http_reached(CURLcode code);
uint64_t cfg_http_now_ms(void); /* monotonic */
uint64_t cfg_http_random(void); /* from the kernel */

#endif
