/* Inside libcfgworker: one struct, three parties, and which field belongs to whom.
 *
 *   the stepper     calls step_begin, step_end, idle. Takes prepared views out of the mailbox, never waits for anybody,
 *                   never frees a view.
 *   the library     (its own thread, or with external_loop the caller of process) follows the source, prepares views,
 *                   puts them into the mailbox, writes the cache, sends reports, frees views. engine.c, publish.c.
 *   anybody         reads the status, under the lock.
 *
 * A prepared view ("box") lies in `mailbox` until the stepper takes it or the library takes it back for a newer one:
 * both by exchange, so exactly one of them has it. What the stepper runs on is `applied`; it says through `free_below`
 * which boxes it can no longer be reading, and only the library frees them, under the lock, so that the status may
 * look. */
#ifndef CFG_WORKER_INTERNAL_H
#define CFG_WORKER_INTERNAL_H

#include "worker/cache.h"
#include "worker/drain.h"
#include "worker/loop.h"
#include "worker/outcomes.h"
#include "worker/report.h"
#include "worker/source.h"
#include "worker/telemetry.h"
#include <pthread.h>
#include <stdatomic.h>

struct cfg_hook {
    char *prefix;
    struct cfg_change_hooks fn;
};

enum cfg_phase {
    CFG_PHASE_NEW,     /* start has not been called */
    CFG_PHASE_WAITING, /* for the first view */
    CFG_PHASE_RUNNING, /* start succeeded */
    CFG_PHASE_EXPIRED, /* no first view in time; the library goes on looking for one */
    CFG_PHASE_REFUSED, /* final: `refusal` says why */
};

/* The cache as the library keeps it. dirty: the newest good view is not on disk durably, or its time is old. */
struct cfg_cache_state {
    char *path; /* NULL: none */
    struct cfg_cached loaded;
    bool dirty;
    bool failing;      /* warned already */
    uint64_t since_ms; /* when it became dirty or, if it is not, was last written durably; monotonic */
};

struct cfg_worker {
    /* --- the stepper's cache line --- */
    _Alignas(64) _Atomic(struct cfg_box *) mailbox;
    _Atomic(bool) idle;             /* written by the stepper */
    bool timed;                     /* a flag of `current` asks for the time; the stepper's alone */
    bool attend;                    /* the next step_begin has more to do: idle, or timed; the stepper's alone */
    bool gathers;                   /* somebody listens to what steps do; fixed by start */
    bool clocked;                   /* steps are measured, since the first step_end; the stepper's alone */
    const struct cfg_view *current; /* the stepper's alone */
    _Atomic(uint64_t) step;         /* written by the stepper */
    struct cfg_gather *gather;      /* NULL: no metric is declared and nobody listens; fixed by start */
    uint64_t began_ns;              /* of the step; 0: unknown; the stepper's alone, like the rest */
    uint64_t ended;                 /* the last step that ended */
    const struct cfg_box *starts;   /* adopted, but no step has begun under it; NULL: none */
    /* --- from the stepper to the library --- */
    _Alignas(64) _Atomic(struct cfg_box *) applied;
    _Atomic(uint32_t) free_below; /* boxes with a smaller serial are not read any more */
    _Atomic(uint64_t) changes;    /* adoptions */
    _Atomic(char *) metrics;      /* the newest step's, owned by whoever exchanges it out */
    _Atomic(bool) woken;          /* cfg_worker_wake was called */
    struct cfg_runs runs;         /* read by any thread */
    struct cfg_drains drains;     /* likewise */
    int wake_fd;                  /* wakes the library; −1 on a shared loop: see cfg_engine_wake */
    int idle_fd;                  /* wakes an idle stepper; −1 on a shared loop */
    struct cfg_loop_seat seat;
    /* --- fixed once started --- */
    struct cfg_contract contract;
    struct cfg_local local;
    struct cfg_identity identity;
    struct cfg_hook hooks[CFG_HOOKS_MAX];
    size_t n_hooks;
    struct cfg_source *source;
    char *source_spec, *servers, *token, *ca_file, *overrides;
    bool external_loop;
    struct cfg_ranks *ranks; /* one of several ranks that agree; NULL: on its own. The stepper's and the slate's */
    pid_t owner;             /* the process that opened it: a forked child has the memory, but no thread */
    void (*log)(void *arg, int level, const char *line);
    void *log_arg;
    int epoll_fd;
    pthread_t thread;
    bool has_thread;
    _Atomic(bool) stopping;
    /* --- the library's alone --- */
    struct cfg_box *boxes;     /* every box handed out or kept */
    struct cfg_box *published; /* the newest, in the mailbox or taken; set under the lock */
    struct cfg_box *defaults;  /* the code's, under local overrides */
    struct cfg_box *boot;      /* the first real view, or the defaults where steps ran before it; kept for good */
    struct cfg_box *offered;   /* prepared from the cache, until it or something newer is taken */
    struct cfg_rev floor;      /* nothing older of floor_store is ever taken */
    char floor_store[CFG_STORE_TEXT];
    uint32_t serial, reported_serial;
    struct cfg_rejects rejects;
    struct cfg_exposures exposures; /* counted by whoever evaluates */
    struct cfg_outcomes outcomes;   /* likewise */
    char *last_report;              /* while its exposures have not arrived */
    bool exposures_warned;
    struct cfg_cache_state cache;
    char *last_metrics;
    struct cfg_telemetry telemetry;
    uint64_t telling_since_ms; /* that what it has sent might have been taken */
    unsigned metrics_told;     /* complaints about metrics that the log has had */
    bool report_due, can_report;
    bool heard;   /* a view or mark since the source was last connected */
    bool refused; /* the newest view the source gave was refused: marks speak of that one, and confirm nothing */
    uint64_t next_report_ms, report_interval_ms;
    uint64_t deadline_ms; /* of the first view, monotonic */
    enum cfg_source_state source_state;
    struct cfg_error why; /* of the source's state; code 0: all is well */
    /* --- under the lock --- */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum cfg_phase phase;
    struct cfg_error refusal;
    struct cfg_ceilings ceilings;
    bool ceilings_moved;          /* since they were last told to configd */
    const struct cfg_box *coming; /* held to the ceilings, but not published yet; NULL: none */
    struct {
        enum cfg_source_state state;
        char newest[CFG_REV_TEXT];
        char store[CFG_STORE_TEXT];
        bool confirmed, ever; /* connected and current now: age 0; confirmed at some time */
        int64_t confirmed_ms; /* when last, monotonic; before this process started: negative */
        uint64_t rejects;
        char last_reject[384];
    } seen;
};

