/* Backup and restore over HTTP; what the file looks like is said in backup.c. */
#include "configd/api.h"

static void on_line(void *arg, struct cfg_slice line)
{
    cfg_call_chunk(arg, line);
}

static void on_backup(void *arg, const struct cfg_error *err)
{
    cfg_call_chunk_end(arg, err);
}

void cfg_api_backup(struct cfg_app *app, struct cfg_call *c)
{
    if (!cfg_api_at(app, c))
        return;
    cfg_call_chunk_begin(c, "application/x-ndjson");
    cfg_service_backup(app->service, on_line, on_backup, c);
}

static void on_restored(void *arg, uint64_t keys, struct cfg_rev rev, const struct cfg_error *err)
{
    char text[CFG_REV_TEXT];
    if (err) {
        cfg_call_fail(arg, err, NULL);
        return;
    }
    cJSON *body = cJSON_CreateObject();
    (void)cJSON_AddNumberToObject(body, "restored", (double)keys);
    (void)cJSON_AddStringToObject(body, "revision", cfg_rev_format(rev, text));
    (void)cJSON_AddNumberToObject(body, "epoch", (double)rev.epoch);
    cfg_api_reply(arg, 200, body);
}

void cfg_api_restore(struct cfg_app *app, struct cfg_call *c)
{
    struct cfg_error err;
    struct cfg_bytes *file = cfg_bytes_new(cfg_call_body(c));
    if (file == NULL) {
        (void)cfg_fail(&err, CFG_E_NOMEM, "no memory for the backup");
        cfg_call_fail(c, &err, NULL);
        return;
    }
    cfg_service_restore(app->service, file, cfg_call_principal(c)->subject, on_restored, c);
}
