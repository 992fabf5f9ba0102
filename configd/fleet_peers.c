#include "configd/fleet_peers.h"

#include "configd/curl_loop.h"
#include "proto/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_MS = 1000,
    MAX_IDLE = 16,
    PEERS_MAX = 64,
    ANSWER_MAX = 64 * 1024 * 1024,
    DEPTH = 64,
};

struct ask;

/* One replica being asked. */
struct peer {
    struct cfg_transfer transfer;
    struct ask *ask;
    char *replica, *url; /* owned */
    uint64_t workers;
    CURL *easy;
    struct curl_slist *headers;
    struct cfg_buf body;
    cJSON *tree;
    const char *why;
};

struct waiter {
    cfg_peers_fn fn;
    void *arg;
    struct waiter *next;
};

/* One question of one caller. */
struct ask {
    struct cfg_peers *peers;
    const struct cfg_peers_question *question;
    char deployment[CFG_LIMIT_NAME + 1];
    char *authorization; /* owned; NULL: none */
    struct peer *all;    /* owned */
    size_t n, waiting;
    bool failed; /* there was no memory for all of them */
    struct waiter *waiters, **last;
    struct ask *next;
};

struct cfg_peers {
    struct cfg_fleet *fleet;
    struct cfg_curl_loop *curl;
    char *ca_file;
    unsigned timeout_ms;
    struct ask *asks;
};

bool cfg_peers_may_tell(const char *url)
{
    bool may = false;
    char *scheme = NULL, *host = NULL;
    CURLU *u = curl_url();
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
        may = strcmp(scheme, "https") == 0 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
              (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return may;
}

/* --- one peer --- */

static void finish_peer(struct peer *p)
{
    cfg_curl_loop_remove(p->ask->peers->curl, &p->transfer);
    curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    cfg_buf_finish(&p->body);
    cJSON_Delete(p->tree);
    free(p->replica);
    free(p->url);
}

static bool peer_data(struct cfg_transfer *t, const char *bytes, size_t n)
{
    struct peer *p = (struct peer *)t;
    cfg_buf_put(&p->body, bytes, n);
    return cfg_buf_status(&p->body) == 0;
}

/* What came, or why nothing counts. */
static void read_answer(struct peer *p, CURLcode result)
{
    long status = 0;
    (void)curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_OPERATION_TIMEDOUT)
        p->why = "it did not answer in time";
    else if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
        p->why = "its certificate is not trusted here (--peer-ca)";
    else if (result != CURLE_OK)
        p->why = "it cannot be reached";
    else if (status != 200)
        p->why = "it refused the question"; /* most often: it does not know the caller's token */
    else if (cfg_json_parse(&p->tree, cfg_buf_slice(&p->body), DEPTH + CFG_LIMIT_DEPTH, NULL) != 0)
        p->why = "what it answered cannot be read";
    else if (strcmp(cfg_json_get_str(p->tree, "replica", ""), p->replica) != 0)
        p->why = "another configd answers at its URL";
    if (p->why) {
        cJSON_Delete(p->tree);
        p->tree = NULL;
    }
}

static void answered(struct ask *a);

static void peer_done(struct cfg_transfer *t, CURLcode result)
{
    struct peer *p = (struct peer *)t;
    read_answer(p, result);
    cfg_buf_finish(&p->body);
    answered(p->ask);
}

static const struct cfg_transfer_fns peer_fns = {peer_data, NULL, peer_done};

static bool set_up(struct peer *p, const char *url, const char *authorization)
{
    const struct cfg_peers *all = p->ask->peers;
    CURL *e = p->easy = curl_easy_init();
    if (e == NULL)
        return false;
    if (authorization) {
        struct cfg_buf header;
        cfg_buf_init(&header, 16 * 1024);
        cfg_buf_printf(&header, "Authorization: %s", authorization);
        p->headers = cfg_buf_status(&header) == 0 ? curl_slist_append(NULL, header.data) : NULL;
        cfg_buf_finish(&header);
        if (p->headers == NULL)
            return false;
    }
    return curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)all->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK &&
           (all->ca_file == NULL || curl_easy_setopt(e, CURLOPT_CAINFO, all->ca_file) == CURLE_OK);
}

static void start_peer(struct peer *p)
{
    struct ask *a = p->ask;
    struct cfg_buf url;
    cfg_buf_init(&url, 8192);
    cfg_buf_printf(&url, "%s/v1/deployments/%s/%s?local=true", p->url, a->deployment, a->question->name);
    if (p->url[0] == '\0')
        p->why = "its presence record names no URL";
    else if (a->authorization && !cfg_peers_may_tell(p->url))
        p->why = "the caller's token is not sent over plain HTTP";
    else if (cfg_buf_status(&url) != 0 || !set_up(p, url.data, a->authorization) ||
             cfg_curl_loop_add(a->peers->curl, &p->transfer, p->easy, NULL) != 0)
        p->why = "there was no memory to ask it";
    else
        a->waiting++;
    cfg_buf_finish(&url);
}

/* --- one question --- */

static void free_ask(struct ask *a)
{
    struct ask **at = &a->peers->asks;
    while (*at && *at != a)
        at = &(*at)->next;
    if (*at)
        *at = a->next;
    for (size_t i = 0; i < a->n; i++)
        finish_peer(&a->all[i]);
    while (a->waiters) {
        struct waiter *w = a->waiters;
        a->waiters = w->next;
        free(w);
    }
    free(a->all);
    free(a->authorization);
    free(a);
}

