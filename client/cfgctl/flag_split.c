/* Splits of a flag's units over its variants, and who moves when one changes. */
#include "client/cfgctl/flag_edit.h"

#include "client/cfgctl/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCALE = 1000 };
#define WEIGHTS_MAX 2147483647.0

/* --- what was typed --- */

int flag_split_add(struct flag_split *s, const char *text, struct cfg_error *err)
{
    const char *equals = strrchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : 0;
    char *end = NULL;
    double weight = equals ? strtod(equals + 1, &end) : -1;
    bool number =
        equals && equals[1] >= '0' && equals[1] <= '9' && strspn(equals + 1, "0123456789.%") == strlen(equals + 1);
    if (len == 0 || len >= sizeof s->entries[0].variant || !number || (*end && strcmp(end, "%") != 0) ||
        weight > WEIGHTS_MAX) {
        (void)cfg_fail(err, CFG_E_INVALID, "'%.80s' is no share of a split", text);
        cfg_error_set_hint(err, "VARIANT=WEIGHT, such as on=10 off=90, or on=12.5%%");
        return CFG_E_INVALID;
    }
    if (s->n == FLAG_SPLIT_MAX)
        return cfg_fail(err, CFG_E_LIMIT, "a split of more than %d variants", FLAG_SPLIT_MAX);
    for (size_t i = 0; i < s->n; i++)
        if (strlen(s->entries[i].variant) == len && strncmp(s->entries[i].variant, text, len) == 0)
            return cfg_fail(err, CFG_E_INVALID, "variant \"%s\" is given twice", s->entries[i].variant);
    (void)snprintf(s->entries[s->n].variant, sizeof s->entries[0].variant, "%.*s", (int)len, text);
    s->entries[s->n++].weight = weight;
    s->total += weight;
    s->percent = s->percent || *end == '%';
    return 0;
}

/* One weight of a flag with two variants: the other one gets what is left of 100. */
static int give_rest(struct flag_split *s, const cJSON *variants, struct cfg_error *err)
{
    const cJSON *v, *other = NULL;
    if (s->n != 1 || s->entries[0].weight == 100 || (s->percent && s->entries[0].weight > 100))
        return 0;
    cJSON_ArrayForEach(v, variants)
    {
        if (strcmp(v->string, s->entries[0].variant) != 0)
            other = v;
    }
    if (cJSON_GetArraySize(variants) != 2 || s->entries[0].weight > 100 || other == NULL) {
        (void)cfg_fail(err, CFG_E_INVALID, "who gets the rest beside %s?", s->entries[0].variant);
        cfg_error_set_hint(err, "name every variant with its weight");
        return CFG_E_INVALID;
    }
    (void)snprintf(s->entries[1].variant, sizeof s->entries[1].variant, "%s", other->string);
    s->entries[1].weight = 100 - s->entries[0].weight;
    s->n = 2;
    s->total = 100;
    return 0;
}

/* Weights are relative, so 60 and 60 are halves. With a % they are meant as what they say. */
static int check_percent(const struct flag_split *s, struct cfg_error *err)
{
    if (!s->percent || fabs(s->total - 100) < 1e-6)
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, "the percentages add up to %.6g %%, not 100 %%", s->total);
    cfg_error_set_hint(err, "such as on=10%% off=90%%; weights without %% are relative: on=1 off=2");
    return CFG_E_INVALID;
}

/* Fractions of up to three digits become whole by a common factor. */
static int make_whole(struct flag_split *s, struct cfg_error *err)
{
    double factor = 1;
    for (size_t i = 0; i < s->n; i++)
        while (factor < SCALE && fabs(s->entries[i].weight * factor - round(s->entries[i].weight * factor)) > 1e-9)
            factor *= 10;
    s->total = 0;
    for (size_t i = 0; i < s->n; i++) {
        double w = s->entries[i].weight * factor;
        if (fabs(w - round(w)) > 1e-9)
            return cfg_fail(err, CFG_E_INVALID, "%s=%g: at most three digits behind the point", s->entries[i].variant,
                            s->entries[i].weight);
        s->entries[i].weight = round(w);
        s->total += s->entries[i].weight;
    }
    if (s->total <= 0 || s->total > WEIGHTS_MAX) {
        (void)cfg_fail(err, CFG_E_VALUE,
                       s->total <= 0 ? "all weights are 0: nobody would get anything"
                                     : "the weights add up to more than 2147483647");
        cfg_error_set_hint(err, "such as on=10 off=90");
        return CFG_E_VALUE;
    }
    return 0;
}

