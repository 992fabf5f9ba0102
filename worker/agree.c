/* The agreement. See agree.h for the drawing. */
#include "worker/agree.h"
#include <string.h>

#define NONE INT64_MAX /* contributes nothing to a MIN */

enum {
    EPOCH_BITS = 15,
    REVISION_BITS = 48,
    VALUE_BITS = 63 - CFG_AGREE_RANK_BITS, /* of a value with its rank beside it */
    RANK_MASK = CFG_AGREE_RANKS_MAX - 1,
};

/* The words of a round. All ranks must agree in PENDING_*, STEP_*; the others are minima and (negated) maxima. */
enum word {
    NEWEST_MAX,
    PENDING_MIN,
    PENDING_MAX,
    READY_MIN,
    REFUSER,
    LACKER,
    DIGEST_MIN,
    DIGEST_MAX,
    DIGEST_LOW,  /* its first bits, with the rank: who holds the smallest */
    DIGEST_HIGH, /* and the greatest */
    STEP_LOW,    /* with the rank */
    STEP_HIGH,
    NOW_MAX,
    WORDS
};

/* The words of the rounds of forming: their own sets, from zero. */
enum form_word { OFFER_MAX, FLOOR_MAX, PRINT_MIN, PRINT_MAX };
enum verdict_word { UNABLE, SHARED_MIN, SHARED_MAX, VERDICT_DIGEST_MIN, VERDICT_DIGEST_MAX };

_Static_assert((int)WORDS <= (int)CFG_AGREE_WORDS, "a round is too small");

int64_t cfg_agree_pack(struct cfg_rev r)
{
    if (r.epoch >= (uint64_t)1 << EPOCH_BITS || r.revision >= (uint64_t)1 << REVISION_BITS) {
        return -1;
    }
    return (int64_t)(r.epoch << REVISION_BITS | r.revision);
}

struct cfg_rev cfg_agree_unpack(int64_t packed)
{
    uint64_t p = (uint64_t)packed;
    return (struct cfg_rev){p >> REVISION_BITS, p & (((uint64_t)1 << REVISION_BITS) - 1)};
}

int64_t cfg_agree_digest(const char *digest)
{
    static const char prefix[] = "sha256:";
    uint64_t v = 0;
    if (strncmp(digest, prefix, sizeof prefix - 1) != 0) {
        return 0;
    }
    const char *p = digest + sizeof prefix - 1;
    for (int i = 0; i < 16; i++) {
        char c = p[i];
        unsigned d =
            c >= '0' && c <= '9' ? (unsigned)(c - '0') : (c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16);
        if (d == 16) {
            return 0;
        }
        v = v << 4 | d;
    }
    return (int64_t)(v >> 1);
}

/* The value's greatest bits are kept (digests), or its least (steps): the caller shifts. */
static int64_t beside(uint64_t value, uint32_t rank)
{
    uint64_t kept = value & (((uint64_t)1 << VALUE_BITS) - 1);
    return (int64_t)(kept << CFG_AGREE_RANK_BITS | (rank & RANK_MASK));
}

static uint32_t rank_of(int64_t word)
{
    return (uint32_t)(word & RANK_MASK);
}

static uint64_t value_of(int64_t word)
{
    return (uint64_t)word >> CFG_AGREE_RANK_BITS;
}

static void clear(int64_t out[CFG_AGREE_WORDS])
{
    for (int i = 0; i < CFG_AGREE_WORDS; i++) {
        out[i] = NONE;
    }
}

void cfg_agree_init(struct cfg_agree *a, uint32_t rank, uint32_t world)
{
    memset(a, 0, sizeof *a);
    a->rank = rank;
    a->world = world;
    a->phase = CFG_AGREE_ENDED;
}

void cfg_agree_prepared(struct cfg_agree *a, struct cfg_agree_view v)
{
    if (a->phase == CFG_AGREE_DECIDING && v.rev == a->pending.rev && a->ready == CFG_AGREE_LACKING) {
        a->pending.digest = v.digest;
        a->ready = CFG_AGREE_READY;
    }
    if (v.rev >= a->newest.rev) {
        a->newest = v;
    }
}

void cfg_agree_withdraw(struct cfg_agree *a)
{
    a->newest = (struct cfg_agree_view){0, 0};
}

