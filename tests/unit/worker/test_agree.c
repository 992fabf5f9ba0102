/* The agreement: its words, its decisions one by one, and all interleavings of three ranks. */
#include "agree_model.h"

#include <criterion/criterion.h>
#include <string.h>

static struct cfg_agree a[2];

static void start_at(int64_t rev)
{
    int64_t words[CFG_AGREE_WORDS] = {INT64_MAX, rev, -rev, 100, -100};
    for (uint32_t i = 0; i < 2; i++) {
        cfg_agree_init(&a[i], i, 2);
        cr_assert_eq(cfg_form_result(&a[i], rev, words).next, CFG_FORM_FORMED);
    }
}

/* One round of both; both conclude the same. */
static struct cfg_agree_outcome both(uint64_t step0, uint64_t step1, int64_t now0, int64_t now1)
{
    int64_t x[CFG_AGREE_WORDS], y[CFG_AGREE_WORDS];
    cfg_agree_round(&a[0], step0, now0, x);
    cfg_agree_round(&a[1], step1, now1, y);
    for (int i = 0; i < CFG_AGREE_WORDS; i++) {
        x[i] = x[i] < y[i] ? x[i] : y[i];
    }
    struct cfg_agree_outcome o = cfg_agree_result(&a[0], x), p = cfg_agree_result(&a[1], x);
    cr_assert(o.verdict == p.verdict && o.rev == p.rev && o.why == p.why && o.rank == p.rank && o.other == p.other);
    return o;
}

static void prepared(int rank, int64_t rev, int64_t digest)
{
    cfg_agree_prepared(&a[rank], (struct cfg_agree_view){rev, digest});
}

Test(agree, revisions_are_ordered_words)
{
    struct cfg_rev in[] = {{0, 1}, {0, 7}, {1, 1}, {1, ((uint64_t)1 << 48) - 1}, {2, 0}, {32767, 9}};
    for (size_t i = 0; i < 6; i++) {
        struct cfg_rev back = cfg_agree_unpack(cfg_agree_pack(in[i]));
        cr_assert_eq(cfg_rev_cmp(in[i], back), 0);
        cr_assert(i == 0 || cfg_agree_pack(in[i - 1]) < cfg_agree_pack(in[i]));
    }
    cr_assert_eq(cfg_agree_pack((struct cfg_rev){0, 0}), 0);
    cr_assert_eq(cfg_agree_pack((struct cfg_rev){32768, 0}), -1);
    cr_assert_eq(cfg_agree_pack((struct cfg_rev){1, (uint64_t)1 << 48}), -1);
}

Test(agree, a_digest_is_its_first_bits)
{
    cr_assert_eq(cfg_agree_digest("sha256:ffffffffffffffff00"), INT64_MAX);
    cr_assert_eq(cfg_agree_digest("sha256:0000000000000002"), 1);
    cr_assert_eq(cfg_agree_digest("sha256:00000000000000"), 0);
    cr_assert_eq(cfg_agree_digest("md5:0000000000000002"), 0);
    cr_assert_eq(cfg_agree_digest(""), 0);
}

Test(agree, named_then_adopted_by_all)
{
    start_at(5);
    prepared(0, 9, 33);
    struct cfg_agree_outcome o = both(1, 1, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_NAMED && o.rev == 9);
    cr_assert(a[0].ready == CFG_AGREE_READY && a[1].ready == CFG_AGREE_LACKING);
    o = both(2, 2, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_STAY && o.waiting_for == 1);
    prepared(1, 12, 44); /* newer news do not replace the candidate */
    o = both(3, 3, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_STAY && a[1].pending.rev == 9);
    prepared(1, 9, 33);
    cr_assert_eq(a[1].newest.rev, 12);
    o = both(4, 4, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_ADOPT && o.rev == 9 && a[0].applied == 9 && a[1].applied == 9);
    o = both(5, 5, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_NAMED && o.rev == 12);
}

Test(agree, a_refusal_drops_for_good_and_names_the_rank)
{
    start_at(5);
    prepared(0, 9, 33);
    (void)both(1, 1, 0, 0);
    cfg_agree_refuse(&a[1], 8); /* another one */
    cr_assert_eq(a[1].ready, CFG_AGREE_LACKING);
    cfg_agree_refuse(&a[1], 9);
    prepared(1, 9, 33); /* too late */
    struct cfg_agree_outcome o = both(2, 2, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_DROP && o.rev == 9 && o.why == CFG_AGREE_WHY_REFUSED && o.rank == 1);
    cr_assert_eq(a[0].applied, 5);
    cr_assert_eq(both(3, 3, 0, 0).verdict, CFG_AGREE_STAY); /* 9 is still rank 0's newest */
    prepared(0, 10, 1);
    cr_assert_eq(both(4, 4, 0, 0).rev, 10);
}

Test(agree, one_revision_with_two_digests_names_both_ranks)
{
    start_at(5);
    prepared(0, 9, INT64_MAX - 5);
    prepared(1, 9, 33);
    (void)both(1, 1, 0, 0);
    struct cfg_agree_outcome o = both(2, 2, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_DROP && o.why == CFG_AGREE_WHY_DIGEST && o.rank == 1 && o.other == 0);
    cr_assert(a[0].applied == 5 && a[1].applied == 5);
}

