#include "client/cfgctl/flag_load.h"

#include "client/cfgctl/commands.h"
#include "client/cfgctl/gitops.h"
#include "client/url.h"
#include "proto/path.h"
#include "proto/rfc3339.h"
#include "proto/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_DEPTH = 256, NEAR_CANDIDATES = 4096 };
#define FILE_MAX ((size_t)256 * 1024 * 1024)

int flag_fetch_space(struct cli *c, const char *ns, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 512);
    cfg_url_format(&path, "/v1/flags/*", ns);
    cfg_url_query(&path, "format", "envelopes");
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == 0 && !cJSON_IsObject(cfg_json_get(*out, "evaluators"))) {
        cJSON_Delete(*out);
        *out = NULL;
        rc = cfg_fail(err, CFG_E_UNSUPPORTED,
                      "this configd does not give flags as they are kept; it is older than cfgctl");
    }
    return rc;
}

int flag_fetch_shared(struct cli *c, const char *ns, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 512);
    cfg_url_format(&path, "/v1/evaluators/*", ns);
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, out, err) : cli_no_memory(err);
    cfg_buf_finish(&path);
    if (rc == CFG_E_NOT_FOUND) {
        *out = cJSON_CreateObject();
        bool good = cJSON_AddObjectToObject(*out, "evaluators") && cJSON_AddObjectToObject(*out, "metadata") &&
                    cJSON_AddNumberToObject(*out, "version", 0);
        rc = good ? 0 : cli_no_memory(err);
    }
    return rc;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

int flag_read_file(cJSON **out, const char *name, bool lenient, struct cfg_error *err)
{
    struct cfg_buf text;
    cfg_buf_init(&text, FILE_MAX);
    int rc = read_file(&text, name, err);
    if (rc == 0) {
        bool yaml = ends_with(name, ".yaml") || ends_with(name, ".yml");
        if (yaml)
            rc = cfg_yaml_parse(out, cfg_buf_slice(&text), NULL, NULL, err);
        else
            rc = lenient ? cfg_json_parse_lenient(out, cfg_buf_slice(&text), FILE_DEPTH, err)
                         : cfg_json_parse(out, cfg_buf_slice(&text), 0, err);
        if (rc != 0)
            (void)cfg_error_wrap(err, "%.100s", strcmp(name, "-") == 0 ? "standard input" : name);
    }
    cfg_buf_finish(&text);
    return rc;
}

/* --- what the options say --- */

/* JSON, or the name of a file of JSON behind an @. */
static int read_context(cJSON **out, const char *text, struct cfg_error *err)
{
    if (text == NULL)
        return 0;
    if (text[0] == '@')
        return flag_read_file(out, text + 1, true, err);
    int rc = cfg_json_parse_lenient(out, cfg_slice_str(text), FILE_DEPTH, err);
    if (rc == CFG_E_JSON) {
        (void)cfg_error_wrap(err, "--context");
        cfg_error_set_hint(err, "--context '{\"targetingKey\": \"u-1\"}', or @FILE");
    }
    return rc;
}

/* JSON of the type; text that is none is taken as it stands where a string may be. */
static int read_default(cJSON **out, const char *text, enum cfg_flag_type type, struct cfg_error *err)
{
    if (text == NULL)
        return 0;
    cJSON *v = NULL;
    int rc = cfg_json_parse_lenient(&v, cfg_slice_str(text), FILE_DEPTH, err);
    bool text_fits = type == CFG_FLAG_STRING || type == CFG_FLAG_ANY;
    if (text_fits && (rc != 0 || (type == CFG_FLAG_STRING && !cJSON_IsString(v)))) {
        cJSON_Delete(v);
        v = cJSON_CreateString(text);
        rc = v ? 0 : cli_no_memory(err);
    } else if (rc == CFG_E_JSON) {
        (void)cfg_error_wrap(err, "--default");
        cfg_error_set_hint(err, type == CFG_FLAG_BOOL     ? "--default true or false, as --type says"
                                : type == CFG_FLAG_OBJECT ? "--default '{\"a\": 1}', as --type says"
                                                          : "--default 0.5, as --type says");
    }
    if (rc == 0 && !flag_type_takes(type, v)) {
        rc = cfg_fail(err, CFG_E_INVALID, "--default is %s, and --type asks for another", cfg_json_type(v));
        cfg_error_set_hint(err, "the default must be of the type that is asked for");
    }
    if (rc == 0)
        *out = v;
    else
        cJSON_Delete(v);
    return rc;
}

