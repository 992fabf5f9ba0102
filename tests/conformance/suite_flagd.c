/* flagd-testbed: feature files beside a folder of flag sets, ../flags. Features of the evaluator are about
 * testkit-flags.json, those of providers about the other sets together. A tag @fractional-v1 or -v3 asks for that hash
 * version, which is then laid into every flag; without one it is 2. */
#include "flags/set.h"
#include "tests/conformance/gherkin.h"
#include "tests/conformance/suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 16, NOW = 1750000000 };

struct feature {
    struct cfg_suite_run *run;
    char folder[4096];                      /* of the flag sets, ending with a slash */
    struct cfg_flag_set *sets[4][MAX_SETS]; /* by hash version */
    char names[MAX_SETS][256];
    unsigned n_sets;
};

/* What the steps of a case have said so far. */
struct scene {
    const struct feature *feature;
    const struct gherkin_case *c;
    char type[16], key[128], fallback[4096];
    cJSON *context;
    struct cfg_flag_context attributes;
    struct cfg_flag_result result;
    bool testkit, failed;
    unsigned hash_version;
};

static void complain(struct scene *s, const char *what, const char *is)
{
    cfg_suite_fail(s->feature->run, s->c->name, "%s is %s", what, is ? is : "absent");
    s->failed = true;
}

/* --- flag sets --- */

static cJSON *read_json(const char *path)
{
    struct cfg_buf bytes;
    cfg_buf_init(&bytes, 1 << 24);
    cJSON *v = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    if (!cfg_suite_read(&bytes, path) || cfg_json_parse(&v, cfg_buf_slice(&bytes), 0, &err) != 0)
        fprintf(stderr, "%s: %s\n", path, err.text);
    cfg_buf_finish(&bytes);
    return v;
}

static void load_set(struct feature *f, const char *name)
{
    char path[8192];
    (void)snprintf(path, sizeof path, "%s%s", f->folder, name);
    for (unsigned version = 1; version <= 3; version++) {
        cJSON *document = read_json(path);
        cJSON *flag;
        cJSON_ArrayForEach(flag, cfg_json_get(document, "flags"))
        {
            if (cfg_json_set(flag, "hash_version", cJSON_CreateNumber(version)) != 0)
                abort();
        }
        struct cfg_error err = CFG_ERROR_INIT;
        if (cfg_flag_set_compile_flagd(&f->sets[version][f->n_sets], document, true, &err) != 0)
            cfg_suite_fail(f->run, name, "the set cannot be compiled: %s", err.text);
        cJSON_Delete(document);
    }
    (void)snprintf(f->names[f->n_sets++], sizeof f->names[0], "%s", name);
}

