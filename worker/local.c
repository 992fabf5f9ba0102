/* Overrides are checked as strictly as a view: a typing error in the environment must not run a fleet on defaults. */
#include "worker/local.h"
#include "proto/override.h"
#include "proto/path.h"
#include "worker/extract.h"
#include <stdlib.h>
#include <string.h>

void cfg_local_finish(struct cfg_local *l)
{
    for (uint32_t i = 0; l->contract != NULL && l->set != NULL && l->values != NULL && i < l->contract->n; i++) {
        enum cfg_type t = l->contract->items[i].type;
        if (l->set[i] && (t == CFG_STRING || t == CFG_JSON)) {
            free((void *)(uintptr_t)l->values[i].string);
        }
    }
    free(l->set);
    free(l->values);
    memset(l, 0, sizeof *l);
}

static struct cfg_slice trim(struct cfg_slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t' || s.ptr[0] == '\n')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t' || s.ptr[s.len - 1] == '\n')) {
        s.len--;
    }
    return s;
}

/* The length of the first entry: up to a semicolon that is outside of quotes and brackets. */
static size_t entry_len(const char *s)
{
    char quote = 0;
    int depth = 0;
    size_t i = 0;
    for (; s[i] != '\0'; i++) {
        char ch = s[i];
        if (quote != 0) {
            if (ch == '\\' && s[i + 1] != '\0') {
                i++;
            } else if (ch == quote) {
                quote = 0;
            }
        } else if (ch == '\'' || ch == '"') {
            quote = ch;
        } else if (ch == '[' || ch == '{' || ch == '(') {
            depth++;
        } else if ((ch == ']' || ch == '}' || ch == ')') && depth > 0) {
            depth--;
        } else if (ch == ';' && depth == 0) {
            break;
        }
    }
    return i;
}

static int find(uint32_t *out, const struct cfg_contract *c, const char *path, struct cfg_error *err)
{
    uint32_t i = cfg_contract_find(c, path);
    if (i == UINT32_MAX) {
        const char *near = cfg_contract_near(c, path);
        (void)cfg_fail(err, CFG_E_UNKNOWN_KEY, "override %s: this worker declares no such parameter", path);
        cfg_error_set_path(err, "%s", path);
        if (near != NULL) {
            cfg_error_set_hint(err, "did you mean %s?", near);
        }
        return CFG_E_UNKNOWN_KEY;
    }
    if (c->items[i].apply == CFG_PINNED) {
        (void)cfg_fail(err, CFG_E_PINNED, "override %s: a pinned parameter takes no local override", path);
        cfg_error_set_path(err, "%s", path);
        cfg_error_set_hint(err, "pinned values come from the deployment: cfgctl deployment get");
        return CFG_E_PINNED;
    }
    *out = i;
    return 0;
}

static int set_value(struct cfg_local *l, uint32_t i, struct cfg_slice text, struct cfg_error *err)
{
    const struct cfg_decl *d = &l->contract->items[i];
    union cfg_value value;
    cJSON *v = NULL;
    bool boolean = d->type == CFG_BOOL || d->type == CFG_FLAG;
    if (boolean && (cfg_slice_eq_str(text, "on") || cfg_slice_eq_str(text, "off"))) {
        v = cJSON_CreateBool(cfg_slice_eq_str(text, "on"));
        if (v == NULL) {
            return cfg_fail(err, CFG_E_NOMEM, "out of memory");
        }
    } else {
        int rc = cfg_value_parse(&v, text, err);
        if (rc != 0) {
            return cfg_error_wrap(err, "override %s", d->path);
        }
    }
    struct cfg_decl as_parameter = *d;
    as_parameter.type = d->type == CFG_FLAG ? CFG_BOOL : d->type;
    int rc = cfg_extract(&value, &as_parameter, v, err);
    cJSON_Delete(v);
    if (rc != 0) {
        return cfg_error_wrap(err, "override");
    }
    if (l->set[i] && (d->type == CFG_STRING || d->type == CFG_JSON)) {
        free((void *)(uintptr_t)l->values[i].string);
    }
    l->set[i] = true;
    l->values[i] = value;
    return 0;
}

static int parse_entry(struct cfg_local *l, struct cfg_slice entry, struct cfg_error *err)
{
    const char *eq = memchr(entry.ptr, '=', entry.len);
    if (eq == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "override \"%.*s\": expected PATH=VALUE", (int)entry.len, entry.ptr);
    }
    struct cfg_slice key = trim((struct cfg_slice){entry.ptr, (size_t)(eq - entry.ptr)});
    struct cfg_slice value = trim((struct cfg_slice){eq + 1, entry.len - (size_t)(eq + 1 - entry.ptr)});
    char *path = cfg_slice_dup(key);
    if (path == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    uint32_t i = 0;
    int rc = find(&i, l->contract, path, err);
    free(path);
    return rc != 0 ? rc : set_value(l, i, value, err);
}

int cfg_local_parse(struct cfg_local *out, const struct cfg_contract *c, const char *text, struct cfg_error *err)
{
    struct cfg_local l = {calloc(c->n + 1U, sizeof(bool)), calloc(c->n + 1U, sizeof(union cfg_value)), c};
    int rc = l.set != NULL && l.values != NULL ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
    const char *at = text != NULL ? text : "";
    while (rc == 0 && *at != '\0') {
        size_t len = entry_len(at);
        struct cfg_slice entry = trim((struct cfg_slice){at, len});
        if (entry.len > 0) {
            rc = parse_entry(&l, entry, err);
        }
        at += len + (at[len] == ';' ? 1 : 0);
    }
    if (rc != 0) {
        cfg_local_finish(&l);
        return rc;
    }
    *out = l;
    return 0;
}
