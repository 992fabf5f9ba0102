/* What people ask of the workers here, one by one: the local part of GET …/workers and of GET …/exposures. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "configd/fleet_observe.h"

#include <stdlib.h>
#include <string.h>

struct list {
    struct cfg_fleet *f;
    struct fleet_targets targets;
    struct fleet_blame blame;
    cJSON *workers;
    uint64_t now_ms;
    size_t converged;
    struct fleet_reply reply;
};

static void put_state(struct list *l, cJSON *o, const struct fleet_worker *w)
{
    struct fleet_facts facts;
    char why[FLEET_WHY];
    const char *arm = w->arm ? w->arm->name : "base";
    const struct fleet_target *target = fleet_targets_at(&l->targets, arm);
    fleet_facts_of(&facts, l->f, w, l->now_ms);
    enum fleet_state state = fleet_state_of(&facts, target);
    fleet_worker_why(why, state, &facts, target, w);
    fleet_blame_why(why, state, &l->blame, w);
    bool converged = fleet_converged(&facts, target);
    l->converged += converged;
    fleet_put_bool(&l->reply, o, "converged", converged);
    fleet_put_text(&l->reply, o, "condition", fleet_state_name(state));
    if (why[0])
        fleet_put_text(&l->reply, o, state == FLEET_FLAPPING ? "error" : "why", why);
    fleet_put_text(&l->reply, o, "arm", arm);
    fleet_put_number(&l->reply, o, "heard_ms", (double)facts.report_age_ms);
}

static void put_about(struct list *l, cJSON *o, const struct fleet_worker *w)
{
    struct fleet_reply *r = &l->reply;
    cJSON *about = fleet_parse(w->about), *skills = cJSON_CreateArray();
    fleet_put_copy(r, o, "host", about, cJSON_CreateNull);
    fleet_put_copy(r, o, "pid", about, cJSON_CreateNull);
    fleet_put_copy(r, o, "group", about, cJSON_CreateNull);
    fleet_put_number(r, o, "rank", w->rank);
    fleet_put_number(r, o, "world", w->world);
    fleet_put_copy(r, o, "labels", about, cJSON_CreateObject);
    if (skills && !fleet_skills_list(skills, w->skills))
        r->failed = true;
    fleet_put(r, o, "capabilities", skills);
    cJSON_Delete(about);
}

static void put_report(struct list *l, cJSON *o, const struct fleet_worker *w)
{
    struct fleet_reply *r = &l->reply;
    cJSON *kept = fleet_parse(w->kept);
    fleet_put_copy(r, o, "applied", kept, cJSON_CreateNull);
    fleet_put_number(r, o, "step", w->step);
    fleet_put_text(r, o, "state", w->reported ? w->state : "starting");
    fleet_put_number(r, o, "age_ms", (double)w->age_ms);
    const struct fleet_pace pace = fleet_pace_of(w, l->now_ms);
    fleet_put_number(r, o, "step_rate", pace.step_rate);
    fleet_put_number(r, o, "p50_us", pace.p50_us);
    fleet_put_number(r, o, "p99_us", pace.p99_us);
    fleet_put_copy(r, o, "pending", kept, cJSON_CreateArray);
    fleet_put_copy(r, o, "rejects", kept, cJSON_CreateArray);
    fleet_put_copy(r, o, "overrides", kept, cJSON_CreateArray);
    fleet_put_copy(r, o, "draining", kept, cJSON_CreateArray);
    fleet_put_copy(r, o, "metrics", kept, cJSON_CreateObject);
    fleet_put_copy(r, o, "group_state", cfg_json_get(kept, "group"), cJSON_CreateNull);
    fleet_put(r, o, "last_report_ms",
              w->reported ? cJSON_CreateNumber((double)(l->now_ms - w->report_ms)) : cJSON_CreateNull());
    cJSON_Delete(kept);
}

static void add_worker(struct fleet_worker *w, void *arg)
{
    struct list *l = arg;
    char registered[CFG_TIME_TEXT];
    cJSON *o = fleet_add_entry(&l->reply, l->workers);
    fleet_put_text(&l->reply, o, "worker", w->id);
    fleet_put_text(&l->reply, o, "incarnation", w->incarnation);
    fleet_put_text(&l->reply, o, "replica", l->f->replica_id);
    fleet_put_bool(&l->reply, o, "connected", w->superseded != NULL);
    put_about(l, o, w);
    put_report(l, o, w);
    put_state(l, o, w);
    fleet_put_text(&l->reply, o, "registered", cfg_time_format(w->registered_wall_ns, registered));
}

/* Who was not let in is shown, too, unless it came in since. */
static void add_refused(struct list *l, const struct fleet_deployment *d, const struct fleet_refused *r)
{
    if (!fleet_refused_counts(d, r, l->now_ms))
        return;
    cJSON *o = fleet_add_entry(&l->reply, l->workers);
    fleet_put_text(&l->reply, o, "worker", r->worker);
    fleet_put_text(&l->reply, o, "incarnation", r->incarnation);
    fleet_put_text(&l->reply, o, "replica", l->f->replica_id);
    fleet_put_text(&l->reply, o, "host", r->host);
    fleet_put_bool(&l->reply, o, "connected", false);
    fleet_put_bool(&l->reply, o, "converged", false);
    fleet_put_text(&l->reply, o, "state", "refused");
    fleet_put_text(&l->reply, o, "condition", fleet_state_name(fleet_refused_state(r)));
    fleet_put_text(&l->reply, o, "why", r->text);
    fleet_put(&l->reply, o, "last_report_ms", cJSON_CreateNull());
    fleet_put_number(&l->reply, o, "heard_ms", (double)(l->now_ms - r->at_ms));
}

