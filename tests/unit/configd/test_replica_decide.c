#include "configd/replica_decide.h"

#include <criterion/criterion.h>
#include <string.h>

static struct cfg_slice text(const char *s)
{
    return cfg_slice_str(s);
}

Test(machine, only_the_drawn_moves_are_allowed)
{
    static const struct {
        enum cfg_replica_state from;
        const char *to; /* first letters of the allowed ones */
    } rows[] = {
        {CFG_REPLICA_STARTING, "lf"},      {CFG_REPLICA_LISTING, "Lrf"}, {CFG_REPLICA_LIVE, "rlf"},
        {CFG_REPLICA_RECONNECTING, "Llf"}, {CFG_REPLICA_FOREIGN, "Ll"},
    };
    static const char letters[] = "slLrf";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int to = 0; to < 5; to++)
            cr_assert_eq(cfg_replica_may_move(rows[i].from, (enum cfg_replica_state)to),
                         strchr(rows[i].to, letters[to]) != NULL, "%s to %s", cfg_replica_state_name(rows[i].from),
                         cfg_replica_state_name((enum cfg_replica_state)to));
    cr_assert_str_eq(cfg_replica_state_name((enum cfg_replica_state)9), "unknown");
}

Test(meta, round_trip_and_raise_keep_everything_else)
{
    struct cfg_store_identity id = {"00ff", 3, 0}, back;
    struct cfg_buf b;
    struct cfg_error err;
    cfg_buf_init(&b, 1024);
    cfg_replica_meta_print(&b, &id);
    cr_assert_eq(cfg_replica_meta_read(&back, cfg_buf_slice(&b), &err), 0, "%s", err.text);
    cr_assert_str_eq(back.store_id, "00ff");
    cr_assert_eq(back.epoch, 3u);
    cfg_buf_clear(&b);
    const char *restoring = "{\"store_id\":\"00ff\",\"epoch\":3,\"format\":1,\"restoring\":{\"by\":\"x\"}}";
    cr_assert_eq(cfg_replica_meta_raise(&b, text(restoring), 7, &err), 0);
    cr_assert_str_eq(b.data, "{\"store_id\":\"00ff\",\"epoch\":7,\"format\":1,\"restoring\":{\"by\":\"x\"}}");
    cfg_buf_finish(&b);
}

Test(meta, what_cannot_be_read_is_foreign)
{
    static const char *const bad[] = {
        "",
        "{}",
        "nonsense",
        "{\"store_id\":\"\",\"epoch\":1,\"format\":1}",
        "{\"store_id\":\"xyz\",\"epoch\":1,\"format\":1}",
        "{\"store_id\":\"aa\",\"epoch\":0,\"format\":1}",
        "{\"store_id\":\"aa\",\"format\":1}",
        "{\"store_id\":\"aa\",\"epoch\":1}",
        "{\"store_id\":\"aa\",\"epoch\":1,\"format\":2}",
        "{\"store_id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"epoch\":1,\"format\":1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cfg_store_identity id;
        struct cfg_error err;
        cr_assert_eq(cfg_replica_meta_read(&id, text(bad[i]), &err), CFG_E_FOREIGN_STORE, "%s", bad[i]);
    }
}

static const struct cfg_replica_known fresh = {.revision = 0};
static const struct cfg_replica_known settled = {.identity = {"aa", 2, 10}, .complete = true, .revision = 100};

static struct cfg_replica_seen seen(const char *id, uint64_t epoch, uint64_t meta_mod, int64_t revision)
{
    struct cfg_replica_seen s = {.revision = revision, .meta_present = true, .newest = CFG_EVIDENCE_SAME};
    s.meta.epoch = epoch;
    s.meta.mod_revision = meta_mod;
    (void)strncpy(s.meta.store_id, id, sizeof s.meta.store_id - 1);
    return s;
}

Test(continuity, a_first_contact)
{
    struct cfg_replica_seen nothing = {.revision = 1, .live_empty = true};
    cr_assert_eq(cfg_replica_decide(&fresh, &nothing), CFG_STEP_INITIALISE);
    nothing.live_empty = false;
    cr_assert_eq(cfg_replica_decide(&fresh, &nothing), CFG_STEP_FOREIGN, "data of unknown origin");
    struct cfg_replica_seen some = seen("bb", 5, 3, 50);
    cr_assert_eq(cfg_replica_decide(&fresh, &some), CFG_STEP_LIST);
}

