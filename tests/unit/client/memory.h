/* A transport in memory: keeps what the machine wants sent, and lets a test play the servers. */
#ifndef CFG_TEST_CLIENT_MEMORY_H
#define CFG_TEST_CLIENT_MEMORY_H

#include "client/machine.h"
#include "proto/digest.h"

struct memory_request {
    bool active;
    unsigned count; /* requests started in this slot so far */
    size_t server;
    char method[8], path[1024], body[8192], last_event_id[64];
};

struct memory {
    struct memory_request slots[CFG_SLOTS];
    uint64_t random; /* what the machine draws */
    uint64_t now_ms;
    struct cfg_machine *machine;

    unsigned views, marks, states, registrations;
    char revision[64], arm[64], digest[80], store[64], view[8192], meta[2048], mark[64], why[400], hint[300];
    enum cfg_session_state state;
    int why_code;
};

/* A machine of one or more servers, ready for its first tick. registration NULL: an observer. */
void memory_start(struct memory *t, const struct cfg_machine_options *o);
void memory_finish(struct memory *t);
void memory_tick(struct memory *t, uint64_t advance_ms);
/* One server's doings: a whole reply; stream bytes; an event made of its parts; a broken connection. */
void memory_reply(struct memory *t, enum cfg_slot slot, long status, const char *body);
void memory_stream(struct memory *t, const char *bytes);
void memory_event(struct memory *t, const char *event, const char *id, const char *data);
void memory_break(struct memory *t, enum cfg_slot slot, int code);
/* A view event's data for parameters {"t":value}, with its digest; out holds room bytes. digest may be NULL. */
void memory_view(char *out, size_t room, char *digest, const char *revision, const char *store, int value);
void memory_patch(char *out, size_t room, const char *revision, const char *from, const char *digest, int value);

/* Worker w0 of deployment blue, and the reply to its registration. */
#define MEMORY_REGISTRATION "{\"worker\":\"w0\",\"incarnation\":\"abc\",\"contract\":{}}"
#define MEMORY_REGISTERED   "{\"deployment\":\"blue\",\"worker\":\"w0\",\"store\":\"S1\",\"revision\":\"1-5\"}"
extern const struct cfg_machine_options memory_worker;
/* Up to a stream that has delivered {"t":1} at 1-5 of store S1; digest gets its digest. */
void memory_follow(struct memory *t, const struct cfg_machine_options *o, char digest[CFG_DIGEST_TEXT]);
void memory_digest(char out[CFG_DIGEST_TEXT], int value); /* of parameters {"t":value} */
void memory_patch_to(struct memory *t, const char *revision, int from, int to);

#endif