static cJSON *target_json(struct fleet_reply *r, const struct fleet_target *t)
{
    char rev[CFG_REV_TEXT];
    if (!t->known)
        return cJSON_CreateNull();
    cJSON *target = cJSON_CreateObject();
    fleet_put_text(r, target, "revision", cfg_rev_format(t->rev, rev));
    fleet_put_text(r, target, "digest", t->digest);
    return target;
}

/* What they have told of their steps lately, so that another replica knows what a guard may look at. */
static void put_metrics(struct fleet_reply *r, cJSON *reply, const struct cfg_fleet *f, const char *deployment)
{
    const char *names[2 * FLEET_METRICS];
    size_t n = cfg_fleet_metrics(f, deployment, names, 2 * FLEET_METRICS);
    cJSON *list = fleet_put_array(r, reply, "metrics");
    for (size_t i = 0; i < n; i++)
        fleet_add_text(r, list, names[i]);
}

cJSON *cfg_fleet_workers(struct cfg_fleet *f, const char *deployment)
{
    struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    struct list l = {.f = f, .now_ms = fleet_now_ms(f), .targets = {.fleet = f, .deployment = deployment}};
    cJSON *reply = cJSON_CreateObject();
    fleet_put_text(&l.reply, reply, "deployment", deployment);
    fleet_put_text(&l.reply, reply, "replica", f->replica_id);
    fleet_put_text(&l.reply, reply, "url", f->url);
    fleet_put(&l.reply, reply, "target", target_json(&l.reply, fleet_targets_at(&l.targets, "base")));
    fleet_put_number(&l.reply, reply, "live_ms", fleet_live_ms(f));
    fleet_put_number(&l.reply, reply, "absent", (double)fleet_absent(f, deployment));
    put_metrics(&l.reply, reply, f, deployment);
    l.workers = fleet_put_array(&l.reply, reply, "workers");
    fleet_blame_init(&l.blame, f, d, l.now_ms);
    if (d)
        fleet_each_worker(d, add_worker, &l);
    fleet_blame_finish(&l.blame);
    for (size_t i = 0; d && i < d->n_refused; i++)
        add_refused(&l, d, &d->refused[i]);
    fleet_put_number(&l.reply, reply, "converged", (double)l.converged);
    fleet_put_number(&l.reply, reply, "total", d ? (double)d->connected : 0);
    return fleet_finish(&l.reply, reply);
}

cJSON *cfg_fleet_exposures(struct cfg_fleet *f, const char *deployment, bool sketches)
{
    static const struct fleet_exposures none;
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    struct fleet_reply r = {false};
    cJSON *reply = cJSON_CreateObject();
    fleet_put_text(&r, reply, "deployment", deployment);
    fleet_put_text(&r, reply, "replica", f->replica_id);
    fleet_put_text(&r, reply, "url", f->url);
    fleet_put_number(&r, reply, "total", d ? (double)d->connected : 0);
    fleet_put(&r, reply, "exposures", fleet_exposures_list(d ? &d->exposures : &none, sketches));
    return fleet_finish(&r, reply);
}
