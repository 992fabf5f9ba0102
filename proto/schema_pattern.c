/* Patterns through PCRE2: compiled once, matched under limits.
 *
 * A match first runs with a small limit, which nearly all need; one that runs into it pays from the check's steps
 * before it may go on with the full one, so that a document full of expensive matches ends as well. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "proto/schema_internal.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATTERN_BYTES = 4096,           /* of one pattern */
    ALL_BYTES = 256 * 1024,         /* of a schema's patterns together */
    FULL_MATCHES = 200 * 1000,      /* backtracking steps of one match */
    MATCH_STEPS = FULL_MATCHES / 4, /* what they cost */
    DEPTH = 5000,
    HEAP_KIB = 20000,
};

struct schema_pattern {
    pcre2_code *code;
    const char *text;
    struct schema_pattern *next;
};

static const uint32_t options =
    PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_DOTSTAR_ANCHOR;

static int fail_limit(struct schema_compiler *c, const struct schema_node *n, const char *keyword)
{
    return cfg_schema_fail(c, n, keyword, CFG_E_LIMIT,
                           "patterns have at most %d bytes, and all of a schema together %d", PATTERN_BYTES, ALL_BYTES);
}

static int compile_text(struct schema_compiler *c, pcre2_code **out, const char *text, const struct schema_node *n,
                        const char *keyword)
{
    struct cfg_buf pcre;
    size_t offset = 0;
    int number = 0, code = 0;
    PCRE2_SIZE at = 0;
    cfg_buf_init(&pcre, 64 * PATTERN_BYTES);
    const char *why = cfg_schema_pattern_translate(&pcre, cfg_slice_str(text), &offset);
    if (why) {
        code = cfg_schema_fail(c, n, keyword, CFG_E_VALUE, "the pattern %.120s is not valid at character %zu: %s", text,
                               offset + 1, why);
    } else if (cfg_buf_status(&pcre)) {
        code = cfg_fail(c->err, cfg_buf_status(&pcre), "no room for a pattern");
    } else {
        *out = pcre2_compile((PCRE2_SPTR)(pcre.data ? pcre.data : ""), pcre.len, options, &number, &at, NULL);
        if (*out == NULL) {
            PCRE2_UCHAR message[120] = "";
            (void)pcre2_get_error_message(number, message, sizeof message);
            code = cfg_schema_fail(c, n, keyword, CFG_E_UNSUPPORTED, "the pattern %.120s cannot be used: %s", text,
                                   (const char *)message);
        }
    }
    cfg_buf_finish(&pcre);
    return code;
}

int cfg_schema_pattern(struct schema_compiler *c, const struct schema_pattern **out, const char *text,
                       const struct schema_node *n, const char *keyword)
{
    size_t length = strlen(text);
    c->pattern_bytes += length;
    if (length > PATTERN_BYTES || c->pattern_bytes > ALL_BYTES)
        return fail_limit(c, n, keyword);
    pcre2_code *compiled = NULL;
    int code = compile_text(c, &compiled, text, n, keyword);
    if (code)
        return code;
    struct schema_pattern *p = cfg_schema_take(c, sizeof *p);
    if (p == NULL) {
        pcre2_code_free(compiled);
        return cfg_schema_nomem(c);
    }
    *p = (struct schema_pattern){compiled, text, c->s->patterns};
    c->s->patterns = p;
    *out = p;
    return 0;
}

void cfg_schema_patterns_free(struct schema_pattern *first)
{
    for (; first; first = first->next) /* the nodes themselves lie in the program's arena */
        pcre2_code_free(first->code);
}

const char *cfg_schema_pattern_text(const struct schema_pattern *p)
{
    return p->text;
}

bool cfg_schema_pattern_valid(struct cfg_slice text)
{
    struct cfg_buf pcre;
    size_t offset;
    int number;
    PCRE2_SIZE at;
    cfg_buf_init(&pcre, 64 * PATTERN_BYTES);
    bool valid = cfg_schema_pattern_translate(&pcre, text, &offset) == NULL && cfg_buf_status(&pcre) == 0;
    if (valid) {
        pcre2_code *code =
            pcre2_compile((PCRE2_SPTR)(pcre.data ? pcre.data : ""), pcre.len, options, &number, &at, NULL);
        /* Lookbehinds of varying length are fine in ECMA-262; that PCRE2 cannot match them is not the text's fault. */
        valid = code != NULL || number == PCRE2_ERROR_LOOKBEHIND_NOT_FIXED_LENGTH;
        pcre2_code_free(code);
    }
    cfg_buf_finish(&pcre);
    return valid;
}

/* --- matching --- */

struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static struct matcher *matcher_of(struct schema_run *r)
{
    if (r->match)
        return r->match;
    struct matcher *m = calloc(1, sizeof *m);
    if (m) {
        r->match = m;
        m->data = pcre2_match_data_create(1, NULL);
        m->context = pcre2_match_context_create(NULL);
    }
    if (m == NULL || m->data == NULL || m->context == NULL) {
        r->failed = CFG_E_NOMEM;
        return NULL;
    }
    (void)pcre2_set_depth_limit(m->context, DEPTH); /* these three always succeed */
    (void)pcre2_set_heap_limit(m->context, HEAP_KIB);
    return m;
}

void cfg_schema_pattern_done(struct schema_run *r)
{
    struct matcher *m = r->match;
    if (m == NULL)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    free(m);
    r->match = NULL;
}

static int match_under(struct matcher *m, const struct schema_pattern *p, const char *text, size_t n, uint32_t limit)
{
    (void)pcre2_set_match_limit(m->context, limit);
    return pcre2_match(p->code, (PCRE2_SPTR)text, n, 0, 0, m->data, m->context);
}

static bool match_text(struct schema_run *r, const struct schema_pattern *p, const char *text, size_t n)
{
    struct matcher *m = matcher_of(r);
    if (m == NULL || !cfg_schema_spend(r, 1 + n / 16))
        return false;
    uint32_t first = 2000 + 8 * (uint32_t)(n < 10000 ? n : 10000);
    int result = match_under(m, p, text, n, first);
    if (result == PCRE2_ERROR_MATCHLIMIT && cfg_schema_spend(r, MATCH_STEPS))
        result = match_under(m, p, text, n, FULL_MATCHES);
    if (result == PCRE2_ERROR_NOMEMORY)
        r->failed = CFG_E_NOMEM;
    else if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT || result == PCRE2_ERROR_HEAPLIMIT)
        r->failed = CFG_E_LIMIT;
    return result >= 0;
}

/* The tree spells U+0000 as C0 80, which is no UTF-8 to PCRE2. */
static bool match_with_nul(struct schema_run *r, const struct schema_pattern *p, const char *text)
{
    size_t n = strlen(text), length = 0;
    char *plain = malloc(n + 1);
    if (plain == NULL) {
        r->failed = CFG_E_NOMEM;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        bool nul = (unsigned char)text[i] == 0xC0;
        plain[length++] = nul ? '\0' : text[i];
        i += nul;
    }
    bool matched = match_text(r, p, plain, length);
    free(plain);
    return matched;
}

bool cfg_schema_pattern_matches(struct schema_run *r, const struct schema_pattern *p, const char *text)
{
    if (strchr(text, 0xC0) == NULL)
        return match_text(r, p, text, strlen(text));
    return match_with_nul(r, p, text);
}
