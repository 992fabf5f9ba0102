/* The in-memory source: a queue under a lock, an eventfd, and a record of what the worker said. */
#include "worker/source_memory.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum kind { VIEW, MARK, STATE, REGISTERED, REPORTED };

struct item {
    struct item *next;
    enum kind kind;
    char *revision, *digest, *store, *view;
    enum cfg_source_state state;
    struct cfg_error why;
    unsigned interval_ms;
};

struct cfg_memory_source {
    struct cfg_source base;
    struct cfg_source_events events;
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t reported;
    struct item *head, **tail;
    char *report, *registration;
    unsigned reports;
    char resumed[64];
    struct item *archive;
    bool away;
};

static struct cfg_memory_source *self(struct cfg_source *s)
{
    return (struct cfg_memory_source *)s;
}

static void item_free(struct item *i)
{
    free(i->revision);
    free(i->digest);
    free(i->store);
    free(i->view);
    free(i);
}

static char *copy(const char *s)
{
    char *c = strdup(s != NULL ? s : "");
    if (c == NULL) {
        abort(); /* a fixture: a test without memory has nothing to say */
    }
    return c;
}

static struct item *item_new(enum kind kind)
{
    struct item *i = calloc(1, sizeof *i);
    if (i == NULL) {
        abort();
    }
    i->kind = kind;
    return i;
}

static void push(struct cfg_memory_source *m, struct item *i)
{
    const uint64_t one = 1;
    (void)pthread_mutex_lock(&m->lock);
    *m->tail = i;
    m->tail = &i->next;
    (void)pthread_mutex_unlock(&m->lock);
    if (write(m->fd, &one, sizeof one) < 0 && errno != EAGAIN) {
        abort();
    }
}

void cfg_memory_push_view(struct cfg_memory_source *m, const char *revision, const char *digest, const char *store,
                          const char *view)
{
    struct item *i = item_new(VIEW);
    i->revision = copy(revision);
    i->digest = copy(digest);
    i->store = copy(store);
    i->view = copy(view);
    push(m, i);
}

void cfg_memory_archive(struct cfg_memory_source *m, const char *revision, const char *digest, const char *store,
                        const char *view)
{
    struct item *i = item_new(VIEW);
    i->revision = copy(revision);
    i->digest = copy(digest);
    i->store = copy(store);
    i->view = copy(view);
    (void)pthread_mutex_lock(&m->lock);
    i->next = m->archive;
    m->archive = i;
    (void)pthread_mutex_unlock(&m->lock);
}

void cfg_memory_away(struct cfg_memory_source *m, bool away)
{
    (void)pthread_mutex_lock(&m->lock);
    m->away = away;
    (void)pthread_mutex_unlock(&m->lock);
}

static void memory_fetch(struct cfg_source *s, const char *revision, cfg_fetched_fn fn, void *arg)
{
    struct cfg_memory_source *m = self(s);
    struct cfg_aside got = {.text = NULL};
    struct cfg_error why = CFG_ERROR_INIT;
    (void)pthread_mutex_lock(&m->lock);
    (void)cfg_fail(&why, m->away ? CFG_E_CONNECT : CFG_E_NOT_FOUND, "no view %s here", revision);
    for (const struct item *i = m->away ? NULL : m->archive; i != NULL && got.text == NULL; i = i->next) {
        const struct cfg_view_input in = {i->revision, i->digest, i->store, cfg_slice_str(i->view), 0};
        if (strcmp(i->revision, revision) == 0 && !cfg_aside_set(&got, &in)) {
            abort();
        }
    }
    (void)pthread_mutex_unlock(&m->lock);
    fn(arg, got.text != NULL ? &got : NULL, got.text != NULL ? NULL : &why);
}

void cfg_memory_push_mark(struct cfg_memory_source *m, const char *revision)
{
    struct item *i = item_new(MARK);
    i->revision = copy(revision);
    push(m, i);
}

void cfg_memory_push_state(struct cfg_memory_source *m, enum cfg_source_state state, const struct cfg_error *why)
{
    struct item *i = item_new(STATE);
    i->state = state;
    if (why != NULL) {
        i->why = *why;
    }
    push(m, i);
}

void cfg_memory_push_registered(struct cfg_memory_source *m, unsigned report_interval_ms)
{
    struct item *i = item_new(REGISTERED);
    i->interval_ms = report_interval_ms;
    push(m, i);
}

void cfg_memory_push_reported(struct cfg_memory_source *m)
{
    push(m, item_new(REPORTED));
}

void cfg_memory_push_taken(struct cfg_memory_source *m, const char *report)
{
    struct item *i = item_new(REPORTED);
    i->view = copy(report);
    push(m, i);
}

/* report NULL: the newest. */
static void acknowledge(struct cfg_memory_source *m, const char *report)
{
    (void)pthread_mutex_lock(&m->lock);
    const char *taken = report != NULL ? report : m->report;
    char *text = taken != NULL ? copy(taken) : NULL;
    (void)pthread_mutex_unlock(&m->lock);
    if (text != NULL) {
        m->events.reported(m->events.arg, text);
    }
    free(text);
}

