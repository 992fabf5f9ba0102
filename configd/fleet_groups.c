/* Rank groups. See fleet_groups.h. */
#include "configd/fleet_groups.h"
#include "configd/fleet_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fleet_group_wait {
    char *deployment, *group; /* owned */
    uint64_t end_ms;
    cfg_loop_fn fn;
    void *arg;
    bool found, scanned; /* of one look */
    struct fleet_group_wait *next;
};

/* --- who is rank 0, and where --- */

static bool leads(const struct fleet_worker *w)
{
    return w->address && w->rank == 0 && (w->superseded || w->gone_ms == 0); /* gone: its address went with it */
}

struct root {
    const char *group;
    char worker[CFG_LIMIT_NAME * 4], address[256];
    uint64_t since_ns; /* when it registered; 0: nobody has */
    size_t elsewhere;  /* workers of the deployment at other replicas */
};

static void take(struct root *r, const char *worker, const char *address, uint64_t since_ns)
{
    if (since_ns < r->since_ns || strlen(worker) >= sizeof r->worker || strlen(address) >= sizeof r->address)
        return;
    memcpy(r->worker, worker, strlen(worker) + 1);
    memcpy(r->address, address, strlen(address) + 1);
    r->since_ns = since_ns;
}

static void look_here(struct fleet_worker *w, void *arg)
{
    struct root *r = arg;
    if (leads(w) && strcmp(w->group, r->group) == 0)
        take(r, w->id, w->address, w->registered_wall_ns);
}

static bool look_there(struct cfg_object *o, void *arg)
{
    struct root *r = arg;
    cJSON *tree = cfg_object_tree(o);
    const cJSON *root;
    r->elsewhere += (size_t)cfg_json_get_num(tree, "workers", 0);
    cJSON_ArrayForEach(root, cfg_json_get(tree, "roots"))
    {
        if (strcmp(cfg_json_get_str(root, "group", ""), r->group) == 0)
            take(r, cfg_json_get_str(root, "worker", ""), cfg_json_get_str(root, "address", ""),
                 (uint64_t)(cfg_json_get_num(root, "since_us", 0) * 1000));
    }
    cJSON_Delete(tree);
    return true;
}

struct others {
    const struct cfg_fleet *f;
    bool (*fn)(struct cfg_object *o, void *arg);
    void *arg;
};

static bool visit_other(struct cfg_object *o, void *arg)
{
    const struct others *others = arg;
    return strcmp(o->id.name, others->f->replica_id) == 0 || others->fn(o, others->arg);
}

static void each_other(const struct cfg_fleet *f, const char *deployment, bool (*fn)(struct cfg_object *, void *),
                       void *arg)
{
    struct others others = {f, fn, arg};
    cfg_store_each(f->store, CFG_KIND_PRESENCE, deployment, visit_other, &others);
}

static void find_root(struct root *r, const struct cfg_fleet *f, const char *deployment)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    if (d)
        fleet_each_worker(d, look_here, r);
    each_other(f, deployment, look_there, r);
}

bool cfg_fleet_group_has_root(struct cfg_fleet *f, const char *deployment, const char *group)
{
    struct root r = {.group = group};
    find_root(&r, f, deployment);
    return r.since_ns != 0;
}

/* --- the group as a whole --- */

struct members {
    const char *group;
    cJSON *ranks;
    uint32_t world;
    char incarnation[24];
    size_t n;
    bool failed;
};

