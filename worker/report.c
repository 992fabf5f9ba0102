/* Registration and reports as JSON text. Printed by hand rather than built as trees: a report follows every adoption.
 */
#include "worker/report.h"
#include "proto/path.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static void copy_text(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
}

void cfg_rejects_add(struct cfg_rejects *r, const char *revision, const struct cfg_error *why)
{
    if (r->n == CFG_REJECTS_MAX) {
        memmove(&r->items[0], &r->items[1], (CFG_REJECTS_MAX - 1) * sizeof r->items[0]);
        r->n--;
    }
    struct cfg_reject *j = &r->items[r->n++];
    copy_text(j->revision, sizeof j->revision, revision);
    copy_text(j->path, sizeof j->path, why->path);
    copy_text(j->reason, sizeof j->reason, why->text);
    r->total++;
}

void cfg_rejects_clear(struct cfg_rejects *r)
{
    r->n = 0;
}

const char *cfg_time_print(char out[CFG_TIME_TEXT], int64_t wall_us)
{
    time_t s = (time_t)(wall_us / 1000000);
    struct tm tm;
    if (gmtime_r(&s, &tm) == NULL || strftime(out, CFG_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        memset(&tm, 0, sizeof tm);
        copy_text(out, CFG_TIME_TEXT, "1970-01-01T00:00:00");
    }
    size_t n = strlen(out);
    (void)snprintf(out + n, CFG_TIME_TEXT - n, ".%06dZ", (int)(wall_us % 1000000));
    return out;
}

static void put_member(struct cfg_buf *out, const char *name, const char *text)
{
    cfg_buf_printf(out, "\"%s\":", name);
    cfg_json_put_string(out, cfg_slice_str(text));
}

static void print_applied(struct cfg_buf *out, const struct cfg_box *b)
{
    char at[CFG_TIME_TEXT];
    if (b == NULL) {
        cfg_buf_puts(out, "\"applied\":null");
        return;
    }
    cfg_buf_printf(out, "\"applied\":{\"revision\":\"%s\",\"digest\":\"%s\",\"step\":%llu,\"at\":\"%s\"}", b->revision,
                   b->digest, (unsigned long long)b->adopted_step, cfg_time_print(at, b->adopted_at_us));
}

static void print_pending(struct cfg_buf *out, const struct cfg_contract *c, const struct cfg_box *b)
{
    cfg_buf_puts(out, ",\"pending\":[");
    for (uint32_t i = 0; b != NULL && i < b->n_pending; i++) {
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_json_put_string(out, cfg_slice_str(c->items[b->pending[i]].path));
    }
    cfg_buf_putc(out, ']');
}

static void print_rejects(struct cfg_buf *out, const struct cfg_rejects *r)
{
    cfg_buf_puts(out, ",\"rejects\":[");
    for (size_t i = 0; i < r->n; i++) {
        cfg_buf_puts(out, i > 0 ? ",{" : "{");
        put_member(out, "revision", r->items[i].revision);
        cfg_buf_putc(out, ',');
        put_member(out, "path", r->items[i].path);
        cfg_buf_putc(out, ',');
        put_member(out, "reason", r->items[i].reason);
        cfg_buf_putc(out, '}');
    }
    cfg_buf_putc(out, ']');
}

static void print_overrides(struct cfg_buf *out, const struct cfg_contract *c, const struct cfg_local *l)
{
    bool first = true;
    cfg_buf_puts(out, ",\"overrides\":[");
    for (uint32_t i = 0; i < c->n; i++) {
        if (l->set[i]) {
            cfg_buf_puts(out, first ? "" : ",");
            cfg_json_put_string(out, cfg_slice_str(c->items[i].path));
            first = false;
        }
    }
    cfg_buf_putc(out, ']');
}

static void print_group(struct cfg_buf *out, const struct cfg_group_state *g)
{
    cfg_buf_printf(out, ",\"group\":{\"incarnation\":\"%016llx\",\"formed\":%s", (unsigned long long)g->incarnation,
                   g->formed ? "true" : "false");
    if (!g->formed) {
        cfg_buf_putc(out, ',');
        put_member(out, "why", g->why);
    }
    cfg_buf_putc(out, '}');
}

void cfg_report_print(struct cfg_buf *out, const struct cfg_report *r)
{
    cfg_buf_putc(out, '{');
    put_member(out, "incarnation", r->incarnation);
    cfg_buf_putc(out, ',');
    print_applied(out, r->applied);
    cfg_buf_printf(out, ",\"step\":%llu,\"state\":\"%s\",\"age_ms\":%llu", (unsigned long long)r->step,
                   r->idle ? "idle" : "running", (unsigned long long)r->age_ms);
    print_pending(out, r->contract, r->applied);
    print_rejects(out, r->rejects);
    print_overrides(out, r->contract, r->local);
    cfg_buf_printf(out, ",\"metrics\":%s", r->metrics != NULL ? r->metrics : "{}");
    cfg_buf_puts(out, r->telemetry != NULL ? r->telemetry : "");
    if (r->drains != NULL) {
        cfg_drains_print(out, r->drains, r->contract, r->applied != NULL ? &r->applied->pub : NULL);
    }
    if (r->exposures != NULL) {
        cfg_exposures_print(out, r->exposures);
    }
    cfg_ceilings_print(out, r->ceilings, r->contract);
    if (r->group != NULL) {
        print_group(out, r->group);
    }
    cfg_buf_putc(out, '}');
}

/* The structural value this process is bound to, or NULL when the deployment's word decides. */
static const union cfg_value *bound_value(const struct cfg_contract *c, uint32_t i, const struct cfg_box *boot,
                                          const struct cfg_box *view)
{
    const struct cfg_decl *d = &c->items[i];
    if (view != NULL && view->from_pin[i]) {
        return &boot->values[i];
    }
    bool single =
        (d->type == CFG_I64 && d->min.i64 == d->max.i64) || (d->type == CFG_F64 && !(d->min.f64 < d->max.f64));
    return d->apply == CFG_PINNED && single ? &d->def : NULL;
}

/* Sets one path of the pin. CFG_E_NOMEM; a way that is blocked by another declared parameter is left out: that one's
 * value says more. */
static int add_bound(cJSON *pin, const struct cfg_decl *d, const union cfg_value *v)
{
    cJSON *tree = NULL;
    struct cfg_buf text;
    cfg_buf_init(&text, CFG_LIMIT_DOCUMENT);
    cfg_value_print(&text, d->type, v);
    int rc = cfg_buf_status(&text);
    rc = rc != 0 ? rc : cfg_json_parse(&tree, cfg_buf_slice(&text), 0, NULL);
    rc = rc != 0 ? rc : cfg_path_set(pin, d->path, tree, NULL);
    cfg_buf_finish(&text);
    return rc == CFG_E_VALUE ? 0 : rc;
}

static void print_pin(struct cfg_buf *out, const struct cfg_contract *c, const struct cfg_box *boot,
                      const struct cfg_box *view)
{
    cJSON *pin = cJSON_CreateObject();
    int rc = pin != NULL ? 0 : CFG_E_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < c->n; i++) {
        const union cfg_value *v = bound_value(c, i, boot, view);
        rc = v != NULL ? add_bound(pin, &c->items[i], v) : 0;
    }
    cfg_buf_puts(out, ",\"pin\":");
    if (rc == 0) {
        cfg_json_print(out, pin);
    } else {
        out->failed = rc;
    }
    cJSON_Delete(pin);
}

