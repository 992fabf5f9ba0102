#include "configd/fleet_reach.h"

#include <stdlib.h>
#include <string.h>

enum { CONTRACT_MAX = 1024 * 1024 }; /* bytes of a declaration */

static const char *const type_names[] = {"bool", "i64", "f64", "string", "json", "flag"};

static int find(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

#define FIND(names, name) find(names, sizeof(names) / sizeof((names)[0]), name)

static int check_param(const cJSON *p, enum cfg_apply *apply, struct cfg_error *err)
{
    size_t len = strlen(p->string);
    const char *type = cfg_json_get_str(p, "type", ""), *class_name = cfg_json_get_str(p, "class", "");
    enum cfg_apply class = CFG_APPLY_NONE;
    int rc = 0;
    if (len == 0 || len > CFG_LIMIT_PATH)
        rc = cfg_fail(err, CFG_E_INVALID, "contract: a path has 1 to %d bytes", CFG_LIMIT_PATH);
    else if (FIND(type_names, type) < 0)
        rc = cfg_fail(err, CFG_E_INVALID, "contract: %s has type '%s'; types are bool, i64, f64, string, json, flag",
                      p->string, type);
    else if (!cfg_apply_parse(&class, class_name))
        rc = cfg_fail(err, CFG_E_INVALID,
                      "contract: %s has class '%s'; classes are live, drain, barrier, restart, pinned", p->string,
                      class_name);
    if (rc != 0) {
        cfg_error_set_path(err, "%s", p->string);
        return rc;
    }
    *apply = class;
    return 0;
}

/* The declaration without defaults, which are the worker's own business and may differ from one to the next. */
static int keep_text(struct cfg_contract *c, const cJSON *declaration)
{
    cJSON *copy = declaration ? cJSON_Duplicate(declaration, true) : cJSON_CreateObject();
    cJSON *p;
    cJSON_ArrayForEach(p, copy)
    {
        cJSON_DeleteItemFromObjectCaseSensitive(p, "default");
    }
    struct cfg_buf text;
    cfg_buf_init(&text, CONTRACT_MAX);
    if (copy)
        cfg_json_canonical(&text, copy);
    int rc = copy ? cfg_buf_status(&text) : CFG_E_NOMEM;
    c->tree = copy;
    if (rc == 0)
        rc = cfg_digest_bytes(c->digest, cfg_buf_slice(&text));
    if (rc == 0 && (c->json = cfg_bytes_new(cfg_buf_slice(&text))) == NULL)
        rc = CFG_E_NOMEM;
    cfg_buf_finish(&text);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    const struct cfg_contract_param *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static int read_params(struct cfg_contract *c, const cJSON *declaration, struct cfg_error *err)
{
    size_t bytes = 0, n = 0;
    const cJSON *p;
    cJSON_ArrayForEach(p, declaration)
    {
        bytes += strlen(p->string) + 1;
        n++;
    }
    if (n > CFG_LIMIT_CONTRACT)
        return cfg_fail(err, CFG_E_LIMIT, "the contract declares %zu parameters; the limit is %d", n,
                        CFG_LIMIT_CONTRACT);
    c->params = calloc(n + 1, sizeof *c->params);
    char *at = c->paths = malloc(bytes + 1);
    if (c->params == NULL || at == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a contract");
    cJSON_ArrayForEach(p, declaration)
    {
        struct cfg_contract_param *param = &c->params[c->n];
        int rc = check_param(p, &param->apply, err);
        if (rc != 0)
            return rc;
        size_t len = strlen(p->string) + 1;
        param->path = memcpy(at, p->string, len);
        at += len;
        c->n++;
    }
    qsort(c->params, c->n, sizeof *c->params, by_path);
    return 0;
}

int cfg_contract_read(struct cfg_contract **out, const cJSON *declaration, struct cfg_error *err)
{
    if (declaration && !cJSON_IsObject(declaration))
        return cfg_fail(err, CFG_E_INVALID, "contract must be an object of parameters by path");
    struct cfg_contract *c = calloc(1, sizeof *c);
    if (c == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a contract");
    int rc = read_params(c, declaration, err);
    if (rc == 0 && (rc = keep_text(c, declaration)) != 0)
        (void)cfg_fail(err, rc, "the contract is too large to keep");
    if (rc == 0)
        *out = c;
    else
        cfg_contract_free(c);
    return rc;
}

void cfg_contract_free(struct cfg_contract *c)
{
    if (c == NULL)
        return;
    (void)cfg_bytes_unref(c->json);
    cJSON_Delete(c->tree);
    free(c->params);
    free(c->paths);
    free(c);
}

/* `below` starts with `above`, and goes on with a new segment or ends. */
static bool is_below(const char *below, const char *above)
{
    size_t n = strlen(above);
    return strncmp(below, above, n) == 0 && (n == 0 || below[n] == '\0' || below[n] == '.' || below[n] == '[');
}

bool cfg_path_related(const char *a, const char *b)
{
    return is_below(a, b) || is_below(b, a);
}

static bool is_pinned(const char *path, const cJSON *pin_keys)
{
    const cJSON *key;
    cJSON_ArrayForEach(key, pin_keys)
    {
        if (cJSON_IsString(key) && is_below(path, key->valuestring))
            return true;
    }
    return false;
}

/* A declared parameter's part in a change of one path. */
static enum cfg_reach_kind kind_of(const struct cfg_contract_param *p, const cJSON *pin_keys)
{
    if (p->apply == CFG_APPLY_PINNED || is_pinned(p->path, pin_keys))
        return CFG_REACH_NONE;
    return p->apply == CFG_APPLY_RESTART ? CFG_REACH_RESTART : CFG_REACH_LIVE;
}

static enum cfg_reach_kind reach_of_path(const struct cfg_contract *c, const char *path, const cJSON *pin_keys)
{
    enum cfg_reach_kind best = CFG_REACH_UNREAD;
    bool declared = false;
    if (is_pinned(path, pin_keys))
        return CFG_REACH_NONE;
    for (size_t i = 0; i < c->n; i++) {
        if (!cfg_path_related(c->params[i].path, path))
            continue;
        enum cfg_reach_kind kind = kind_of(&c->params[i], pin_keys);
        best = !declared || kind > best ? kind : best;
        declared = true;
    }
    return best;
}

enum cfg_reach_kind cfg_reach_of(const struct cfg_contract *c, const struct cfg_reach_change *change,
                                 const cJSON *pin_keys)
{
    if (change->flag)
        return CFG_REACH_LIVE;
    enum cfg_reach_kind best = CFG_REACH_NONE;
    for (size_t i = 0; i < change->n && best != CFG_REACH_LIVE; i++) {
        enum cfg_reach_kind kind = reach_of_path(c, change->paths[i], pin_keys);
        best = kind > best ? kind : best;
    }
    return best;
}

void cfg_reach_count(struct cfg_reach *r, enum cfg_reach_kind kind, uint64_t workers)
{
    switch (kind) {
    case CFG_REACH_NONE:
        return;
    case CFG_REACH_UNREAD:
        r->unread += workers;
        return;
    case CFG_REACH_RESTART:
        r->pending_restart += workers;
        return;
    case CFG_REACH_LIVE:
        r->live += workers;
        return;
    }
}

static bool add_contract(struct cfg_reach *r, const cJSON *entry, const struct cfg_reach_change *change,
                         const cJSON *pin_keys, struct fleet_seen *seen, uint64_t *told)
{
    struct cfg_contract *c = NULL;
    uint64_t workers = 0;
    if (cfg_json_need_u64(entry, "workers", &workers, NULL) != 0 ||
        cfg_contract_read(&c, cfg_json_get(entry, "contract"), NULL) != 0)
        return false;
    cfg_reach_count(r, cfg_reach_of(c, change, pin_keys), fleet_seen_count(seen, entry));
    *told += workers;
    cfg_contract_free(c);
    return true;
}

void cfg_reach_add_presence(struct cfg_reach *r, const cJSON *presence, const struct cfg_reach_change *change,
                            const cJSON *pin_keys, struct fleet_seen *seen)
{
    struct cfg_reach sum = *r;
    const cJSON *contracts = cfg_json_get(presence, "contracts"), *entry;
    uint64_t total = 1, told = 0;
    bool whole = cfg_json_need_u64(presence, "workers", &total, NULL) == 0 && cJSON_IsArray(contracts);
    cJSON_ArrayForEach(entry, contracts)
    {
        whole = whole && add_contract(&sum, entry, change, pin_keys, seen, &told);
    }
    if (whole && told == total)
        *r = sum;
    else
        r->unknown += total > 0 ? total : 1;
}