static void add_rank(struct fleet_worker *w, void *arg)
{
    struct members *m = arg;
    cJSON *o, *kept = NULL;
    if (w->group == NULL || strcmp(w->group, m->group) != 0)
        return;
    if (w->kept && cfg_json_parse(&kept, cfg_slice_str(w->kept), 0, NULL) != 0)
        kept = NULL;
    const cJSON *told = cfg_json_get(kept, "group");
    bool forming = told && !cJSON_IsTrue(cfg_json_get(told, "formed"));
    const char *state = !w->superseded && w->gone_ms != 0 ? "gone"
                        : !w->reported                    ? "starting"
                        : forming                         ? "forming"
                                                          : w->state;
    m->n += w->superseded != NULL;
    m->world = w->world > m->world ? w->world : m->world;
    if (told && !forming && w->superseded)
        (void)snprintf(m->incarnation, sizeof m->incarnation, "%s", cfg_json_get_str(told, "incarnation", ""));
    o = cJSON_CreateObject();
    if (o == NULL || !cJSON_AddNumberToObject(o, "rank", w->rank) || !cJSON_AddStringToObject(o, "worker", w->id) ||
        !cJSON_AddStringToObject(o, "state", state) || !cJSON_AddItemToArray(m->ranks, o)) {
        cJSON_Delete(o);
        m->failed = true;
    }
    cJSON_Delete(kept);
}

static bool add_root(cJSON *reply, const struct root *r)
{
    cJSON *root = r->since_ns ? cJSON_AddObjectToObject(reply, "root") : cJSON_AddNullToObject(reply, "root");
    return root && (r->since_ns == 0 || (cJSON_AddStringToObject(root, "worker", r->worker) &&
                                         cJSON_AddStringToObject(root, "address", r->address)));
}

cJSON *cfg_fleet_group(struct cfg_fleet *f, const char *deployment, const char *group)
{
    const struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    struct root r = {.group = group};
    cJSON *reply = cJSON_CreateObject();
    struct members m = {.group = group, .ranks = cJSON_CreateArray()};
    if (d && m.ranks)
        fleet_each_worker(d, add_rank, &m);
    find_root(&r, f, deployment);
    bool ok = reply && m.ranks && !m.failed && cJSON_AddStringToObject(reply, "group", group) &&
              cJSON_AddNumberToObject(reply, "world", m.world) &&
              (m.incarnation[0] ? cJSON_AddStringToObject(reply, "incarnation", m.incarnation)
                                : cJSON_AddNullToObject(reply, "incarnation"));
    if (ok && cJSON_AddItemToObject(reply, "ranks", m.ranks))
        m.ranks = NULL;
    ok = ok && m.ranks == NULL && add_root(reply, &r) &&
         cJSON_AddBoolToObject(reply, "partial", r.elsewhere > 0 && (m.world == 0 || m.n < m.world));
    cJSON_Delete(m.ranks);
    if (!ok) {
        cJSON_Delete(reply);
        reply = NULL;
    }
    return reply;
}

/* --- what other replicas are told --- */

struct print {
    struct cfg_buf *out;
    size_t most; /* bytes */
    const char *comma;
};

static void print_root(struct fleet_worker *w, void *arg)
{
    struct print *p = arg;
    if (!leads(w) || !w->superseded || p->out->len > p->most)
        return;
    cfg_buf_printf(p->out, "%s{\"group\":", p->comma);
    cfg_json_put_string(p->out, cfg_slice_str(w->group));
    cfg_buf_puts(p->out, ",\"worker\":");
    cfg_json_put_string(p->out, cfg_slice_str(w->id));
    cfg_buf_puts(p->out, ",\"address\":");
    cfg_json_put_string(p->out, cfg_slice_str(w->address));
    cfg_buf_printf(p->out, ",\"since_us\":%llu}", (unsigned long long)(w->registered_wall_ns / 1000));
    p->comma = ",";
}

void fleet_groups_print(struct cfg_buf *out, const struct fleet_deployment *d, size_t most)
{
    struct print p = {out, most, ",\"roots\":["};
    fleet_each_worker(d, print_root, &p);
    cfg_buf_puts(out, p.comma[1] == '\0' ? "]" : "");
}

/* --- waiting --- */

static void free_wait(struct fleet_group_wait *w)
{
    free(w->deployment);
    free(w->group);
    free(w);
}

