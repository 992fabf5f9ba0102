/* Flags in words, and what changed between two of them. */
#include "client/cfgctl/flag_edit.h"

#include "client/cfgctl/cli.h"
#include "client/cfgctl/flag_expr.h"
#include "flags/flag.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 24, DIFF_LINES = 2000 };

cJSON *flag_envelope_of(const cJSON *reply)
{
    cJSON *out = cJSON_CreateObject();
    for (size_t i = 0; out && cfg_flag_envelope_members[i]; i++) {
        const cJSON *v = cfg_json_get(reply, cfg_flag_envelope_members[i]);
        cJSON *copy = v && !cJSON_IsNull(v) ? cJSON_Duplicate(v, true) : NULL;
        if (v == NULL || cJSON_IsNull(v) || cfg_json_set(out, cfg_flag_envelope_members[i], copy) == 0)
            continue;
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* --- rules --- */

/* "user.id" of {"cat": [{"var": "$flagd.flagKey"}, {"var": "user.id"}]} or of {"var": "user.id"}; NULL: neither. */
static const char *unit_of(const cJSON *hashed, const char **seed)
{
    const cJSON *parts = cfg_json_get(hashed, "cat"), *first = parts ? parts->child : NULL;
    const cJSON *unit = first && first->next && first->next->next == NULL ? first->next : NULL;
    *seed = NULL;
    if (unit == NULL)
        return NULL;
    if (cJSON_IsString(first))
        *seed = first->valuestring;
    else if (strcmp(cfg_json_get_str(first, "var", ""), "$flagd.flagKey") != 0)
        return NULL;
    return cfg_json_get_str(unit, "var", NULL);
}

const char *flag_split_unit(const cJSON *outcome)
{
    const char *seed = NULL;
    const cJSON *entries = cfg_json_get(flag_split_inside(outcome), "fractional");
    return entries ? unit_of(entries->child, &seed) : NULL;
}

void flag_outcome_print(struct cfg_buf *out, const cJSON *outcome)
{
    struct flag_split s;
    if (outcome == NULL) {
        cfg_buf_puts(out, "the default");
    } else if (cJSON_IsString(outcome)) {
        cli_put_text(out, outcome->valuestring);
    } else if (flag_split_read(&s, outcome)) {
        for (size_t i = 0; i < s.n; i++) {
            cfg_buf_puts(out, i == 0 ? "" : ", ");
            cli_put_text(out, s.entries[i].variant);
            cfg_buf_printf(out, " %.4g %%", 100 * s.entries[i].weight / s.total);
        }
        const cJSON *hashed = cfg_json_get(flag_split_inside(outcome), "fractional")->child;
        const char *seed = NULL, *unit = cJSON_IsArray(hashed) ? "targetingKey" : unit_of(hashed, &seed);
        cfg_buf_puts(out, " by ");
        if (unit)
            cli_put_text(out, unit);
        else
            cfg_json_print(out, hashed);
        if (seed) {
            cfg_buf_puts(out, " seeded with ");
            cli_put_text(out, seed);
        }
        if (flag_split_unit(outcome) && !flag_split_guarded(outcome))
            cfg_buf_puts(out, " (all without one alike)");
    } else {
        cfg_json_print(out, outcome);
    }
}

void flag_describe_rules(struct cfg_buf *out, const cJSON *envelope, bool numbered)
{
    size_t n = flag_rules_count(envelope);
    for (size_t i = 1; i <= n; i++) {
        if (numbered)
            cfg_buf_printf(out, "rule %zu: ", i);
        cfg_buf_puts(out, "if ");
        flag_expr_print(out, flag_rule_condition(envelope, i));
        cfg_buf_puts(out, " serve ");
        flag_outcome_print(out, flag_rule_outcome(envelope, i));
        cfg_buf_putc(out, '\n');
    }
    const cJSON *otherwise = flag_rule_outcome(envelope, 0);
    if (otherwise) {
        cfg_buf_puts(out, n > 0 ? "else serve " : "serve ");
        flag_outcome_print(out, otherwise);
        cfg_buf_putc(out, '\n');
    }
}

/* --- the rest --- */

static void put_json(struct cfg_buf *out, const char *label, const cJSON *v)
{
    if (v == NULL)
        return;
    cfg_buf_printf(out, "%s: ", label);
    cfg_json_print(out, v);
    cfg_buf_putc(out, '\n');
}

static void put_each(struct cfg_buf *out, const char *label, const cJSON *object)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, object)
    {
        cfg_buf_printf(out, "%s ", label);
        cli_put_text(out, m->string ? m->string : "");
        cfg_buf_puts(out, ": ");
        cfg_json_print(out, m);
        cfg_buf_putc(out, '\n');
    }
}

static void put_share(struct cfg_buf *out, const char *label, const cJSON *share)
{
    if (!cJSON_IsObject(share))
        return;
    double from = cfg_json_get_num(share, "from", 0), to = cfg_json_get_num(share, "to", 0);
    cfg_buf_printf(out, "%s ", label);
    cli_put_text(out, cfg_json_get_str(share, "name", "?"));
    cfg_buf_printf(out, ": %g %% of the units (buckets %g to %g of 10000) by ", (to - from) / 100, from, to);
    cli_put_text(out, cfg_json_get_str(share, "by", "targetingKey"));
    cfg_buf_putc(out, '\n');
}

