#include "configd/embedded_child.h"
#include "configd/etcd_decide.h"

#include <criterion/criterion.h>

static enum cfg_verdict judge(bool transported, bool sent, bool repeatable, bool authenticated, int code,
                              const char *text)
{
    const struct cfg_attempt a = {transported, sent, repeatable, authenticated, code, text};
    return cfg_etcd_judge(&a);
}

Test(judge, what_was_never_sent_goes_elsewhere)
{
    cr_assert_eq(judge(false, false, true, false, 0, ""), CFG_VERDICT_RETRY);
    cr_assert_eq(judge(false, false, false, false, 0, ""), CFG_VERDICT_RETRY);
}

Test(judge, a_lost_reply_is_unknown_only_where_twice_is_not_once)
{
    cr_assert_eq(judge(false, true, true, false, 0, ""), CFG_VERDICT_RETRY);
    cr_assert_eq(judge(false, true, false, false, 0, ""), CFG_VERDICT_UNKNOWN);
    cr_assert_eq(judge(true, true, true, false, CFG_E_UNAVAILABLE, "etcd: etcdserver: request timed out"),
                 CFG_VERDICT_RETRY);
    cr_assert_eq(judge(true, true, false, false, CFG_E_UNAVAILABLE, "etcd: etcdserver: request timed out"),
                 CFG_VERDICT_UNKNOWN);
    cr_assert_eq(judge(true, true, false, false, CFG_E_TIMEOUT, ""), CFG_VERDICT_UNKNOWN);
}

Test(judge, a_refusal_before_the_proposal_is_definite)
{
    cr_assert_eq(judge(true, true, false, false, CFG_E_UNAVAILABLE, "etcd: etcdserver: no leader"), CFG_VERDICT_RETRY);
    cr_assert_eq(judge(true, true, false, false, CFG_E_UNAVAILABLE, "etcd: etcdserver: too many requests"),
                 CFG_VERDICT_RETRY);
}

Test(judge, answers_are_handed_on)
{
    cr_assert_eq(judge(true, true, false, true, 0, ""), CFG_VERDICT_DONE);
    cr_assert_eq(judge(true, true, false, false, CFG_E_LIMIT, "etcd: request is too large"), CFG_VERDICT_FAIL);
    cr_assert_eq(judge(true, true, true, true, CFG_E_STORE_FULL, ""), CFG_VERDICT_FAIL);
    cr_assert_eq(judge(true, true, true, false, CFG_E_COMPACTED, ""), CFG_VERDICT_FAIL);
}

Test(judge, a_token_is_renewed_once)
{
    const char *refused = "etcd: etcdserver: invalid auth token";
    cr_assert_eq(judge(true, true, false, true, CFG_E_UNAUTHORIZED, refused), CFG_VERDICT_REAUTH);
    cr_assert_eq(judge(true, true, false, false, CFG_E_UNAUTHORIZED, refused), CFG_VERDICT_FAIL);
    cr_assert_eq(judge(true, true, true, true, CFG_E_PROTOCOL, "etcd: etcdserver: revision of auth store is old"),
                 CFG_VERDICT_REAUTH);
}

Test(pace, other_endpoints_at_once_then_slower_with_spread)
{
    cr_assert_eq(cfg_etcd_backoff_ms(1, 3, 7), 0u);
    cr_assert_eq(cfg_etcd_backoff_ms(2, 3, 7), 0u);
    for (unsigned tries = 1; tries < 40; tries++) {
        unsigned low = cfg_etcd_backoff_ms(tries, 1, 0);
        for (uint32_t random = 0; random < 1000; random += 13) {
            unsigned ms = cfg_etcd_backoff_ms(tries, 1, random);
            cr_assert(ms >= low && ms <= 500, "try %u: %u ms", tries, ms);
        }
    }
    cr_assert_lt(cfg_etcd_backoff_ms(1, 1, UINT32_MAX), 26u);
    cr_assert_geq(cfg_etcd_backoff_ms(30, 1, 0), 250u);
}

Test(pace, a_repeatable_request_keeps_time_for_another_endpoint)
{
    cr_assert_eq(cfg_etcd_attempt_ms(5000, 5000, 1, true), 5000u);
    cr_assert_eq(cfg_etcd_attempt_ms(5000, 5000, 3, false), 5000u);
    cr_assert_eq(cfg_etcd_attempt_ms(5000, 5000, 2, true), 2500u);
    cr_assert_eq(cfg_etcd_attempt_ms(5000, 5000, 5, true), 1666u);
    cr_assert_eq(cfg_etcd_attempt_ms(400, 5000, 3, true), 400u);
}

Test(pages, follow_the_size_of_what_came)
{
    cr_assert_eq(cfg_etcd_page_limit(0, 0), CFG_ETCD_FIRST_PAGE);
    cr_assert_eq(cfg_etcd_page_limit(64, 64 * 100), CFG_ETCD_MAX_PAGE);
    cr_assert_eq(cfg_etcd_page_limit(64, 64 * 512 * 1024), 3);
    cr_assert_eq(cfg_etcd_page_limit(1, 100u * 1024 * 1024), 1);
}

Test(embedded, the_version_is_read_from_what_etcd_says)
{
    cr_assert_eq(cfg_child_version("etcd Version: 3.4.23\nGit SHA: x\n"), 3004u);
    cr_assert_eq(cfg_child_version("etcd Version: 3.6.0-rc.1\n"), 3006u);
    cr_assert_eq(cfg_child_version("WARNING\netcd Version: 3.5.1\n"), 3005u);
    cr_assert_eq(cfg_child_version("etcd Version: new"), 0u);
    cr_assert_eq(cfg_child_version(""), 0u);
}
