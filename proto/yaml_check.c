/* What the reader says about the text itself: places, tabs, and scalars that readers differ on. */
#include "proto/utf8.h"
#include "proto/yaml_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- places, counted as libyaml does: characters, CR LF a line --- */

struct walk {
    const unsigned char *p, *end;
    yaml_mark_t at; /* of p */
};

static struct walk walk_begin(struct cfg_slice text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    return (struct walk){.p = p, .end = p + text.len};
}

/* Bytes of the line break at p; 0: none. NEL, LS and PS break lines too. */
static size_t break_length(const unsigned char *p, const unsigned char *end)
{
    size_t left = (size_t)(end - p);
    if (p[0] == '\r')
        return left > 1 && p[1] == '\n' ? 2 : 1;
    if (p[0] == '\n')
        return 1;
    if (left > 1 && p[0] == 0xC2 && p[1] == 0x85)
        return 2;
    return left > 2 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9) ? 3 : 0;
}

static void walk_step(struct walk *w)
{
    size_t broken = break_length(w->p, w->end), n = cfg_utf8_length(w->p, w->end);
    w->at.index += broken == 2 && w->p[0] == '\r' ? 2 : 1;
    if (broken > 0) {
        w->at.line++;
        w->at.column = 0;
    } else {
        w->at.column++;
    }
    w->p += broken > 0 ? broken : n > 0 ? n : 1;
}

yaml_mark_t cfg_yaml_mark_of_byte(struct cfg_slice text, size_t offset)
{
    struct walk w = walk_begin(text);
    while (w.p < w.end && (size_t)(w.p - (const unsigned char *)text.ptr) < offset)
        walk_step(&w);
    return w.at;
}

char cfg_yaml_char_at(struct cfg_slice text, size_t index)
{
    struct walk w = walk_begin(text);
    while (w.p < w.end && w.at.index < index)
        walk_step(&w);
    return w.p < w.end ? (char)*w.p : '\0';
}

/* --- tabs --- */

int cfg_yaml_fail_tab(struct cfg_yaml_loader *l, const yaml_mark_t *at)
{
    (void)cfg_yaml_fail_at(l, CFG_E_JSON, at, "a tab where only spaces may stand"); /* its code is returned below */
    cfg_error_set_hint(l->err, "indent and separate with spaces; `expand FILE` turns tabs into them");
    return CFG_E_JSON;
}

int cfg_yaml_note_span(struct cfg_yaml_loader *l, const yaml_event_t *scalar)
{
    if (l->n_spans == 0 && l->cap_spans == 0 && memchr(l->text.ptr, '\t', l->text.len) == NULL)
        return 0;
    if (l->n_spans == l->cap_spans) {
        size_t cap = l->cap_spans ? 2 * l->cap_spans : 64;
        struct cfg_yaml_span *spans = reallocarray(l->spans, cap, sizeof *spans);
        if (spans == NULL)
            return cfg_fail(l->err, CFG_E_NOMEM, "out of memory");
        l->spans = spans;
        l->cap_spans = cap;
    }
    l->spans[l->n_spans++] = (struct cfg_yaml_span){scalar->start_mark.index, scalar->end_mark.index};
    return 0;
}

/* PyYAML takes no tab between tokens, libyaml some: a file that one of them refuses is refused. */
int cfg_yaml_check_tabs(struct cfg_yaml_loader *l)
{
    if (memchr(l->text.ptr, '\t', l->text.len) == NULL)
        return 0;
    size_t span = 0;
    bool comment = false, blank = true; /* blank: a # here begins a comment */
    for (struct walk w = walk_begin(l->text); w.p < w.end; walk_step(&w)) {
        while (span < l->n_spans && w.at.index >= l->spans[span].end)
            span++;
        if (span < l->n_spans && w.at.index >= l->spans[span].begin) {
            blank = comment = false;
            continue;
        }
        if (break_length(w.p, w.end) > 0)
            comment = false;
        else if (*w.p == '#' && blank)
            comment = true;
        else if (*w.p == '\t' && !comment)
            return cfg_yaml_fail_tab(l, &w.at);
        blank = *w.p == ' ' || break_length(w.p, w.end) > 0;
    }
    return 0;
}

/* --- warnings --- */

static bool add_text(cJSON *o, const char *key, struct cfg_buf *b)
{
    bool ok = cfg_buf_status(b) == 0 && cJSON_AddStringToObject(o, key, b->data ? b->data : "") != NULL;
    cfg_buf_clear(b);
    return ok;
}

/* How to write what was read so that nobody can read it otherwise. */
static void put_safe(struct cfg_buf *out, const struct cfg_yaml_reading *r, struct cfg_slice text)
{
    if (r->kind == CFG_YAML_TEXT || r->kind == CFG_YAML_DATE || r->kind == CFG_YAML_MERGE || r->kind == CFG_YAML_BROKEN)
        cfg_buf_printf(out, "'%.*s'", (int)text.len, text.ptr); /* such words have no ' in them */
    else if (r->kind == CFG_YAML_INT || r->kind == CFG_YAML_FLOAT)
        cfg_yaml_number_put(out, r->number);
    else
        cfg_yaml_reading_put(out, r, text);
}

