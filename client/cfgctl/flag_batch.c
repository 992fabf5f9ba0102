#include "client/cfgctl/flag_batch.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 256, DEPTH = 256 };
#define CACHE_BYTES ((size_t)128 * 1024 * 1024) /* of compiled sets and of the texts they came from */

/* What a line may say. The parts that become a set come first: together they are the key of the cache. */
enum part { FLAGS, DEFINITION, EVALUATORS, METADATA, NAME, TYPE, FALLBACK, CONTEXT, PARTS, SOURCE_PARTS = NAME };

struct slot {
    uint64_t hash;
    char *key; /* owned; NULL: empty */
    size_t key_len;
    struct cfg_flag_set *set; /* owned; NULL: what the key says is no set */
};

struct flag_batch {
    struct slot slots[SLOTS];
    size_t bytes;
    struct cfg_buf key;
};

struct flag_batch *flag_batch_new(void)
{
    struct flag_batch *b = calloc(1, sizeof *b);
    if (b)
        cfg_buf_init(&b->key, (size_t)FLAG_BATCH_LINE + 4096);
    return b;
}

static void empty_slot(struct flag_batch *b, struct slot *s)
{
    b->bytes -= s->key ? s->key_len + (s->set ? cfg_flag_set_bytes(s->set) : 0) : 0;
    cfg_flag_set_free(s->set);
    free(s->key);
    *s = (struct slot){.key = NULL};
}

void flag_batch_free(struct flag_batch *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        empty_slot(b, &b->slots[i]);
    cfg_buf_finish(&b->key);
    free(b);
}

/* --- a line into its parts --- */

struct line {
    struct cfg_slice parts[PARTS]; /* texts of values; ptr NULL: absent */
};

struct cursor {
    const char *p, *end;
};

static void skip_blank(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n'))
        c->p++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_blank(c);
    if (c->p >= c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

/* Behind the closing quote of the string that begins at p; NULL when there is none. */
static const char *end_of_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (quote == NULL)
            return NULL;
        const char *escape = memchr(p, '\\', (size_t)(quote - p));
        if (escape == NULL)
            return quote + 1;
        p = escape + 1; /* whatever is escaped, its first character is no end */
    }
    return NULL;
}

static const char *end_of_nested(const char *p, const char *end)
{
    size_t depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = end_of_string(p, end);
            if (p == NULL)
                return NULL;
            continue;
        }
        depth += *p == '{' || *p == '[';
        if ((*p == '}' || *p == ']') && --depth == 0)
            return p + 1;
        p++;
    }
    return NULL;
}

/* Only where a value ends is decided here; whether it is one is up to the reader that it is handed to. */
static bool take_value(struct cfg_slice *out, struct cursor *c)
{
    skip_blank(c);
    const char *begin = c->p, *end = begin;
    if (begin == c->end)
        return false;
    if (*begin == '"')
        end = end_of_string(begin, c->end);
    else if (*begin == '{' || *begin == '[')
        end = end_of_nested(begin, c->end);
    else
        while (end < c->end && *end != ',' && *end != '}' && *end != ' ' && *end != '\t' && *end != '\r')
            end++;
    if (end == NULL || end == begin)
        return false;
    *out = (struct cfg_slice){begin, (size_t)(end - begin)};
    c->p = end;
    return true;
}

static enum part part_of(struct cfg_slice key)
{
    static const char *const names[PARTS] = {"flags", "definition", "$evaluators", "metadata",
                                             "flag",  "type",       "default",     "context"};
    for (int i = 0; i < PARTS; i++)
        if (cfg_slice_eq_str(key, names[i]))
            return (enum part)i;
    return PARTS;
}

/* A member that is no part is passed over, but must be JSON. */
static bool take_member(struct line *out, struct cursor *c)
{
    struct cfg_slice key, value;
    cJSON *name = NULL, *unused = NULL;
    skip_blank(c);
    if (c->p >= c->end || *c->p != '"' || !take_value(&key, c) || !take(c, ':') || !take_value(&value, c))
        return false;
    if (cfg_json_parse_lenient(&name, key, 0, NULL) != 0)
        return false;
    enum part part = part_of(cfg_slice_str(name->valuestring));
    cJSON_Delete(name);
    bool good = part < PARTS || cfg_json_parse_lenient(&unused, value, DEPTH, NULL) == 0;
    cJSON_Delete(unused);
    if (part < PARTS)
        out->parts[part] = value;
    return good;
}

static bool split(struct line *out, struct cfg_slice text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    *out = (struct line){.parts = {{NULL, 0}}};
    if (!take(&c, '{'))
        return false;
    if (!take(&c, '}')) {
        do {
            if (!take_member(out, &c))
                return false;
        } while (take(&c, ','));
        if (!take(&c, '}'))
            return false;
    }
    skip_blank(&c);
    return c.p == c.end;
}

/* --- compiled sets --- */

/* Not secret and not lasting: a collision costs a comparison. */
static uint64_t hash_of(const char *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * 0xFF51AFD7ED558CCDu;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, p, n);
    h = (h ^ word) * 0xC4CEB9FE1A85EC53u;
    return h ^ h >> 29;
}

static void put_key(struct cfg_buf *key, struct cfg_slice part)
{
    size_t len = part.ptr ? part.len : SIZE_MAX;
    cfg_buf_put(key, &len, sizeof len);
    cfg_buf_put(key, part.ptr, part.len);
}

