#include "configd/etcd_decide.h"

#include <string.h>

bool cfg_etcd_token_refused(int code, const char *text)
{
    return code == CFG_E_UNAUTHORIZED || strstr(text, "invalid auth token") || strstr(text, "revision of auth store");
}

/* Refused before it was proposed to the cluster, so even a transaction may go elsewhere. */
static bool surely_refused(const char *text)
{
    return strstr(text, "no leader") || strstr(text, "too many requests");
}

enum cfg_verdict cfg_etcd_judge(const struct cfg_attempt *a)
{
    if (!a->transported) {
        if (!a->sent || a->repeatable)
            return CFG_VERDICT_RETRY;
        return CFG_VERDICT_UNKNOWN;
    }
    if (a->code == 0)
        return CFG_VERDICT_DONE;
    if (a->authenticated && cfg_etcd_token_refused(a->code, a->text))
        return CFG_VERDICT_REAUTH;
    switch (a->code) {
    case CFG_E_UNAVAILABLE:
    case CFG_E_TIMEOUT:
        return a->repeatable || surely_refused(a->text) ? CFG_VERDICT_RETRY : CFG_VERDICT_UNKNOWN;
    default:
        return CFG_VERDICT_FAIL;
    }
}

unsigned cfg_etcd_backoff_ms(unsigned tries, size_t n_endpoints, uint32_t random)
{
    if (tries < n_endpoints)
        return 0;
    size_t round = tries / n_endpoints;
    unsigned ceiling = round > 5 ? 500 : 25u << (round - 1);
    return ceiling / 2 + random % (ceiling / 2 + 1);
}

uint64_t cfg_etcd_attempt_ms(uint64_t left_ms, uint64_t timeout_ms, size_t n_endpoints, bool repeatable)
{
    if (!repeatable || n_endpoints < 2)
        return left_ms;
    uint64_t share = timeout_ms / (n_endpoints < 3 ? n_endpoints : 3);
    return share < left_ms ? share : left_ms;
}

int64_t cfg_etcd_page_limit(size_t last_n, size_t last_bytes)
{
    if (last_n == 0 || last_bytes == 0)
        return CFG_ETCD_FIRST_PAGE;
    size_t per_key = last_bytes / last_n + 1;
    size_t limit = CFG_ETCD_PAGE_BYTES / per_key;
    return limit < 1 ? 1 : limit > CFG_ETCD_MAX_PAGE ? CFG_ETCD_MAX_PAGE : (int64_t)limit;
}