static bool add_others(cJSON *w, const struct cfg_yaml_reading *readings, const struct cfg_yaml_reading *read,
                       struct cfg_slice text, struct cfg_buf *b)
{
    cJSON *list = cJSON_AddArrayToObject(w, "otherwise");
    bool ok = list != NULL;
    for (enum cfg_yaml_reader i = 0; ok && i < CFG_YAML_READERS; i++) {
        if (cfg_yaml_reading_equal(&readings[i], read))
            continue;
        cJSON *o = cJSON_CreateObject();
        cfg_yaml_reading_put(b, &readings[i], text);
        ok = o && cJSON_AddItemToArray(list, o) &&
             cJSON_AddStringToObject(o, "reader", cfg_yaml_reader_name(i)) != NULL && add_text(o, "read", b);
    }
    return ok;
}

static void put_message(struct cfg_buf *b, const yaml_event_t *scalar, const struct cfg_yaml_reading *readings,
                        const struct cfg_yaml_reading *read, struct cfg_slice text)
{
    cfg_buf_printf(b, "line %zu: %.*s reads as ", scalar->start_mark.line + 1, (int)text.len, text.ptr);
    cfg_yaml_reading_put(b, read, text);
    for (enum cfg_yaml_reader i = 0; i < CFG_YAML_READERS; i++) {
        if (cfg_yaml_reading_equal(&readings[i], read))
            continue;
        cfg_buf_puts(b, ", to ");
        cfg_buf_puts(b, cfg_yaml_reader_name(i));
        cfg_buf_puts(b, " as ");
        cfg_yaml_reading_put(b, &readings[i], text);
    }
}

/* "write false or 'no'": one way for each of the values that somebody reads. */
static void put_hint(struct cfg_buf *b, const struct cfg_yaml_reading *readings, const struct cfg_yaml_reading *read,
                     struct cfg_slice text)
{
    cfg_buf_puts(b, "write ");
    put_safe(b, read, text);
    for (enum cfg_yaml_reader i = 0; i < CFG_YAML_READERS; i++) {
        bool shown = cfg_yaml_reading_equal(&readings[i], read) || readings[i].kind == CFG_YAML_DATE ||
                     readings[i].kind == CFG_YAML_BROKEN || readings[i].kind == CFG_YAML_MERGE;
        bool number = readings[i].kind == CFG_YAML_INT || readings[i].kind == CFG_YAML_FLOAT;
        shown = shown || (number && !isfinite(readings[i].number)); /* no document holds it */
        for (enum cfg_yaml_reader j = 0; j < i; j++)
            shown = shown || cfg_yaml_reading_equal(&readings[i], &readings[j]);
        if (shown)
            continue;
        cfg_buf_puts(b, " or ");
        put_safe(b, &readings[i], text);
    }
}

static cJSON *make_warning(struct cfg_yaml_loader *l, const yaml_event_t *scalar,
                           const struct cfg_yaml_reading *readings, const struct cfg_yaml_reading *read,
                           struct cfg_slice text)
{
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    cJSON *w = cJSON_CreateObject();
    bool ok = w && cJSON_AddNumberToObject(w, "line", (double)(scalar->start_mark.line + 1)) &&
              cJSON_AddNumberToObject(w, "column", (double)(scalar->start_mark.column + 1)) &&
              cJSON_AddStringToObject(w, "path", l->path.data ? l->path.data : "");
    cfg_buf_put(&b, text.ptr, text.len);
    ok = ok && add_text(w, "text", &b);
    cfg_yaml_reading_put(&b, read, text);
    ok = ok && add_text(w, "read", &b) && add_others(w, readings, read, text, &b);
    put_message(&b, scalar, readings, read, text);
    ok = ok && add_text(w, "message", &b);
    put_hint(&b, readings, read, text);
    ok = ok && add_text(w, "hint", &b);
    cfg_buf_finish(&b);
    if (ok)
        return w;
    cJSON_Delete(w);
    return NULL;
}

int cfg_yaml_warn(struct cfg_yaml_loader *l, const yaml_event_t *scalar, const struct cfg_yaml_reading *read)
{
    enum { SHOWN = 1000 }; /* a number of more digits is refused anyway, or the same to all */
    const struct cfg_slice text = {(const char *)scalar->data.scalar.value, scalar->data.scalar.length};
    struct cfg_yaml_reading readings[CFG_YAML_READERS], taken = *read;
    bool differ = false;
    if (taken.kind == CFG_YAML_DATE)
        taken.kind = CFG_YAML_TEXT; /* that is what the tree gets */
    if (l->warnings == NULL || text.len > SHOWN)
        return 0;
    for (enum cfg_yaml_reader i = 0; i < CFG_YAML_READERS; i++) {
        if (cfg_yaml_scalar_read(&readings[i], i, text) != 0)
            return cfg_fail(l->err, CFG_E_NOMEM, "out of memory");
        differ = differ || !cfg_yaml_reading_equal(&readings[i], &taken);
    }
    if (!differ)
        return 0;
    cJSON *w = make_warning(l, scalar, readings, &taken, text);
    if (w && cJSON_AddItemToArray(l->warnings, w))
        return 0;
    cJSON_Delete(w);
    return cfg_fail(l->err, CFG_E_NOMEM, "out of memory");
}
