/* The agreement: how the ranks of a group change their view at the same step, or not at all.
 *
 * One machine per rank, pure: it does no I/O, has no clock and knows no view but by revision and digest. Its driver
 * (ranks.c) feeds it what this rank has prepared and what the rounds gave, and does what it says. All ranks call it in
 * the same order, because a round is a collective: nobody has a result before everybody has contributed.
 *
 *                offer, holder, verdict (forming)
 *      ENDED ──────────────────────────────────────► IDLE ──── MAX newest > decided: NAMED(R) ───► DECIDING(R)
 *        ▲                                           ▲  ▲                                           │  │  │ some rank
 *        │ a missed deadline, a rank gone            │  └── all ready, one digest: ADOPT(R) ────────┘  │  │ lacks R:
 *        │ (the driver says so), ranks at            └───── one refuses, or digests differ: DROP(R) ───┘  ▼ STAY
 *        └──────────── different steps: FAIL ◄──────────────────────────────────────────────────────── (both)
 *
 * What every rank concludes from a round depends on the round's result alone, so all conclude the same. `decided` rises
 * with every adoption and every refusal, hence candidates only rise. A candidate stays until it is decided, however
 * many newer views arrive meanwhile; who lacks it fetches exactly it. Only READY ranks are counted on, and a rank that
 * has said READY keeps the view prepared until the decision: adoption cannot fail any more when it is known.
 *
 * A round may be read later than it was started (one in flight at most): everything above holds, one round later.
 *
 * Rounds reduce by MIN; MAX(x) is -MIN(-x). Threading: none; one thread at a time. */
#ifndef CFG_WORKER_AGREE_H
#define CFG_WORKER_AGREE_H

#include "proto/revision.h"

enum {
    CFG_AGREE_WORDS = 14,          /* of one round, and of one forming round */
    CFG_AGREE_RANK_BITS = 20,      /* ranks are put beside values in one word */
    CFG_AGREE_RANKS_MAX = 1 << 20, /* world size */
};

/* Revisions as one ordered word: 15 bits of epoch, 48 of revision; 0: none. −1: too large to be agreed upon. */
int64_t cfg_agree_pack(struct cfg_rev r);
struct cfg_rev cfg_agree_unpack(int64_t packed);
/* "sha256:…" as a non-negative word: its first 63 bits. 0 for what is no digest. */
int64_t cfg_agree_digest(const char *digest);

struct cfg_agree_view {
    int64_t rev; /* packed; 0: none */
    int64_t digest;
};

enum cfg_agree_phase { CFG_AGREE_ENDED, CFG_AGREE_IDLE, CFG_AGREE_DECIDING };
enum cfg_agree_ready { CFG_AGREE_REFUSED, CFG_AGREE_LACKING, CFG_AGREE_READY }; /* this rank, about the candidate */

struct cfg_agree {
    uint32_t rank, world;
    enum cfg_agree_phase phase;
    int64_t applied;               /* what steps run on; outlives incarnations; 0: nothing yet */
    int64_t decided;               /* the next candidate is greater; the same on all ranks of an incarnation */
    struct cfg_agree_view newest;  /* prepared here, greatest so far */
    struct cfg_agree_view pending; /* the candidate; its digest here once READY */
    enum cfg_agree_ready ready;
    int64_t now_s;               /* the steps' time, as agreed; never falls within the machine's life */
    struct cfg_agree_view offer; /* while forming */
};

enum cfg_agree_verdict {
    CFG_AGREE_STAY,  /* go on with the view of the step before */
    CFG_AGREE_NAMED, /* `rev` has become the candidate: see cfg_agree.ready for whether it must be fetched */
    CFG_AGREE_ADOPT, /* this step and all that follow run on `rev` */
    CFG_AGREE_DROP,  /* `rev` will never be adopted in this incarnation: `why` and `rank` say by whose doing */
    CFG_AGREE_FAIL,  /* the incarnation has ended: `why` */
};

