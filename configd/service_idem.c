/* Idempotency keys: a record under idem/, put in the write's own transaction, holds the reply for a day or two.
 *
 * Records hang on one lease per replica. It is never renewed: after LEASE_RENEW_S the next write takes a new one, so
 * that each record lives at least LEASE_TTL_S − LEASE_RENEW_S. */
#include "configd/service_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASE_TTL_S = 48 * 3600, LEASE_RENEW_S = 24 * 3600, RECORD_LIMIT = 64 * 1024 };

static const char *const op_names[] = {"put",    "merge_patch", "json_patch", "set",
                                       "delete", "rollback",    "create",     "extend"};

static bool add_entry(cJSON *list, const struct cfg_change_entry *e)
{
    char id[CFG_OBJECT_ID_TEXT];
    cJSON *entry = cJSON_CreateObject();
    if (entry == NULL || !cJSON_AddItemToArray(list, entry)) {
        cJSON_Delete(entry);
        return false;
    }
    return cJSON_AddStringToObject(entry, "object", cfg_object_id_text(&e->id, id).ptr) &&
           cJSON_AddStringToObject(entry, "op", op_names[e->op]) &&
           (!e->has_if_version || cJSON_AddNumberToObject(entry, "if_version", (double)e->if_version)) &&
           (!e->must_exist || cJSON_AddTrueToObject(entry, "must_exist")) &&
           cJSON_AddNumberToObject(entry, "to", (double)e->rollback_to) &&
           (e->body == NULL || cfg_json_set(entry, "body", cJSON_Duplicate(e->body, true)) == 0) &&
           (e->extends == NULL || cfg_json_set(entry, "extends", cJSON_Duplicate(e->extends, true)) == 0);
}

/* Digest over all that the client asked for. */
static bool digest_request(char out[CFG_DIGEST_TEXT], const struct cfg_change *c)
{
    cJSON *request = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(request, "entries");
    bool ok = list && cJSON_AddStringToObject(request, "message", c->message ? c->message : "") &&
              cJSON_AddBoolToObject(request, "force", c->force);
    for (size_t i = 0; i < c->n && ok; i++)
        ok = add_entry(list, &c->entries[i]);
    ok = ok && cfg_digest_json(out, request) == 0;
    cJSON_Delete(request);
    return ok;
}

void cfg_idem_prepare(struct cfg_op *op, const char *key)
{
    char digest[CFG_DIGEST_TEXT];
    struct cfg_buf text;
    cfg_buf_init(&text, 8192);
    /* Author first, so that nobody can read another one's results by guessing keys. */
    cfg_buf_printf(&text, "%s\n%s", op->change.author ? op->change.author : "", key);
    bool ok = cfg_buf_status(&text) == 0 && cfg_digest_bytes(digest, cfg_buf_slice(&text)) == 0 &&
              digest_request(op->request_digest, &op->change);
    cfg_buf_clear(&text);
    if (ok)
        cfg_buf_printf(&text, "idem/%s", digest + sizeof "sha256:" - 1);
    op->idem_key = cfg_buf_steal(&text);
    cfg_buf_finish(&text);
    if (!ok || op->idem_key == NULL)
        abort(); /* without its key the write must not run, and without memory nobody can be told */
}

/* --- the lease --- */

static void lease_granted(void *arg, int64_t id, int64_t ttl_s, const struct cfg_error *err)
{
    (void)ttl_s;
    struct cfg_op *op = arg;
    if (!cfg_job_alive(&op->job))
        return;
    struct cfg_service *s = op->job.service;
    if (err) {
        cfg_op_fail(op, err);
        return;
    }
    s->idem.lease = id;
    s->idem.granted_ns = s->clock->monotonic_ns(s->clock->arg);
    cfg_op_send(op);
}

bool cfg_idem_lease(struct cfg_op *op)
{
    struct cfg_service *s = op->job.service;
    uint64_t now = s->clock->monotonic_ns(s->clock->arg);
    if (s->idem.lease != 0 && now - s->idem.granted_ns < (uint64_t)LEASE_RENEW_S * 1000000000u)
        return true;
    op->state = CFG_OP_ASKING;
    cfg_etcd_lease_grant(s->etcd, LEASE_TTL_S, lease_granted, op);
    return false;
}