static int compile(struct cfg_flag_set **out, const struct line *l, const char *name, struct cfg_error *why)
{
    cJSON *trees[SOURCE_PARTS] = {NULL};
    int rc = 0;
    for (int i = 0; rc == 0 && i < SOURCE_PARTS; i++)
        if (l->parts[i].ptr)
            rc = cfg_json_parse_lenient(&trees[i], l->parts[i], DEPTH, why);
    bool one = l->parts[DEFINITION].ptr != NULL;
    const struct flag_source source = {trees[one ? DEFINITION : FLAGS], trees[EVALUATORS], trees[METADATA]};
    if (rc == 0)
        rc = one ? flag_source_compile_one(out, name, &source, why) : flag_source_compile(out, &source, why);
    for (int i = 0; i < SOURCE_PARTS; i++)
        cJSON_Delete(trees[i]);
    return rc;
}

static void make_room(struct flag_batch *b)
{
    for (size_t i = 0; b->bytes > CACHE_BYTES && i < SLOTS; i++)
        empty_slot(b, &b->slots[i]);
}

/* Borrowed until the next line; NULL when the line has no set: *why says why, the first time. */
static const struct cfg_flag_set *set_of(struct flag_batch *b, const struct line *l, const char *name,
                                         struct cfg_error *why)
{
    cfg_buf_clear(&b->key);
    for (int i = 0; i < SOURCE_PARTS; i++)
        put_key(&b->key, l->parts[i]);
    if (l->parts[DEFINITION].ptr)
        cfg_buf_puts(&b->key, name);
    uint64_t hash = hash_of(b->key.data, b->key.len);
    struct slot *s = &b->slots[hash % SLOTS];
    if (s->key && s->hash == hash && s->key_len == b->key.len && memcmp(s->key, b->key.data, s->key_len) == 0)
        return s->set;
    empty_slot(b, s);
    make_room(b);
    if (compile(&s->set, l, name, why) != 0)
        s->set = NULL;
    *s = (struct slot){hash, malloc(b->key.len), b->key.len, s->set};
    if (s->key == NULL) { /* kept for this line; without a key nobody finds it again */
        s->key_len = 0;
        return s->set;
    }
    memcpy(s->key, b->key.data, b->key.len);
    b->bytes += s->key_len + (s->set ? cfg_flag_set_bytes(s->set) : 0);
    return s->set;
}

/* --- a line into its answer --- */

/* Small values of a line, as trees. */
struct asked {
    cJSON *parts[PARTS]; /* owned; from NAME on */
    enum cfg_flag_type type;
};

static int refuse(struct cfg_error *why, const char *text)
{
    return cfg_fail(why, CFG_E_INVALID, "%s", text);
}

static int read_asked(struct asked *out, const struct line *l, struct cfg_error *why)
{
    for (int i = FALLBACK; i < PARTS; i++) /* the default first: it is part of every answer */
        if (l->parts[i].ptr && cfg_json_parse_lenient(&out->parts[i], l->parts[i], DEPTH, why) != 0)
            return CFG_E_JSON;
    for (int i = NAME; i < FALLBACK; i++)
        if (l->parts[i].ptr && cfg_json_parse_lenient(&out->parts[i], l->parts[i], DEPTH, why) != 0)
            return CFG_E_JSON;
    return 0;
}

static int check_asked(struct asked *a, const struct line *l, struct cfg_error *why)
{
    const cJSON *type = a->parts[TYPE];
    a->type = CFG_FLAG_ANY;
    if ((l->parts[FLAGS].ptr != NULL) == (l->parts[DEFINITION].ptr != NULL))
        return refuse(why, "a question has either \"flags\" or \"definition\"");
    if (a->parts[NAME] ? !cJSON_IsString(a->parts[NAME]) : l->parts[DEFINITION].ptr == NULL)
        return refuse(why, "\"flag\" must be the name of a flag");
    if (type && !(cJSON_IsString(type) && flag_type_parse(&a->type, type->valuestring)))
        return refuse(why, "\"type\" must be bool, string, number, object or integer");
    return 0;
}

static struct flag_answer answer(struct flag_batch *b, struct asked *a, struct cfg_slice text, int64_t now,
                                 struct cfg_error *why)
{
    struct line l;
    if (!split(&l, text)) {
        (void)refuse(why, "the line is no JSON object");
        return flag_ask_failed("PARSE_ERROR", NULL);
    }
    if (read_asked(a, &l, why) != 0)
        return flag_ask_failed("PARSE_ERROR", a->parts[FALLBACK]);
    if (check_asked(a, &l, why) != 0)
        return flag_ask_failed("GENERAL", a->parts[FALLBACK]);
    const char *name = a->parts[NAME] ? a->parts[NAME]->valuestring : "flag";
    const struct cfg_flag_set *set = set_of(b, &l, name, why);
    if (set == NULL)
        return flag_ask_failed("PARSE_ERROR", a->parts[FALLBACK]);
    const struct flag_question q = {name, a->type, a->parts[FALLBACK], a->parts[CONTEXT], now, NULL};
    return flag_ask(set, &q);
}

void flag_batch_line(struct flag_batch *b, struct cfg_buf *out, struct cfg_slice line, int64_t now,
                     struct cfg_error *why)
{
    struct asked a = {.type = CFG_FLAG_ANY};
    struct cfg_error ignored;
    why = why ? why : &ignored;
    *why = (struct cfg_error)CFG_ERROR_INIT;
    const struct flag_answer result = answer(b, &a, line, now, why);
    flag_answer_print(out, &result);
    cfg_buf_putc(out, '\n');
    for (int i = NAME; i < PARTS; i++)
        cJSON_Delete(a.parts[i]);
}

void flag_batch_too_long(struct cfg_buf *out)
{
    const struct flag_answer a = flag_ask_failed("GENERAL", NULL);
    flag_answer_print(out, &a);
    cfg_buf_putc(out, '\n');
}