void cfg_agree_refuse(struct cfg_agree *a, int64_t rev)
{
    if (a->phase == CFG_AGREE_DECIDING && rev == a->pending.rev && a->ready == CFG_AGREE_LACKING) {
        a->ready = CFG_AGREE_REFUSED;
    }
}

void cfg_agree_end(struct cfg_agree *a)
{
    a->phase = CFG_AGREE_ENDED;
    a->pending = (struct cfg_agree_view){0, 0};
}

void cfg_agree_round(const struct cfg_agree *a, uint64_t step, int64_t now_s, int64_t out[CFG_AGREE_WORDS])
{
    clear(out);
    out[NEWEST_MAX] = a->newest.rev > a->decided ? -a->newest.rev : 0;
    out[PENDING_MIN] = a->pending.rev;
    out[PENDING_MAX] = -a->pending.rev;
    out[STEP_LOW] = beside(step, a->rank);
    out[STEP_HIGH] = -out[STEP_LOW];
    out[NOW_MAX] = now_s > 0 ? -now_s : 0;
    if (a->phase != CFG_AGREE_DECIDING) {
        return;
    }
    out[READY_MIN] = a->ready;
    out[REFUSER] = a->ready == CFG_AGREE_REFUSED ? (int64_t)a->rank : NONE;
    out[LACKER] = a->ready == CFG_AGREE_LACKING ? (int64_t)a->rank : NONE;
    if (a->ready == CFG_AGREE_READY) {
        out[DIGEST_MIN] = a->pending.digest;
        out[DIGEST_MAX] = -a->pending.digest;
        out[DIGEST_LOW] = beside((uint64_t)a->pending.digest >> CFG_AGREE_RANK_BITS, a->rank);
        out[DIGEST_HIGH] = -out[DIGEST_LOW];
    }
}

static struct cfg_agree_outcome fail(struct cfg_agree *a, enum cfg_agree_why why)
{
    cfg_agree_end(a);
    return (struct cfg_agree_outcome){.verdict = CFG_AGREE_FAIL, .why = why, .waiting_for = UINT32_MAX};
}

static struct cfg_agree_outcome decide(struct cfg_agree *a, enum cfg_agree_verdict verdict, enum cfg_agree_why why)
{
    int64_t rev = a->pending.rev;
    a->decided = rev;
    a->applied = verdict == CFG_AGREE_ADOPT ? rev : a->applied;
    a->pending = (struct cfg_agree_view){0, 0};
    a->phase = CFG_AGREE_IDLE;
    return (struct cfg_agree_outcome){.verdict = verdict, .rev = rev, .why = why, .waiting_for = UINT32_MAX};
}

static struct cfg_agree_outcome name(struct cfg_agree *a, int64_t rev)
{
    bool held = a->newest.rev == rev;
    a->phase = CFG_AGREE_DECIDING;
    a->pending = (struct cfg_agree_view){rev, held ? a->newest.digest : 0};
    a->ready = held ? CFG_AGREE_READY : CFG_AGREE_LACKING;
    return (struct cfg_agree_outcome){.verdict = CFG_AGREE_NAMED, .rev = rev, .waiting_for = UINT32_MAX};
}

static struct cfg_agree_outcome judge(struct cfg_agree *a, const int64_t r[CFG_AGREE_WORDS])
{
    struct cfg_agree_outcome o = {.verdict = CFG_AGREE_STAY, .waiting_for = UINT32_MAX};
    if (r[READY_MIN] == CFG_AGREE_REFUSED) {
        o = decide(a, CFG_AGREE_DROP, CFG_AGREE_WHY_REFUSED);
        o.rank = rank_of(r[REFUSER]);
    } else if (r[DIGEST_MIN] != NONE && r[DIGEST_MIN] != -r[DIGEST_MAX]) {
        o = decide(a, CFG_AGREE_DROP, CFG_AGREE_WHY_DIGEST);
        o.rank = rank_of(r[DIGEST_LOW]);
        o.other = rank_of(-r[DIGEST_HIGH]);
    } else if (r[READY_MIN] == CFG_AGREE_READY) {
        o = decide(a, CFG_AGREE_ADOPT, CFG_AGREE_WHY_NONE);
    } else {
        o.waiting_for = rank_of(r[LACKER]);
    }
    return o;
}

