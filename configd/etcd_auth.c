/* The token: fetched before the first request, again when etcd says that it is no longer good. One at a time; requests
 * wait for it. */
#include "configd/etcd_internal.h"

#include <stdlib.h>
#include <string.h>

static void auth_finished(struct cfg_etcd_call *c, struct cfg_slice body, const struct cfg_error *err)
{
    struct cfg_etcd *e = c->client;
    struct cfg_error failure = CFG_ERROR_INIT;
    char *token = NULL;
    e->renewing = false;
    if (err)
        failure = *err;
    else if (cfg_etcd_auth_parse(&token, body, &failure) == 0) {
        free(e->token);
        size_t n = strlen("Authorization: ") + strlen(token) + 1;
        e->token = malloc(n);
        if (e->token) {
            memcpy(e->token, "Authorization: ", strlen("Authorization: "));
            memcpy(e->token + strlen("Authorization: "), token, strlen(token) + 1);
        } else {
            (void)cfg_fail(&failure, CFG_E_NOMEM, "no memory for etcd's token");
        }
        explicit_bzero(token, strlen(token));
        free(token);
    }
    if (failure.code == 0) {
        cfg_etcd_watches_begin(e);
        cfg_etcd_pump(e);
        return;
    }
    (void)cfg_error_wrap(&failure, "etcd user '%s'", e->user);
    if (failure.hint[0] == '\0')
        cfg_error_set_hint(&failure, "check --etcd-user and the password file");
    /* Callbacks may ask again, which starts the next attempt: only those that waited now are told. */
    struct cfg_etcd_call_list told = TAILQ_HEAD_INITIALIZER(told);
    TAILQ_CONCAT(&told, &e->waiting, link);
    struct cfg_etcd_call *w;
    TAILQ_FOREACH(w, &told, link)
    w->list = &told;
    while ((w = TAILQ_FIRST(&told)) != NULL)
        cfg_etcd_call_fail(w, &failure);
    cfg_etcd_watches_fail(e, &failure, false);
}

static const struct cfg_etcd_call_kind auth_kind = {
    "/v3/auth/authenticate", "authentication", true, true, false, auth_finished};

bool cfg_etcd_token_ready(struct cfg_etcd *e)
{
    if (e->user == NULL || e->token)
        return true;
    if (e->renewing)
        return false;
    struct cfg_etcd_call *c = cfg_etcd_call_new(e, &auth_kind, NULL);
    if (c == NULL)
        return false; /* the waiting requests try again with the next one */
    e->renewing = true;
    cfg_etcd_auth_print(&c->body, e->user, e->password);
    cfg_etcd_call_start(c, 0);
    return false;
}

void cfg_etcd_token_drop(struct cfg_etcd *e, const char *token)
{
    if (e->token == NULL || token == NULL || strcmp(e->token, token) != 0)
        return; /* somebody was faster: there is a new one already */
    free(e->token);
    e->token = NULL;
}
