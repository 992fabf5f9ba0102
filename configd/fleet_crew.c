/* Who is connected here, as decisions ask for it: contracts with some of those who hold them, and the ceilings that
 * workers publish. And the same question the other way round: would a worker that starts take the view that there is?
 */
#include "configd/fleet_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CEILINGS_MAX = 256 };

/* --- ceilings --- */

int fleet_ceilings_check(const cJSON *ceilings, struct cfg_error *err)
{
    const cJSON *c;
    int rc = 0;
    if (ceilings && !cJSON_IsObject(ceilings)) {
        rc = cfg_fail(err, CFG_E_INVALID, "ceilings must be an object of numbers by path");
    } else if (cJSON_GetArraySize(ceilings) > CEILINGS_MAX) {
        rc = cfg_fail(err, CFG_E_LIMIT, "more than %d ceilings", CEILINGS_MAX);
    }
    cJSON_ArrayForEach(c, ceilings)
    {
        if (rc != 0 || (cJSON_IsNumber(c) && strlen(c->string) <= CFG_LIMIT_PATH))
            continue;
        rc = cfg_fail(err, CFG_E_INVALID, "ceilings: %.64s must be a number", c->string);
        cfg_error_set_path(err, "%.100s", c->string);
    }
    return rc;
}

int fleet_ceilings_take(struct cfg_fleet *f, struct fleet_worker *w, const cJSON *ceilings, struct cfg_error *err)
{
    if (ceilings == NULL || cfg_json_equal(ceilings, w->ceilings))
        return 0;
    cJSON *copy = cJSON_Duplicate(ceilings, true);
    if (copy == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for a worker's ceilings");
    cJSON_Delete(w->ceilings);
    w->ceilings = copy;
    if (w->superseded)
        fleet_presence_touch(f, w->deployment);
    return 0;
}

static bool put_lowest(cJSON *lowest, const char *path, double value, const char *worker)
{
    const cJSON *is = cfg_json_get(lowest, path);
    if (is && cfg_json_get_num(is, "lowest", value) <= value)
        return true;
    cJSON *entry = cJSON_CreateObject();
    if (entry && cJSON_AddNumberToObject(entry, "lowest", value) && cJSON_AddStringToObject(entry, "worker", worker))
        return cfg_json_set(lowest, path, entry) == 0;
    cJSON_Delete(entry);
    return false;
}

static void add_ceilings(struct fleet_worker *w, void *arg)
{
    cJSON *lowest = arg;
    const cJSON *c;
    if (w->superseded == NULL)
        return;
    cJSON_ArrayForEach(c, w->ceilings)
    {
        if (!put_lowest(lowest, c->string, c->valuedouble, w->id))
            return; /* without memory it is missing, which refuses less */
    }
}

cJSON *fleet_lowest_ceilings(const struct fleet_deployment *d)
{
    cJSON *lowest = cJSON_CreateObject();
    if (lowest)
        fleet_each_worker(d, add_ceilings, lowest);
    if (lowest && lowest->child)
        return lowest;
    cJSON_Delete(lowest);
    return NULL;
}

/* --- contracts --- */

static void add_name(struct fleet_worker *w, void *arg)
{
    (void)arg;
    struct fleet_contract *c = w->contract;
    if (w->superseded == NULL || c == NULL)
        return;
    w->same_contract = c->first;
    c->first = w;
    if (c->n_names < FLEET_NAMES)
        c->names[c->n_names++] = w->id;
}

void fleet_name_workers(struct fleet_deployment *d)
{
    for (struct fleet_contract *c = d->contracts; c; c = c->next) {
        c->n_names = 0;
        c->first = NULL;
    }
    fleet_each_worker(d, add_name, NULL);
}

/* This replica's record from before its restart, while not all of its workers have come back; NULL: none. */
static const cJSON *on_their_way(const struct cfg_fleet *f, const char *deployment)
{
    struct fleet_seen seen = {0};
    fleet_see_here(&seen, f, deployment);
    const cJSON *record = fleet_earlier_record(f, deployment);
    bool any = record && fleet_seen_lacks(&seen, record) > 0;
    fleet_seen_finish(&seen);
    return any ? record : NULL;
}

static bool each_here(const struct cfg_fleet *f, const char *deployment,
                      bool (*fn)(const struct cfg_crew_part *part, void *fn_arg), void *fn_arg)
{
    struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    bool go_on = true;
    if (d)
        fleet_name_workers(d);
    for (const struct fleet_contract *c = d ? d->contracts : NULL; c && go_on; c = c->next) {
        const struct cfg_crew_part part = {
            .contract = c->contract->tree, .workers = c->connected, .names = c->names, .n_names = c->n_names};
        if (c->connected > 0)
            go_on = fn(&part, fn_arg);
    }
    cJSON *ceilings = go_on && d ? fleet_lowest_ceilings(d) : NULL;
    if (ceilings)
        go_on = fn(&(struct cfg_crew_part){.ceilings = ceilings}, fn_arg);
    cJSON_Delete(ceilings);
    return go_on;
}

static void each_part(void *arg, const char *deployment, bool (*fn)(const struct cfg_crew_part *part, void *fn_arg),
                      void *fn_arg)
{
    bool go_on = each_here(arg, deployment, fn, fn_arg);
    const cJSON *earlier = go_on ? on_their_way(arg, deployment) : NULL;
    if (earlier)
        (void)cfg_crew_record_each(fleet_earlier_name, earlier, fn, fn_arg);
}

static void add_skilled(struct fleet_worker *w, void *arg)
{
    (void)arg;
    struct fleet_skills *s = w->skills;
    if (w->superseded && s && s->n_names < FLEET_NAMES)
        s->names[s->n_names++] = w->id;
}

void fleet_name_skilled(struct fleet_deployment *d)
{
    for (struct fleet_skills *s = d->skills; s; s = s->next)
        s->n_names = 0;
    fleet_each_worker(d, add_skilled, NULL);
}

static void each_skills(void *arg, const char *deployment, bool (*fn)(const struct cfg_crew_skills *part, void *fn_arg),
                        void *fn_arg)
{
    struct fleet_deployment *d = fleet_find_deployment(arg, deployment);
    bool go_on = true;
    if (d)
        fleet_name_skilled(d);
    for (const struct fleet_skills *s = d ? d->skills : NULL; s && go_on; s = s->next) {
        cJSON *list = s->connected > 0 ? cJSON_CreateArray() : NULL;
        bool told = list && fleet_skills_list(list, s);
        const struct cfg_crew_skills part = {
            .capabilities = list, .unknown = !told, .workers = s->connected, .names = s->names, .n_names = s->n_names};
        if (s->connected > 0)
            go_on = fn(&part, fn_arg);
        cJSON_Delete(list);
    }
    const cJSON *earlier = go_on ? on_their_way(arg, deployment) : NULL;
    if (earlier)
        (void)cfg_crew_record_skills(fleet_earlier_name, earlier, fn, fn_arg);
}

/* --- groups --- */

struct groups {
    const char **names;
    size_t n;
};

/* A worker on its own is no group worth telling of. */
static void add_group(struct fleet_worker *w, void *arg)
{
    struct groups *g = arg;
    if (w->superseded && w->group && strcmp(w->group, w->id) != 0)
        g->names[g->n++] = w->group;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t fleet_count_groups(const struct fleet_deployment *d)
{
    struct groups g = {.names = calloc(d->n + 1, sizeof *g.names)};
    size_t distinct = 0;
    if (g.names == NULL)
        return 0;
    fleet_each_worker(d, add_group, &g);
    qsort(g.names, g.n, sizeof *g.names, by_name);
    for (size_t i = 0; i < g.n; i++)
        distinct += i == 0 || strcmp(g.names[i], g.names[i - 1]) != 0;
    free(g.names);
    return distinct;
}

static size_t count_groups(void *arg, const char *deployment)
{
    const struct fleet_deployment *d = fleet_find_deployment(arg, deployment);
    return d ? fleet_count_groups(d) : 0;
}

static bool record_stands(void *arg, const struct cfg_object *presence)
{
    return cfg_fleet_presence_stands(arg, presence);
}

void fleet_crew_init(struct cfg_fleet *f)
{
    f->crew = (struct cfg_crew){.each = each_part,
                                .skills = each_skills,
                                .groups = count_groups,
                                .stands = record_stands,
                                .arg = f,
                                .replica = f->replica_id};
}

const struct cfg_crew *cfg_fleet_crew(const struct cfg_fleet *f)
{
    return &f->crew;
}

/* --- a worker that starts --- */

static bool lay_over(cJSON *doc, const cJSON *over)
{
    for (const cJSON *m = over->child; m; m = m->next) {
        cJSON *is = cfg_json_get(doc, m->string);
        bool both = cJSON_IsObject(is) && cJSON_IsObject(m);
        if (both ? !lay_over(is, m) : cfg_json_set(doc, m->string, cJSON_Duplicate(m, true)) != 0)
            return false;
    }
    return true;
}

/* The view's parameters with the pinned ones among them; NULL: there is none to tell. Returned-owned. */
static cJSON *current_view(struct cfg_fleet *f, const char *deployment)
{
    struct cfg_topic *topic = NULL;
    cJSON *event = NULL, *document = NULL;
    if (cfg_hub_topic(&topic, f->hub, deployment, "base", NULL) != 0 ||
        cfg_json_parse(&event, cfg_topic_view_json(topic), CFG_ENVELOPE_DEPTH, NULL) != 0)
        return NULL;
    cJSON *view = cfg_json_get(event, "view");
    const cJSON *pinned = cfg_json_get(view, "pinned");
    document = cJSON_DetachItemFromObjectCaseSensitive(view, "parameters");
    if (document && pinned && !lay_over(document, pinned)) {
        cJSON_Delete(document);
        document = NULL;
    }
    cJSON_Delete(event);
    return document;
}

static int tell(int code, cJSON *list, const char *deployment, cJSON **problem, struct cfg_error *err)
{
    char all[280] = "";
    cJSON *v, *extra = cJSON_CreateObject();
    cJSON_ArrayForEach(v, list)
    {
        (void)cJSON_AddStringToObject(v, "code", cfg_code_name(code)); /* without memory it is missing */
        (void)cJSON_AddStringToObject(v, "deployment", deployment);
        size_t n = strlen(all);
        (void)snprintf(all + n, sizeof all - n, "%s%s: %s", n > 0 ? "; " : "", cfg_json_get_str(v, "path", ""),
                       cfg_json_get_str(v, "message", ""));
    }
    (void)cfg_fail(err, code, "%s has no view that this worker takes: %s", deployment, all);
    cfg_error_set_path(err, "%s", cfg_json_get_str(list->child, "path", ""));
    cfg_error_set_hint(err, "cfgctl contract check %s; set what it needs, then start the worker again", deployment);
    if (extra == NULL || cfg_json_set(extra, "violations", list) != 0) {
        cJSON_Delete(extra);
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for what a worker's contract lacks");
    }
    *problem = extra;
    return code;
}

int fleet_check_contract(struct cfg_fleet *f, const char *deployment, const struct cfg_contract *c,
                         const cJSON *ceilings, cJSON **problem, struct cfg_error *err)
{
    cJSON *view = current_view(f, deployment), *list = view ? cJSON_CreateArray() : NULL;
    int code = CFG_E_CONTRACT, rc = 0;
    if (view == NULL) /* not composed yet, or not composable: the stream tells */
        return 0;
    rc = list ? cfg_contract_check(c->tree, view, list) : CFG_E_NOMEM;
    if (rc == 0 && list->child == NULL) {
        code = CFG_E_CEILING;
        rc = cfg_ceilings_check(ceilings, view, list);
    }
    cJSON_Delete(view);
    if (rc == 0 && list->child)
        return tell(code, list, deployment, problem, err);
    cJSON_Delete(list);
    return rc ? cfg_fail(err, rc, "out of memory for a worker's contract") : 0;
}

/* --- capabilities of a worker that starts --- */

struct demands {
    const cJSON *has; /* array of names; may be NULL */
    const char *deployment;
    cJSON *violations;
    bool failed;
};

static bool has_name(const cJSON *list, const char *name)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, list)
    {
        if (strcmp(c->valuestring, name) == 0)
            return true;
    }
    return false;
}

