#include "client/cfgctl/rollout_started.h"
#include "client/cfgctl/cli.h"
#include "client/cfgctl/reach.h"

#include <string.h>

/* The results but for the rollout's own records and for what its deployment holds: that is what it will leave. NULL
 * without memory. */
static cJSON *written(const struct rollout_started *s)
{
    cJSON *reply = cJSON_Duplicate(s->reply, true), *results = cfg_json_get(reply, "results");
    for (cJSON *r = results ? results->child : NULL, *next; r; r = next) {
        const char *kind = cfg_json_get_str(r, "kind", "");
        cJSON *held = cfg_json_get(r, "held");
        next = r->next;
        if (strcmp(kind, "rollout") == 0 || strcmp(kind, "deployment") == 0) {
            cJSON_Delete(cJSON_DetachItemViaPointer(results, r));
            continue;
        }
        for (cJSON *h = held ? held->child : NULL, *after; h; h = after) {
            after = h->next;
            if (strcmp(cfg_json_get_str(h, "deployment", ""), s->deployment) == 0)
                cJSON_Delete(cJSON_DetachItemViaPointer(held, h));
        }
    }
    return reply;
}

/* Whoever follows the head has it at once. */
static void warn_of_followers(struct cfg_buf *warnings, const struct rollout_started *s, const cJSON *result)
{
    const cJSON *d;
    bool flag = strcmp(cfg_json_get_str(result, "kind", ""), "flag") == 0;
    cJSON_ArrayForEach(d, cfg_json_get(cfg_json_get(result, "reach"), "deployments"))
    {
        if (!cJSON_IsString(d) || strcmp(d->valuestring, s->deployment) == 0)
            continue;
        cfg_buf_puts(warnings, "warning: ");
        cli_put_text(warnings, d->valuestring);
        cfg_buf_puts(warnings, " follows the head: it has this at once, and no guard looks at it");
        if (!flag)
            cfg_buf_printf(warnings, " (cfgctl deployment update %s --track hold)", d->valuestring);
        cfg_buf_putc(warnings, '\n');
    }
}

static void put_written(struct cfg_buf *out, struct cfg_buf *warnings, const struct rollout_started *s)
{
    const cJSON *result;
    struct cfg_buf ignored; /* that nobody reads it yet is what a rollout is for */
    cJSON *reply = written(s);
    cfg_buf_init(&ignored, (size_t)1 << 20);
    reach_describe(out, &ignored, reply);
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        warn_of_followers(warnings, s, result);
    }
    cfg_buf_finish(&ignored);
    cJSON_Delete(reply);
}

/* A release is all that lies between: also what failed last time, and is the head since. */
static void put_diff(struct cfg_buf *out, const struct rollout_started *s)
{
    const cJSON *change;
    bool wrote = cJSON_GetArraySize(cfg_json_get(s->reply, "results")) > 2;
    if (cJSON_GetArraySize(cfg_json_get(s->diff, "changes")) == 0)
        return;
    cfg_buf_printf(out, "%s, which runs v%.0f, gets %sv%.0f: ", s->deployment, cfg_json_get_num(s->diff, "from", 0),
                   wrote ? "also what changed until " : "", cfg_json_get_num(s->diff, "to", 0));
    cJSON_ArrayForEach(change, cfg_json_get(s->diff, "changes"))
    {
        cfg_buf_puts(out, change->prev->next ? ", " : "");
        reach_put_change(out, change);
    }
    cfg_buf_putc(out, '\n');
}

/* What the server could not look at before the start. */
static void put_hint(struct cfg_buf *warnings, const cJSON *reply)
{
    const cJSON *result;
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        const char *hint = cfg_json_get_str(result, "hint", "");
        if (hint[0] == '\0' || strcmp(cfg_json_get_str(result, "kind", ""), "rollout") != 0)
            continue;
        cfg_buf_puts(warnings, "warning: ");
        cli_put_text(warnings, hint);
        cfg_buf_putc(warnings, '\n');
    }
}

void rollout_put_started(struct cfg_buf *out, struct cfg_buf *warnings, const struct rollout_started *s)
{
    bool dry_run = cfg_json_get_bool(s->reply, "dry_run", false);
    put_written(out, warnings, s);
    put_diff(out, s);
    put_hint(warnings, s->reply);
    if (cJSON_GetArraySize(cfg_json_get(s->plan, "guards")) == 0 && !s->now)
        cfg_buf_puts(warnings, "warning: no guard: only workers that reject the release send it back; "
                               "say what must hold: --guard 'error_rate<1%'\n");
    cfg_buf_printf(out, "%s%s; follow it: cfgctl rollout status %s -w\n", s->deployment,
                   dry_run ? ": this could be rolled out" : ": the rollout is under way", s->deployment);
}
