#include "tests/conformance/gherkin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct cfg_slice rest, line;
    char feature_tags[512], tags[512], scenario_tags[512], example_tags[512], name[512]; /* tags: not yet claimed */
    struct cfg_slice background[GHERKIN_STEPS], steps[GHERKIN_STEPS];
    struct cfg_slice step_rows[GHERKIN_STEPS][GHERKIN_ROWS]; /* of steps */
    unsigned n_background, n_steps, n_step_rows[GHERKIN_STEPS];
    bool in_background, in_examples, has_examples, overflow;
    struct cfg_slice header;
    gherkin_fn fn;
    void *user;
};

static void *check(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static struct cfg_slice trim(struct cfg_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (struct cfg_slice){s.ptr + 1, s.len - 1};
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\r'))
        s.len--;
    return s;
}

static bool next_line(struct parser *p)
{
    if (p->rest.len == 0)
        return false;
    const char *end = memchr(p->rest.ptr, '\n', p->rest.len);
    size_t n = end ? (size_t)(end - p->rest.ptr) : p->rest.len;
    p->line = trim((struct cfg_slice){p->rest.ptr, n});
    p->rest = (struct cfg_slice){p->rest.ptr + n + (end != NULL), p->rest.len - n - (end != NULL)};
    return true;
}

/* --- tables --- */

/* A cell's text: \| \\ and \n are Gherkin's own escapes, anything else behind a backslash stays. */
static char *cell_text(struct cfg_slice s)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    cfg_buf_puts(&out, "");
    for (size_t i = 0; i < s.len; i++) {
        bool escape = s.ptr[i] == '\\' && i + 1 < s.len && strchr("|\\n", s.ptr[i + 1]);
        i += escape;
        cfg_buf_putc(&out, escape && s.ptr[i] == 'n' ? '\n' : s.ptr[i]);
    }
    return check(cfg_buf_steal(&out));
}

static void split_row(struct gherkin_row *out, struct cfg_slice line, bool *overflow)
{
    out->n = 0;
    size_t start = 1;
    for (size_t i = 1; i < line.len; i++) {
        if (line.ptr[i] == '\\') {
            i++;
        } else if (line.ptr[i] == '|') {
            if (out->n == GHERKIN_CELLS) {
                *overflow = true;
                return;
            }
            out->cells[out->n++] = cell_text(trim((struct cfg_slice){line.ptr + start, i - start}));
            start = i + 1;
        }
    }
}

static void free_row(struct gherkin_row *row)
{
    for (unsigned i = 0; i < row->n; i++)
        free(row->cells[i]);
    row->n = 0;
}

/* --- cases --- */

/* The text with every <name> of the header replaced by the example's value. */
static char *fill_in(struct cfg_slice s, const struct gherkin_row *header, const struct gherkin_row *values)
{
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < s.len; i++) {
        const char *end = s.ptr[i] == '<' ? memchr(s.ptr + i, '>', s.len - i) : NULL;
        struct cfg_slice name = {s.ptr + i + 1, end ? (size_t)(end - s.ptr) - i - 1 : 0};
        unsigned k = 0;
        while (end && k < header->n && !cfg_slice_eq_str(name, header->cells[k]))
            k++;
        if (end && k < header->n && k < values->n) {
            cfg_buf_puts(&out, values->cells[k]);
            i += name.len + 1;
        } else {
            cfg_buf_putc(&out, s.ptr[i]);
        }
    }
    return check(cfg_buf_steal(&out));
}

static struct cfg_slice without_keyword(struct cfg_slice s)
{
    const char *space = memchr(s.ptr, ' ', s.len);
    size_t n = space ? (size_t)(space - s.ptr) + 1 : 0;
    return (struct cfg_slice){s.ptr + n, s.len - n};
}

static void add_step(struct gherkin_case *c, struct parser *p, struct cfg_slice text, const struct gherkin_row *header,
                     const struct gherkin_row *values)
{
    if (c->n_steps == GHERKIN_STEPS) {
        p->overflow = true;
        return;
    }
    c->steps[c->n_steps++].text = fill_in(without_keyword(text), header, values);
}