static void deliver(struct cfg_memory_source *m, const struct item *i)
{
    const struct cfg_source_events *e = &m->events;
    struct cfg_view_input in = {i->revision, i->digest, i->store, cfg_slice_str(i->view), 0};
    switch (i->kind) {
    case VIEW:
        e->view(e->arg, &in);
        break;
    case MARK:
        e->mark(e->arg, i->revision);
        break;
    case STATE:
        e->state(e->arg, i->state, i->why.code != 0 ? &i->why : NULL);
        break;
    case REGISTERED:
        e->registered(e->arg, i->interval_ms);
        break;
    case REPORTED:
        acknowledge(m, i->view);
        break;
    }
}

static void memory_process(struct cfg_source *s)
{
    struct cfg_memory_source *m = self(s);
    uint64_t n;
    if (read(m->fd, &n, sizeof n) < 0 && errno != EAGAIN) {
        abort();
    }
    for (;;) {
        (void)pthread_mutex_lock(&m->lock);
        struct item *i = m->head;
        if (i != NULL) {
            m->head = i->next;
            if (m->head == NULL) {
                m->tail = &m->head;
            }
        }
        (void)pthread_mutex_unlock(&m->lock);
        if (i == NULL) {
            return;
        }
        deliver(m, i);
        item_free(i);
    }
}

static int memory_start(struct cfg_source *s, const struct cfg_source_events *events,
                        const struct cfg_source_resume *resume, struct cfg_error *err)
{
    struct cfg_memory_source *m = self(s);
    (void)err; /* cannot fail */
    m->events = *events;
    (void)snprintf(m->resumed, sizeof m->resumed, "%s", resume->revision != NULL ? resume->revision : "");
    return 0;
}

static int memory_fd(const struct cfg_source *s)
{
    return ((const struct cfg_memory_source *)s)->fd;
}

static int memory_timeout_ms(const struct cfg_source *s)
{
    (void)s;
    return -1;
}

static int memory_report(struct cfg_source *s, const char *json, struct cfg_error *err)
{
    struct cfg_memory_source *m = self(s);
    (void)err;
    (void)pthread_mutex_lock(&m->lock);
    free(m->report);
    m->report = copy(json);
    m->reports++;
    (void)pthread_cond_broadcast(&m->reported);
    (void)pthread_mutex_unlock(&m->lock);
    return 0;
}

static int memory_rebind(struct cfg_source *s, const char *registration, struct cfg_error *err)
{
    struct cfg_memory_source *m = self(s);
    (void)err;
    (void)pthread_mutex_lock(&m->lock);
    free(m->registration);
    m->registration = copy(registration);
    (void)pthread_mutex_unlock(&m->lock);
    return 0;
}

static void memory_free(struct cfg_source *s)
{
    struct cfg_memory_source *m = self(s);
    while (m->head != NULL) {
        struct item *next = m->head->next;
        item_free(m->head);
        m->head = next;
    }
    while (m->archive != NULL) {
        struct item *next = m->archive->next;
        item_free(m->archive);
        m->archive = next;
    }
    (void)close(m->fd);
    free(m->report);
    free(m->registration);
    (void)pthread_mutex_destroy(&m->lock);
    (void)pthread_cond_destroy(&m->reported);
    free(m);
}

char *cfg_memory_wait_report(struct cfg_memory_source *m, unsigned *n)
{
    (void)pthread_mutex_lock(&m->lock);
    while (m->reports < *n) {
        (void)pthread_cond_wait(&m->reported, &m->lock);
    }
    char *text = copy(m->report);
    *n = m->reports;
    (void)pthread_mutex_unlock(&m->lock);
    return text;
}

unsigned cfg_memory_reports(struct cfg_memory_source *m)
{
    (void)pthread_mutex_lock(&m->lock);
    unsigned n = m->reports;
    (void)pthread_mutex_unlock(&m->lock);
    return n;
}

const char *cfg_memory_resumed(struct cfg_memory_source *m)
{
    return m->resumed;
}

const char *cfg_memory_registration(struct cfg_memory_source *m)
{
    return m->registration != NULL ? m->registration : "";
}

struct cfg_source *cfg_memory_source_base(struct cfg_memory_source *m)
{
    return &m->base;
}

int cfg_memory_source_new(struct cfg_memory_source **out, struct cfg_error *err)
{
    static const struct cfg_source_ops ops = {
        .start = memory_start,
        .fd = memory_fd,
        .timeout_ms = memory_timeout_ms,
        .process = memory_process,
        .report = memory_report,
        .rebind = memory_rebind,
        .fetch = memory_fetch,
        .free = memory_free,
    };
    struct cfg_memory_source *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    m->base.ops = &ops;
    m->tail = &m->head;
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->fd < 0) {
        free(m);
        return cfg_fail(err, CFG_E_IO, "eventfd: %s", strerrordesc_np(errno));
    }
    (void)pthread_mutex_init(&m->lock, NULL);
    (void)pthread_cond_init(&m->reported, NULL);
    *out = m;
    return 0;
}