static void print_whole(struct cfg_buf *out, struct ask *a)
{
    struct fleet_answer *answers = calloc(a->n + 1, sizeof *answers);
    for (size_t i = 0; answers && i < a->n; i++)
        answers[i] = (struct fleet_answer){.replica = a->all[i].replica,
                                           .url = a->all[i].url,
                                           .workers = a->all[i].workers,
                                           .body = a->all[i].tree,
                                           .why = a->all[i].why};
    if (answers)
        cfg_fleet_find_elsewhere(a->peers->fleet, a->deployment, answers, a->n);
    cJSON *whole = answers ? a->question->build(a->peers->fleet, a->deployment, answers, a->n) : NULL;
    if (whole)
        cfg_json_print(out, whole);
    cJSON_Delete(whole);
    free(answers);
}

/* Everyone has answered or failed to: tells those who wait. */
static void answered(struct ask *a)
{
    struct cfg_buf text;
    if (--a->waiting > 0)
        return;
    cfg_buf_init(&text, ANSWER_MAX);
    print_whole(&text, a);
    struct cfg_slice json = cfg_buf_status(&text) == 0 ? cfg_buf_slice(&text) : (struct cfg_slice){"", 0};
    struct waiter *w = a->waiters;
    a->waiters = NULL;
    free_ask(a);
    while (w) {
        struct waiter *next = w->next;
        w->fn(w->arg, json);
        free(w);
        w = next;
    }
    cfg_buf_finish(&text);
}

static bool add_waiter(struct ask *a, cfg_peers_fn fn, void *arg)
{
    struct waiter *w = malloc(sizeof *w);
    if (w == NULL)
        return false;
    *w = (struct waiter){fn, arg, NULL};
    *a->last = w;
    a->last = &w->next;
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct ask *find_ask(struct cfg_peers *p, const struct cfg_peers_question *q, const char *deployment,
                            const char *authorization)
{
    struct ask *a = p->asks;
    while (a &&
           (a->question != q || strcmp(a->deployment, deployment) != 0 || !same_text(a->authorization, authorization)))
        a = a->next;
    return a;
}

static void add_peer(void *arg, const char *replica, const char *url, uint64_t workers)
{
    struct ask *a = arg;
    if (a->all == NULL) { /* counting */
        a->n++;
        return;
    }
    struct peer *p = &a->all[a->n];
    if ((p->replica = strdup(replica)) == NULL || (p->url = strdup(url)) == NULL) {
        free(p->replica);
        p->replica = NULL;
        a->failed = true; /* one that is left out would count as nobody */
        return;
    }
    p->why = a->n >= PEERS_MAX ? "there are more replicas than are asked at once" : NULL;
    p->ask = a;
    p->transfer.fns = &peer_fns;
    p->workers = workers;
    cfg_buf_init(&p->body, ANSWER_MAX);
    a->n++;
}

static struct ask *new_ask(struct cfg_peers *p, const struct cfg_peers_question *q, const char *deployment,
                           const char *authorization)
{
    struct ask *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->peers = p;
    a->question = q;
    a->last = &a->waiters;
    a->waiting = 1; /* until all have been started */
    (void)snprintf(a->deployment, sizeof a->deployment, "%s", deployment);
    a->authorization = authorization ? strdup(authorization) : NULL;
    cfg_fleet_others(p->fleet, deployment, add_peer, a);
    a->all = calloc(a->n + 1, sizeof *a->all);
    a->n = 0;
    if (a->all == NULL || (authorization && a->authorization == NULL)) {
        free_ask(a);
        return NULL;
    }
    cfg_fleet_others(p->fleet, deployment, add_peer, a);
    if (a->failed) {
        free_ask(a);
        return NULL;
    }
    a->next = p->asks;
    p->asks = a;
    return a;
}

void cfg_peers_ask(struct cfg_peers *p, const struct cfg_peers_question *q, const char *deployment,
                   const char *authorization, cfg_peers_fn fn, void *arg)
{
    struct ask *a = find_ask(p, q, deployment, authorization), *fresh = NULL;
    if (a == NULL)
        a = fresh = new_ask(p, q, deployment, authorization);
    if (a == NULL || !add_waiter(a, fn, arg)) {
        if (fresh)
            free_ask(fresh);
        fn(arg, (struct cfg_slice){"", 0});
        return;
    }
    if (fresh == NULL)
        return;
    for (size_t i = 0; i < a->n; i++)
        if (a->all[i].why == NULL)
            start_peer(&a->all[i]);
    answered(a);
}

/* --- life --- */

int cfg_peers_new(struct cfg_peers **out, const struct cfg_peers_options *o, struct cfg_error *err)
{
    struct cfg_peers *p = calloc(1, sizeof *p);
    if (p == NULL)
        return cfg_fail(err, CFG_E_NOMEM, "out of memory for questions to other replicas");
    p->fleet = o->fleet;
    p->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
    p->ca_file = o->ca_file ? strdup(o->ca_file) : NULL;
    int rc = cfg_curl_loop_new(&p->curl, o->loop, MAX_IDLE, err);
    if (rc == 0 && o->ca_file && p->ca_file == NULL)
        rc = cfg_fail(err, CFG_E_NOMEM, "out of memory for questions to other replicas");
    if (rc != 0) {
        cfg_peers_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void cfg_peers_free(struct cfg_peers *p)
{
    if (p == NULL)
        return;
    while (p->asks)
        free_ask(p->asks);
    cfg_curl_loop_free(p->curl);
    free(p->ca_file);
    free(p);
}