/* Entries that `present` has come first, in its order. */
static void keep_order(struct flag_split *s, const struct flag_split *present)
{
    size_t at = 0;
    for (size_t k = 0; k < present->n; k++)
        for (size_t i = at; i < s->n; i++)
            if (strcmp(s->entries[i].variant, present->entries[k].variant) == 0) {
                struct flag_split one = {.n = 0};
                one.entries[0] = s->entries[i];
                memmove(&s->entries[at + 1], &s->entries[at], (i - at) * sizeof s->entries[0]);
                s->entries[at++] = one.entries[0];
                break;
            }
}

int flag_split_complete(struct flag_split *s, const cJSON *envelope, const cJSON *present, struct cfg_error *err)
{
    struct flag_split before;
    int rc = s->n > 0 ? 0 : cfg_fail(err, CFG_E_INVALID, "a split of what? such as on=10 off=90");
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        rc = flag_check_variant(envelope, s->entries[i].variant, err);
    if (rc == 0)
        rc = give_rest(s, cfg_json_get(cfg_json_get(envelope, "definition"), "variants"), err);
    if (rc == 0)
        rc = check_percent(s, err);
    if (rc == 0)
        rc = make_whole(s, err);
    if (rc == 0 && flag_split_read(&before, present))
        keep_order(s, &before);
    return rc;
}

/* --- as JsonLogic --- */

