/* Reading a namespace's flags as a whole, and who depends on whom. */
#include "configd/api.h"
#include "flags/flag.h"

#include <stdio.h>
#include <string.h>

/* --- all flags of a namespace --- */

struct document {
    cJSON *flags;
    bool envelopes; /* as they are stored; else as flagd reads them */
    bool failed;
};

static cJSON *envelope_of(const struct cfg_object *o)
{
    cJSON *body = cfg_object_body(o);
    if (body && cJSON_AddNumberToObject(body, "version", (double)o->version))
        return body;
    cJSON_Delete(body);
    return NULL;
}

static cJSON *definition_of(const struct cfg_object *o)
{
    cJSON *body = cfg_object_body(o), *definition = body ? cfg_flag_export(body) : NULL;
    cJSON_Delete(body);
    return definition;
}

static bool add_flag(struct cfg_object *o, void *arg)
{
    struct document *d = arg;
    if (o->deleted)
        return true;
    cJSON *flag = d->envelopes ? envelope_of(o) : definition_of(o);
    if (flag && cJSON_AddItemToObject(d->flags, o->id.name, flag))
        return true;
    cJSON_Delete(flag);
    d->failed = true;
    return false;
}

/* Moves what the flags share into the document: always in envelopes, where it is not empty for flagd. */
static bool add_shared(cJSON *document, cJSON *body, const char *member, const char *as, bool always)
{
    cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(body, member);
    if (value)
        cfg_json_forget_key(value);
    if (value && (always || value->child))
        return cfg_json_set(document, as, value) == 0;
    cJSON_Delete(value);
    return !always || cJSON_AddObjectToObject(document, as) != NULL;
}

static cJSON *document_of(const struct cfg_app *app, const char *ns, bool envelopes)
{
    char rev[CFG_REV_TEXT];
    const struct cfg_object *shared = cfg_store_find(app->store, CFG_KIND_EVALUATORS, ns, NULL);
    cJSON *out = cJSON_CreateObject(), *body = shared && !shared->deleted ? cfg_object_body(shared) : NULL;
    bool ok = !envelopes || (cJSON_AddStringToObject(out, "namespace", ns) &&
                             cJSON_AddStringToObject(out, "revision",
                                                     cfg_api_rev(app, cfg_store_flag_revision(app->store, ns), rev)));
    struct document d = {.flags = cJSON_AddObjectToObject(out, "flags"), .envelopes = envelopes};
    if (d.flags)
        cfg_store_each(app->store, CFG_KIND_FLAG, ns, add_flag, &d);
    ok = ok && d.flags && !d.failed &&
         add_shared(out, body, "evaluators", envelopes ? "evaluators" : "$evaluators", envelopes) &&
         add_shared(out, body, "metadata", "metadata", envelopes);
    cJSON_Delete(body);
    if (!ok) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static int read_format(bool *envelopes, const struct cfg_call *c, struct cfg_error *err)
{
    const char *format = cfg_call_query(c, "format");
    *envelopes = format && strcmp(format, "envelopes") == 0;
    if (format == NULL || *envelopes || strcmp(format, "flagd") == 0)
        return 0;
    (void)cfg_fail(err, CFG_E_INVALID, "format \"%.40s\" is neither flagd nor envelopes", format);
    return CFG_E_INVALID;
}

/* An unknown namespace has no flags: whoever asks may be early. The tag is the flag revision: whatever an answer is
 * made of moves it. */
void cfg_api_flagd(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_object_id id;
    bool envelopes;
    char rev[CFG_REV_TEXT], etag[CFG_REV_TEXT + 16];
    if (!cfg_api_at(app, c))
        return;
    int rc = cfg_api_id(&id, CFG_KIND_CONFIG, c, &err);
    rc = rc ? rc : read_format(&envelopes, c, &err);
    if (rc != 0) {
        cfg_call_fail(c, &err, NULL);
        return;
    }
    const char *have = cfg_call_header(c, "If-None-Match");
    (void)snprintf(etag, sizeof etag, "\"%s%s\"", cfg_api_rev(app, cfg_store_flag_revision(app->store, id.ns), rev),
                   envelopes ? "-envelopes" : "");
    cfg_call_set_header(c, "ETag", etag);
    if (have && (strstr(have, etag) || strcmp(have, "*") == 0)) /* in a list, too: the quotes delimit it */
        cfg_call_reply(c, 304, NULL);
    else
        cfg_api_reply(c, 200, document_of(app, id.ns, envelopes));
}

/* --- who depends on whom --- */

struct dependents {
    const char *name;
    bool evaluator; /* name is one; else a flag */
    cJSON *list;
};

static bool add_dependent(struct cfg_object *o, void *arg)
{
    struct dependents *d = arg;
    bool depends = !o->deleted && (d->evaluator ? cfg_flag_facts_refer(o->facts, d->name)
                                                : cfg_flag_facts_require(o->facts, d->name) != NULL);
    cJSON *name = depends ? cJSON_CreateString(o->id.name) : NULL;
    if (name && !cJSON_AddItemToArray(d->list, name))
        cJSON_Delete(name);
    return true;
}

void cfg_api_add_required_by(const struct cfg_app *app, cJSON *out, const struct cfg_object *flag)
{
    struct dependents d = {.name = flag->id.name, .list = cJSON_AddArrayToObject(out, "required_by")};
    if (d.list)
        cfg_store_each(app->store, CFG_KIND_FLAG, flag->id.ns, add_dependent, &d);
}

void cfg_api_add_used_by(const struct cfg_app *app, cJSON *out, const struct cfg_object *evaluators)
{
    cJSON *by = cJSON_AddObjectToObject(out, "used_by");
    const cJSON *all = cfg_json_get(out, "evaluators");
    for (const cJSON *e = by && all ? all->child : NULL; e; e = e->next) {
        struct dependents d = {.name = e->string, .evaluator = true, .list = cJSON_AddArrayToObject(by, e->string)};
        if (d.list)
            cfg_store_each(app->store, CFG_KIND_FLAG, evaluators->id.ns, add_dependent, &d);
    }
}
