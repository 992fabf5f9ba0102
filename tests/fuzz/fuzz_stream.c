/* A server that sends anything: no crash, and no view older than the one before it in the same store. */
#include "client/machine.h"
#include "proto/revision.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    struct cfg_rev rev;
    char store[128];
    bool open;
};

static void do_send(void *arg, const struct cfg_send *r)
{
    struct seen *s = arg;
    s->open = r->slot == CFG_SLOT_STREAM;
}

static void do_cancel(void *arg, enum cfg_slot slot)
{
    struct seen *s = arg;
    if (slot == CFG_SLOT_STREAM)
        s->open = false;
}

static uint64_t do_random(void *arg)
{
    (void)arg;
    return 0;
}

static void on_view(void *arg, const struct cfg_view_event *ev)
{
    struct seen *s = arg;
    struct cfg_rev rev;
    if (cfg_rev_parse(&rev, cfg_slice_str(ev->revision), NULL) != 0 || strlen(ev->view) != ev->view_len)
        abort();
    if (strcmp(s->store, ev->store) == 0 && cfg_rev_cmp(rev, s->rev) < 0)
        abort();
    s->rev = rev;
    strncpy(s->store, ev->store, sizeof s->store - 1);
}

/* The bytes come in pieces, whose lengths the first byte decides; the machine reconnects whenever it has given up. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {.open = false};
    const struct cfg_session_callbacks callbacks = {.on_view = on_view, .arg = &seen};
    const struct cfg_transport transport = {do_send, do_cancel, do_random, &seen};
    const struct cfg_machine_options o = {.servers = 1, .deployment = "blue"};
    struct cfg_machine *m = NULL;
    if (size == 0 || cfg_machine_new(&m, &o, &callbacks, &transport, NULL) != 0)
        return 0;
    size_t piece = (size_t)data[0] * 8 + 1;
    uint64_t now = 0;
    for (size_t at = 1; at < size; at += piece) {
        if (!seen.open)
            cfg_machine_tick(m, now += 20000);
        size_t n = size - at < piece ? size - at : piece;
        if (seen.open)
            cfg_machine_bytes(m, CFG_SLOT_STREAM, 200, (struct cfg_slice){(const char *)data + at, n}, now);
    }
    cfg_machine_free(m);
    return 0;
}
