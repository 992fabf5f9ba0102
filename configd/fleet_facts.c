/* What is known of workers, put so that it can be judged: their arms, capabilities, refusals; and what each ought to
 * run. */
#include "configd/fleet_body.h"
#include "configd/fleet_internal.h"
#include "proto/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REFUSED_SHOWN_MS = 120 * 1000, /* whoever is refused tries again well before */
    LIVE_MS = 10000,
};

/* --- arms --- */

static void note_use(struct fleet_worker *w, void *arg)
{
    (void)arg;
    if (w->arm)
        w->arm->used = true;
}

/* The oldest that no worker is assigned to makes room: windows may name any arm, and what they name must not keep the
 * arms of workers out. False: all have workers. */
static bool drop_unused(struct fleet_deployment *d)
{
    struct fleet_arm **oldest = NULL;
    for (struct fleet_arm *a = d->arms; a; a = a->next)
        a->used = false;
    fleet_each_worker(d, note_use, NULL);
    for (struct fleet_arm **p = &d->arms; *p; p = &(*p)->next)
        oldest = (*p)->used ? oldest : p;
    if (oldest == NULL)
        return false;
    struct fleet_arm *gone = *oldest;
    *oldest = gone->next;
    fleet_window_finish(&gone->window);
    free(gone);
    return true;
}

struct fleet_arm *fleet_arm_at(struct fleet_deployment *d, const char *name)
{
    struct fleet_arm *a = d->arms;
    size_t n = 0;
    for (; a && strcmp(a->name, name) != 0; a = a->next)
        n++;
    if (a || (n >= FLEET_ARMS && !drop_unused(d)) || (a = calloc(1, sizeof *a)) == NULL)
        return a;
    (void)snprintf(a->name, sizeof a->name, "%s", name);
    a->next = d->arms;
    d->arms = a;
    return a;
}

/* --- capabilities --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names in order, each once, between line breaks. Returned-owned; NULL without memory. */
static char *skills_text(const cJSON *list)
{
    const char *names[FLEET_CAPABILITIES];
    size_t n = 0, len = 1;
    const cJSON *c;
    cJSON_ArrayForEach(c, list)
    {
        if (n < FLEET_CAPABILITIES)
            names[n++] = c->valuestring;
    }
    qsort((void *)names, n, sizeof(const char *), by_text);
    for (size_t i = 0; i < n; i++)
        len += strlen(names[i]) + 1;
    char *text = malloc(len + 1), *at = text;
    if (text == NULL)
        return NULL;
    *at++ = '\n';
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
            continue;
        size_t k = strlen(names[i]);
        memcpy(at, names[i], k);
        at += k;
        *at++ = '\n';
    }
    *at = '\0';
    return text;
}

void fleet_drop_skills(struct fleet_worker *w)
{
    struct fleet_skills *s = w->skills;
    w->skills = NULL;
    if (s == NULL)
        return;
    if (w->superseded)
        s->connected--;
    if (--s->workers > 0)
        return;
    struct fleet_skills **p = &w->deployment->skills;
    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    free(s->text);
    free(s);
}

int fleet_set_skills(struct fleet_worker *w, const cJSON *list)
{
    char *text = skills_text(list);
    if (text == NULL)
        return CFG_E_NOMEM;
    struct fleet_skills *s = w->deployment->skills;
    while (s && strcmp(s->text, text) != 0)
        s = s->next;
    if (s) {
        free(text);
    } else if ((s = calloc(1, sizeof *s)) == NULL) {
        free(text);
        return CFG_E_NOMEM;
    } else {
        s->text = text;
        s->next = w->deployment->skills;
        w->deployment->skills = s;
    }
    s->workers++;
    if (w->superseded)
        s->connected++;
    fleet_drop_skills(w);
    w->skills = s;
    return 0;
}

bool fleet_has_skill(const struct fleet_skills *s, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = s ? strstr(s->text, name) : NULL; at; at = strstr(at + 1, name))
        if (at[-1] == '\n' && at[n] == '\n') /* the text begins and ends with one */
            return true;
    return false;
}

