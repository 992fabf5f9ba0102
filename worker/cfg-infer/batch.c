/* Continuous batching. See batch.h. */
#include "worker/cfg-infer/batch.h"
#include <stdlib.h>
#include <string.h>

struct cfg_seq *cfg_seq_new(const char *prompt, size_t len, unsigned max_tokens, uint64_t seed, void *owner)
{
    if (len > CFG_PROMPT_MAX) {
        return NULL;
    }
    struct cfg_seq *s = malloc(sizeof *s + len + CFG_TOKENS_MAX);
    if (s == NULL) {
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->owner = owner;
    s->max_tokens = max_tokens;
    s->seed = seed;
    s->prompt_len = s->len = len;
    if (len > 0) {
        memcpy(s->bytes, prompt, len);
    }
    return s;
}

void cfg_seq_free_list(struct cfg_seq *s)
{
    while (s != NULL) {
        struct cfg_seq *next = s->next;
        cfg_infer_request_free(s->request);
        free(s);
        s = next;
    }
}

void cfg_batch_init(struct cfg_batch *b, const struct cfg_lm *lm)
{
    memset(b, 0, sizeof *b);
    b->lm = lm;
    b->waiting_tail = &b->waiting;
}

void cfg_batch_finish(struct cfg_batch *b)
{
    cfg_seq_free_list(b->waiting);
    cfg_seq_free_list(b->running);
    b->running = b->waiting = NULL;
    b->waiting_tail = &b->waiting;
    b->n_running = b->n_waiting = 0;
}

void cfg_batch_submit(struct cfg_batch *b, struct cfg_seq *s)
{
    s->next = NULL;
    *b->waiting_tail = s;
    b->waiting_tail = &s->next;
    b->n_waiting++;
}

/* Behind those that run already: the oldest stays in front. */
static void admit(struct cfg_batch *b, unsigned batch_size)
{
    struct cfg_seq **end = &b->running;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    while (b->waiting != NULL && b->n_running < batch_size) {
        struct cfg_seq *s = b->waiting;
        b->waiting = s->next;
        if (b->waiting == NULL) {
            b->waiting_tail = &b->waiting;
        }
        b->n_waiting--;
        b->n_running++;
        s->next = NULL;
        *end = s;
        end = &s->next;
    }
}

static void extend(struct cfg_seq *s, const struct cfg_lm *lm, const struct cfg_sampling *how)
{
    double p[CFG_SYMBOLS];
    size_t produced = s->len - s->prompt_len;
    cfg_lm_next(lm, s->bytes, s->len, p);
    if (how->greedy_start && produced < CFG_GREEDY_START) {
        cfg_sample_temperature(p, 0);
    } else {
        cfg_sample_temperature(p, how->temperature);
        cfg_sample_top_k(p, how->top_k);
        cfg_sample_top_p(p, how->top_p);
    }
    s->bytes[s->len++] = (unsigned char)cfg_sample_draw(p, cfg_sample_uniform(&s->seed));
}

static bool finished(const struct cfg_seq *s, const struct cfg_sampling *how)
{
    size_t produced = s->len - s->prompt_len;
    unsigned limit = s->max_tokens != 0 ? s->max_tokens : how->max_tokens;
    return produced >= limit || produced >= CFG_TOKENS_MAX;
}

struct cfg_seq *cfg_batch_step(struct cfg_batch *b, const struct cfg_sampling *s, unsigned batch_size,
                               const struct cfg_stamp *stamp)
{
    struct cfg_seq *done = NULL;
    struct cfg_seq **done_tail = &done;
    admit(b, batch_size);
    struct cfg_seq **at = &b->running;
    while (*at != NULL) {
        struct cfg_seq *q = *at;
        if (q->len == q->prompt_len) {
            q->first = *stamp;
        }
        struct cfg_sampling how = *s;
        if (q->request != NULL && b->decide != NULL) {
            b->decide(b->arg, q->request, &how);
        }
        extend(q, b->lm, &how);
        q->last = *stamp;
        b->tokens++;
        if (!finished(q, &how)) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        q->next = NULL;
        *done_tail = q;
        done_tail = &q->next;
        b->n_running--;
    }
    return done;
}
