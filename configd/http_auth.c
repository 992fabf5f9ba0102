#include "configd/http_auth.h"

#include "proto/path.h"

#include <errno.h>
#include <fnmatch.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_TOKENS_FILE = 4 * 1024 * 1024, MAX_SUBJECT = 255 };

struct token {
    unsigned char hash[SHA256_DIGEST_LENGTH];
    enum cfg_role role;
    const char *subject, *deployment; /* borrowed from the tree */
    const char **namespaces;          /* owned array of borrowed strings; NULL: all */
    size_t n_namespaces;
};

struct cfg_tokens {
    uint32_t refs;
    cJSON *tree;
    struct token *list;
    size_t n;
};

/* --- the file --- */

static const struct {
    const char *name;
    enum cfg_role role;
} roles[] = {
    {"worker", CFG_ROLE_WORKER}, {"reader", CFG_ROLE_READER}, {"writer", CFG_ROLE_WRITER}, {"admin", CFG_ROLE_ADMIN}};

static const char *role_name(enum cfg_role role)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

static int bad(struct cfg_error *err, size_t index, const char *member, const char *what)
{
    (void)cfg_fail(err, CFG_E_VALUE, "token %zu: \"%s\" %s", index, member, what);
    cfg_error_set_path(err, "tokens[%zu].%s", index, member);
    return CFG_E_VALUE;
}

static bool read_hash(unsigned char out[SHA256_DIGEST_LENGTH], const char *hex)
{
    if (strlen(hex) != 2 * SHA256_DIGEST_LENGTH || strspn(hex, "0123456789abcdefABCDEF") != strlen(hex))
        return false;
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return true;
}

static int read_namespaces(struct token *t, const cJSON *entry, size_t index, struct cfg_error *err)
{
    const cJSON *list = cfg_json_get(entry, "namespaces"), *item;
    if (list == NULL)
        return 0;
    if (!cJSON_IsArray(list))
        return bad(err, index, "namespaces", "must be an array of patterns");
    t->namespaces = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *t->namespaces);
    if (t->namespaces == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the token table");
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item) || item->valuestring[0] == '\0')
            return bad(err, index, "namespaces", "must be an array of patterns");
        t->namespaces[t->n_namespaces++] = item->valuestring;
    }
    return 0;
}

static int read_token(struct token *t, const cJSON *entry, size_t index, struct cfg_error *err)
{
    static const char *const known[] = {"subject", "sha256", "role", "namespaces", "deployment"};
    const cJSON *member;
    cJSON_ArrayForEach(member, entry)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || strcmp(member->string, known[i]) == 0;
        if (!found)
            return bad(err, index, member->string, "is not a member of a token");
    }
    const char *role = cfg_json_get_str(entry, "role", "");
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(role, roles[i].name) == 0)
            t->role = roles[i].role;
    t->subject = cfg_json_get_str(entry, "subject", "");
    t->deployment = cfg_json_get_str(entry, "deployment", NULL);
    if (t->subject[0] == '\0' || strlen(t->subject) > MAX_SUBJECT)
        return bad(err, index, "subject", "must name who holds the token");
    if (!read_hash(t->hash, cfg_json_get_str(entry, "sha256", "")))
        return bad(err, index, "sha256", "must be the token's SHA-256 as 64 hex digits");
    if (t->role == CFG_ROLE_NONE)
        return bad(err, index, "role", "must be worker, reader, writer or admin");
    if ((t->role == CFG_ROLE_WORKER) != (t->deployment != NULL))
        return bad(err, index, "deployment", "belongs to a worker's token, and only there");
    if (t->deployment && cfg_check_name("deployment", cfg_slice_str(t->deployment), NULL) != 0)
        return bad(err, index, "deployment", "is no valid name");
    return read_namespaces(t, entry, index, err);
}

