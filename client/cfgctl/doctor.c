#include "client/cfgctl/doctor.h"
#include "proto/revision.h"
#include "proto/rfc3339.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT = 320,
    SLOW_MS = 100, /* etcd answers within a millisecond or two where it is well */
    SICK_MS = 1000,
    SILENT_MS = 5000,
    DAY_S = 86400,
    MANY_REVISIONS = 1000000,
};
static const double clock_warning_s = 1, clock_error_s = 30;

const char *doctor_severity_name(enum doctor_severity s)
{
    static const char *const names[] = {"ok", "info", "warning", "error"};
    return names[s];
}

void doctor_add(cJSON *findings, enum doctor_severity severity, const char *where, const char *what, const char *why,
                const char *next)
{
    cJSON *f = cJSON_CreateObject();
    if (!(cJSON_AddStringToObject(f, "severity", doctor_severity_name(severity)) &&
          cJSON_AddStringToObject(f, "where", where) && cJSON_AddStringToObject(f, "what", what) &&
          cJSON_AddStringToObject(f, "why", why) && cJSON_AddStringToObject(f, "next", next) &&
          cJSON_AddItemToArray(findings, f)))
        cJSON_Delete(f);
}

enum doctor_severity doctor_worst(const cJSON *findings)
{
    enum doctor_severity worst = DOCTOR_OK;
    const cJSON *f;
    cJSON_ArrayForEach(f, findings)
    {
        for (int s = DOCTOR_ERROR; s > (int)worst; s--)
            if (strcmp(cfg_json_get_str(f, "severity", ""), doctor_severity_name((enum doctor_severity)s)) == 0)
                worst = (enum doctor_severity)s;
    }
    return worst;
}

struct judge {
    cJSON *findings;
    const char *where;
};

/* `what` is formatted. */
static void CFG_PRINTF(5, 6) find(const struct judge *j, enum doctor_severity severity, const char *why,
                                  const char *next, const char *format, ...)
{
    char what[TEXT];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    doctor_add(j->findings, severity, j->where, what, why, next);
}

/* --- the replica itself --- */

static void judge_replica(const struct judge *j, const cJSON *health)
{
    const char *state = cfg_json_get_str(health, "state", "?"), *why = cfg_json_get_str(health, "why", "");
    double silence = cfg_json_get_num(health, "silence_ms", 0),
           rejected = cfg_json_get_num(health, "rejected_records", 0);
    if (strcmp(state, "foreign") == 0)
        find(j, DOCTOR_ERROR,
             "its etcd holds another store than the one it has served, so it keeps what it had and takes no writes",
             "point --etcd at the store it served; or, if the new one is meant, restart configd and see `cfgctl "
             "deployment adopt --help`",
             "the replica faces a foreign store%s%s", why[0] ? ": " : "", why);
    else if (strcmp(state, "live") != 0)
        find(j, DOCTOR_ERROR, "it serves what it last saw; workers here get nothing new and writes fail",
             "see what etcd says of itself below, and configd's log", "the replica is %s%s%s", state,
             why[0] ? ": " : "", why);
    else if (silence > SILENT_MS)
        find(j, DOCTOR_WARNING, "a watch that is silent may have lost its connection",
             "look again in a minute; then restart this configd", "nothing was heard from etcd for %.0f s",
             silence / 1000);
    if (cfg_json_get_bool(health, "restoring", false))
        find(j, DOCTOR_ERROR,
             "while it lasts nothing can be written; if it was broken off, half of the content may be missing",
             "wait for the restore to end, or run `cfgctl restore FILE` again",
             "a restore is under way, or was broken off");
    if (rejected > 0)
        find(j, DOCTOR_WARNING, "somebody else writes under configd's prefix; what they wrote is not served",
             "etcdctl get --prefix /configd/v1/live/ --keys-only, and configd's log names the last one",
             "%.0f records under the prefix are none of configd's", rejected);
}

/* --- etcd --- */

static void judge_endpoint(const struct judge *j, const cJSON *e)
{
    const char *name = cfg_json_get_str(e, "endpoint", "?");
    double latency = cfg_json_get_num(e, "latency_ms", 0);
    if (!cfg_json_get_bool(e, "ok", false))
        find(j, DOCTOR_ERROR, "one member fewer may fail before writes stop",
             "start it again, or take it out with `etcdctl member remove`", "etcd at %s does not answer: %s", name,
             cfg_json_get_str(e, "error", "?"));
    else if (!cfg_json_get_bool(e, "has_leader", true))
        find(j, DOCTOR_ERROR, "without a leader nothing can be written and nothing new is seen",
             "more than half of the members must run and reach one another: `etcdctl endpoint status --cluster`",
             "etcd at %s knows no leader", name);
    else if (latency > SLOW_MS)
        find(j, latency > SICK_MS ? DOCTOR_ERROR : DOCTOR_WARNING, "every write waits for etcd's disks and network",
             "look at the disk's latency (etcd_disk_wal_fsync_duration_seconds) and at what else runs there",
             "etcd at %s took %.0f ms to answer", name, latency);
}

