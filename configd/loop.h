/* The daemon's one event loop: a thin owner of libevent's base, so that other files speak of timers and deferred calls
 * and not of libevent. One thread owns a loop and everything built on it; nothing here is thread-safe unless it says
 * so.
 *
 * "Nothing is freed inside its own callback": cfg_loop_defer runs a function at the end of the current turn. */
#ifndef CFG_CONFIGD_LOOP_H
#define CFG_CONFIGD_LOOP_H

#include "proto/buf.h"

struct event_base;
struct cfg_loop;
struct cfg_timer;

typedef void (*cfg_loop_fn)(void *arg);

/* Clocks and randomness as the rest of the daemon sees them; tests hand in their own. */
struct cfg_clock {
    uint64_t (*monotonic_ns)(void *arg);
    uint64_t (*wall_ns)(void *arg); /* since 1970, UTC */
    void (*random)(void *arg, void *out, size_t n);
    void *arg;
};
extern const struct cfg_clock cfg_clock_system; /* thread-safe */

CFG_MUST_CHECK int cfg_loop_new(struct cfg_loop **out, struct cfg_error *err); /* returned-owned */
void cfg_loop_free(struct cfg_loop *l);                           /* after everything built on it; NULL is fine */
struct event_base *cfg_loop_base(struct cfg_loop *l);             /* borrowed */
void cfg_loop_run(struct cfg_loop *l);                            /* until cfg_loop_stop */
void cfg_loop_run_once(struct cfg_loop *l, unsigned max_wait_ms); /* for tests and callers with a loop of their own */
void cfg_loop_stop(struct cfg_loop *l);

/* Runs fn(arg) at the end of this turn, in order of the calls. CFG_E_NOMEM is handled inside: the process cannot go on
 * without it. */
void cfg_loop_defer(struct cfg_loop *l, cfg_loop_fn fn, void *arg);

/* One-shot timers. start re-arms; stop is idempotent; free takes NULL and is safe inside the timer's own callback. */
struct cfg_timer *cfg_timer_new(struct cfg_loop *l, cfg_loop_fn fn,
                                void *arg); /* returned-owned; NULL without memory */
void cfg_timer_start(struct cfg_timer *t, uint64_t delay_ms);
void cfg_timer_stop(struct cfg_timer *t);
void cfg_timer_free(struct cfg_timer *t);

/* Calls fn in every turn in which fd (borrowed, open until free) can be read or has ended. free takes NULL and is safe
 * inside fn. */
struct cfg_reader;
struct cfg_reader *cfg_reader_new(struct cfg_loop *l, int fd, cfg_loop_fn fn,
                                  void *arg); /* returned-owned; NULL without memory */
void cfg_reader_free(struct cfg_reader *r);

/* "2026-11-22T17:39:53.123456Z" (RFC 3339, microseconds). */
enum { CFG_TIME_TEXT = 32 };
const char *cfg_time_format(uint64_t wall_ns, char out[CFG_TIME_TEXT]);

#endif
