#include "client/cfgctl/flag_explain.h"

#include "client/cfgctl/cli.h"
#include "client/cfgctl/flag_edit.h"
#include "client/cfgctl/flag_expr.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_MAX = 100000, TEXT_MAX = 1 << 20, DEPTH = 40 };

/* --- taking notes --- */

static bool copy(struct cfg_slice *s)
{
    char *text = cfg_slice_dup(*s);
    s->ptr = text;
    return text != NULL;
}

void flag_notes_take(void *user, const struct cfg_flag_note *note)
{
    struct flag_notes *notes = user;
    if (notes->failed || notes->n == NOTES_MAX)
        return;
    if (notes->n == notes->cap) {
        size_t cap = notes->cap ? 2 * notes->cap : 16;
        struct cfg_flag_note *grown = realloc(notes->list, cap * sizeof *grown);
        notes->failed = grown == NULL;
        if (grown == NULL)
            return;
        notes->list = grown;
        notes->cap = cap;
    }
    struct cfg_flag_note kept = *note;
    bool named = copy(&kept.name), told = copy(&kept.text);
    notes->failed = !named || !told;
    notes->list[notes->n++] = kept;
}

void flag_notes_finish(struct flag_notes *notes)
{
    for (size_t i = 0; i < notes->n; i++) {
        free((char *)(uintptr_t)notes->list[i].name.ptr);
        free((char *)(uintptr_t)notes->list[i].text.ptr);
    }
    free(notes->list);
    *notes = (struct flag_notes){.list = NULL};
}

/* --- into steps --- */

struct reader {
    const struct flag_notes *notes;
    size_t at;
    const cJSON *flags, *evaluators, *context;
    struct cfg_buf text;
    bool good;
};

/* The next note when it is of this kind, else NULL; not taken yet. */
static const struct cfg_flag_note *peek(const struct reader *r, enum cfg_flag_note_kind kind)
{
    bool there = r->at < r->notes->n && r->notes->list[r->at].kind == kind;
    return there ? &r->notes->list[r->at] : NULL;
}

/* Appends a step whose text is in r->text. Borrowed; NULL without memory. */
static cJSON *add_step(struct reader *r, cJSON *steps, const char *kind)
{
    cJSON *step = cJSON_CreateObject();
    bool good = r->good && cfg_buf_status(&r->text) == 0 && cJSON_AddStringToObject(step, "step", kind) &&
                cJSON_AddStringToObject(step, "text", r->text.data ? r->text.data : "") &&
                cJSON_AddItemToArray(steps, step);
    cfg_buf_clear(&r->text);
    r->good = good;
    if (good)
        return step;
    cJSON_Delete(step);
    return NULL;
}

static void add_bucket(struct reader *r, cJSON *step, const struct cfg_flag_note *n)
{
    r->good = r->good && cJSON_AddNumberToObject(step, "bucket", (double)n->bucket) &&
              cJSON_AddNumberToObject(step, "of", (double)n->total);
}

static void add_holds(struct reader *r, cJSON *step, bool holds)
{
    r->good = r->good && cJSON_AddBoolToObject(step, "holds", holds);
}

static const cJSON *definition_of(const cJSON *flag)
{
    const cJSON *d = cfg_json_get(flag, "definition");
    return d ? d : flag;
}

/* Holdouts, then the group. False when the unit takes no part. */
static bool read_shares(struct reader *r, cJSON *steps, const cJSON *flag)
{
    const cJSON *group = cfg_json_get(flag, "group");
    int left = cJSON_GetArraySize(cfg_json_get(flag, "holdouts")) + cJSON_IsObject(group);
    for (; left > 0; left--) {
        const struct cfg_flag_note *unnamed = peek(r, CFG_NOTE_UNNAMED), *n;
        r->at += unnamed != NULL;
        n = peek(r, CFG_NOTE_HOLDOUT);
        bool holdout = n != NULL;
        n = n ? n : peek(r, CFG_NOTE_GROUP);
        if (n == NULL)
            return true;
        r->at++;
        cfg_buf_printf(&r->text, "%s %s: ", holdout ? "holdout" : "group", n->name.ptr);
        if (unnamed)
            cfg_buf_printf(&r->text, "the context has no %s, so the unit takes no part", unnamed->name.ptr);
        else
            cfg_buf_printf(&r->text, "bucket %llu of %llu, %s", (unsigned long long)n->bucket,
                           (unsigned long long)n->total,
                           holdout ? (n->holds ? "not held out" : "held out")
                                   : (n->holds ? "in the flag's share" : "not in the flag's share"));
        cJSON *step = add_step(r, steps, holdout ? "holdout" : "group");
        add_bucket(r, step, n);
        add_holds(r, step, n->holds);
        if (!n->holds)
            return false;
    }
    return true;
}