int flag_read_time(const struct cli *c, int64_t *out, struct cfg_error *err)
{
    const char *text = cli_value(c, OPT_AT);
    *out = (int64_t)time(NULL);
    if (text == NULL)
        return 0;
    char *end;
    long long seconds = strtoll(text, &end, 10);
    int64_t us = 0;
    if (*text != '\0' && *end == '\0') {
        *out = seconds;
    } else if (cfg_rfc3339_parse(&us, cfg_slice_str(text), NULL) == 0) {
        *out = us / 1000000;
    } else {
        (void)cfg_fail(err, CFG_E_INVALID, "--at '%.60s' is no time", text);
        cfg_error_set_hint(err, "seconds since 1970, 2026-12-01T00:00:00Z, 2026-12-01T01:00:00+01:00");
        return CFG_E_INVALID;
    }
    return 0;
}

static int read_options(struct flag_loaded *out, const struct cli *c, struct cfg_error *err)
{
    const char *type = cli_value(c, OPT_TYPE);
    out->type = CFG_FLAG_ANY;
    if (type && !flag_type_parse(&out->type, type)) {
        (void)cfg_fail(err, CFG_E_INVALID, "--type cannot be '%.60s'", type);
        cfg_error_set_hint(err, "one of bool, string, number, object, integer");
        return CFG_E_INVALID;
    }
    int rc = flag_read_time(c, &out->now, err);
    if (rc == 0)
        rc = read_default(&out->fallback, cli_value(c, OPT_DEFAULT), out->type, err);
    return rc == 0 ? read_context(&out->context, cli_value(c, OPT_CONTEXT), err) : rc;
}

/* --- the flags --- */

/* Flags with a member `configd` become the envelopes that they stand for, and all others beside them too. */
static int open_envelopes(cJSON *document, struct cfg_error *err)
{
    cJSON *flags = (cJSON *)(uintptr_t)flag_members(document), *flag;
    bool any = false;
    int rc = 0;
    cJSON_ArrayForEach(flag, flags)
    {
        any = any || cJSON_IsObject(cfg_json_get(flag, "configd"));
    }
    cJSON *all = any ? cJSON_CreateObject() : NULL;
    for (flag = any ? flags->child : NULL; rc == 0 && flag; flag = flag->next) {
        cJSON *envelope = NULL;
        rc = gitops_flag_read(&envelope, flag, err);
        if (rc == 0)
            rc = cfg_json_set(all, flag->string, envelope) == 0 ? 0 : cli_no_memory(err);
    }
    if (any && rc == 0 && flag_is_document(document))
        return cfg_json_set(document, "flags", all) == 0 ? 0 : cli_no_memory(err);
    cJSON_Delete(all);
    return rc;
}

static int load_file(struct flag_loaded *out, const struct cli *c, struct cfg_error *err)
{
    const char *flag = cli_value(c, OPT_FLAG);
    flag = flag ? flag : c->n_args == 1 ? c->args[0] : NULL;
    if (flag == NULL || (c->n_args == 1 && cli_has(c, OPT_FLAG))) {
        (void)cfg_fail(err, CFG_E_INVALID, flag ? "--flag and '%s' both name a flag" : "which flag of the file%s?",
                       flag ? c->args[0] : "");
        cfg_error_set_hint(err, "cfgctl %s --file F --flag NAME", c->command->name);
        return CFG_E_INVALID;
    }
    (void)snprintf(out->name, sizeof out->name, "%s", flag);
    int rc = flag_read_file(&out->document, cli_value(c, OPT_FILE), true, err);
    return rc == 0 ? open_envelopes(out->document, err) : rc;
}

