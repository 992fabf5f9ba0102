/* See seq.h. */
#include "worker/cfg-infer/seq.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t cfg_infer_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct cfg_seq *cfg_seq_new(struct cfg_ask *ask, uint64_t seed)
{
    struct cfg_seq *s = malloc(sizeof *s + ask->prompt_len + CFG_TOKENS_MAX);
    if (s == NULL) {
        cfg_ask_finish(ask);
        return NULL;
    }
    memset(s, 0, sizeof *s);
    atomic_init(&s->gone, false);
    s->prompt_len = s->len = ask->prompt_len;
    memcpy(s->bytes, ask->prompt, ask->prompt_len);
    s->seed = seed;
    s->ask = *ask;
    memset(ask, 0, sizeof *ask);
    return s;
}

void cfg_seq_free(struct cfg_seq *s)
{
    if (s == NULL) {
        return;
    }
    while (s->marks != NULL) {
        const struct cfg_mark *m = s->marks;
        s->marks = m->next;
        free(m->variants);
        free(m->header);
        free((void *)(uintptr_t)m); /* ours; const to its readers */
    }
    cfg_infer_request_free(s->request);
    cfg_ask_finish(&s->ask);
    free(s);
}

void cfg_seq_free_list(struct cfg_seq *s)
{
    while (s != NULL) {
        struct cfg_seq *next = s->next;
        cfg_seq_free(s);
        s = next;
    }
}

struct cfg_pieces *cfg_pieces_new(size_t room)
{
    struct cfg_pieces *p = malloc(sizeof *p + room * sizeof p->of[0]);
    if (p != NULL) {
        p->next = NULL;
        p->n = 0;
        p->room = room;
    }
    return p;
}
