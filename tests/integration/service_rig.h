/* Whole stacks (client, replica, store, service) on one loop, against a real etcd; calls in one line. */
#ifndef CFG_TESTS_INTEGRATION_SERVICE_RIG_H
#define CFG_TESTS_INTEGRATION_SERVICE_RIG_H

#include "configd/service.h"
#include "tests/lib/testlib.h"

#define CFG_RIG_PREFIX "/configd/v1/"

struct cfg_node {
    struct cfg_loop *loop; /* shared, borrowed */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_replica *replica;
    struct cfg_service *service;
    bool dry_run; /* what cfg_node_begin asks for */
};

struct cfg_node_options {
    const char *endpoint;
    const struct cfg_clock *clock; /* the service's; NULL: system */
    unsigned history_versions, history_days, commit_timeout_ms, visible_timeout_ms;
};
/* Runs, and is ready, when this returns. */
void cfg_node_open(struct cfg_node *n, struct cfg_loop *loop, const struct cfg_node_options *o);
void cfg_node_open_unready(struct cfg_node *n, struct cfg_loop *loop, const struct cfg_node_options *o);
void cfg_node_close(struct cfg_node *n);

/* Two services that write side by side: on one etcd of their own, each with a replica, on one loop. */
struct cfg_pair {
    struct cfg_test_etcd *etcd;
    struct cfg_loop *loop;
    struct cfg_node nodes[2];
};
void cfg_pair_start(struct cfg_pair *p); /* both are ready when this returns */
void cfg_pair_stop(struct cfg_pair *p);
void cfg_pair_settle(struct cfg_pair *p); /* returns when both replicas show what either has seen written */

struct cfg_answer {
    bool done, visible;
    struct cfg_error err;
    cJSON *body; /* owned; see cfg_answer_finish */
};
void cfg_answer_finish(struct cfg_answer *a);
/* Starts a change from POST /v1/changes' JSON. key may be NULL. */
void cfg_node_begin(struct cfg_node *n, struct cfg_answer *a, const char *entries, const char *key);
/* Turns the loop until it is answered; dies after 20 s. */
void cfg_node_await(struct cfg_node *n, struct cfg_answer *a);
/* Both; dies when it fails. The version that the first result has. */
uint64_t cfg_node_write(struct cfg_node *n, const char *entries);
/* The code it fails with (0: it did not); *err may be NULL. */
int cfg_node_try(struct cfg_node *n, const char *entries, const char *key, struct cfg_error *err);
/* Turns the loop until `ready`; false after timeout_ms. */
bool cfg_node_until(struct cfg_node *n, bool (*ready)(void *arg), void *arg, unsigned timeout_ms);
/* The head's version in this node's replica (0: none) and a value in its document, as JSON. Static storage. */
uint64_t cfg_node_version(struct cfg_node *n, const char *object);
const char *cfg_node_value(struct cfg_node *n, const char *object, const char *path);
/* How many versions of an object history holds, and whether they are 1…n without a gap; from etcd itself. */
size_t cfg_node_history(struct cfg_node *n, const char *object, bool *gapless);

#endif