static bool check_list(struct demands *d, const cJSON *required, const char *message)
{
    const cJSON *r;
    cJSON_ArrayForEach(r, required)
    {
        if (!cJSON_IsString(r) || has_name(d->has, r->valuestring))
            continue;
        cJSON *v = cJSON_CreateObject();
        if (v && cJSON_AddStringToObject(v, "path", r->valuestring) &&
            cJSON_AddStringToObject(v, "keyword", "capability") && cJSON_AddStringToObject(v, "message", message) &&
            cJSON_AddItemToArray(d->violations, v))
            continue;
        cJSON_Delete(v);
        d->failed = true;
    }
    return !d->failed;
}

static bool check_demand(struct cfg_object *o, void *arg)
{
    char message[200];
    (void)snprintf(message, sizeof message, "the flag %s/%.80s is on and requires it", o->id.ns, o->id.name);
    return o->deleted || check_list(arg, cfg_flag_facts_requires(o->facts), message);
}

int fleet_check_skills(struct cfg_fleet *f, const struct cfg_deployment *d, const cJSON *capabilities, cJSON **problem,
                       struct cfg_error *err)
{
    struct demands all = {.has = capabilities, .deployment = d->name, .violations = cJSON_CreateArray()};
    if (all.violations)
        (void)check_list(&all, d->requires, "the deployment requires it of every worker");
    for (size_t i = 0; all.violations && i < d->n_flags; i++)
        cfg_store_each(f->store, CFG_KIND_FLAG, d->flags[i], check_demand, &all);
    if (all.violations && !all.failed && all.violations->child) {
        int rc = tell(CFG_E_CAPABILITY, all.violations, d->name, problem, err);
        cfg_error_set_hint(err,
                           "a worker says what it can do when it starts; switch the flag off, see cfgctl deployment "
                           "update %s --requires, or leave this worker out",
                           d->name);
        return rc;
    }
    bool failed = all.violations == NULL || all.failed;
    cJSON_Delete(all.violations);
    return failed ? cfg_fail(err, CFG_E_NOMEM, "out of memory for a worker's capabilities") : 0;
}

