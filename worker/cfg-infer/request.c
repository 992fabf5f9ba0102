/* See request.h. */
#include "worker/cfg-infer/request.h"
#include <stdlib.h>
#include <string.h>

static bool put_attribute(cJSON *all, const char *name, const char *value)
{
    return value[0] == '\0' || cfg_json_set(all, name, cJSON_CreateString(value)) == 0;
}

/* The context's attributes, the user as their targeting key, and who is asking. *out is returned-owned. */
static int collect(cJSON **out, const cJSON *body, const struct cfg_caller *caller, struct cfg_error *err)
{
    const cJSON *context = cfg_json_get(body, "context");
    const char *user = cfg_json_get_str(body, "user", "");
    cJSON *all = cJSON_IsObject(context) ? cJSON_Duplicate(context, true) : cJSON_CreateObject();
    if (all != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(all, "tenant");
        cJSON_DeleteItemFromObjectCaseSensitive(all, "tier");
    }
    if (all == NULL || !put_attribute(all, "targetingKey", user) || !put_attribute(all, "tenant", caller->tenant) ||
        !put_attribute(all, "tier", caller->tier)) {
        cJSON_Delete(all);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    *out = all;
    return 0;
}

int cfg_infer_request_new(struct cfg_infer_request **out, const cJSON *body, const struct cfg_caller *caller,
                          struct cfg_error *err)
{
    cJSON *all = NULL;
    struct cfg_buf text;
    int rc = collect(&all, body, caller, err);
    if (rc != 0) {
        return rc;
    }
    struct cfg_infer_request *r = calloc(1, sizeof *r);
    cfg_buf_init(&text, (size_t)1 << 20);
    cfg_json_print(&text, all);
    cJSON_Delete(all);
    if (r == NULL || cfg_buf_status(&text) != 0) {
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory");
    } else {
        rc = cfg_context_json(&r->who, text.data, text.len, err);
    }
    cfg_buf_finish(&text);
    if (rc != 0) {
        free(r);
        return rc;
    }
    *out = r;
    return 0;
}

static void clear(struct cfg_infer_variant *v)
{
    free(v->flag);
    free(v->variant);
    v->flag = v->variant = NULL;
}

/* A stamp that there is no memory for is left out. */
static void stamp(struct cfg_infer_variant *out, const char *flag, const char *variant)
{
    clear(out);
    out->flag = strdup(flag);
    out->variant = strdup(variant);
    if (out->flag == NULL || out->variant == NULL) {
        clear(out);
    }
}

void cfg_infer_request_free(struct cfg_infer_request *r)
{
    if (r == NULL) {
        return;
    }
    cfg_context_finish(&r->who);
    clear(&r->own);
    for (uint32_t i = 0; i < r->n_laid; i++) {
        clear(&r->laid[i]);
    }
    free(r);
}

static bool same(const struct cfg_infer_variant *stamped, const char *flag, const char *variant)
{
    return stamped->flag != NULL && strcmp(stamped->flag, flag) == 0 && strcmp(stamped->variant, variant) == 0;
}

/* Is the overlay's latest decision what it was stamped with? */
static bool stands(const struct cfg_infer_request *r, const char *address)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < r->overlay.n_served; i++) {
        const char *flag = r->overlay.served[i].flag, *variant = r->overlay.served[i].variant;
        bool own = strcmp(flag, address) == 0;
        if (!own && k == r->n_laid) {
            return false;
        }
        if (!same(own ? &r->own : &r->laid[k++], flag, variant)) {
            return false;
        }
    }
    return k == r->n_laid;
}

bool cfg_infer_request_decide(struct cfg_infer_request *r, const struct cfg_view *v, cfg_flag flag, const char *address,
                              bool otherwise)
{
    if (!r->decided || r->mixed) {
        r->own_answer = cfg_flag_evaluate(v, flag, CFG_FLAG_BOOL, &r->who, (union cfg_value){.b = otherwise});
        r->greedy_start = r->own_answer.value.b;
        if (r->own_answer.variant != NULL) {
            stamp(&r->own, address, r->own_answer.variant);
        }
        cfg_overlay_begin(&r->overlay, v, &r->who);
    } else if (!cfg_overlay_renew(&r->overlay, v)) {
        return false;
    }
    r->mixed = r->mixed || (r->decided && !stands(r, address));
    r->decided = true;
    r->both = false;
    /* The overlay's texts end with the view; the stamp goes on. */
    while (r->n_laid > 0) {
        clear(&r->laid[--r->n_laid]);
    }
    for (uint32_t i = 0; i < r->overlay.n_served; i++) {
        if (strcmp(r->overlay.served[i].flag, address) == 0) {
            r->both = true;
        } else {
            stamp(&r->laid[r->n_laid++], r->overlay.served[i].flag, r->overlay.served[i].variant);
        }
    }
    return true;
}

void cfg_infer_request_metric(const struct cfg_infer_request *r, cfg_metric metric, double sample)
{
    if (!r->decided || r->mixed) {
        return;
    }
    if (!r->both) {
        cfg_flag_metric(&r->own_answer, &r->who, metric, sample);
    }
    cfg_overlay_metric(&r->overlay, metric, sample);
}

typedef void (*put_fn)(struct cfg_buf *out, const struct cfg_infer_variant *v, bool first);

static void each(struct cfg_buf *out, const struct cfg_infer_request *r, put_fn put)
{
    bool first = true;
    if (r->own.flag != NULL) {
        put(out, &r->own, true);
        first = false;
    }
    for (uint32_t i = 0; i < r->n_laid; i++) {
        if (r->laid[i].flag != NULL) {
            put(out, &r->laid[i], first);
            first = false;
        }
    }
}

static void put_member(struct cfg_buf *out, const struct cfg_infer_variant *v, bool first)
{
    cfg_buf_puts(out, first ? "" : ",");
    cfg_json_put_string(out, cfg_slice_str(v->flag));
    cfg_buf_putc(out, ':');
    cfg_json_put_string(out, cfg_slice_str(v->variant));
}

void cfg_infer_request_print(struct cfg_buf *out, const struct cfg_infer_request *r)
{
    cfg_buf_putc(out, '{');
    each(out, r, put_member);
    cfg_buf_putc(out, '}');
}

static void put_encoded(struct cfg_buf *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c > ' ' && *c < 0x7F && strchr(",=%", *c) == NULL) {
            cfg_buf_putc(out, *c);
        } else {
            cfg_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
}

static void put_pair(struct cfg_buf *out, const struct cfg_infer_variant *v, bool first)
{
    cfg_buf_puts(out, first ? "" : ", ");
    put_encoded(out, v->flag);
    cfg_buf_putc(out, '=');
    put_encoded(out, v->variant);
}

void cfg_infer_request_header(struct cfg_buf *out, const struct cfg_infer_request *r)
{
    each(out, r, put_pair);
}