static int read_list(struct cfg_tokens *t, struct cfg_error *err)
{
    const cJSON *list = cfg_json_get(t->tree, "tokens"), *entry;
    if (!cJSON_IsArray(list))
        return cfg_fail(err, CFG_E_VALUE, "the token file has no array \"tokens\"");
    t->list = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *t->list);
    if (t->list == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the token table");
    cJSON_ArrayForEach(entry, list)
    {
        t->n++; /* counted first: a half-read entry is freed with the rest */
        int rc = read_token(&t->list[t->n - 1], entry, t->n - 1, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int cfg_tokens_parse(struct cfg_tokens **out, struct cfg_slice text, struct cfg_error *err)
{
    struct cfg_tokens *t = calloc(1, sizeof *t);
    if (t == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "no memory for the token table");
    t->refs = 1;
    int rc = cfg_json_parse(&t->tree, text, 0, err);
    if (rc == 0)
        rc = read_list(t, err);
    if (rc != 0) {
        (void)cfg_tokens_unref(t);
        return rc;
    }
    *out = t;
    return 0;
}

int cfg_tokens_load(struct cfg_tokens **out, const char *path, struct cfg_error *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return cfg_fail(err, CFG_E_IO, "cannot read the token file %s: %s", path, strerrordesc_np(errno));
    struct cfg_buf text;
    cfg_buf_init(&text, MAX_TOKENS_FILE);
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        cfg_buf_put(&text, chunk, n);
    int rc = 0;
    if (ferror(f))
        rc = cfg_fail(err, CFG_E_IO, "cannot read the token file %s: %s", path, strerrordesc_np(errno));
    else if (cfg_buf_status(&text) != 0)
        rc = cfg_fail(err, cfg_buf_status(&text), "the token file %s is larger than %d bytes", path, MAX_TOKENS_FILE);
    if (rc == 0) {
        rc = cfg_tokens_parse(out, cfg_buf_slice(&text), err);
        if (rc != 0)
            (void)cfg_error_wrap(err, "token file %s", path);
    }
    (void)fclose(f); /* only read from */
    cfg_buf_finish(&text);
    return rc;
}

struct cfg_tokens *cfg_tokens_ref(struct cfg_tokens *t)
{
    if (t)
        t->refs++;
    return t;
}

struct cfg_tokens *cfg_tokens_unref(struct cfg_tokens *t)
{
    if (t == NULL || --t->refs > 0)
        return NULL;
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i].namespaces);
    free(t->list);
    cJSON_Delete(t->tree);
    free(t);
    return NULL;
}

size_t cfg_tokens_count(const struct cfg_tokens *t)
{
    return t ? t->n : 0;
}

/* --- who --- */

static void name_anonymous(struct cfg_principal *p, const char *user)
{
    enum { SHOWN = 200 };
    *p = (struct cfg_principal){.role = CFG_ROLE_ADMIN};
    char clean[SHOWN + 1];
    size_t n = 0;
    for (; user && *user && n < SHOWN; user++) { /* it is shown on terminals and kept for good: plain text only */
        unsigned char u = (unsigned char)*user;
        if (u > 0x20 && u != 0x7f)
            clean[n++] = u < 0x80 ? *user : '?';
    }
    clean[n] = '\0';
    static const char nobody[] = "anonymous", mark[] = " (unverified)";
    const char *name = n ? clean : nobody;
    size_t len = n ? n : sizeof nobody - 1;
    memcpy(p->subject, name, len);
    memcpy(p->subject + len, mark, sizeof mark);
}

int cfg_principal_prove(struct cfg_principal *out, const struct cfg_tokens *t, const char *authorization,
                        const char *user, struct cfg_error *err)
{
    if (t == NULL) {
        name_anonymous(out, user);
        return 0;
    }
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0) {
        (void)cfg_fail(err, CFG_E_UNAUTHORIZED, "this daemon asks for a token");
        cfg_error_set_hint(err, "send Authorization: Bearer TOKEN (cfgctl: set CONFIGD_TOKEN)");
        return CFG_E_UNAUTHORIZED;
    }
    const char *token = authorization + 7;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    (void)SHA256((const unsigned char *)token, strlen(token), hash);
    const struct token *found = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (CRYPTO_memcmp(hash, t->list[i].hash, sizeof hash) == 0)
            found = &t->list[i];
    if (found == NULL)
        return cfg_fail(err, CFG_E_UNAUTHORIZED, "this token is not known here");
    *out = (struct cfg_principal){
        .role = found->role, .namespaces = found->namespaces, .n_namespaces = found->n_namespaces};
    (void)snprintf(out->subject, sizeof out->subject, "%s", found->subject);
    (void)snprintf(out->deployment, sizeof out->deployment, "%s", found->deployment ? found->deployment : "");
    return 0;
}

/* --- what --- */

int cfg_principal_check_role(const struct cfg_principal *p, enum cfg_role least, bool worker, struct cfg_error *err)
{
    if (p->role == CFG_ROLE_WORKER ? worker || least == CFG_ROLE_NONE : p->role >= least)
        return 0;
    return cfg_fail(err, CFG_E_FORBIDDEN, "%s is a %s; this takes the role %s", p->subject, role_name(p->role),
                    role_name(least));
}

bool cfg_principal_sees(const struct cfg_principal *p, const char *ns)
{
    if (p->namespaces == NULL || p->role == CFG_ROLE_ADMIN)
        return p->role != CFG_ROLE_WORKER;
    for (size_t i = 0; i < p->n_namespaces; i++)
        if (fnmatch(p->namespaces[i], ns, FNM_NOESCAPE) == 0)
            return true;
    return false;
}

int cfg_principal_check_namespace(const struct cfg_principal *p, const char *ns, struct cfg_error *err)
{
    if (cfg_principal_sees(p, ns))
        return 0;
    return cfg_fail(err, CFG_E_FORBIDDEN, "the token of %s does not reach namespace %s", p->subject, ns);
}

int cfg_principal_check_deployment(const struct cfg_principal *p, const char *deployment, const char *config,
                                   struct cfg_error *err)
{
    if (p->role == CFG_ROLE_WORKER) {
        if (strcmp(p->deployment, deployment) == 0)
            return 0;
        return cfg_fail(err, CFG_E_FORBIDDEN, "the token of %s belongs to deployment %s, not %s", p->subject,
                        p->deployment, deployment);
    }
    if (config && config[0] == '\0' && !cfg_principal_sees(p, config))
        return cfg_fail(err, CFG_E_FORBIDDEN,
                        "deployment %s is deleted; the token of %s does not reach every namespace", deployment,
                        p->subject);
    return config ? cfg_principal_check_namespace(p, config, err) : 0;
}