bool fleet_skills_list(cJSON *array, const struct fleet_skills *s)
{
    const char *at = s ? s->text + 1 : "";
    while (*at) {
        char name[72];
        size_t n = strcspn(at, "\n");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (!cJSON_AddItemToArray(array, cJSON_CreateString(name)))
            return false;
        at += n + 1;
    }
    return true;
}

/* --- refusals --- */

static void free_refused(struct fleet_refused *r)
{
    free(r->worker);
    free(r->incarnation);
    free(r->host);
    free(r->text);
}

static void drop_refused(struct fleet_deployment *d, size_t i)
{
    free_refused(&d->refused[i]);
    memmove(d->refused + i, d->refused + i + 1, (d->n_refused - i - 1) * sizeof *d->refused);
    d->n_refused--;
}

/* What has aged, what is told anew, and what does not fit any more. */
static void make_room(struct fleet_deployment *d, const char *worker, uint64_t now_ms)
{
    for (size_t i = d->n_refused; i-- > 0;)
        if (strcmp(d->refused[i].worker, worker) == 0 || now_ms - d->refused[i].at_ms > REFUSED_SHOWN_MS)
            drop_refused(d, i);
    if (d->n_refused == FLEET_REFUSED)
        drop_refused(d, 0);
}

/* Does this code say that the worker cannot join as it is? */
static bool is_refusal(int code)
{
    return code == CFG_E_FOREIGN_STORE || code == CFG_E_PIN_MISMATCH || code == CFG_E_CONTRACT ||
           code == CFG_E_CEILING || code == CFG_E_CAPABILITY;
}

void fleet_refused_note(struct cfg_fleet *f, const char *deployment, const cJSON *registration, int code,
                        const char *text)
{
    const char *worker = cfg_json_get_str(registration, "worker", "");
    struct fleet_deployment *d = fleet_find_deployment(f, deployment);
    if (d)
        make_room(d, worker, fleet_now_ms(f));
    if (!is_refusal(code) || (d == NULL && (d = fleet_add_deployment(f, deployment)) == NULL))
        return;
    if (d->refused == NULL && (d->refused = calloc(FLEET_REFUSED, sizeof *d->refused)) == NULL)
        return;
    struct fleet_refused r = {.worker = strdup(worker),
                              .incarnation = strdup(cfg_json_get_str(registration, "incarnation", "")),
                              .host = strdup(cfg_json_get_str(registration, "host", "")),
                              .text = strdup(text),
                              .code = code,
                              .at_ms = fleet_now_ms(f)};
    if (r.worker && r.incarnation && r.host && r.text)
        d->refused[d->n_refused++] = r;
    else
        free_refused(&r);
}

void fleet_refused_finish(struct fleet_deployment *d)
{
    while (d->n_refused > 0)
        free_refused(&d->refused[--d->n_refused]);
    free(d->refused);
    d->refused = NULL;
}

bool fleet_refused_counts(const struct fleet_deployment *d, const struct fleet_refused *r, uint64_t now_ms)
{
    const struct fleet_worker *w = fleet_find_worker(d, r->worker);
    return now_ms - r->at_ms <= REFUSED_SHOWN_MS && !(w && w->superseded);
}

enum fleet_state fleet_refused_state(const struct fleet_refused *r)
{
    return r->code == CFG_E_FOREIGN_STORE ? FLEET_FOREIGN : FLEET_REJECTING;
}

/* --- facts --- */

void fleet_facts_of(struct fleet_facts *out, const struct cfg_fleet *f, const struct fleet_worker *w, uint64_t now_ms)
{
    *out = (struct fleet_facts){.connected = w->superseded != NULL,
                                .reported = w->reported,
                                .idle = strcmp(w->state, "idle") == 0,
                                .forming = w->forming,
                                .flaps = fleet_flaps(w, now_ms),
                                .report_age_ms = now_ms - (w->reported ? w->report_ms : w->registered_ms),
                                .silent_ms = w->age_ms,
                                .interval_ms = (uint64_t)fleet_report_interval_ms(f),
                                .applied = w->applied,
                                .held = w->held,
                                .rejected = w->rejected,
                                .digest = w->digest,
                                .pending = w->pending,
                                .draining = w->draining,
                                .overrides = w->overrides};
}