static void load_sets(struct feature *f)
{
    struct dirent **entries = NULL;
    int n = scandir(f->folder, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (strstr(entries[i]->d_name, ".json") && f->n_sets < MAX_SETS)
            load_set(f, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static struct cfg_flag_result evaluate(const struct scene *s, enum cfg_flag_type want)
{
    struct cfg_flag_result r = {.reason = CFG_REASON_ERROR, .error = "FLAG_NOT_FOUND"};
    for (unsigned i = 0; i < s->feature->n_sets; i++) {
        const struct cfg_flag_set *set = s->feature->sets[s->hash_version][i];
        bool testkit = strcmp(s->feature->names[i], "testkit-flags.json") == 0;
        if (set && testkit == s->testkit && cfg_flag_set_find(set, s->key, strlen(s->key)))
            return cfg_flag_set_eval(set, s->key, strlen(s->key), want, &s->attributes);
    }
    return r;
}

/* --- values in cells --- */

/* A cell may name a member twice, which the strict reader refuses: objects are taken apart here, the last one counts.
 * *p moves behind the value. NULL for what is no JSON. */
static cJSON *read_value(const char **p);

static const char *skip_blank(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

static const char *end_of_scalar(const char *p)
{
    if (*p != '"') {
        while (*p && !strchr(",]} ", *p))
            p++;
        return p;
    }
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\' && p[1];
    return p + (*p == '"');
}

static cJSON *read_scalar(const char **p)
{
    const char *end = end_of_scalar(*p);
    cJSON *v = NULL;
    if (cfg_json_parse(&v, (struct cfg_slice){*p, (size_t)(end - *p)}, 0, NULL) != 0)
        return NULL;
    *p = end;
    return v;
}

static bool read_member(cJSON *out, const char **p)
{
    cJSON *name = cJSON_IsObject(out) ? read_scalar(p) : NULL;
    if (cJSON_IsObject(out)) {
        *p = skip_blank(*p);
        *p += **p == ':';
    }
    cJSON *v = read_value(p);
    bool good = v && (!cJSON_IsObject(out) || cJSON_IsString(name));
    if (good && name)
        good = cfg_json_set(out, name->valuestring, v) == 0;
    else if (good)
        good = cJSON_AddItemToArray(out, v);
    cJSON_Delete(name);
    return good;
}

static cJSON *read_value(const char **p)
{
    *p = skip_blank(*p);
    if (**p != '{' && **p != '[')
        return read_scalar(p);
    char close = **p == '{' ? '}' : ']';
    cJSON *out = close == '}' ? cJSON_CreateObject() : cJSON_CreateArray();
    *p = skip_blank(*p + 1);
    while (**p && **p != close) {
        if (!read_member(out, p)) {
            cJSON_Delete(out);
            return NULL;
        }
        *p = skip_blank(*p);
        *p += **p == ',';
        *p = skip_blank(*p);
    }
    *p += **p == close;
    return out;
}

/* Quotes are escaped in some cells. */
static void unescape_quotes(char *s)
{
    char *o = s;
    for (; *s; s++)
        if (s[0] != '\\' || s[1] != '"')
            *o++ = *s;
    *o = '\0';
}

static cJSON *typed_value(const char *type, const char *text)
{
    if (strcmp(type, "Boolean") == 0)
        return cJSON_CreateBool(strcmp(text, "true") == 0);
    if (strcmp(type, "Integer") == 0 || strcmp(type, "Float") == 0)
        return cJSON_CreateNumber(strtod(text, NULL));
    if (strcmp(type, "Object") == 0)
        return read_value(&text);
    return cJSON_CreateString(text); /* \u0041 is six characters: neither Gherkin nor its readers decode it */
}

/* --- steps --- */

/* The quoted texts of a step; a quote may stand inside the last one. */
static unsigned quoted(char out[4][4096], const char *text, unsigned want)
{
    unsigned n = 0;
    while (n < want && n < 4 && (text = strchr(text, '"')) != NULL) {
        const char *end = n + 1 == want ? strrchr(text + 1, '"') : strchr(text + 1, '"');
        if (end == NULL)
            break;
        (void)snprintf(out[n++], 4096, "%.*s", (int)(end - text - 1), text + 1);
        text = end + 1;
    }
    return n;
}

static enum cfg_flag_type type_of(const char *type)
{
    static const char *const names[] = {"Boolean", "String", "Float", "Object", "Integer"};
    unsigned i = 0;
    while (i < CFG_FLAG_ANY && strcmp(names[i], type) != 0)
        i++;
    return (enum cfg_flag_type)i;
}

static bool same_value(const struct scene *s, const char *expected)
{
    cJSON *want = typed_value(s->type, expected), *fallback = typed_value(s->type, s->fallback);
    bool same = cfg_json_equal(s->result.value ? s->result.value : fallback, want);
    cJSON_Delete(want);
    cJSON_Delete(fallback);
    return same;
}

static void check_metadata(struct scene *s, const struct gherkin_step *step)
{
    for (unsigned i = 1; i < step->n_rows; i++) {
        const struct gherkin_row *row = &step->rows[i];
        cJSON *want = typed_value(row->cells[1], row->cells[2]);
        if (!cfg_json_equal(cfg_json_get(s->result.metadata, row->cells[0]), want))
            complain(s, row->cells[0], "other metadata");
        cJSON_Delete(want);
    }
}

static void set_context(struct scene *s, const char *key, cJSON *value)
{
    if (cfg_json_set(s->context, key, value) != 0)
        complain(s, key, "no value");
}

static bool take_given(struct scene *s, const char *text, char q[4][4096])
{
    if (strstr(text, "-flag with key")) {
        (void)quoted(q, text, 3);
        (void)snprintf(s->type, sizeof s->type, "%.*s", (int)(strstr(text, "-flag") - text - 2), text + 2);
        (void)snprintf(s->key, sizeof s->key, "%.127s", q[0]);
        (void)snprintf(s->fallback, sizeof s->fallback, "%s", q[1]);
    } else if (strstr(text, "a context containing a key") && quoted(q, text, 3) == 3) {
        set_context(s, q[0], typed_value(q[1], q[2]));
    } else if (strstr(text, "a context containing a targeting key") && quoted(q, text, 1) == 1) {
        set_context(s, "targetingKey", cJSON_CreateString(q[0]));
    } else if (strstr(text, "a context containing a nested property") && quoted(q, text, 3) == 3) {
        cJSON *outer = cJSON_CreateObject();
        if (cfg_json_set(outer, q[1], cJSON_CreateString(q[2])) != 0)
            abort();
        set_context(s, q[0], outer);
    } else if (strcmp(text, "an evaluator") == 0) {
        s->testkit = true;
    } else {
        return strstr(text, "an option ") || strcmp(text, "a stable flagd provider") == 0;
    }
    return true;
}

static void evaluate_now(struct scene *s)
{
    if (cfg_flag_context_init_json(&s->attributes, s->context, NULL) != 0)
        abort();
    s->attributes.timestamp = NOW;
    s->result = evaluate(s, type_of(s->type));
}

static bool take_then(struct scene *s, const struct gherkin_step *step, char q[4][4096])
{
    const char *text = step->text;
    if (strcmp(text, "the resolved metadata is empty") == 0) {
        if (s->result.metadata && s->result.metadata->child)
            complain(s, "metadata", "not empty");
    } else if (strcmp(text, "the resolved metadata should contain") == 0) {
        check_metadata(s, step);
    } else if (quoted(q, text, 1) != 1) {
        return false;
    } else if (strstr(text, "the resolved details value should be")) {
        unescape_quotes(q[0]);
        if (!same_value(s, q[0]))
            complain(s, "the value", s->result.variant ? s->result.variant : "the fallback");
    } else if (strstr(text, "the reason should be")) {
        if (strcmp(cfg_flag_reason_name(s->result.reason), q[0]) != 0)
            complain(s, "the reason", cfg_flag_reason_name(s->result.reason));
    } else if (strstr(text, "the error-code should be")) {
        if (strcmp(s->result.error ? s->result.error : "", q[0]) != 0)
            complain(s, "the error code", s->result.error);
    } else {
        return false;
    }
    return true;
}

static void run_case(void *user, const struct gherkin_case *c)
{
    static char q[4][4096];
    struct feature *f = user;
    struct scene s = {.feature = f, .c = c, .hash_version = 2};
    s.hash_version = strstr(c->tags, "@fractional-v1 ") ? 1 : strstr(c->tags, "@fractional-v3 ") ? 3 : 2;
    s.context = cJSON_CreateObject();
    for (unsigned i = 0; i < c->n_steps && !s.failed; i++) {
        const char *text = c->steps[i].text;
        if (strcmp(text, "the flag was evaluated with details") == 0)
            evaluate_now(&s);
        else if (!take_given(&s, text, q) && !take_then(&s, &c->steps[i], q))
            complain(&s, "a step that is not known", text);
    }
    if (!s.failed)
        cfg_suite_pass(f->run);
    cfg_flag_context_finish(&s.attributes);
    cJSON_Delete(s.context);
}

/* --- the suite --- */

void cfg_suite_flagd(struct cfg_suite_run *run, struct cfg_slice content)
{
    static struct feature f;
    const char *slash = strrchr(run->path, '/');
    memset(&f, 0, sizeof f);
    f.run = run;
    (void)snprintf(f.folder, sizeof f.folder, "%.*s/../flags/", slash ? (int)(slash - run->path) : 1,
                   slash ? run->path : ".");
    load_sets(&f);
    if (f.n_sets == 0)
        cfg_suite_fail(run, "", "there are no flag sets in %s", f.folder);
    else if (!gherkin_run(content, run_case, &f))
        cfg_suite_fail(run, "", "more steps or cells than this reader takes");
    for (unsigned i = 0; i < f.n_sets; i++)
        for (unsigned version = 1; version <= 3; version++)
            cfg_flag_set_free(f.sets[version][i]);
}