static void read_flag(struct reader *r, cJSON *steps, const char *name, unsigned depth);

/* What a required flag decided comes before the verdict on it. */
static bool read_requirements(struct reader *r, cJSON *steps, const cJSON *flag, unsigned depth)
{
    const cJSON *required;
    cJSON_ArrayForEach(required, cfg_json_get(flag, "prerequisites"))
    {
        cJSON *inner = cJSON_CreateArray();
        r->good = r->good && inner;
        read_flag(r, inner, required->string, depth + 1);
        const struct cfg_flag_note *n = peek(r, CFG_NOTE_PREREQUISITE);
        if (n == NULL || !r->good) {
            cJSON_Delete(inner);
            return true;
        }
        r->at++;
        cfg_buf_printf(&r->text, "prerequisite %s: serves %s, ", n->name.ptr,
                       n->text.len > 0 ? n->text.ptr : "nothing");
        cfg_json_print(&r->text, required);
        cfg_buf_puts(&r->text, n->holds ? " is required: holds" : " is required: does not hold");
        cJSON *step = add_step(r, steps, "prerequisite");
        add_holds(r, step, n->holds);
        if (step == NULL || inner->child == NULL || !cJSON_AddItemToObject(step, "steps", inner))
            cJSON_Delete(inner);
        if (!n->holds)
            return false;
    }
    return true;
}

/* Whether an `if` lies inside, so that it notes its branches too. */
static bool has_if(const cJSON *v, const cJSON *evaluators, unsigned depth)
{
    const cJSON *c;
    if (depth > DEPTH)
        return true;
    cJSON_ArrayForEach(c, v)
    {
        bool object = cJSON_IsObject(v);
        if (object && (strcmp(c->string, "if") == 0 || strcmp(c->string, "?:") == 0))
            return true;
        if (object && strcmp(c->string, "$ref") == 0 && cJSON_IsString(c) &&
            has_if(cfg_json_get(evaluators, c->valuestring), evaluators, depth + 1))
            return true;
        if (has_if(c, evaluators, depth + 1))
            return true;
    }
    return false;
}

/* Rules up to the one taken (from 0; as many as there are: else), and what that serves. */
static const cJSON *tell_rules(struct reader *r, cJSON *steps, const cJSON *envelope, size_t taken)
{
    size_t n = flag_rules_count(envelope);
    for (size_t i = 1; i <= n && i <= taken + 1; i++) {
        bool holds = i == taken + 1;
        cfg_buf_printf(&r->text, "rule %zu %s: ", i, holds ? "holds" : "does not hold");
        flag_expr_print(&r->text, flag_rule_condition(envelope, i));
        if (holds) {
            cfg_buf_puts(&r->text, " → ");
            flag_outcome_print(&r->text, flag_rule_outcome(envelope, i));
        }
        cJSON *step = add_step(r, steps, "rule");
        add_holds(r, step, holds);
        r->good = r->good && cJSON_AddNumberToObject(step, "rule", (double)i);
    }
    if (taken < n)
        return flag_rule_outcome(envelope, taken + 1);
    cfg_buf_puts(&r->text, n > 0 ? "no rule holds → " : "for everybody → ");
    flag_outcome_print(&r->text, flag_rule_outcome(envelope, 0));
    (void)add_step(r, steps, "else");
    return flag_rule_outcome(envelope, 0);
}

static void read_bucket(struct reader *r, cJSON *steps, const struct cfg_flag_note *n, const cJSON *outcome)
{
    struct flag_split s;
    cfg_buf_printf(&r->text, "split: bucket %llu of %llu", (unsigned long long)n->bucket, (unsigned long long)n->total);
    if (flag_split_read(&s, outcome) && n->index < s.n)
        cfg_buf_printf(&r->text, " is %s", s.entries[n->index].variant);
    const char *unit = flag_split_unit(outcome);
    const cJSON *value = unit ? cfg_path_get(r->context, unit) : NULL;
    if (unit && (value == NULL || cJSON_IsNull(value)))
        cfg_buf_printf(&r->text, "; the context has no %s, and all without one share this bucket", unit);
    add_bucket(r, add_step(r, steps, "split"), n);
}

/* A split is only for whom the context names. */
static void read_guard(struct reader *r, cJSON *steps, const struct cfg_flag_note *n, const cJSON *outcome)
{
    if (n->index == 0)
        return;
    cfg_buf_printf(&r->text, "split: the context has no %s → the default", flag_split_unit(outcome));
    (void)add_step(r, steps, "split");
}