/* "NAME WORDS", or "NAME and N more WORDS". */
static void why_named(char out[FLEET_WHY], const char *name, int n, const char *one, const char *many)
{
    char more[32] = "";
    if (n > 1)
        (void)snprintf(more, sizeof more, " and %d more", n - 1);
    (void)snprintf(out, FLEET_WHY, "%.200s%s %s", name, more, n > 1 ? many : one);
}

static void why_draining(char out[FLEET_WHY], const cJSON *list)
{
    const cJSON *first = list ? list->child : NULL;
    char more[32] = "";
    int n = cJSON_GetArraySize(list);
    if (first == NULL)
        return;
    if (n > 1)
        (void)snprintf(more, sizeof more, "; %d more", n - 1);
    (void)snprintf(out, FLEET_WHY, "%.200s: %g in use, %g allowed%s", cfg_json_get_str(first, "path", "?"),
                   cfg_json_get_num(first, "now", 0), cfg_json_get_num(first, "target", 0), more);
}

static void why_rejecting(char out[FLEET_WHY], const struct fleet_facts *x, const cJSON *list)
{
    char rev[CFG_REV_TEXT];
    const cJSON *reject;
    const char *reason = "";
    (void)cfg_rev_format(x->rejected, rev);
    cJSON_ArrayForEach(reject, list)
    {
        if (strcmp(cfg_json_get_str(reject, "revision", ""), rev) == 0)
            reason = cfg_json_get_str(reject, "reason", "");
    }
    if (reason[0])
        (void)snprintf(out, FLEET_WHY, "it has refused %s: %s", rev, reason);
}

static void why_names(char out[FLEET_WHY], const cJSON *list, const char *one, const char *many)
{
    if (list && cJSON_IsString(list->child))
        why_named(out, list->child->valuestring, cJSON_GetArraySize(list), one, many);
}

void fleet_worker_why(char out[FLEET_WHY], enum fleet_state s, const struct fleet_facts *x,
                      const struct fleet_target *t, const struct fleet_worker *w)
{
    fleet_state_why(out, s, x, t);
    if (s != FLEET_REJECTING && s != FLEET_FORMING && s != FLEET_DRAINING && s != FLEET_PENDING)
        return;
    cJSON *kept = fleet_parse(w->kept);
    if (s == FLEET_REJECTING && !x->refused)
        why_rejecting(out, x, cfg_json_get(kept, "rejects"));
    else if (s == FLEET_FORMING)
        (void)snprintf(out, FLEET_WHY, "%s", cfg_json_get_str(cfg_json_get(kept, "group"), "why", ""));
    else if (s == FLEET_DRAINING)
        why_draining(out, cfg_json_get(kept, "draining"));
    else if (s == FLEET_PENDING)
        why_names(out, cfg_json_get(kept, "pending"), "waits for a restart", "wait for a restart");
    cfg_utf8_mend(out);
    cJSON_Delete(kept);
}

void fleet_target_of(struct fleet_target *out, const struct cfg_fleet *f, const char *deployment, const char *arm)
{
    struct cfg_topic *t = NULL;
    *out = (struct fleet_target){.digest = "", .foreign = cfg_store_state(f->store, NULL) == CFG_REPLICA_FOREIGN};
    if (cfg_hub_topic(&t, f->hub, deployment, arm, NULL) != 0)
        return;
    out->known = true;
    out->rev = cfg_topic_rev(t);
    out->since = cfg_topic_since(t);
    out->digest = cfg_topic_digest(t);
}

const struct fleet_target *fleet_targets_at(struct fleet_targets *t, const char *arm)
{
    size_t i = 0;
    while (i < t->n && strcmp(t->arms[i], arm) != 0)
        i++;
    if (i == FLEET_ARMS + 1) /* there are no more arms than that */
        return &t->targets[0];
    if (i == t->n) {
        t->arms[t->n] = arm;
        fleet_target_of(&t->targets[t->n++], t->fleet, t->deployment, arm);
    }
    return &t->targets[i];
}

double fleet_live_ms(const struct cfg_fleet *f)
{
    double bound = 2 * fleet_report_interval_ms(f);
    return bound > LIVE_MS ? bound : LIVE_MS;
}
