/* Real etcd servers for tests: fresh ports and directories, killed and started again at will. */
#include "tests/lib/testlib.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_MEMBERS = 5, MAX_ARGS = 64, START_MS = 30000 };

struct member {
    struct cfg_test_proc *proc;
    char *data, *client_url, *peer_url, *name;
    int client_port;
};

struct cfg_test_etcd {
    char *dir, *cluster; /* "m0=http://…,m1=…" */
    char **extra;        /* copied, NULL-terminated */
    char *cert_file, *key_file;
    unsigned n;
    struct member members[MAX_MEMBERS];
    const char *endpoints[MAX_MEMBERS];
};

const char *cfg_test_etcd_binary(void)
{
    const char *set = getenv("CFG_ETCD_BINARY");
    return set && set[0] ? set : "etcd";
}

static void launch(struct cfg_test_etcd *e, struct member *m)
{
    const char *argv[MAX_ARGS] = {cfg_test_etcd_binary(), "--name", m->name, "--data-dir", m->data,
                                  "--listen-client-urls", m->client_url, "--advertise-client-urls", m->client_url,
                                  "--listen-peer-urls", m->peer_url, "--initial-advertise-peer-urls", m->peer_url,
                                  "--initial-cluster", e->cluster, "--logger", "zap", "--log-outputs", "stderr",
                                  /* quick elections: a leader is missed within a second */
                                  "--heartbeat-interval", "50", "--election-timeout", "500"};
    size_t n = 0;
    while (argv[n])
        n++;
    if (e->cert_file) {
        argv[n++] = "--cert-file";
        argv[n++] = e->cert_file;
        argv[n++] = "--key-file";
        argv[n++] = e->key_file;
    }
    for (size_t i = 0; e->extra && e->extra[i] && n + 1 < MAX_ARGS; i++)
        argv[n++] = e->extra[i];
    m->proc = cfg_test_proc_start(argv, NULL);
}

static void await_service(struct member *m)
{
    if (cfg_test_proc_wait_output(m->proc, "serving client traffic", NULL, START_MS))
        return;
    char *output = cfg_test_proc_output(m->proc);
    size_t len = strlen(output);
    cfg_test_die("%s does not serve: …%s", cfg_test_etcd_binary(), output + (len > 2000 ? len - 2000 : 0));
}

static void describe(struct cfg_test_etcd *e, const struct cfg_test_etcd_options *o)
{
    char *cluster = strdup("");
    for (unsigned i = 0; i < e->n; i++) {
        struct member *m = &e->members[i];
        m->client_port = cfg_test_free_port();
        m->client_url = cfg_test_format("%s://127.0.0.1:%d", o->cert_file ? "https" : "http", m->client_port);
        m->peer_url = cfg_test_format("http://127.0.0.1:%d", cfg_test_free_port());
        m->name = cfg_test_format("m%u", i);
        m->data = o->data_dirs ? strdup(o->data_dirs[i]) : cfg_test_format("%s/m%u", e->dir, i);
        e->endpoints[i] = m->client_url;
        char *longer = cfg_test_format("%s%s%s=%s", cluster, i ? "," : "", m->name, m->peer_url);
        free(cluster);
        cluster = longer;
    }
    e->cluster = cluster;
}

struct cfg_test_etcd *cfg_test_etcd_start(const struct cfg_test_etcd_options *o)
{
    static const struct cfg_test_etcd_options plain;
    o = o ? o : &plain;
    struct cfg_test_etcd *e = calloc(1, sizeof *e);
    if (e == NULL || o->members > MAX_MEMBERS)
        cfg_test_die("no memory, or too many members");
    e->dir = cfg_test_dir_new();
    e->n = o->members ? o->members : 1;
    size_t extra = 0;
    while (o->extra_args && o->extra_args[extra])
        extra++;
    e->extra = calloc(extra + 1, sizeof *e->extra);
    for (size_t i = 0; e->extra && i < extra; i++)
        e->extra[i] = strdup(o->extra_args[i]);
    e->cert_file = o->cert_file ? strdup(o->cert_file) : NULL;
    e->key_file = o->key_file ? strdup(o->key_file) : NULL;
    describe(e, o);
    for (unsigned i = 0; i < e->n; i++)
        launch(e, &e->members[i]);
    for (unsigned i = 0; i < e->n && !o->unserved; i++)
        await_service(&e->members[i]);
    return e;
}

void cfg_test_etcd_free(struct cfg_test_etcd *e)
{
    if (e == NULL)
        return;
    for (unsigned i = 0; i < e->n; i++) {
        struct member *m = &e->members[i];
        cfg_test_proc_free(m->proc);
        free(m->data);
        free(m->client_url);
        free(m->peer_url);
        free(m->name);
    }
    for (size_t i = 0; e->extra[i]; i++)
        free(e->extra[i]);
    free(e->extra);
    free(e->cert_file);
    free(e->key_file);
    free(e->cluster);
    cfg_test_dir_remove(e->dir);
    free(e);
}

