#include "worker/cfg-fleet/signal.h"
#include "worker/cfg-fleet/chance.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int parse_noise(struct cfg_signal *out, const char *text, struct cfg_error *err)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    if (strcmp(text, "coin") == 0) {
        out->noise = CFG_NOISE_COIN;
        return 0;
    }
    if (strcmp(text, "exp") == 0) {
        out->noise = CFG_NOISE_EXPONENTIAL;
        return 0;
    }
    char *end = NULL;
    double amount = strtod(text, &end);
    bool share = end > text && *end == '%';
    if (end == text || end[share ? 1 : 0] != '\0' || !(amount >= 0 && amount < 1e100)) {
        (void)cfg_fail(err, CFG_E_INVALID, "\"~%s\" is no noise", text);
        cfg_error_set_hint(err, "~0.05 (a deviation), ~5%% (of the value), ~coin, ~exp");
        return CFG_E_INVALID;
    }
    out->noise = share ? CFG_NOISE_SHARE : CFG_NOISE_DEVIATION;
    out->amount = share ? amount / 100 : amount;
    return 0;
}

int cfg_signal_parse(struct cfg_signal *out, const char *text, struct cfg_error *err)
{
    struct cfg_signal s = {.noise = CFG_NOISE_NONE};
    const char *tilde = strrchr(text, '~');
    struct cfg_slice expr = {text, tilde != NULL ? (size_t)(tilde - text) : strlen(text)};
    int rc = tilde != NULL ? parse_noise(&s, tilde + 1, err) : 0;
    rc = rc != 0 ? rc : cfg_expr_compile(&s.expr, expr, err);
    if (rc == 0) {
        *out = s;
    }
    return rc;
}

void cfg_signal_finish(struct cfg_signal *s)
{
    cfg_expr_free(s->expr);
    s->expr = NULL;
}

int cfg_signal_base(double *out, const struct cfg_signal *s, const struct cfg_expr_names *names, struct cfg_error *err)
{
    enum { ARENA_MAX = 64 * 1024 };
    struct cfg_expr_value v;
    struct cfg_arena arena;
    cfg_arena_init(&arena, ARENA_MAX);
    int rc = cfg_expr_eval(&v, s->expr, names, &arena, err);
    if (rc == 0 && v.type != CFG_EXPR_NUMBER) {
        rc = cfg_fail(err, CFG_E_VALUE, "the value is no number");
    }
    if (rc == 0) {
        *out = v.number;
    }
    cfg_arena_finish(&arena);
    return rc;
}

double cfg_signal_sample(const struct cfg_signal *s, double base, uint64_t *chance)
{
    switch (s->noise) {
    case CFG_NOISE_DEVIATION:
        return base + s->amount * cfg_chance_normal(chance);
    case CFG_NOISE_SHARE:
        return base + s->amount * base * cfg_chance_normal(chance);
    case CFG_NOISE_COIN:
        return cfg_chance_share(chance) < base ? 1 : 0;
    case CFG_NOISE_EXPONENTIAL:
        return base * cfg_chance_exponential(chance);
    case CFG_NOISE_NONE:
        break;
    }
    return base;
}