void cfg_registration_print(struct cfg_buf *out, const struct cfg_identity *id, const struct cfg_contract *c,
                            const struct cfg_box *boot, const struct cfg_box *view, const char *store,
                            const struct cfg_ceilings *ceilings)
{
    cfg_buf_putc(out, '{');
    put_member(out, "worker", id->worker);
    cfg_buf_putc(out, ',');
    put_member(out, "incarnation", id->incarnation);
    if (store != NULL && store[0] != '\0') {
        cfg_buf_putc(out, ',');
        put_member(out, "store", store);
    }
    cfg_buf_putc(out, ',');
    put_member(out, "host", id->host);
    cfg_buf_putc(out, ',');
    put_member(out, "group", id->group);
    if (id->address[0] != '\0') {
        cfg_buf_putc(out, ',');
        put_member(out, "address", id->address);
    }
    cfg_buf_printf(out, ",\"pid\":%d,\"rank\":%u,\"world\":%u,\"labels\":%s", id->pid, id->rank, id->world,
                   id->labels != NULL ? id->labels : "{}");
    cfg_buf_printf(out, ",\"capabilities\":%s", id->capabilities != NULL ? id->capabilities : "[]");
    print_pin(out, c, boot, view);
    cfg_buf_puts(out, boot == NULL ? ",\"fresh\":true" : "");
    cfg_buf_puts(out, ",\"contract\":");
    cfg_contract_print(out, c);
    cfg_ceilings_print(out, ceilings, c);
    cfg_buf_putc(out, '}');
}