static int load_space(struct flag_loaded *out, struct cli *c, struct cfg_error *err)
{
    struct cfg_address a;
    if (c->n_args == 0 || cli_has(c, OPT_FLAG)) {
        (void)cfg_fail(err, CFG_E_INVALID, c->n_args == 0 ? "which flag?" : "--flag goes with --file");
        cfg_error_set_hint(err, "cfgctl %s NS/NAME, or --file F --flag NAME", c->command->name);
        return CFG_E_INVALID;
    }
    int rc = cfg_address_parse(&a, cfg_slice_str(c->args[0]), false, err);
    if (rc == 0)
        rc = flag_fetch_space(c, a.ns, &out->document, err);
    (void)snprintf(out->name, sizeof out->name, "%s", rc == 0 ? a.name : "");
    return rc;
}

int flag_load(struct flag_loaded *out, struct cli *c, struct cfg_error *err)
{
    bool file = cli_has(c, OPT_FILE);
    struct flag_loaded l = {.served = !file};
    int rc = read_options(&l, c, err);
    if (rc == 0)
        rc = file ? load_file(&l, c, err) : load_space(&l, c, err);
    const struct flag_source source = {.flags = l.document};
    if (rc == 0 && (rc = flag_source_compile(&l.set, &source, err)) != 0 && file)
        (void)cfg_error_wrap(err, "%.100s", cli_value(c, OPT_FILE));
    if (rc != 0) {
        flag_loaded_finish(&l);
        return rc;
    }
    *out = l;
    return 0;
}

void flag_loaded_finish(struct flag_loaded *l)
{
    cfg_flag_set_free(l->set);
    cJSON_Delete(l->document);
    cJSON_Delete(l->fallback);
    cJSON_Delete(l->context);
}

struct watch {
    const struct cfg_flag_explain *inner; /* NULL: nobody else listens */
    bool lacks_key;
};

static void watch_note(void *user, const struct cfg_flag_note *note)
{
    struct watch *w = user;
    if (note->kind == CFG_NOTE_UNNAMED && cfg_slice_eq_str(note->name, "targetingKey"))
        w->lacks_key = true;
    if (w->inner)
        w->inner->fn(w->inner->user, note);
}

struct flag_answer flag_loaded_ask(const struct flag_loaded *l, const struct cfg_flag_explain *explain)
{
    struct watch w = {.inner = explain};
    const struct cfg_flag_explain to = {watch_note, &w};
    const struct flag_question q = {l->name, l->type, l->fallback, l->context, l->now, &to};
    const struct flag_answer a = flag_ask(l->set, &q);
    if (!w.lacks_key)
        return a;
    if (l->served)
        return flag_ask_failed("TARGETING_KEY_MISSING", l->fallback);
    (void)fputs("cfgctl: the context has no targetingKey: over OFREP and in workers this is TARGETING_KEY_MISSING, and "
                "the caller's default\n",
                stderr);
    return a;
}

const cJSON *flag_members(const cJSON *document)
{
    return flag_is_document(document) ? cfg_json_get(document, "flags") : document;
}

const cJSON *flag_loaded_find(const struct flag_loaded *l)
{
    return cfg_json_get(flag_members(l->document), l->name);
}

const char *flag_near_name(const cJSON *flags, const char *name)
{
    const char *candidates[NEAR_CANDIDATES];
    size_t n = 0;
    const cJSON *f;
    cJSON_ArrayForEach(f, flags)
    {
        if (n < NEAR_CANDIDATES && f->string)
            candidates[n++] = f->string;
    }
    return cfg_near_miss(name, candidates, n);
}