bool cfg_idem_lease_lost(struct cfg_op *op, const struct cfg_error *err)
{
    /* The store went back, or somebody revoked it. The transaction was refused as a whole. */
    if (op->idem_key == NULL || op->lease_renewed || op->ambiguous || strstr(err->text, "lease not found") == NULL)
        return false;
    op->lease_renewed = true;
    op->job.service->idem.lease = 0;
    return true;
}

/* --- the record --- */

static char *print_record(const struct cfg_op *op, const cJSON *results)
{
    struct cfg_buf text;
    cfg_buf_init(&text, RECORD_LIMIT);
    cfg_buf_printf(&text, "{\"request\":\"%s\",\"request_id\":\"%s\",\"epoch\":%llu,\"results\":", op->request_digest,
                   op->change.request_id, (unsigned long long)op->identity.epoch);
    cfg_json_print(&text, results);
    cfg_buf_putc(&text, '}');
    char *record = cfg_buf_steal(&text);
    cfg_buf_finish(&text);
    return record;
}

int cfg_idem_record(struct cfg_op *op, struct cfg_error *err)
{
    free(op->idem_record);
    op->idem_record = print_record(op, op->decision.results);
    if (op->idem_record)
        return 0;
    /* Too large with every value in it: the versions are what a repetition must know. */
    static const char *const lists[] = {"changes", "held", "kept", "affected"};
    cJSON *brief = cJSON_Duplicate(op->decision.results, true);
    bool ok = brief != NULL;
    for (cJSON *r = ok ? brief->child : NULL; r; r = r->next)
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
            if (cfg_json_get(r, lists[i]))
                ok = cfg_json_set(r, lists[i], cJSON_CreateArray()) == 0 && ok;
    op->idem_record = ok ? print_record(op, brief) : NULL;
    cJSON_Delete(brief);
    return op->idem_record ? 0 : cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static void shown_again(void *arg, const struct cfg_error *err)
{
    struct cfg_op *op = arg;
    cfg_op_reply(op, op->decision.results, (struct cfg_rev){op->identity.epoch, op->revision}, err == NULL);
}

void cfg_idem_answer(struct cfg_op *op, const struct cfg_etcd_kv *kv)
{
    struct cfg_service *s = op->job.service;
    cJSON *record = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_json_parse(&record, kv->value, 200, &err);
    if (rc == 0 && strcmp(cfg_json_get_str(record, "request", ""), op->request_digest) != 0) {
        rc = cfg_fail(&err, CFG_E_CONFLICT, "this Idempotency-Key was used for another request");
        cfg_error_set_hint(&err, "take a new key for every new request");
    }
    cJSON *results = cJSON_DetachItemFromObjectCaseSensitive(record, "results");
    if (rc == 0 && results == NULL)
        rc = cfg_fail(&err, CFG_E_VALUE, "the record of this Idempotency-Key cannot be read");
    op->identity.epoch = (uint64_t)cfg_json_get_num(record, "epoch", 0);
    cJSON_Delete(record);
    if (rc != 0) {
        cJSON_Delete(results);
        cfg_op_fail(op, &err);
        return;
    }
    cfg_decision_finish(&op->decision);
    op->decision.results = results;
    op->revision = (uint64_t)kv->mod_revision;
    bool wrote = false;
    for (const cJSON *r = results->child; r; r = r->next)
        wrote = wrote || !cfg_json_get_bool(r, "unchanged", false);
    if (!wrote) { /* a record by itself moves nothing that the replica follows */
        cfg_op_reply(op, results, cfg_store_rev(s->store), true);
        return;
    }
    op->state = CFG_OP_SHOWING;
    cfg_store_wait(s->store, s->loop, (struct cfg_rev){op->identity.epoch, op->revision}, s->visible_timeout_ms,
                   shown_again, op);
}
