/* What the etcd client decides, as functions over values: whether an attempt is repeated, elsewhere or at all, how long
 * to wait, how large a page to ask for. Pure. */
#ifndef CFG_CONFIGD_ETCD_DECIDE_H
#define CFG_CONFIGD_ETCD_DECIDE_H

#include "proto/buf.h"

/* How one attempt of a request went. */
struct cfg_attempt {
    bool transported;   /* a complete HTTP reply has come */
    bool sent;          /* bytes of the request may have reached etcd */
    bool repeatable;    /* running it twice is the same as once */
    bool authenticated; /* it carried a token, and was not repeated with a fresh one yet */
    int code;           /* transported: 0 or what cfg_etcd_error_read said */
    const char *text;   /* that error's text; borrowed */
};

enum cfg_verdict {
    CFG_VERDICT_DONE,    /* hand the reply on */
    CFG_VERDICT_FAIL,    /* hand the error on */
    CFG_VERDICT_RETRY,   /* nothing happened or it does not matter: again, at the next endpoint */
    CFG_VERDICT_REAUTH,  /* again, with a new token */
    CFG_VERDICT_UNKNOWN, /* it may have happened: only the caller can find out */
};
enum cfg_verdict cfg_etcd_judge(const struct cfg_attempt *a);

/* True when an error says that the token is no longer good, in the words of etcd 3.4 to 3.6. */
bool cfg_etcd_token_refused(int code, const char *text);

/* Pause before try number `tries` (1 = first repetition) in ms: none while there are endpoints not yet tried, then
 * doubling up to half a second, spread by `random`. */
unsigned cfg_etcd_backoff_ms(unsigned tries, size_t n_endpoints, uint32_t random);

/* One attempt's share of the time that is left: a repeatable request must be able to reach another endpoint when the
 * first one accepts and never answers. */
uint64_t cfg_etcd_attempt_ms(uint64_t left_ms, uint64_t timeout_ms, size_t n_endpoints, bool repeatable);

/* Keys to ask for in the next page, from the last page's number of keys and bytes. */
int64_t cfg_etcd_page_limit(size_t last_n, size_t last_bytes);
enum { CFG_ETCD_FIRST_PAGE = 64, CFG_ETCD_MAX_PAGE = 1000, CFG_ETCD_PAGE_BYTES = 2 * 1024 * 1024 };

#endif