/* Lies in the mailbox from start until the first view or the first step takes its place. Whichever comes first decides
 * what the process booted with: the first view's values, or the code's defaults. */
extern struct cfg_box cfg_unstepped_box;
/* Lies in the mailbox once a newer incarnation has taken over: never adopted, never taken out. */
extern struct cfg_box cfg_superseded_box;

/* --- clocks (edge) --- */
uint64_t cfg_now_ms(void);     /* monotonic */
uint64_t cfg_now_ns(void);     /* the same, finer */
int64_t cfg_wall_us(void);     /* wall clock */
int64_t cfg_wall_s(void);      /* the same, a few milliseconds coarser and cheaper */
void cfg_event_signal(int fd); /* any thread, signal handlers too; −1: nothing */
void cfg_event_drain(int fd);  /* likewise */

/* --- publish.c: the library's side of the mailbox --- */
/* Prepares (hooks included) and publishes a view. 0 also when it is not newer, and nothing happens; a refusal is
 * recorded for the next report and its error returned. */
CFG_MUST_CHECK int cfg_publish_input(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err);
/* Publishes the cached view (`offered`, which is freed on success). CFG codes of a hook that refused; the box stays
 * offered. */
CFG_MUST_CHECK int cfg_publish_offered(struct cfg_worker *w, struct cfg_error *err);
void cfg_publish_superseded(struct cfg_worker *w);
/* The same of a view that waited aside, newer or not; and of one that the group asks for, whose refusal the caller
 * records. */
CFG_MUST_CHECK int cfg_publish_again(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err);
CFG_MUST_CHECK int cfg_publish_candidate(struct cfg_worker *w, const struct cfg_view_input *in, struct cfg_error *err);
void cfg_abort_hooks(struct cfg_worker *w, struct cfg_box *b); /* of a prepared view that nobody will adopt */
void cfg_reject(struct cfg_worker *w, const char *revision, const struct cfg_error *why);
void cfg_free_boxes(struct cfg_worker *w);     /* those the stepper has left behind */
void cfg_free_all_boxes(struct cfg_worker *w); /* at the end; aborts what was never adopted */

/* --- ceiling_live.c: ceilings that move while views come --- */
/* b may come: from here on no ceiling goes below it, until it is settled: published, or (NULL) dropped.
 * CFG_E_CEILING. */
CFG_MUST_CHECK int cfg_ceilings_admit(struct cfg_worker *w, const struct cfg_box *b, struct cfg_error *err);
void cfg_ceilings_settle(struct cfg_worker *w, struct cfg_box *published);
/* start: takes the defaults, which must lie below the ceilings too (CFG_E_CEILING; then they stay the caller's). */
CFG_MUST_CHECK int cfg_ceilings_begin(struct cfg_worker *w, struct cfg_box *defaults, struct cfg_error *err);
bool cfg_ceilings_moved(struct cfg_worker *w); /* since this was last asked */
struct cfg_ceilings cfg_ceilings_now(const struct cfg_worker *w);

/* --- engine.c: the library's loop --- */
void cfg_engine_events(struct cfg_source_events *out, struct cfg_worker *w);
void cfg_engine_process(struct cfg_worker *w);
void cfg_engine_wake(struct cfg_worker *w);                      /* any thread: process soon */
void cfg_engine_formed(struct cfg_worker *w, struct cfg_box *b); /* a group begins with b */
int cfg_engine_timeout_ms(struct cfg_worker *w);
void *cfg_engine_thread(void *worker);
void cfg_set_phase(struct cfg_worker *w, enum cfg_phase phase, const struct cfg_error *why);
void cfg_log(struct cfg_worker *w, int level, const char *format, ...) CFG_PRINTF(3, 4);

/* --- keep.c: the cache, driven by the engine --- */
void cfg_keep_load(struct cfg_worker *w);                             /* reads it and prepares `offered` */
void cfg_keep_view(struct cfg_worker *w, const struct cfg_box *next); /* → disk, before it is published */
void cfg_keep_confirmation(struct cfg_worker *w);                     /* the time of the last confirmation → disk */
int cfg_keep_timeout_ms(const struct cfg_worker *w);                  /* −1: nothing to write */
void cfg_keep_process(struct cfg_worker *w, bool closing);            /* what is due */

#endif