static void judge_size(const struct judge *j, const cJSON *etcd)
{
    const cJSON *e;
    double quota = cfg_json_get_num(etcd, "quota", 0), size = 0, used = 0;
    cJSON_ArrayForEach(e, cfg_json_get(etcd, "endpoints"))
    {
        if (cfg_json_get_num(e, "db_size", 0) > size) {
            size = cfg_json_get_num(e, "db_size", 0);
            used = cfg_json_get_num(e, "db_in_use", size);
        }
    }
    if (quota <= 0 || size < 0.8 * quota)
        return;
    find(j, size >= 0.95 * quota ? DOCTOR_ERROR : DOCTOR_WARNING,
         "at its quota etcd raises NOSPACE and refuses every write",
         used < 0.6 * size
             ? "much of it is free space inside: `etcdctl defrag`, one member after the other"
             : "raise --quota-backend-bytes of etcd, keep less history (--history-versions, --history-days), compact",
         "etcd's database has %.0f of %.0f MiB, %.0f %%", size / 1048576, quota / 1048576, 100 * size / quota);
}

static void judge_alarms(const struct judge *j, const cJSON *etcd)
{
    const cJSON *a;
    cJSON_ArrayForEach(a, cfg_json_get(etcd, "alarms"))
    {
        const char *alarm = cfg_json_get_str(a, "alarm", "?");
        if (strcmp(alarm, "NOSPACE") == 0)
            find(j, DOCTOR_ERROR, "every write is refused until the alarm is taken back; reads and workers go on",
                 "etcdctl compact REVISION; etcdctl defrag; raise --quota-backend-bytes; then etcdctl alarm disarm",
                 "etcd member %s has raised NOSPACE", cfg_json_get_str(a, "member", "?"));
        else
            find(j, DOCTOR_ERROR, "its data differ from the other members'",
                 "remove this member and add it again with an empty data directory; `cfgctl backup FILE` first",
                 "etcd member %s has raised %s", cfg_json_get_str(a, "member", "?"), alarm);
    }
}

static void judge_members(const struct judge *j, const cJSON *etcd)
{
    const cJSON *members = cfg_json_get(etcd, "members"), *m;
    int n = cJSON_GetArraySize(members), told = cJSON_GetArraySize(cfg_json_get(etcd, "endpoints")), voters = 0;
    if (!cJSON_IsArray(members)) {
        find(j, DOCTOR_INFO, "its state cannot be judged whole",
             "etcdctl member list; with etcd's authentication, a role that may", "etcd did not tell its members");
        return;
    }
    cJSON_ArrayForEach(m, members)
    {
        voters += !cfg_json_get_bool(m, "learner", false);
    }
    if (cfg_json_get_bool(etcd, "embedded", false))
        return; /* one member by design */
    if (voters == 1)
        find(j, DOCTOR_INFO, "if it fails, nothing can be written until it is back",
             "three members tolerate one failure, five two", "etcd has one voting member");
    else if (voters % 2 == 0)
        find(j, DOCTOR_WARNING, "an even number tolerates no more failures than one fewer, and has one more to fail",
             "add a member, or remove one", "etcd has %d voting members", voters);
    if (n > told)
        find(j, DOCTOR_WARNING, "when those that it knows fail, configd cannot turn to the others",
             "name them all in --etcd", "configd was told of %d of etcd's %d members", told, n);
}

static void judge_etcd(const struct judge *j, const cJSON *etcd)
{
    const cJSON *e, *first = NULL;
    cJSON_ArrayForEach(e, cfg_json_get(etcd, "endpoints"))
    {
        const char *version = cfg_json_get_str(e, "version", "");
        judge_endpoint(j, e);
        if (version[0] && first == NULL)
            first = e;
        if (version[0] && strcmp(version, cfg_json_get_str(first, "version", "")) != 0)
            find(j, DOCTOR_INFO, "a rolling upgrade that nobody finished", "bring all members to one version",
                 "etcd at %s is %s, at %s %s", cfg_json_get_str(e, "endpoint", "?"), version,
                 cfg_json_get_str(first, "endpoint", "?"), cfg_json_get_str(first, "version", "?"));
    }
    double compacted = cfg_json_get_num(etcd, "compacted", 0), revision = cfg_json_get_num(first, "revision", 0);
    judge_alarms(j, etcd);
    judge_size(j, etcd);
    judge_members(j, etcd);
    if (first && revision - compacted > MANY_REVISIONS)
        find(j, DOCTOR_WARNING,
             "revisions that nobody reads any more fill the database; configd's history does not need them",
             "give etcd --auto-compaction-mode=periodic --auto-compaction-retention=1h", "etcd keeps %.0f revisions",
             revision - compacted);
}