Test(continuity, empty_or_foreign_never_replaces_good)
{
    struct cfg_replica_seen nothing = {.revision = 1, .live_empty = true};
    cr_assert_eq(cfg_replica_decide(&settled, &nothing), CFG_STEP_FOREIGN);
    struct cfg_replica_seen other = seen("bb", 2, 10, 100);
    cr_assert_eq(cfg_replica_decide(&settled, &other), CFG_STEP_FOREIGN);
    other = seen("bb", 9, 300, 1000);
    cr_assert_eq(cfg_replica_decide(&settled, &other), CFG_STEP_FOREIGN, "whatever its epoch");
}

Test(continuity, resumes_only_where_all_is_as_it_was)
{
    struct cfg_replica_seen s = seen("aa", 2, 10, 100);
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_RESUME);
    s.revision = 5000;
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_RESUME);
    s.newest = CFG_EVIDENCE_COMPACTED;
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_LIST);
    s.newest = CFG_EVIDENCE_DIFFERENT;
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_RAISE, "another history at that place");
    s = seen("aa", 2, 10, 99);
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_RAISE, "a revision never falls by itself");
    s = seen("aa", 1, 4, 200);
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_RAISE, "nor does an epoch");
    s = seen("aa", 2, 9, 200);
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_RAISE, "nor meta/store's revision");
    s = seen("aa", 2, 150, 200);
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_LIST, "meta/store has changed meanwhile");
    s = seen("aa", 3, 150, 20);
    cr_assert_eq(cfg_replica_decide(&settled, &s), CFG_STEP_LIST, "raised by another: its revisions count anew");
    struct cfg_replica_known half = settled;
    half.complete = false;
    s = seen("aa", 2, 10, 100);
    cr_assert_eq(cfg_replica_decide(&half, &s), CFG_STEP_LIST);
}

Test(continuity, the_newest_write_is_compared_by_place_and_bytes)
{
    struct cfg_replica_newest put = {.known = true, .mod_revision = 7}, gone = {.known = true, .is_delete = true};
    cr_assert_eq(cfg_digest_bytes(put.digest, text("value")), 0);
    struct cfg_etcd_kv kv = {.value = text("value"), .mod_revision = 7};
    cr_assert_eq(cfg_replica_compare(&put, &kv), CFG_EVIDENCE_SAME);
    kv.mod_revision = 6;
    cr_assert_eq(cfg_replica_compare(&put, &kv), CFG_EVIDENCE_DIFFERENT);
    kv = (struct cfg_etcd_kv){.value = text("valuf"), .mod_revision = 7};
    cr_assert_eq(cfg_replica_compare(&put, &kv), CFG_EVIDENCE_DIFFERENT);
    cr_assert_eq(cfg_replica_compare(&put, NULL), CFG_EVIDENCE_DIFFERENT);
    cr_assert_eq(cfg_replica_compare(&gone, NULL), CFG_EVIDENCE_SAME);
    cr_assert_eq(cfg_replica_compare(&gone, &kv), CFG_EVIDENCE_DIFFERENT);
}

Test(tokens, ahead_of_a_linearizable_read_means_the_store_went_back)
{
    struct cfg_replica_seen s = seen("aa", 2, 10, 100);
    const struct cfg_store_identity *id = &settled.identity;
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){2, 100}, &s), CFG_TOKEN_FINE);
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){1, 900}, &s), CFG_TOKEN_FINE, "an older epoch");
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){2, 101}, &s), CFG_TOKEN_RAISE);
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){3, 1}, &s), CFG_TOKEN_RAISE);
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){2 + CFG_REPLICA_EPOCH_SLACK + 1, 1}, &s), CFG_TOKEN_FINE,
                 "never given out by this store");
    s.meta.epoch = 3;
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){3, 1}, &s), CFG_TOKEN_CHECK, "raised already");
    s.meta_present = false;
    cr_assert_eq(cfg_replica_judge_token(id, (struct cfg_rev){2, 200}, &s), CFG_TOKEN_CHECK);
}

Test(tokens, the_next_epoch_is_above_all)
{
    cr_assert_eq(cfg_replica_next_epoch(2, 1, 0), 3u);
    cr_assert_eq(cfg_replica_next_epoch(1, 4, 2), 5u);
    cr_assert_eq(cfg_replica_next_epoch(1, 2, 9), 10u);
}

Test(level, means_nothing_newer_and_as_many)
{
    cr_assert(cfg_replica_is_level(0, 5, 5));
    cr_assert_not(cfg_replica_is_level(1, 5, 5));
    cr_assert_not(cfg_replica_is_level(0, 4, 5), "a delete has not come yet");
}