struct cfg_agree_outcome cfg_agree_result(struct cfg_agree *a, const int64_t r[CFG_AGREE_WORDS])
{
    struct cfg_agree_outcome o = {.verdict = CFG_AGREE_STAY, .waiting_for = UINT32_MAX};
    int64_t low = r[STEP_LOW], high = -r[STEP_HIGH];
    if (value_of(low) != value_of(high)) {
        o = fail(a, CFG_AGREE_WHY_STEP);
        o.rank = rank_of(low);
        o.other = rank_of(high);
        o.low = value_of(low);
        o.high = value_of(high);
        return o;
    }
    if (r[PENDING_MIN] != -r[PENDING_MAX] || r[PENDING_MIN] != a->pending.rev) {
        return fail(a, CFG_AGREE_WHY_CANDIDATE);
    }
    if (-r[NOW_MAX] > a->now_s) {
        a->now_s = -r[NOW_MAX];
    }
    if (a->phase == CFG_AGREE_DECIDING) {
        return judge(a, r);
    }
    return -r[NEWEST_MAX] > a->decided ? name(a, -r[NEWEST_MAX]) : o;
}

/* --- forming --- */

void cfg_form_offer(struct cfg_agree *a, struct cfg_agree_view held, int64_t fingerprint, int64_t out[CFG_AGREE_WORDS])
{
    clear(out);
    cfg_agree_end(a);
    a->offer = held;
    out[OFFER_MAX] = -held.rev;
    out[FLOOR_MAX] = -a->applied;
    out[PRINT_MIN] = fingerprint;
    out[PRINT_MAX] = -fingerprint;
}

struct cfg_form_outcome cfg_form_offered(const struct cfg_agree *a, const int64_t r[CFG_AGREE_WORDS])
{
    struct cfg_form_outcome o = {.next = CFG_FORM_SHARE, .rev = -r[OFFER_MAX], .root = a->rank, .rank = a->rank};
    if (r[PRINT_MIN] != -r[PRINT_MAX]) {
        o.next = CFG_FORM_DIFFERS;
    } else if (-r[OFFER_MAX] < -r[FLOOR_MAX]) {
        o.next = CFG_FORM_BELOW;
        o.rev = -r[FLOOR_MAX];
    } else if (o.rev == 0) {
        o.next = CFG_FORM_NOTHING;
    }
    return o;
}

void cfg_form_holder(const struct cfg_agree *a, int64_t rev, int64_t out[CFG_AGREE_WORDS])
{
    clear(out);
    out[0] = a->offer.rev == rev ? (int64_t)a->rank : NONE;
}

uint32_t cfg_form_root(const int64_t reduced[CFG_AGREE_WORDS])
{
    return rank_of(reduced[0]);
}

void cfg_form_verdict(const struct cfg_agree *a, struct cfg_agree_view shared, bool ok, int64_t out[CFG_AGREE_WORDS])
{
    clear(out);
    out[UNABLE] = ok ? NONE : (int64_t)a->rank;
    out[SHARED_MIN] = shared.rev;
    out[SHARED_MAX] = -shared.rev;
    out[VERDICT_DIGEST_MIN] = ok ? shared.digest : NONE;
    out[VERDICT_DIGEST_MAX] = ok ? -shared.digest : NONE;
}

struct cfg_form_outcome cfg_form_result(struct cfg_agree *a, int64_t rev, const int64_t r[CFG_AGREE_WORDS])
{
    struct cfg_form_outcome o = {.next = CFG_FORM_FORMED, .rev = rev, .root = a->rank, .rank = a->rank};
    bool one = r[SHARED_MIN] == rev && r[SHARED_MAX] == -rev && r[VERDICT_DIGEST_MIN] == -r[VERDICT_DIGEST_MAX];
    if (r[UNABLE] != NONE || !one) {
        o.next = CFG_FORM_REFUSED;
        o.rank = r[UNABLE] != NONE ? rank_of(r[UNABLE]) : a->rank;
        return o;
    }
    a->phase = CFG_AGREE_IDLE;
    a->applied = rev;
    a->decided = rev;
    return o;
}