/* --- clock and files --- */

static void judge_clock(const struct judge *j, double offset_s, double error_s)
{
    double sure = fabs(offset_s) - error_s;
    if (sure > clock_warning_s)
        find(j, sure > clock_error_s ? DOCTOR_ERROR : DOCTOR_WARNING,
             "times in the log, flags with time rules and `rollback --at` go by it",
             "chronyc tracking, on both machines", "its clock is %.1f s %s this machine's", fabs(offset_s),
             offset_s > 0 ? "ahead of" : "behind");
}

static void judge_tls(const struct judge *j, const cJSON *tls, int64_t now_us)
{
    int64_t end_us = 0;
    const char *file = cfg_json_get_str(tls, "certificate", "?");
    if (cfg_rfc3339_parse(&end_us, cfg_slice_str(cfg_json_get_str(tls, "not_after", "")), NULL) != 0)
        return;
    double left_s = (double)(end_us - now_us) / 1e6;
    static const char *const next = "put a new certificate in place and send configd SIGHUP: connections go on";
    if (left_s <= 0)
        find(j, DOCTOR_ERROR, "clients and workers that check it cannot connect any more", next,
             "the certificate %s ended %.1f days ago", file, -left_s / DAY_S);
    else if (left_s < 30 * DAY_S)
        find(j, left_s < 7 * DAY_S ? DOCTOR_ERROR : DOCTOR_WARNING, "then clients and workers cannot connect any more",
             next, "the certificate %s ends in %.1f days", file, left_s / DAY_S);
}

static void judge_mode(const struct judge *j, const cJSON *file, const char *what, bool secret)
{
    const char *text = cfg_json_get_str(file, "mode", NULL), *name = cfg_json_get_str(file, "file", "?");
    unsigned long mode = text ? strtoul(text, NULL, 8) : 0;
    if (text == NULL && cfg_json_get(file, "file"))
        find(j, DOCTOR_WARNING, "configd goes on with what it has read, and cannot start with it again",
             "put it back, readable by configd alone (chmod 600)", "%s %s cannot be looked at", what, name);
    else if (mode & 0022)
        find(j, DOCTOR_ERROR, "whoever may write it can let himself in", "chmod 600, and read what is in it",
             "%s %s can be written by others (%s)", what, name, text);
    else if (mode & 0044)
        find(j, secret ? DOCTOR_ERROR : DOCTOR_WARNING,
             secret ? "whoever reads it can pretend to be this server"
                    : "it holds hashes, which can be tried against weak tokens",
             "chmod 600", "%s %s can be read by others (%s)", what, name, text);
}

void doctor_judge_server(cJSON *findings, const cJSON *health, double offset_s, double error_s, int64_t now_us)
{
    const struct judge j = {findings, cfg_json_get_str(health, "replica", "?")};
    judge_replica(&j, health);
    judge_etcd(&j, cfg_json_get(health, "etcd"));
    judge_clock(&j, offset_s, error_s);
    judge_tls(&j, cfg_json_get(health, "tls"), now_us);
    judge_mode(&j, cfg_json_get(health, "token_file"), "the token file", false);
    judge_mode(&j, cfg_json_get(health, "key_file"), "the TLS key", true);
}

/* --- several servers --- */

static void compare_text(cJSON *findings, const cJSON *servers, const char *member, enum doctor_severity severity,
                         const char *what, const char *why, const char *next)
{
    const cJSON *s, *first = cfg_json_get(cJSON_GetArrayItem(servers, 0), "health");
    cJSON_ArrayForEach(s, servers)
    {
        const cJSON *health = cfg_json_get(s, "health");
        const struct judge j = {findings, cfg_json_get_str(health, "replica", "?")};
        if (strcmp(cfg_json_get_str(health, member, ""), cfg_json_get_str(first, member, "")) != 0)
            find(&j, severity, why, next, "%s %s, %s %s", what, cfg_json_get_str(health, member, "?"),
                 cfg_json_get_str(first, "replica", "?"), cfg_json_get_str(first, member, "?"));
    }
}

static struct cfg_rev rev_of(const cJSON *o, const char *member)
{
    struct cfg_rev rev = {0, 0};
    return cfg_rev_parse(&rev, cfg_slice_str(cfg_json_get_str(o, member, "")), NULL) == 0 ? rev
                                                                                          : (struct cfg_rev){0, 0};
}