static void emit(struct parser *p, const struct gherkin_row *header, const struct gherkin_row *values)
{
    static struct gherkin_case c;
    char tags[1600], name[1024];
    int n = snprintf(name, sizeof name, "%s", p->name);
    for (unsigned i = 0; i < values->n && n > 0 && (size_t)n < sizeof name; i++)
        n += snprintf(name + n, sizeof name - (size_t)n, "%s%.60s", i ? " | " : ": ", values->cells[i]);
    (void)snprintf(tags, sizeof tags, "%s %s %s ", p->feature_tags, p->scenario_tags,
                   p->in_examples ? p->example_tags : "");
    c.name = name;
    c.tags = tags;
    c.n_steps = 0;
    for (unsigned i = 0; i < p->n_background; i++)
        add_step(&c, p, p->background[i], header, values);
    for (unsigned i = 0; i < p->n_steps; i++) {
        add_step(&c, p, p->steps[i], header, values);
        struct gherkin_step *s = &c.steps[c.n_steps - 1];
        s->n_rows = p->n_step_rows[i];
        for (unsigned k = 0; k < s->n_rows; k++)
            split_row(&s->rows[k], p->step_rows[i][k], &p->overflow);
    }
    p->fn(p->user, &c);
    for (unsigned i = 0; i < c.n_steps; i++) {
        for (unsigned k = 0; k < c.steps[i].n_rows; k++)
            free_row(&c.steps[i].rows[k]);
        c.steps[i].n_rows = 0;
        free(c.steps[i].text);
    }
}

static void end_scenario(struct parser *p)
{
    static const struct gherkin_row none;
    if (p->n_steps > 0 && !p->has_examples)
        emit(p, &none, &none);
    p->n_steps = 0;
    p->has_examples = p->in_examples = p->in_background = false;
}

static void emit_example(struct parser *p)
{
    struct gherkin_row header, values;
    split_row(&header, p->header, &p->overflow);
    split_row(&values, p->line, &p->overflow);
    emit(p, &header, &values);
    free_row(&header);
    free_row(&values);
}

/* --- lines --- */

static void copy_text(char *out, size_t size, struct cfg_slice s)
{
    (void)snprintf(out, size, "%.*s", (int)s.len, s.ptr);
}

static bool starts_step(struct cfg_slice s)
{
    return cfg_slice_starts(s, "Given ") || cfg_slice_starts(s, "When ") || cfg_slice_starts(s, "Then ") ||
           cfg_slice_starts(s, "And ");
}

static void take_step(struct parser *p)
{
    unsigned *n = p->in_background ? &p->n_background : &p->n_steps;
    if (*n == GHERKIN_STEPS) {
        p->overflow = true;
        return;
    }
    if (p->in_background) {
        p->background[(*n)++] = p->line;
        return;
    }
    p->n_step_rows[*n] = 0;
    p->steps[(*n)++] = p->line;
}

static void take_row(struct parser *p)
{
    if (p->in_examples && p->header.ptr == NULL) {
        p->header = p->line;
    } else if (p->in_examples) {
        emit_example(p);
    } else if (p->n_steps > 0 && p->n_step_rows[p->n_steps - 1] < GHERKIN_ROWS) {
        unsigned i = p->n_steps - 1;
        p->step_rows[i][p->n_step_rows[i]++] = p->line;
    } else {
        p->overflow = true;
    }
}

/* Tags stand before what they belong to. */
static void take_tags(struct parser *p)
{
    size_t n = strlen(p->tags);
    (void)snprintf(p->tags + n, sizeof p->tags - n, " %.*s", (int)p->line.len, p->line.ptr);
}

static void take_heading(struct parser *p, const char *keyword)
{
    const char *colon = memchr(p->line.ptr, ':', p->line.len);
    if (strcmp(keyword, "Examples") == 0) {
        p->in_examples = p->has_examples = true;
        p->header = (struct cfg_slice){NULL, 0};
        (void)snprintf(p->example_tags, sizeof p->example_tags, "%s", p->tags);
        p->tags[0] = '\0';
        return;
    }
    end_scenario(p);
    if (strcmp(keyword, "Feature") == 0)
        (void)snprintf(p->feature_tags, sizeof p->feature_tags, "%s", p->tags);
    p->in_background = strcmp(keyword, "Background") == 0;
    if (strcmp(keyword, "Scenario") == 0) {
        (void)snprintf(p->scenario_tags, sizeof p->scenario_tags, "%s", p->tags);
        copy_text(p->name, sizeof p->name,
                  trim((struct cfg_slice){colon + 1, p->line.len - (size_t)(colon - p->line.ptr) - 1}));
    }
    p->tags[0] = '\0';
}

bool gherkin_run(struct cfg_slice text, gherkin_fn fn, void *user)
{
    static struct parser p;
    static const char *const headings[] = {"Feature", "Background", "Scenario", "Examples"};
    memset(&p, 0, sizeof p);
    p.rest = text;
    p.fn = fn;
    p.user = user;
    while (next_line(&p)) {
        if (p.line.len == 0 || p.line.ptr[0] == '#')
            continue;
        if (p.line.ptr[0] == '@')
            take_tags(&p);
        else if (p.line.ptr[0] == '|')
            take_row(&p);
        else if (starts_step(p.line))
            take_step(&p);
        for (size_t i = 0; i < 4; i++)
            if (cfg_slice_starts(p.line, headings[i]) && memchr(p.line.ptr, ':', p.line.len))
                take_heading(&p, headings[i]);
    }
    end_scenario(&p);
    return !p.overflow;
}
