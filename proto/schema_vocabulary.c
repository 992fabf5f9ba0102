/* The documents that references may lead to, and what a schema's $schema says about the keywords in use. */
#include "proto/schema_internal.h"

#include <string.h>

#define DIALECT "https://json-schema.org/draft/2020-12/"

/* proto/metaschema.json, turned into C by the build: an array of the draft's metaschemas. */
extern const char cfg_metaschema_json[];
extern const unsigned long cfg_metaschema_json_len;

static const cJSON *find_metaschema(struct schema_compiler *c, const char *uri)
{
    if (strncmp(uri, DIALECT, sizeof DIALECT - 1) != 0)
        return NULL;
    if (c->metaschemas == NULL) {
        struct schema_tree *tree = cfg_schema_take(c, sizeof *tree);
        struct cfg_slice text = {cfg_metaschema_json, cfg_metaschema_json_len};
        if (tree == NULL || cfg_json_parse(&tree->json, text, 0, NULL) != 0)
            return NULL;
        tree->next = c->s->trees;
        c->s->trees = tree;
        c->metaschemas = tree->json;
    }
    for (const cJSON *m = c->metaschemas->child; m; m = m->next)
        if (strcmp(cfg_json_get_str(m, "$id", ""), uri) == 0)
            return m;
    return NULL;
}

const cJSON *cfg_schema_document(struct schema_compiler *c, const char *uri, bool *owned)
{
    for (size_t i = 0; i < c->o->n_documents; i++)
        if (strcmp(c->o->documents[i].uri, uri) == 0)
            return c->o->documents[i].schema;
    *owned = true;
    return find_metaschema(c, uri);
}

static bool has(const cJSON *vocabulary, const char *uri)
{
    return cfg_json_get(vocabulary, uri) != NULL;
}

static int read_vocabulary(struct schema_compiler *c, struct schema_resource *r, const struct schema_node *n,
                           const cJSON *vocabulary)
{
    static const char *const known[] = {"core",    "applicator",        "unevaluated",      "validation", "meta-data",
                                        "content", "format-annotation", "format-assertion", NULL};
    for (const cJSON *m = vocabulary->child; m; m = m->next) {
        bool ours = false;
        const char *tail = m->string + sizeof DIALECT "vocab/" - 1;
        for (size_t i = 0; strncmp(m->string, DIALECT "vocab/", sizeof DIALECT "vocab/" - 1) == 0 && known[i]; i++)
            ours = ours || strcmp(known[i], tail) == 0;
        if (!ours && cJSON_IsTrue(m))
            return cfg_schema_fail(c, n, "$schema", CFG_E_UNSUPPORTED, "the vocabulary %.150s is not known here",
                                   m->string);
    }
    r->no_applicator = !has(vocabulary, DIALECT "vocab/applicator");
    r->no_unevaluated = !has(vocabulary, DIALECT "vocab/unevaluated");
    r->no_validation = !has(vocabulary, DIALECT "vocab/validation");
    r->no_content = !has(vocabulary, DIALECT "vocab/content");
    r->no_meta = !has(vocabulary, DIALECT "vocab/meta-data");
    r->assert_formats = has(vocabulary, DIALECT "vocab/format-assertion");
    r->no_format = !r->assert_formats && !has(vocabulary, DIALECT "vocab/format-annotation");
    return 0;
}

int cfg_schema_vocabulary(struct schema_compiler *c, struct schema_resource *r, const struct schema_node *root)
{
    const cJSON *dialect = cfg_json_get(root->json, "$schema");
    if (dialect == NULL)
        return 0;
    if (!cJSON_IsString(dialect))
        return cfg_schema_fail(c, root, "$schema", CFG_E_VALUE, "$schema must be a URI");
    if (strncmp(dialect->valuestring, DIALECT "schema", sizeof DIALECT "schema" - 1) == 0 &&
        strspn(dialect->valuestring + sizeof DIALECT "schema" - 1, "#") ==
            strlen(dialect->valuestring + sizeof DIALECT "schema" - 1)) {
        *r = (struct schema_resource){.uri = r->uri, .root = r->root, .foreign = r->foreign, .dynamics = r->dynamics};
        return 0;
    }
    bool owned;
    const cJSON *metaschema = cfg_schema_document(c, dialect->valuestring, &owned);
    if (metaschema == NULL) {
        cfg_schema_fail(c, root, "$schema", CFG_E_UNSUPPORTED, "the dialect %.150s is not known here",
                        dialect->valuestring);
        cfg_error_set_hint(c->err, "use " DIALECT "schema, or leave $schema out");
        return CFG_E_UNSUPPORTED;
    }
    const cJSON *vocabulary = cfg_json_get(metaschema, "$vocabulary");
    return cJSON_IsObject(vocabulary) ? read_vocabulary(c, r, root, vocabulary) : 0;
}