static bool add(cJSON *array, cJSON *item)
{
    if (array && item && cJSON_AddItemToArray(array, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *var(const char *path)
{
    cJSON *out = cJSON_CreateObject();
    if (cJSON_AddStringToObject(out, "var", path))
        return out;
    cJSON_Delete(out);
    return NULL;
}

/* {"if": [{"!=": [{"var": UNIT}, null]}, split by UNIT]} */
const cJSON *flag_split_inside(const cJSON *outcome)
{
    const cJSON *chain = cfg_json_get(outcome, "if");
    if (!cJSON_IsArray(chain) || chain->next || chain->prev != chain || cJSON_GetArraySize(chain) != 2)
        return outcome;
    const cJSON *test = cfg_json_get(chain->child, "!="), *inner = chain->child->next;
    const char *named = test ? cfg_json_get_str(test->child, "var", NULL) : NULL, *unit = flag_split_unit(inner);
    bool guards =
        named && unit && strcmp(named, unit) == 0 && cJSON_GetArraySize(test) == 2 && cJSON_IsNull(test->child->next);
    return guards ? inner : outcome;
}

bool flag_split_guarded(const cJSON *outcome)
{
    return flag_split_inside(outcome) != outcome;
}

/* What is hashed in front of the entries of a `fractional`; NULL: the targeting key. Borrowed. */
static const cJSON *hashed_by(const cJSON *outcome)
{
    const cJSON *first = cfg_json_get(flag_split_inside(outcome), "fractional");
    first = first ? first->child : NULL;
    return first && !cJSON_IsArray(first) ? first : NULL;
}

/* {"cat": [the flag's name or the seed, unit]}, or nothing where that is what flagd hashes anyway. */
static bool add_hashed(cJSON *entries, const cJSON *present, const char *by, const char *seed)
{
    if (by == NULL && seed == NULL)
        return hashed_by(present) == NULL || add(entries, cJSON_Duplicate(hashed_by(present), true));
    if (seed == NULL && strcmp(by, "targetingKey") == 0)
        return true;
    cJSON *cat = cJSON_CreateObject(), *parts = cJSON_AddArrayToObject(cat, "cat");
    bool good = add(parts, seed ? cJSON_CreateString(seed) : var("$flagd.flagKey")) &&
                add(parts, var(by ? by : "targetingKey"));
    return add(entries, cat) && good;
}

static cJSON *make_fractional(const struct flag_split *s, const cJSON *present, const char *by, const char *seed)
{
    cJSON *out = cJSON_CreateObject(), *entries = cJSON_AddArrayToObject(out, "fractional");
    bool good = entries && add_hashed(entries, present, by, seed);
    for (size_t i = 0; good && i < s->n; i++) {
        cJSON *entry = cJSON_CreateArray();
        good = add(entry, cJSON_CreateString(s->entries[i].variant)) &&
               add(entry, cJSON_CreateNumber(s->entries[i].weight));
        good = add(entries, entry) && good;
    }
    if (good)
        return out;
    cJSON_Delete(out);
    return NULL;
}

/* split is consumed. */
static cJSON *guard(cJSON *split)
{
    cJSON *out = cJSON_CreateObject(), *chain = cJSON_AddArrayToObject(out, "if"), *test = cJSON_CreateObject(),
          *operands = cJSON_AddArrayToObject(test, "!=");
    bool good = add(operands, var(flag_split_unit(split))) && add(operands, cJSON_CreateNull());
    good = add(chain, test) && good;
    good = add(chain, split) && good;
    if (good)
        return out;
    cJSON_Delete(out);
    return NULL;
}

cJSON *flag_split_outcome(const struct flag_split *s, const cJSON *present, const char *by, const char *seed)
{
    struct flag_split before;
    bool kept = by == NULL && seed == NULL && flag_split_read(&before, present);
    cJSON *out = make_fractional(s, present, by, seed);
    if (out == NULL || flag_split_unit(out) == NULL || (kept && !flag_split_guarded(present)))
        return out;
    return guard(out);
}

bool flag_split_read(struct flag_split *out, const cJSON *outcome)
{
    const cJSON *entries = cfg_json_get(flag_split_inside(outcome), "fractional"),
                *e = cJSON_IsArray(entries) ? entries->child : NULL;
    *out = (struct flag_split){.n = 0};
    if (e && !cJSON_IsArray(e))
        e = e->next;
    for (; e != NULL; e = e->next) {
        const cJSON *variant = cJSON_IsArray(e) ? e->child : NULL, *weight = variant ? variant->next : NULL;
        if (!cJSON_IsString(variant) || (weight && !cJSON_IsNumber(weight)) || out->n == FLAG_SPLIT_MAX ||
            strlen(variant->valuestring) >= sizeof out->entries[0].variant)
            return false;
        double w = weight ? weight->valuedouble : 1;
        (void)snprintf(out->entries[out->n].variant, sizeof out->entries[0].variant, "%s", variant->valuestring);
        out->entries[out->n++].weight = w > 0 ? w : 0;
        out->total += w > 0 ? w : 0;
    }
    return out->n > 0 && out->total > 0;
}

/* --- who moves --- */

/* A variant is all of a split. */
static bool read_shares(struct flag_split *out, const cJSON *outcome, const char *standard)
{
    const char *all = cJSON_IsString(outcome) ? outcome->valuestring : outcome == NULL ? standard : NULL;
    if (all == NULL || strlen(all) >= sizeof out->entries[0].variant)
        return flag_split_read(out, outcome);
    *out = (struct flag_split){.n = 1, .total = 100};
    (void)snprintf(out->entries[0].variant, sizeof out->entries[0].variant, "%s", all);
    out->entries[0].weight = 100;
    return true;
}

static double share_of(const struct flag_split *s, const char *variant)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += strcmp(s->entries[i].variant, variant) == 0 ? s->entries[i].weight : 0;
    return 100 * sum / s->total;
}

struct move {
    const char *from, *to;
    double share; /* percent of all units */
};

enum { MOVES = 2 * FLAG_SPLIT_MAX };

/* Both splits lie over the same line of buckets: where they differ, units move. */
static size_t compare(struct move moves[MOVES], const struct flag_split *a, const struct flag_split *b)
{
    size_t n = 0, i = 0, k = 0;
    double end_a = a->entries[0].weight / a->total, end_b = b->entries[0].weight / b->total, at = 0;
    while (i < a->n && k < b->n) {
        double end = end_a < end_b ? end_a : end_b, share = 100 * (end - at);
        const char *from = a->entries[i].variant, *to = b->entries[k].variant;
        if (share > 1e-9 && strcmp(from, to) != 0) {
            size_t m = 0;
            while (m < n && (strcmp(moves[m].from, from) != 0 || strcmp(moves[m].to, to) != 0))
                m++;
            if (m == n)
                moves[n++] = (struct move){from, to, 0};
            moves[m].share += share;
        }
        at = end;
        if (end_a <= end + 1e-12 && ++i < a->n)
            end_a += a->entries[i].weight / a->total;
        if (end_b <= end + 1e-12 && ++k < b->n)
            end_b += b->entries[k].weight / b->total;
    }
    return n;
}

static bool loses(const struct move *moves, size_t n, const char *variant)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(moves[i].from, variant) == 0)
            return true;
    return false;
}