struct look {
    struct fleet_group_wait *first;
    const char *deployment;
};

static void note_here(struct fleet_worker *w, void *arg)
{
    const struct look *l = arg;
    for (struct fleet_group_wait *x = leads(w) ? l->first : NULL; x; x = x->next)
        if (strcmp(x->deployment, l->deployment) == 0 && strcmp(x->group, w->group) == 0)
            x->found = true;
}

static bool note_there(struct cfg_object *o, void *arg)
{
    const struct look *l = arg;
    cJSON *tree = cfg_object_tree(o);
    const cJSON *root;
    cJSON_ArrayForEach(root, cfg_json_get(tree, "roots"))
    {
        const char *group = cfg_json_get_str(root, "group", "");
        for (struct fleet_group_wait *x = l->first; x; x = x->next)
            if (strcmp(x->deployment, l->deployment) == 0 && strcmp(x->group, group) == 0)
                x->found = true;
    }
    cJSON_Delete(tree);
    return true;
}

/* Every deployment that somebody waits for once, however many wait. */
static void look_for_all(struct cfg_fleet *f)
{
    struct look l = {.first = f->group_waits};
    for (struct fleet_group_wait *w = l.first; w; w = w->next)
        w->found = w->scanned = false;
    for (struct fleet_group_wait *w = l.first; w; w = w->next) {
        if (w->scanned)
            continue;
        l.deployment = w->deployment;
        const struct fleet_deployment *d = fleet_find_deployment(f, w->deployment);
        if (d)
            fleet_each_worker(d, note_here, &l);
        each_other(f, w->deployment, note_there, &l);
        for (struct fleet_group_wait *x = w; x; x = x->next)
            x->scanned = x->scanned || strcmp(x->deployment, w->deployment) == 0;
    }
}

static void look(void *arg)
{
    struct cfg_fleet *f = arg;
    uint64_t now = fleet_now_ms(f), next = UINT64_MAX;
    struct fleet_group_wait *done = NULL, **p = &f->group_waits;
    look_for_all(f);
    while (*p) {
        struct fleet_group_wait *w = *p;
        if (w->found || now >= w->end_ms) {
            *p = w->next;
            w->next = done;
            done = w;
        } else {
            next = w->end_ms < next ? w->end_ms : next;
            p = &w->next;
        }
    }
    if (f->group_waits)
        cfg_timer_start(f->group_timer, next - now);
    while (done) {
        struct fleet_group_wait *w = done;
        done = w->next;
        w->fn(w->arg);
        free_wait(w);
    }
}

int cfg_fleet_group_wait(struct cfg_fleet *f, const char *deployment, const char *group, unsigned timeout_ms,
                         cfg_loop_fn fn, void *arg, struct cfg_error *err)
{
    struct fleet_group_wait *w = calloc(1, sizeof *w);
    if (f->group_timer == NULL)
        f->group_timer = cfg_timer_new(f->loop, look, f);
    if (w) {
        *w = (struct fleet_group_wait){.deployment = strdup(deployment),
                                       .group = strdup(group),
                                       .end_ms = fleet_now_ms(f) + timeout_ms,
                                       .fn = fn,
                                       .arg = arg,
                                       .next = f->group_waits};
    }
    if (f->group_timer == NULL || w == NULL || w->deployment == NULL || w->group == NULL) {
        if (w)
            free_wait(w);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a wait");
    }
    f->group_waits = w;
    cfg_timer_start(f->group_timer, 0);
    return 0;
}

void fleet_groups_moved(struct cfg_fleet *f)
{
    if (f->group_waits)
        cfg_timer_start(f->group_timer, 0);
}

void fleet_groups_finish(struct cfg_fleet *f)
{
    cfg_timer_free(f->group_timer);
    while (f->group_waits) {
        struct fleet_group_wait *w = f->group_waits;
        f->group_waits = w->next;
        free_wait(w);
    }
}
