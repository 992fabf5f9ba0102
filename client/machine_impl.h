/* Inside of the machine, shared by its files: machine.c (lifecycle), machine_stream.c (events), machine_report.c,
 * machine_ask.c.
 */
#ifndef CFG_CLIENT_MACHINE_IMPL_H
#define CFG_CLIENT_MACHINE_IMPL_H

#include "client/held.h"
#include "client/machine.h"
#include "proto/sse.h"

enum phase { PHASE_WAITING, PHASE_REGISTERING, PHASE_OPENING, PHASE_FOLLOWING, PHASE_ENDED };

/* Why the present connection is given up, decided inside the stream's reader and acted upon behind it. */
enum leave { LEAVE_NOT, LEAVE_LOST, LEAVE_FULL, LEAVE_BYE, LEAVE_REGISTER, LEAVE_END };

struct cfg_machine {
    struct cfg_session_callbacks callbacks;
    struct cfg_transport transport;
    size_t servers, server;
    char *deployment, *worker, *incarnation; /* worker NULL: an observer */
    cJSON *registration;
    struct cfg_held held;
    unsigned backoff_min_ms, backoff_max_ms, silence_ms;

    enum phase phase;
    enum cfg_session_state state;
    int why_code; /* of the last on_state, so that the same failure is told once */
    enum leave leave;
    struct cfg_error leave_why;
    unsigned attempts;    /* failures since the last stream that held */
    bool want_full;       /* offer no digest on the next stream */
    uint64_t now_ms;      /* of the call being served */
    uint64_t wake_at;     /* WAITING: when to connect */
    uint64_t heard_at;    /* stream: last bytes */
    uint64_t opened_at;   /* OPENING: since when */
    uint64_t followed_at; /* when the present stream gave its first event */

    struct cfg_buf reply[CFG_SLOTS]; /* bodies as they come (of the stream: only of a refusal) */
    struct cfg_buf path, body;       /* of what is being sent */
    struct cfg_sse_reader reader;
    char *report, *report_sent;   /* waiting and under way; owned */
    uint64_t report_at;           /* when a waiting report may go; 0: at once */
    cfg_session_answer_fn asking; /* NULL: no question is under way */
    void *asking_arg;
    size_t asks_lost; /* in a row: each goes to the next server */
};

void cfg_machine_set_state(struct cfg_machine *m, enum cfg_session_state state, const struct cfg_error *why);
/* Asks for the present connection to be given up once the call being served is through its data. */
void cfg_machine_leave(struct cfg_machine *m, enum leave leave, const struct cfg_error *why);

/* machine_stream.c */
void cfg_machine_open_stream(struct cfg_machine *m);
void cfg_machine_stream_bytes(struct cfg_machine *m, struct cfg_slice bytes);

/* machine_report.c */
void cfg_machine_report_flush(struct cfg_machine *m);
void cfg_machine_report_done(struct cfg_machine *m, long status, const struct cfg_error *err);
void cfg_machine_report_take_back(struct cfg_machine *m); /* what is under way counts as not sent */

/* machine_ask.c */
void cfg_machine_ask_done(struct cfg_machine *m, long status, const struct cfg_error *err);

#endif