static void read_rules(struct reader *r, cJSON *steps, const cJSON *flag)
{
    cJSON wrapper = {.type = cJSON_Object};
    cJSON *definition = (cJSON *)(uintptr_t)definition_of(flag), alias = *definition;
    char key[] = "definition";
    alias.string = key; /* seen as an envelope, whatever it is */
    alias.next = NULL;
    alias.prev = &alias;
    wrapper.child = &alias;
    bool chain = flag_rules_count(&wrapper) > 0, clear = true, told = false;
    bool lone = !chain && cJSON_IsArray(cfg_json_get(cfg_json_get(definition, "targeting"), "if"));
    for (size_t i = 1; i <= flag_rules_count(&wrapper); i++)
        clear = clear && !has_if(flag_rule_condition(&wrapper, i), r->evaluators, 0);
    const cJSON *outcome = chain ? NULL : flag_rule_outcome(&wrapper, 0);
    for (const struct cfg_flag_note *n; r->good && r->at < r->notes->n; r->at++) {
        n = &r->notes->list[r->at];
        if (n->kind == CFG_NOTE_RULE && chain && clear && !told) {
            outcome = tell_rules(r, steps, &wrapper, n->index);
            told = true;
        } else if (n->kind == CFG_NOTE_RULE && lone) {
            lone = false; /* an `if` that holds nothing but what everybody gets */
        } else if (n->kind == CFG_NOTE_RULE && flag_split_guarded(outcome)) {
            read_guard(r, steps, n, outcome);
        } else if (n->kind == CFG_NOTE_RULE) {
            cfg_buf_printf(&r->text, "branch %u of an if", n->index + 1);
            (void)add_step(r, steps, "branch");
        } else if (n->kind == CFG_NOTE_BUCKET) {
            read_bucket(r, steps, n, outcome);
        } else if (n->kind == CFG_NOTE_UNNAMED) {
            bool standard = strcmp(n->name.ptr, "targetingKey") == 0;
            cfg_buf_printf(&r->text, "split: the context has no %s to hash%s", n->name.ptr,
                           standard ? " (TARGETING_KEY_MISSING over OFREP and in workers)" : "");
            (void)add_step(r, steps, "split");
        } else if (n->kind == CFG_NOTE_VARIANT) {
            cfg_buf_printf(&r->text, "targeting names %s%s", n->name.ptr, n->holds ? "" : ", which is no variant");
            (void)add_step(r, steps, "variant");
        } else {
            return;
        }
    }
}

static void read_flag(struct reader *r, cJSON *steps, const char *name, unsigned depth)
{
    const cJSON *flag = cfg_json_get(r->flags, name);
    if (flag == NULL || depth > DEPTH || !r->good)
        return;
    if (!cfg_json_get_bool(flag, "enabled", true) && peek(r, CFG_NOTE_KILLED)) {
        r->at++;
        cfg_buf_puts(&r->text, "it is switched off");
        (void)add_step(r, steps, "off");
        return;
    }
    if (strcmp(cfg_json_get_str(definition_of(flag), "state", "ENABLED"), "ENABLED") != 0) {
        cfg_buf_puts(&r->text, "its state is DISABLED");
        (void)add_step(r, steps, "off");
        return;
    }
    if (read_shares(r, steps, flag) && read_requirements(r, steps, flag, depth))
        read_rules(r, steps, flag);
}

cJSON *flag_explain_steps(const struct flag_notes *notes, const char *flag, const cJSON *flags, const cJSON *evaluators,
                          const cJSON *context)
{
    cJSON *steps = cJSON_CreateArray();
    struct reader r = {
        .notes = notes, .flags = flags, .evaluators = evaluators, .context = context, .good = steps && !notes->failed};
    cfg_buf_init(&r.text, TEXT_MAX);
    read_flag(&r, steps, flag, 0);
    cfg_buf_finish(&r.text);
    if (r.good)
        return steps;
    cJSON_Delete(steps);
    return NULL;
}

/* --- as a tree --- */

static void draw(struct cfg_buf *out, const cJSON *steps, const char *lead, unsigned depth)
{
    const cJSON *step;
    cJSON_ArrayForEach(step, steps)
    {
        char deeper[256];
        const cJSON *inner = cfg_json_get(step, "steps");
        cfg_buf_printf(out, "%s%s ", lead, step->next ? "├─" : "└─");
        cli_put_text(out, cfg_json_get_str(step, "text", ""));
        cfg_buf_putc(out, '\n');
        if (inner && depth < DEPTH &&
            snprintf(deeper, sizeof deeper, "%s%s  ", lead, step->next ? "│" : " ") < (int)sizeof deeper)
            draw(out, inner, deeper, depth + 1);
    }
}

void flag_explain_draw(struct cfg_buf *out, const cJSON *steps)
{
    draw(out, steps, "", 0);
}