/* --- what people ask --- */

struct asking {
    struct cfg_fleet *f;
    const char *deployment, *replica;
    cJSON *reply;
    const cJSON *document; /* NULL: nothing is judged */
    double workers, unknown;
    bool failed;
};

static cJSON *names_of(const char *const *names, size_t n)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < n; i++)
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(names[i]))) {
            cJSON_Delete(list);
            return NULL;
        }
    return list;
}

static bool list_part(struct asking *a, const struct cfg_crew_part *part, cJSON *names)
{
    cJSON *entry = cJSON_CreateObject();
    bool ok = entry && cJSON_AddNumberToObject(entry, "workers", (double)part->workers) &&
              cfg_json_set(entry, "contract", cJSON_Duplicate(part->contract, true)) == 0;
    if (ok && names)
        ok = cfg_json_set(entry, "names", cJSON_Duplicate(names, true)) == 0;
    if (ok && part->replica)
        ok = cJSON_AddStringToObject(entry, "replica", part->replica) != NULL;
    if (ok && cJSON_AddItemToArray(cfg_json_get(a->reply, "contracts"), entry))
        return true;
    cJSON_Delete(entry);
    return false;
}

static bool judge_part(struct asking *a, const struct cfg_crew_part *part, const cJSON *names)
{
    cJSON *list = cfg_json_get(a->reply, "violations");
    int before = cJSON_GetArraySize(list), i = 0;
    bool ok = cfg_contract_check(part->contract, a->document, list) == 0;
    const char *worker = names && names->child ? names->child->valuestring : NULL;
    cJSON *v;
    cJSON_ArrayForEach(v, list)
    {
        if (i++ < before || !ok)
            continue;
        ok = cJSON_AddStringToObject(v, "code", cfg_code_name(CFG_E_CONTRACT)) &&
             cJSON_AddStringToObject(v, "deployment", a->deployment) &&
             (worker == NULL || cJSON_AddStringToObject(v, "worker", worker)) &&
             cJSON_AddNumberToObject(v, "workers", (double)part->workers) &&
             (part->replica == NULL || cJSON_AddStringToObject(v, "replica", part->replica));
    }
    return ok;
}