static void put_growth(struct cfg_buf *out, const struct flag_split *a, const struct flag_split *b,
                       const struct move *moves, size_t n)
{
    for (size_t i = 0; i < b->n; i++) {
        const char *v = b->entries[i].variant;
        double before = share_of(a, v), after = share_of(b, v);
        if (before > 1e-9 && after > before + 1e-9)
            cfg_buf_printf(out, "raising %s from %.4g %% to %.4g %% moves %s\n", v, before, after,
                           loses(moves, n, v) ? "some of its units out, as its buckets shift" : "nobody out");
    }
}

void flag_split_describe_moves(struct cfg_buf *out, const cJSON *old, const cJSON *new, const char *standard)
{
    struct flag_split a, b;
    struct move moves[MOVES];
    const cJSON *before = hashed_by(old), *after = hashed_by(new);
    if (!read_shares(&a, old, standard) || !read_shares(&b, new, standard))
        return;
    bool was_split = a.n > 1,
         same = (before == NULL) == (after == NULL) && (before == NULL || cfg_json_equal(before, after));
    if (was_split && b.n > 1 && !same) {
        cfg_buf_puts(out, "units are dealt anew: they were hashed by something else, so anyone may move\n");
        return;
    }
    size_t n = compare(moves, &a, &b);
    put_growth(out, &a, &b, moves, n);
    for (size_t i = 0; i < n; i++)
        cfg_buf_printf(out, "%s%.4g %% of the units from %s to %s%s", i == 0 ? "moves " : ", ", moves[i].share,
                       moves[i].from, moves[i].to, i + 1 == n ? "\n" : "");
    if (n == 0)
        cfg_buf_puts(out, "moves nobody\n");
}

/* --- whom a context does not name --- */

/* The variant that people expect where nothing is known: what holds while the flag is off, or false. NULL: neither. */
static const char *cautious(const cJSON *envelope)
{
    const cJSON *v;
    const char *off = cfg_json_get_str(envelope, "off_variant", NULL);
    cJSON_ArrayForEach(v, cfg_json_get(cfg_json_get(envelope, "definition"), "variants"))
    {
        if (off == NULL && cJSON_IsFalse(v))
            off = v->string;
    }
    return off;
}

void flag_split_describe_unnamed(struct cfg_buf *out, const cJSON *envelope, const cJSON *outcome)
{
    struct flag_split s;
    const char *unit = flag_split_unit(outcome), *off = cautious(envelope),
               *standard = cfg_json_get_str(cfg_json_get(envelope, "definition"), "defaultVariant", NULL);
    if (!flag_split_read(&s, outcome) || (unit == NULL && hashed_by(outcome)))
        return;
    cfg_buf_puts(out, "units without ");
    cli_put_text(out, unit ? unit : "a targeting key");
    if (unit && !flag_split_guarded(outcome)) {
        cfg_buf_puts(out, " are all in one bucket; with --by ");
        cli_put_text(out, unit);
        cfg_buf_puts(out, " again they get the default variant\n");
        return;
    }
    cfg_buf_puts(out, " get ");
    cli_put_text(out, standard ? standard : "the caller's default");
    cfg_buf_puts(out, standard ? ", the default variant" : "");
    if (unit == NULL)
        cfg_buf_puts(out, " (over OFREP and in workers TARGETING_KEY_MISSING and the caller's default)");
    if (standard && off && strcmp(standard, off) != 0) {
        cfg_buf_puts(out, "; --default ");
        cli_put_text(out, off);
        cfg_buf_puts(out, " gives them ");
        cli_put_text(out, off);
    }
    cfg_buf_putc(out, '\n');
}