Test(agree, ranks_at_different_steps_end_the_incarnation)
{
    start_at(5);
    struct cfg_agree_outcome o = both(18, 17, 0, 0);
    cr_assert(o.verdict == CFG_AGREE_FAIL && o.why == CFG_AGREE_WHY_STEP);
    cr_assert(o.rank == 1 && o.low == 17 && o.other == 0 && o.high == 18);
    cr_assert(a[0].phase == CFG_AGREE_ENDED && a[1].phase == CFG_AGREE_ENDED && a[0].applied == 5);
}

Test(agree, words_corrupted_on_the_way_end_the_incarnation)
{
    int64_t words[CFG_AGREE_WORDS];
    start_at(5);
    cfg_agree_round(&a[0], 1, 0, words);
    words[1] = 4;
    struct cfg_agree_outcome o = cfg_agree_result(&a[0], words);
    cr_assert(o.verdict == CFG_AGREE_FAIL && o.why == CFG_AGREE_WHY_CANDIDATE);
}

Test(agree, time_is_the_latest_clock_and_never_falls)
{
    start_at(5);
    (void)both(1, 1, 1000, 1003);
    cr_assert(a[0].now_s == 1003 && a[1].now_s == 1003);
    (void)both(2, 2, 990, 1001);
    cr_assert(a[0].now_s == 1003 && a[1].now_s == 1003);
}

static struct cfg_form_outcome offers(struct cfg_agree_view x, int64_t print_x, struct cfg_agree_view y,
                                      int64_t print_y)
{
    int64_t u[CFG_AGREE_WORDS], v[CFG_AGREE_WORDS];
    cfg_form_offer(&a[0], x, print_x, u);
    cfg_form_offer(&a[1], y, print_y, v);
    for (int i = 0; i < CFG_AGREE_WORDS; i++) {
        u[i] = u[i] < v[i] ? u[i] : v[i];
    }
    return cfg_form_offered(&a[0], u);
}

Test(agree, forming_shares_the_greatest_and_never_goes_back)
{
    const struct cfg_agree_view none = {0, 0}, five = {5, 1}, nine = {9, 2}, four = {4, 3};
    start_at(5);
    struct cfg_form_outcome o = offers(five, 7, nine, 7);
    cr_assert(o.next == CFG_FORM_SHARE && o.rev == 9);
    cr_assert_eq(offers(five, 7, nine, 8).next, CFG_FORM_DIFFERS);
    cr_assert_eq(offers(four, 7, none, 7).next, CFG_FORM_BELOW);
    cfg_agree_init(&a[0], 0, 2);
    cfg_agree_init(&a[1], 1, 2);
    cr_assert_eq(offers(none, 7, none, 7).next, CFG_FORM_NOTHING);
}

/* --- all interleavings --- */

static struct model_report explore(struct model_options o)
{
    struct model_report r;
    model_explore(&r, &o);
    cr_log_info("%u states, %u edges, %u adoptions: %s", r.states, r.edges, r.adoptions, r.violation);
    return r;
}

static void hold(struct model_options o, bool adopts)
{
    struct model_report r = explore(o);
    cr_assert_str_empty(r.violation, "%s", r.violation);
    cr_assert(r.states > 5000, "%u states", r.states);
    cr_assert(adopts ? r.adoptions > 100 : r.adoptions == 0, "%u adoptions", r.adoptions);
}

Test(agree_all, every_interleaving_holds)
{
    hold((struct model_options){.revisions = 3, .refuser = -1, .odd = -1}, true);
}

Test(agree_all, with_results_read_a_round_later)
{
    hold((struct model_options){.revisions = 3, .lagged = true, .refuser = -1, .odd = -1}, true);
}

Test(agree_all, with_a_rank_that_refuses)
{
    hold((struct model_options){.revisions = 2, .refuser = 1, .refused = 2, .odd = -1}, false);
    hold((struct model_options){.revisions = 3, .lagged = true, .refuser = 0, .refused = 2, .odd = -1}, true);
}

Test(agree_all, with_a_corrupted_digest)
{
    hold((struct model_options){.revisions = 2, .refuser = -1, .odd = 1}, false);
}

Test(agree_all, with_a_cache_lost)
{
    hold((struct model_options){.revisions = 2, .cache_lost = true, .refuser = -1, .odd = -1}, true);
}

/* A machine that is broken on purpose is found, or the exploration proves nothing. */
Test(agree_all, broken_machines_are_found)
{
    static const struct {
        enum model_sabotage how;
        const char *found;
    } rows[] = {
        {MODEL_ADOPTS_EARLY, "another revision"},
        {MODEL_FORGETS_REFUSAL, "refuses"},
        {MODEL_FORMS_ALONE, "another revision"},
        {MODEL_NEVER_FETCHES, "no progress"},
    };
    for (size_t i = 0; i < 4; i++) {
        struct model_report r = explore((struct model_options){.revisions = 3,
                                                               .refuser = rows[i].how == MODEL_FORGETS_REFUSAL ? 0 : -1,
                                                               .refused = 2,
                                                               .odd = -1,
                                                               .sabotage = rows[i].how});
        cr_assert(strstr(r.violation, rows[i].found) != NULL, "%d: \"%s\"", (int)rows[i].how, r.violation);
    }
}