static void ask_part(struct asking *a, const struct cfg_crew_part *part, cJSON *names)
{
    a->workers += (double)part->workers;
    a->failed = a->failed || !(a->document ? judge_part(a, part, names) : list_part(a, part, names));
}

/* The lowest of what is there already and what comes. */
static void ask_ceilings(struct asking *a, const cJSON *ceilings)
{
    cJSON *all = cfg_json_get(a->reply, "ceilings"), *list = cfg_json_get(a->reply, "violations");
    const cJSON *c;
    if (a->document && cfg_ceilings_check(ceilings, a->document, list) != 0)
        a->failed = true;
    ceilings = a->document ? NULL : ceilings;
    cJSON_ArrayForEach(c, ceilings)
    {
        a->failed = a->failed ||
                    !put_lowest(all, c->string, cfg_json_get_num(c, "lowest", 0), cfg_json_get_str(c, "worker", "?"));
    }
}

static bool ask_here(const struct cfg_crew_part *part, void *arg)
{
    struct asking *a = arg;
    cJSON *names = names_of(part->names, part->n_names);
    if (part->ceilings)
        ask_ceilings(a, part->ceilings);
    else
        ask_part(a, part, names);
    cJSON_Delete(names);
    return true;
}

static void ask_elsewhere(const char *replica, const cJSON *tree, struct fleet_seen *seen, void *arg)
{
    struct asking *a = arg;
    uint64_t total = 1, told = 0;
    const cJSON *entry;
    bool stands = fleet_seen_lacks(seen, tree) > 0;
    if (cfg_json_need_u64(tree, "workers", &total, NULL) != 0)
        total = 1; /* at least: it has a record */
    const cJSON *contracts = stands ? cfg_json_get(tree, "contracts") : NULL;
    cJSON_ArrayForEach(entry, contracts)
    {
        struct cfg_crew_part part = {.replica = replica, .contract = cfg_json_get(entry, "contract")};
        uint64_t n;
        if (!cJSON_IsObject(part.contract) || cfg_json_need_u64(entry, "workers", &n, NULL) != 0)
            continue;
        told += n;
        part.workers = fleet_seen_count(seen, entry);
        if (part.workers > 0)
            ask_part(a, &part, cfg_json_get(entry, "names"));
    }
    if (stands)
        ask_ceilings(a, cfg_json_get(tree, "ceilings"));
    a->unknown += stands && total > told ? (double)(total - told) : 0;
}