unsigned cfg_test_etcd_members(const struct cfg_test_etcd *e)
{
    return e->n;
}

const char *cfg_test_etcd_endpoint(const struct cfg_test_etcd *e, unsigned member)
{
    return e->endpoints[member];
}

const char *const *cfg_test_etcd_endpoints(const struct cfg_test_etcd *e)
{
    return e->endpoints;
}

int cfg_test_etcd_port(const struct cfg_test_etcd *e, unsigned member)
{
    return e->members[member].client_port;
}

const char *cfg_test_etcd_data_dir(const struct cfg_test_etcd *e, unsigned member)
{
    return e->members[member].data;
}

struct cfg_test_proc *cfg_test_etcd_proc(struct cfg_test_etcd *e, unsigned member)
{
    return e->members[member].proc;
}

void cfg_test_etcd_kill(struct cfg_test_etcd *e, unsigned member)
{
    cfg_test_proc_free(e->members[member].proc);
    e->members[member].proc = NULL;
}

void cfg_test_etcd_restart(struct cfg_test_etcd *e, unsigned member)
{
    cfg_test_etcd_kill(e, member);
    launch(e, &e->members[member]);
    await_service(&e->members[member]);
}

static void remove_data(struct member *m)
{
    cfg_test_dir_remove(strdup(m->data)); /* takes the copy */
}

void cfg_test_etcd_wipe(struct cfg_test_etcd *e, unsigned member)
{
    cfg_test_etcd_kill(e, member);
    remove_data(&e->members[member]);
    cfg_test_etcd_restart(e, member);
}

/* A tool beside the server, since their snapshot formats belong together; NULL when there is none. */
static char *beside_server(const char *name)
{
    const char *server = cfg_test_etcd_binary();
    const char *slash = strrchr(server, '/');
    char *path = cfg_test_format("%.*s%s", slash ? (int)(slash - server) + 1 : 0, server, name);
    struct stat st;
    if (slash && stat(path, &st) == 0)
        return path;
    free(path);
    return NULL;
}

static char *etcdctl(void)
{
    char *beside = beside_server("etcdctl");
    return beside ? beside : cfg_test_format("etcdctl");
}

static void run_or_die(const char *const *argv)
{
    char *output;
    (void)setenv("ETCDCTL_API", "3", 1);
    if (cfg_test_run(&output, argv) != 0)
        cfg_test_die("%s %s failed: %s", argv[0], argv[1], output);
    free(output);
}

void cfg_test_etcd_snapshot(struct cfg_test_etcd *e, const char *path)
{
    char *tool = etcdctl();
    const char *const argv[] = {tool, "--endpoints", e->endpoints[0], "snapshot", "save", path, NULL};
    run_or_die(argv);
    free(tool);
}

void cfg_test_etcd_restore(struct cfg_test_etcd *e, const char *path)
{
    struct member *m = &e->members[0];
    cfg_test_etcd_kill(e, 0);
    remove_data(m);
    char *newer = beside_server("etcdutl"), *tool = newer ? newer : etcdctl(); /* 3.6 has moved it there */
    const char *const argv[] = {tool,
                                "snapshot",
                                "restore",
                                path,
                                "--name",
                                m->name,
                                "--data-dir",
                                m->data,
                                "--initial-cluster",
                                e->cluster,
                                "--initial-advertise-peer-urls",
                                m->peer_url,
                                NULL};
    run_or_die(argv);
    free(tool);
    cfg_test_etcd_restart(e, 0);
}

/* "member_id" and "leader" of a status reply are equal on the leader. */
static bool leads(const char *endpoint)
{
    char *reply;
    bool yes = false;
    if (cfg_test_post(&reply, endpoint, "/v3/maintenance/status", "{}") == 200) {
        const char *id = strstr(reply, "\"member_id\":\""), *leader = strstr(reply, "\"leader\":\"");
        if (id && leader) {
            id += strlen("\"member_id\":\"");
            leader += strlen("\"leader\":\"");
            size_t n = strcspn(id, "\"");
            yes = n == strcspn(leader, "\"") && strncmp(id, leader, n) == 0;
        }
    }
    free(reply);
    return yes;
}

struct search {
    struct cfg_test_etcd *e;
    unsigned found;
};

static bool find_leader(void *arg)
{
    struct search *s = arg;
    for (unsigned i = 0; i < s->e->n; i++) {
        if (s->e->members[i].proc && leads(s->e->endpoints[i])) {
            s->found = i;
            return true;
        }
    }
    return false;
}

unsigned cfg_test_etcd_leader(struct cfg_test_etcd *e)
{
    struct search s = {e, 0};
    if (!cfg_test_poll(find_leader, &s, START_MS))
        cfg_test_die("no member leads");
    return s.found;
}
