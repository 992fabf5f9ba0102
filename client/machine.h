/* A session without I/O: what to send next, given what has come in and what time it is.
 *
 *      WAITING ──time──▶ REGISTERING ──200──▶ OPENING ──first event──▶ FOLLOWING
 *         ▲                  │                   │                         │
 *         └──── refused, lost, bye, behind, silent: back off ◀─────────────┘        superseded ──▶ ENDED
 *
 * Four requests at most are under way: the registration, the stream, one report and one question. The transport (a
 * small vtable: curl in the library, memory in the tests) sends them and feeds back bytes and endings; randomness comes
 * through it too, time with every call. An observer (no registration) goes from WAITING to OPENING. A silence of
 * `silence_ms` means that the connection is dead, whatever TCP thinks. One thread; callbacks run inside the calls
 * below, and may call nothing of the machine but cfg_machine_report. */
#ifndef CFG_CLIENT_MACHINE_H
#define CFG_CLIENT_MACHINE_H

#include "client/include/cfg/client.h"
#include "proto/buf.h"

enum cfg_slot { CFG_SLOT_REGISTER, CFG_SLOT_STREAM, CFG_SLOT_REPORT, CFG_SLOT_ASK, CFG_SLOTS };

/* Everything is borrowed during the call. */
struct cfg_send {
    enum cfg_slot slot;
    size_t server; /* index into the caller's list */
    const char *method, *path;
    struct cfg_slice body;     /* JSON; empty: none */
    const char *last_event_id; /* NULL: none */
};

/* send never calls back into the machine; a request that cannot be started ends later through cfg_machine_done. cancel
 * of an idle slot does nothing; after it nothing more is fed back for that request. */
struct cfg_transport {
    void (*send)(void *arg, const struct cfg_send *r);
    void (*cancel)(void *arg, enum cfg_slot slot);
    uint64_t (*random)(void *arg);
    void *arg;
};

struct cfg_machine_options {
    size_t servers;           /* ≥ 1 */
    const char *deployment;   /* copied, like all of these */
    const char *registration; /* JSON, or NULL for an observer */
    const char *revision, *digest, *store, *view;
    unsigned backoff_min_ms, backoff_max_ms; /* 0: 100 and 10000 */
    unsigned silence_ms;                     /* 0: 45000, three heartbeats */
    bool without_meta;
};

struct cfg_machine;

/* Callbacks are copied; all may be NULL. CFG_E_INVALID for a registration without worker and incarnation, or a bad
 * revision; CFG_E_NOMEM. The first cfg_machine_tick connects. */
CFG_MUST_CHECK int cfg_machine_new(struct cfg_machine **out, const struct cfg_machine_options *o,
                                   const struct cfg_session_callbacks *callbacks, const struct cfg_transport *transport,
                                   struct cfg_error *err);
void cfg_machine_free(struct cfg_machine *m); /* cancels nothing: the transport goes first. NULL is fine */

/* Time. now_ms is monotonic, from any origin. deadline: when to tick at the latest (UINT64_MAX: never). */
void cfg_machine_tick(struct cfg_machine *m, uint64_t now_ms);
uint64_t cfg_machine_deadline(const struct cfg_machine *m);

/* What came in for a slot: bytes of a reply's body with its HTTP status, then the end: err NULL when the reply was
 * whole. */
void cfg_machine_bytes(struct cfg_machine *m, enum cfg_slot slot, long status, struct cfg_slice bytes, uint64_t now_ms);
void cfg_machine_done(struct cfg_machine *m, enum cfg_slot slot, long status, const struct cfg_error *err,
                      uint64_t now_ms);

/* Queues a report (copied), replacing one that has not left yet. Sent now when the worker is registered and no other is
 * under way. CFG_E_INVALID for an observer, CFG_E_SUPERSEDED when ended, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_machine_report(struct cfg_machine *m, const char *json, struct cfg_error *err);

/* Asks once, at any time: see cfg_session_ask. path is copied. CFG_E_IN_USE. */
CFG_MUST_CHECK int cfg_machine_ask(struct cfg_machine *m, const char *path, cfg_session_answer_fn fn, void *arg,
                                   struct cfg_error *err);

/* Replaces the registration for the next time it is sent; nothing is sent now. CFG_E_INVALID for another worker or
 * incarnation, CFG_E_JSON, CFG_E_NOMEM. */
CFG_MUST_CHECK int cfg_machine_set_registration(struct cfg_machine *m, const char *json, struct cfg_error *err);

#endif