static void compare_revisions(cJSON *findings, const cJSON *servers)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, servers)
    {
        const cJSON *health = cfg_json_get(s, "health");
        const struct judge j = {findings, cfg_json_get_str(health, "replica", "?")};
        if (cfg_rev_cmp(rev_of(health, "revision"), rev_of(s, "expected")) < 0)
            find(&j, DOCTOR_ERROR, "its workers run what was written before",
                 "restart this configd; its workers go on meanwhile",
                 "the replica stays at revision %s, others show %s", cfg_json_get_str(health, "revision", "?"),
                 cfg_json_get_str(s, "expected", "?"));
    }
}

static void compare_clocks(cJSON *findings, const cJSON *servers)
{
    const cJSON *s, *first = cJSON_GetArrayItem(servers, 0);
    cJSON_ArrayForEach(s, servers)
    {
        double apart = cfg_json_get_num(s, "offset_s", 0) - cfg_json_get_num(first, "offset_s", 0);
        double error = cfg_json_get_num(s, "error_s", 0) + cfg_json_get_num(first, "error_s", 0);
        const struct judge j = {findings, cfg_json_get_str(cfg_json_get(s, "health"), "replica", "?")};
        if (fabs(apart) - error > clock_warning_s)
            find(&j, DOCTOR_WARNING, "the log's order and time rules of flags go by these clocks",
                 "chronyc tracking, on both machines", "its clock is %.1f s %s that of %s", fabs(apart),
                 apart > 0 ? "ahead of" : "behind", cfg_json_get_str(cfg_json_get(first, "health"), "replica", "?"));
    }
}

void doctor_judge_together(cJSON *findings, const cJSON *servers)
{
    compare_text(findings, servers, "configd", DOCTOR_WARNING, "it runs configd", "an upgrade that nobody finished",
                 "bring all replicas to one version");
    compare_text(findings, servers, "store", DOCTOR_ERROR, "it serves store",
                 "two stores under one list of servers: which one a client meets is chance",
                 "give all of them the same --etcd and --prefix");
    compare_revisions(findings, servers);
    compare_clocks(findings, servers);
}

/* --- workers --- */

void doctor_judge_fleet(cJSON *findings, const cJSON *fleet)
{
    static const struct {
        const char *state;
        enum doctor_severity severity;
        const char *what, *why, *next;
    } rows[] = {
        {"rejecting", DOCTOR_ERROR, "rejecting the newest view", "they keep the one before",
         "cfgctl status %s names path and reason"},
        {"foreign", DOCTOR_ERROR, "holding the view of another store", "they take nothing from this one",
         "cfgctl deployment adopt %s --from STORE"},
        {"flapping", DOCTOR_ERROR, "sharing an id with another process", "they keep replacing each other",
         "cfgctl status %s -o wide shows hosts and pids; stop one, or give it another CONFIGD_WORKER"},
        {"stale", DOCTOR_WARNING, "running on a view that nobody confirms", "they lost their configd, or it lost etcd",
         "cfgctl status %s -o wide shows since when"},
        {"drifted", DOCTOR_WARNING, "running something else than they were told", "their digest is another one",
         "restart them; cfgctl status %s names them"},
        {"lagging", DOCTOR_WARNING, "without the newest view so far", "slow steps, or a rank that holds its group up",
         "cfgctl status %s -w"},
        {"forming", DOCTOR_INFO, "waiting for their group to form", "a rank is missing", "cfgctl status %s names it"},
        {"pending", DOCTOR_INFO, "waiting for a restart to take everything", "a restart parameter has changed",
         "restart them when it suits"},
        {"draining", DOCTOR_INFO, "finishing work above a new limit", "it ends by itself", "cfgctl status %s -w"},
    };
    char where[96], next[TEXT];
    const char *name = cfg_json_get_str(fleet, "deployment", "?");
    const cJSON *states = cfg_json_get(fleet, "states");
    (void)snprintf(where, sizeof where, "%.80s", name);
    const struct judge j = {findings, where};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double n = cfg_json_get_num(states, rows[i].state, 0);
        const char *blank = strstr(rows[i].next, "%s");
        if (n < 1)
            continue;
        (void)snprintf(next, sizeof next, "%.*s%s%s", blank ? (int)(blank - rows[i].next) : 0, rows[i].next,
                       blank ? name : "", blank ? blank + 2 : rows[i].next);
        find(&j, rows[i].severity, rows[i].why, next, "%.0f worker%s %s", n, n > 1 ? "s" : "", rows[i].what);
    }
    double unknown = cfg_json_get_num(fleet, "unknown", 0);
    if (unknown > 0)
        find(&j, DOCTOR_WARNING, "their configd did not answer",
             "start that configd again, or wait until its lease ends", "nothing is known of %.0f worker%s", unknown,
             unknown > 1 ? "s" : "");
}
