/* A group of one: every collective is the identity. */
#include "worker/group.h"
#include <stdlib.h>
#include <string.h>

struct solo {
    struct cfg_group base;
    int64_t words[CFG_GROUP_WORDS_MAX];
    size_t n;
    uint64_t formed;
};

static int need_formed(const struct cfg_group *g, struct cfg_error *err)
{
    return g->incarnation != 0 ? 0 : cfg_fail(err, CFG_E_AGREEMENT, "the group has not formed");
}

static int solo_form(struct cfg_group *g, unsigned timeout_ms, struct cfg_error *err)
{
    struct solo *s = (struct solo *)g;
    (void)timeout_ms; /* nobody to wait for */
    (void)err;
    g->incarnation = ++s->formed;
    s->n = 0;
    return 0;
}

static int solo_contribute(struct cfg_group *g, const int64_t *words, size_t n, struct cfg_error *err)
{
    struct solo *s = (struct solo *)g;
    int rc = need_formed(g, err);
    if (rc == 0) {
        memcpy(s->words, words, n * sizeof *words);
        s->n = n;
    }
    return rc;
}

static int solo_reduced(struct cfg_group *g, int64_t *out, size_t n, struct cfg_error *err)
{
    struct solo *s = (struct solo *)g;
    int rc = need_formed(g, err);
    if (rc == 0 && n != s->n) {
        rc = cfg_fail(err, CFG_E_AGREEMENT, "a round of %zu words, contributed were %zu", n, s->n);
    }
    if (rc == 0) {
        memcpy(out, s->words, n * sizeof *out);
        s->n = 0;
    }
    return rc;
}

static int solo_broadcast(struct cfg_group *g, uint32_t root, struct cfg_buf *bytes, struct cfg_error *err)
{
    (void)root;
    (void)bytes;
    return need_formed(g, err);
}

static int solo_check(struct cfg_group *g, struct cfg_error *err)
{
    return need_formed(g, err);
}

static void solo_leave(struct cfg_group *g, const char *reason)
{
    (void)reason;
    g->incarnation = 0;
}

static void solo_free(struct cfg_group *g)
{
    free(g);
}

int cfg_group_solo_new(struct cfg_group **out, struct cfg_error *err)
{
    static const struct cfg_group_ops ops = {solo_form,  solo_contribute, solo_reduced, solo_broadcast,
                                             solo_check, solo_leave,      solo_free};
    struct solo *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    s->base.ops = &ops;
    s->base.world = 1;
    *out = &s->base;
    return 0;
}