void flag_describe(struct cfg_buf *out, const cJSON *envelope, bool numbered)
{
    const cJSON *definition = cfg_json_get(envelope, "definition"), *holdout, *own;
    cfg_buf_puts(out, cfg_json_get_bool(envelope, "enabled", true) ? "on\n" : "off\n");
    put_json(out, "while off", cfg_json_get(envelope, "off_variant"));
    if (strcmp(cfg_json_get_str(definition, "state", "ENABLED"), "ENABLED") != 0)
        put_json(out, "state", cfg_json_get(definition, "state"));
    put_each(out, "variant", cfg_json_get(definition, "variants"));
    put_json(out, "default", cfg_json_get(definition, "defaultVariant"));
    flag_describe_rules(out, envelope, numbered);
    put_each(out, "requires", cfg_json_get(envelope, "prerequisites"));
    put_share(out, "group", cfg_json_get(envelope, "group"));
    cJSON_ArrayForEach(holdout, cfg_json_get(envelope, "holdouts"))
    {
        put_share(out, "held out by", holdout);
    }
    cJSON_ArrayForEach(own, cfg_json_get(envelope, "overrides"))
    {
        const cJSON *m;
        cJSON_ArrayForEach(m, own)
        {
            cfg_buf_puts(out, "with ");
            cli_put_text(out, own->string);
            cfg_buf_putc(out, ' ');
            cli_put_text(out, m->string);
            cfg_buf_puts(out, " = ");
            cfg_json_print(out, m);
            cfg_buf_putc(out, '\n');
        }
    }
    put_json(out, "hash version", cfg_json_get(envelope, "hash_version"));
    put_json(out, "hash version of the definition", cfg_json_get(definition, "hash_version"));
    put_each(out, "metadata", cfg_json_get(definition, "metadata"));
}

/* --- what changed --- */

static void name_if_changed(struct cfg_buf *out, const char *name, const cJSON *a, const cJSON *b)
{
    bool none_a = a == NULL || cJSON_IsNull(a), none_b = b == NULL || cJSON_IsNull(b);
    if (none_a == none_b && (none_a || cfg_json_equal(a, b)))
        return;
    cfg_buf_printf(out, "%s%s", out->len > 0 ? ", " : "", name);
}

void flag_name_changes(struct cfg_buf *out, const cJSON *old, const cJSON *new)
{
    static const struct {
        const char *key, *name;
    } inside[] = {{"state", "state"},     {"variants", "variants"},         {"defaultVariant", "default"},
                  {"targeting", "rules"}, {"hash_version", "hash version"}, {"metadata", "metadata"}},
      outside[] = {{"off_variant", "off variant"}, {"prerequisites", "requires"}, {"group", "group"},
                   {"holdouts", "holdouts"},       {"overrides", "overrides"},    {"hash_version", "hash version"}};
    const cJSON *a = cfg_json_get(old, "definition"), *b = cfg_json_get(new, "definition");
    bool was = cfg_json_get_bool(old, "enabled", true), is = cfg_json_get_bool(new, "enabled", true);
    if (was != is)
        cfg_buf_puts(out, is ? "switched on" : "switched off");
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
        name_if_changed(out, inside[i].name, cfg_json_get(a, inside[i].key), cfg_json_get(b, inside[i].key));
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        name_if_changed(out, outside[i].name, cfg_json_get(old, outside[i].key), cfg_json_get(new, outside[i].key));
}

/* --- differences --- */

struct lines {
    struct cfg_slice at[DIFF_LINES];
    size_t n;
};

/* False when there are too many. */
static bool cut(struct lines *out, const char *text)
{
    out->n = 0;
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (out->n == DIFF_LINES)
            return false;
        out->at[out->n++] = (struct cfg_slice){text, n};
        text += n + (text[n] == '\n');
    }
    return true;
}

static void put_line(struct cfg_buf *out, char sign, struct cfg_slice line, bool color)
{
    if (color)
        cfg_buf_puts(out, sign == '-' ? "\033[31m" : "\033[32m");
    cfg_buf_printf(out, "%c ", sign);
    cfg_buf_put(out, line.ptr, line.len);
    cfg_buf_puts(out, color ? "\033[0m\n" : "\n");
}

/* The longest common subsequence, by the table of its lengths. */
static void put_difference(struct cfg_buf *out, const struct lines *a, const struct lines *b, const uint16_t *table,
                           bool color)
{
    size_t i = 0, k = 0, width = b->n + 1;
    while (i < a->n || k < b->n) {
        if (i < a->n && k < b->n && cfg_slice_eq(a->at[i], b->at[k])) {
            i++;
            k++;
        } else if (i < a->n && (k == b->n || table[(i + 1) * width + k] >= table[i * width + k + 1])) {
            put_line(out, '-', a->at[i++], color);
        } else {
            put_line(out, '+', b->at[k++], color);
        }
    }
}

static void diff_lines(struct cfg_buf *out, const struct lines *a, const struct lines *b, bool color)
{
    size_t width = b->n + 1;
    uint16_t *table = calloc((a->n + 1) * width, sizeof *table);
    if (table == NULL) {
        out->failed = CFG_E_NOMEM;
        return;
    }
    for (size_t i = a->n; i-- > 0;)
        for (size_t k = b->n; k-- > 0;) {
            uint16_t down = table[(i + 1) * width + k], right = table[i * width + k + 1];
            bool same = cfg_slice_eq(a->at[i], b->at[k]);
            table[i * width + k] = same ? (uint16_t)(table[(i + 1) * width + k + 1] + 1) : down > right ? down : right;
        }
    put_difference(out, a, b, table, color);
    free(table);
}

void flag_diff(struct cfg_buf *out, const char *old, const char *new, bool color)
{
    struct lines *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    if (a == NULL || b == NULL)
        out->failed = CFG_E_NOMEM;
    else if (cut(a, old) && cut(b, new))
        diff_lines(out, a, b, color);
    else
        cfg_buf_printf(out, "(more than %d lines change or stay)\n", DIFF_LINES);
    free(a);
    free(b);
}
