#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_line(void *arg, int level, const char *line)
{
    struct rig *r = arg;
    size_t n = strlen(r->log);
    (void)snprintf(r->log + n, sizeof r->log - n, "%d %s\n", level, line);
}

void rig_open(struct rig *r, const char *cache, bool external_loop)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    memset(r, 0, sizeof *r);
    o.deployment = "blue";
    o.worker = "w0";
    o.cache = cache != NULL ? cache : "";
    o.overrides = "";
    o.external_loop = external_loop;
    o.log = log_line;
    o.log_arg = r;
    cr_assert_eq(cfg_memory_source_new(&r->source, &err), 0);
    cr_assert_eq(cfg_worker_open_source(&r->w, &o, cfg_memory_source_base(r->source), &err), 0, "%s", err.text);
    r->temp = cfg_param_f64(r->w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
    r->batch = cfg_param_i64(r->w, "inference.batch_size", CFG_DRAIN, 1, 64, 8);
    r->path = cfg_param_string(r->w, "data.path", CFG_RESTART, "/none");
    r->tp = cfg_param_i64(r->w, "distributed.tp", CFG_PINNED, 1, 8, 1);
    r->flag = cfg_param_flag(r->w, "experiment/ab.flag", false);
}

void rig_close(struct rig *r)
{
    cfg_worker_close(r->w);
    r->w = NULL;
}

void rig_push_view(struct rig *r, const char *store, const char *revision, const char *parameters, const char *pinned)
{
    char view[4096], digest[CFG_DIGEST_TEXT];
    cJSON *tree = NULL;
    (void)snprintf(view, sizeof view, "{\"parameters\":%s,\"pinned\":%s,\"flags\":{}}", parameters, pinned);
    cr_assert_eq(cfg_json_parse(&tree, cfg_slice_str(view), 0, NULL), 0, "%s", view);
    cr_assert_eq(cfg_digest_json(digest, tree), 0);
    cJSON_Delete(tree);
    cfg_memory_push_view(r->source, revision, digest, store, view);
}

void rig_push(struct rig *r, const char *revision, double temp)
{
    char parameters[128];
    (void)snprintf(parameters, sizeof parameters, "{\"sampling\":{\"temperature\":%g}}", temp);
    rig_push_view(r, "S", revision, parameters, "{}");
}

void rig_connect(struct rig *r)
{
    cfg_memory_push_registered(r->source, 3600000);
    cfg_memory_push_state(r->source, CFG_SOURCE_CONNECTED, NULL);
}

void rig_start(struct rig *r)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cr_assert_eq(cfg_worker_start(r->w, 10000, &err), 0, "%s", err.text);
}

const struct cfg_view *rig_step(struct rig *r)
{
    const struct cfg_view *v = cfg_step_begin(r->w, r->step++);
    cfg_step_end(r->w, NULL);
    return v;
}

const struct cfg_view *rig_until(struct rig *r, const char *revision)
{
    for (;;) {
        const struct cfg_view *v = rig_step(r);
        if (v != NULL && strcmp(v->revision, revision) == 0) {
            return v;
        }
        (void)cfg_worker_idle(r->w, 1000);
    }
}

struct cfg_worker_status rig_status(struct rig *r)
{
    struct cfg_worker_status s;
    cfg_worker_status(r->w, &s);
    return s;
}

char *rig_report_with(struct rig *r, const char *part)
{
    for (unsigned n = 1;; n++) {
        char *text = cfg_memory_wait_report(r->source, &n);
        if (strstr(text, part) != NULL) {
            return text;
        }
        free(text);
    }
}