static cJSON *ask_all(struct asking *a)
{
    each_here(a->f, a->deployment, ask_here, a);
    fleet_each_other(a->f, a->deployment, ask_elsewhere, a);
    if (a->failed || !cJSON_AddNumberToObject(a->reply, "workers", a->workers) ||
        !cJSON_AddNumberToObject(a->reply, "unknown", a->unknown)) {
        cJSON_Delete(a->reply);
        return NULL;
    }
    return a->reply;
}

cJSON *cfg_fleet_contracts(struct cfg_fleet *f, const char *deployment)
{
    struct asking a = {.f = f, .deployment = deployment, .reply = cJSON_CreateObject()};
    if (a.reply && cJSON_AddStringToObject(a.reply, "deployment", deployment) &&
        cJSON_AddArrayToObject(a.reply, "contracts") && cJSON_AddObjectToObject(a.reply, "ceilings"))
        return ask_all(&a);
    cJSON_Delete(a.reply);
    return NULL;
}

cJSON *cfg_fleet_check_contracts(struct cfg_fleet *f, const char *deployment, const cJSON *parameters)
{
    static const cJSON nothing = {.type = cJSON_Object};
    cJSON *view = parameters ? NULL : current_view(f, deployment), *reply = NULL;
    struct asking a = {.f = f, .deployment = deployment, .reply = cJSON_CreateObject()};
    a.document = parameters ? parameters : view ? view : &nothing;
    if (a.reply && cJSON_AddStringToObject(a.reply, "deployment", deployment) &&
        cJSON_AddArrayToObject(a.reply, "violations"))
        reply = ask_all(&a);
    else
        cJSON_Delete(a.reply);
    cJSON_Delete(view);
    return reply;
}