enum cfg_agree_why {
    CFG_AGREE_WHY_NONE,
    CFG_AGREE_WHY_REFUSED,   /* DROP: `rank` cannot run on it */
    CFG_AGREE_WHY_DIGEST,    /* DROP: `rank` and `other` hold different views under one revision */
    CFG_AGREE_WHY_STEP,      /* FAIL: `rank` is at step `low`, `other` at step `high` */
    CFG_AGREE_WHY_CANDIDATE, /* FAIL: the ranks speak of different candidates: words were corrupted on the way */
};

struct cfg_agree_outcome {
    enum cfg_agree_verdict verdict;
    int64_t rev;
    enum cfg_agree_why why;
    uint32_t rank, other;
    uint64_t low, high;
    uint32_t waiting_for; /* STAY with a candidate: the lowest rank that lacks it; UINT32_MAX: none */
};

/* An ENDED machine of rank `rank` of `world` ≤ CFG_AGREE_RANKS_MAX. */
void cfg_agree_init(struct cfg_agree *a, uint32_t rank, uint32_t world);

/* --- what happens on this rank, at any time between rounds --- */

/* This rank has prepared v, by itself or because it was asked for it. */
void cfg_agree_prepared(struct cfg_agree *a, struct cfg_agree_view v);
/* What this rank had prepared is prepared no longer. Not for a candidate that it is READY for. */
void cfg_agree_withdraw(struct cfg_agree *a);
/* This rank cannot run on `rev`, or cannot get it for good. Without effect unless it is the candidate and this rank has
 * not called itself ready. */
void cfg_agree_refuse(struct cfg_agree *a, int64_t rev);
/* A deadline was missed or a rank is gone. */
void cfg_agree_end(struct cfg_agree *a);

/* --- a round: every K steps; not while ENDED --- */
void cfg_agree_round(const struct cfg_agree *a, uint64_t step, int64_t now_s, int64_t out[CFG_AGREE_WORDS]);
struct cfg_agree_outcome cfg_agree_result(struct cfg_agree *a, const int64_t reduced[CFG_AGREE_WORDS]);

/* --- forming: three rounds and a broadcast; again with the next offer while some rank refuses --- */

enum cfg_form_next {
    CFG_FORM_SHARE,   /* rank `root` broadcasts its view `rev`; everybody prepares it, then the verdict */
    CFG_FORM_FORMED,  /* the incarnation runs, on `rev` */
    CFG_FORM_REFUSED, /* `rank` refuses `rev`: offer what is left */
    CFG_FORM_NOTHING, /* no rank has a view */
    CFG_FORM_BELOW,   /* what is left is older than what rank `rank` runs on: it would have to go back */
    CFG_FORM_DIFFERS, /* the ranks' fingerprints are not the same */
};

struct cfg_form_outcome {
    enum cfg_form_next next;
    int64_t rev;
    uint32_t root, rank;
};

/* The greatest view this rank can share (rev 0: none), and its fingerprint as a word. */
void cfg_form_offer(struct cfg_agree *a, struct cfg_agree_view held, int64_t fingerprint, int64_t out[CFG_AGREE_WORDS]);
/* SHARE with rev set and root still open, NOTHING, BELOW or DIFFERS. */
struct cfg_form_outcome cfg_form_offered(const struct cfg_agree *a, const int64_t reduced[CFG_AGREE_WORDS]);
/* Which of those that hold `rev` broadcasts it: the lowest rank. */
void cfg_form_holder(const struct cfg_agree *a, int64_t rev, int64_t out[CFG_AGREE_WORDS]);
uint32_t cfg_form_root(const int64_t reduced[CFG_AGREE_WORDS]);
/* ok: this rank has prepared `rev` with this digest. */
void cfg_form_verdict(const struct cfg_agree *a, struct cfg_agree_view shared, bool ok, int64_t out[CFG_AGREE_WORDS]);
/* FORMED (the machine is IDLE on rev, which counts as applied) or REFUSED. */
struct cfg_form_outcome cfg_form_result(struct cfg_agree *a, int64_t rev, const int64_t reduced[CFG_AGREE_WORDS]);

#endif
