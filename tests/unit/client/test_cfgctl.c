/* The cfgctl program against servers that follow a script: what it sends, says and ends with. */
#include "tests/unit/client/responder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JSON    "application/json"
#define PROBLEM "application/problem+json"

struct script {
    const char *path; /* of the request line, or NULL: any */
    int status;
    const char *type, *body;
};
struct server {
    const struct script *scripts;
    size_t n;
    unsigned seen;
    char last[8192], all[16384]; /* the last request; every request line */
};

static bool play(int fd, const char *request, void *arg)
{
    struct server *s = arg;
    s->seen++;
    snprintf(s->last, sizeof s->last, "%s", request);
    size_t used = strlen(s->all);
    snprintf(s->all + used, sizeof s->all - used, "%.*s\n", (int)strcspn(request, "\r"), request);
    for (size_t i = 0; i < s->n; i++) {
        const struct script *row = &s->scripts[i];
        const char *path = strchr(request, ' ') + 1;
        size_t len = row->path ? strlen(row->path) : 0;
        if (row->path == NULL || (strncmp(path, row->path, len) == 0 && strchr(" ?", path[len]))) {
            responder_reply(fd, row->status, row->type, row->body);
            return true;
        }
    }
    responder_reply(fd, 404, PROBLEM, "{\"status\":404,\"code\":\"not_found\",\"detail\":\"no such thing\"}");
    return true;
}

struct outcome {
    int code;
    char out[16384], err[16384];
};

static void slurp(const char *name, char *to, size_t room)
{
    FILE *f = fopen(name, "r");
    cr_assert_not_null(f);
    size_t n = fread(to, 1, room - 1, f);
    to[n] = '\0';
    fclose(f);
    remove(name);
}

/* Runs cfgctl through a shell, as people do. */
static struct outcome run(const char *url, const char *line)
{
    char out[] = "/tmp/cfgctl-out-XXXXXX", err[] = "/tmp/cfgctl-err-XXXXXX";
    char command[4096];
    struct outcome o;
    close(mkstemp(out));
    close(mkstemp(err));
    snprintf(
        command, sizeof command,
        "PATH=\"$CFG_BUILD_DIR/client/cfgctl:$PATH\"; export CONFIGD_SERVER='%s'; unset CONFIGD_TOKEN CONFIGD_OUTPUT; "
        "{ %s; } >%s 2>%s </dev/null",
        url, line, out, err);
    int status = system(command);
    cr_assert(WIFEXITED(status));
    o.code = WEXITSTATUS(status);
    slurp(out, o.out, sizeof o.out);
    slurp(err, o.err, sizeof o.err);
    return o;
}

static struct outcome run_with(struct server *s, const struct script *scripts, size_t n, const char *line)
{
    struct responder r;
    *s = (struct server){.scripts = scripts, .n = n};
    responder_start(&r, play, s);
    struct outcome o = run(r.url, line);
    responder_stop(&r);
    return o;
}

#define RUN(s, line, ...)                             \
    run_with(s, (const struct script[]){__VA_ARGS__}, \
             sizeof((const struct script[]){__VA_ARGS__}) / sizeof(struct script), line)

#define WRITTEN                                                                                                    \
    "{\"revision\":\"1-9\",\"visible\":true,\"dry_run\":false,\"results\":[{\"object\":\"config/"                  \
    "chat\",\"kind\":\"config\","                                                                                  \
    "\"namespace\":\"chat\",\"version\":43,\"changes\":[{\"op\":\"replace\",\"path\":\"t\",\"from\":1,\"to\":2}]," \
    "\"reach\":{\"live\":1,\"pending_restart\":0,\"unread\":0,\"unknown\":0,\"deployments\":[\"blue\"]}}]}"

Test(cfgctl, a_set_is_one_request)
{
    struct server s;
    struct outcome o =
        RUN(&s, "cfgctl set chat/t=2 chat/s=\"'x y'\" e/f=on +chat/n='{a: 1}' -m 'a b' --string chat/z=1",
            {"/v1/changes", 200, JSON, WRITTEN});
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_eq(s.seen, 1);
    cr_assert_str_eq(s.all, "POST /v1/changes?message=a%20b HTTP/1.1\n");
    cr_assert_str_eq(
        strstr(s.last, "\r\n\r\n") + 4,
        "[{\"namespace\":\"chat\",\"set\":[{\"name\":\"t\",\"mode\":\"set\",\"value\":2},{\"name\":\"s\","
        "\"mode\":\"set\",\"value\":\"x y\"},{\"name\":\"n\",\"mode\":\"add\",\"value\":{\"a\":1}},"
        "{\"name\":\"z\",\"mode\":\"set\",\"value\":\"1\",\"change_type\":true}]},"
        "{\"namespace\":\"e\",\"set\":[{\"name\":\"f\",\"mode\":\"set\",\"value\":\"on\",\"on_off\":\"on\"}]}]");
    cr_assert_str_eq(o.out, "chat v43: t 1 → 2 · live on 1 worker, pending restart on 0, read by nobody on 0\n");
    cr_assert_str_eq(o.err, "");
}

Test(cfgctl, a_document_from_a_file_or_standard_input)
{
    struct server s;
    struct outcome o = RUN(&s, "echo '{\"a\": 1}' | cfgctl set chat -f - --if-version 42 --dry-run",
                           {"/v1/changes", 200, JSON, WRITTEN});
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_not_null(strstr(s.all, "?dry_run=true"));
    cr_assert_str_eq(strstr(s.last, "\r\n\r\n") + 4,
                     "[{\"object\":\"config/chat\",\"put\":{\"a\":1},\"if_version\":42}]");
    o = RUN(&s, "echo '{\"a\": 1, \"a\": 2}' | cfgctl set chat -f -", {"/v1/changes", 200, JSON, WRITTEN});
    cr_assert_eq(o.code, 5);
    cr_assert_not_null(strstr(o.err, "line 1"), "%s", o.err);
    cr_assert_eq(s.seen, 0, "what is wrong here is not sent");
}

Test(cfgctl, bad_input_is_not_sent)
{
    static const struct {
        const char *line;
        int code;
        const char *says;
    } cases[] = {
        {"cfgctl set t=1", 2, "address"},
        {"cfgctl set chat=1", 2, "address"},
        {"cfgctl set Chat/t=1", 2, "Chat"},
        {"cfgctl set chat/a/b=1", 2, "address"},
        {"cfgctl set chat/a..b=1", 2, ""},
        {"cfgctl set chat/t=1,2,3", 5, "quote"},
        {"cfgctl set chat/s=1 chat/t=1,2,3", 5, "chat/t=1,2,3: column 9"},
        {"cfgctl set chat/t=[1", 5, ""},
        {"cfgctl set", 2, "nothing to set"},
        {"cfgctl set chat/t=1 e/f=2 --if-version 3", 2, "several"},
        {"cfgctl set chat --file /does/not/exist", 2, "/does/not/exist"},
        {"cfgctl unset chat", 2, "--force"},
        {"cfgctl rollback chat", 2, "--to"},
        {"cfgctl rollback chat --to x", 2, "'x'"},
        {"cfgctl diff chat one", 2, "'one'"},
        {"cfgctl diff chat/flag one", 2, "'one'"},
        {"cfgctl diff deployment/blue", 2, "neither"},
        {"cfgctl deployment create X --config chat", 2, ""},
        {"cfgctl deployment create x", 2, "--config"},
        {"cfgctl deployment update x", 2, "nothing to update"},
        {"cfgctl deployment create x --config chat --track sideways", 2, "head|hold"},
        {"cfgctl deployment adopt x", 2, "--from"},
        {"cfgctl deployment adopt x --from 1234", 2, "'1234' is no store's id"},
        {"cfgctl deployment frobnicate", 2, "unknown command"},
        {"cfgctl flag on experiment", 2, "address"},
        {"cfgctl watch Bad_Name", 2, ""},
        {"cfgctl token create --subject x", 2, "--role"},
        {"cfgctl token create --subject x --role worker", 2, "deployment"},
        {"cfgctl completion tcsh", 2, "bash"},
        {"cfgctl lisst", 2, "cfgctl list"},
        {"cfgctl set --wiat chat/t=1", 2, "--wait"},
        {"cfgctl list --server ftp://x", 2, "ftp://x"},
        {"CONFIGD_OUTPUT=xml cfgctl list", 2, "CONFIGD_OUTPUT"},
        {"cfgctl", 2, "no command"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct server s;
        struct outcome o = RUN(&s, cases[i].line, {NULL, 200, JSON, WRITTEN});
        cr_assert_eq(o.code, cases[i].code, "%s: %d %s", cases[i].line, o.code, o.err);
        cr_assert_not_null(strstr(o.err, cases[i].says), "%s: %s", cases[i].line, o.err);
        cr_assert_eq(s.seen, 0, "%s", cases[i].line);
        cr_assert_str_eq(o.out, "", "%s", cases[i].line);
    }
}

Test(cfgctl, refusals_end_with_their_code_path_and_hint)
{
    static const struct {
        int status, code;
        const char *name;
    } cases[] = {{404, 3, "unknown_key"},    {409, 4, "pinned"},    {412, 4, "precondition_failed"},
                 {422, 5, "type_change"},    {400, 5, "bad_json"},  {413, 5, "too_large"},
                 {401, 6, "unauthorized"},   {403, 6, "forbidden"}, {503, 7, "not_ready"},
                 {504, 8, "unknown_outcome"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[256];
        struct server s;
        snprintf(body, sizeof body,
                 "{\"status\":%d,\"code\":\"%s\",\"detail\":\"it is so\",\"path\":\"a.b\",\"hint\":\"do this\"}",
                 cases[i].status, cases[i].name);
        struct outcome o = RUN(&s, "cfgctl set chat/t=1", {NULL, cases[i].status, PROBLEM, body});
        cr_assert_eq(o.code, cases[i].code, "%s: %s", cases[i].name, o.err);
        cr_assert_str_eq(o.err, "cfgctl: it is so\n  at: a.b\n  hint: do this\n");
        cr_assert_str_eq(o.out, "");
    }
}

static bool starting(int fd, const char *request, void *arg)
{
    unsigned *seen = arg;
    (void)request;
    if (++*seen < 3)
        responder_reply(fd, 503, PROBLEM, "{\"status\":503,\"code\":\"not_ready\",\"detail\":\"not yet\"}");
    else
        responder_reply(fd, 200, JSON, WRITTEN);
    return true;
}

Test(cfgctl, a_configd_that_starts_is_waited_for)
{
    struct responder r;
    unsigned seen = 0;
    responder_start(&r, starting, &seen);
    struct outcome o = run(r.url, "cfgctl set chat/t=2");
    responder_stop(&r);
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_eq(seen, 3);
}

Test(cfgctl, what_is_missing_is_named_with_the_way_to_it)
{
    struct server s;
    struct outcome o = RUN(&s, "cfgctl flag on e/f", {"/never", 200, JSON, "{}"});
    cr_assert_str_eq(o.err, "cfgctl: no such thing\n  hint: `cfgctl set e/f=on` creates it\n");
    o = RUN(&s, "cfgctl history chat/t", {"/never", 200, JSON, "{}"});
    cr_assert_not_null(strstr(o.err, "cfgctl history chat\n"), "%s", o.err);
    o = RUN(&s, "cfgctl history chat", {"/never", 200, JSON, "{}"});
    cr_assert_str_eq(o.err, "cfgctl: no such thing\n");
}

Test(cfgctl, no_server_and_no_configd)
{
    char url[64];
    struct server s;
    snprintf(url, sizeof url, "http://127.0.0.1:%d", responder_free_port());
    struct outcome o = run(url, "cfgctl set chat/t=1");
    cr_assert_eq(o.code, 7);
    cr_assert_not_null(strstr(o.err, url));
    cr_assert_not_null(strstr(o.err, "start one with `configd`"));
    o = RUN(&s, "cfgctl get chat", {NULL, 200, "text/html", "<html>"});
    cr_assert_eq(o.code, 9);
    o = RUN(&s, "cfgctl get chat", {NULL, 200, JSON, "{\"half"});
    cr_assert_eq(o.code, 9, "%s", o.err);
    o = RUN(&s, "cfgctl get chat", {NULL, 200, JSON, "[]"});
    cr_assert_eq(o.code, 9, "%s", o.err);
    o = RUN(&s, "cfgctl set chat/t=1", {NULL, 200, JSON, "{}"});
    cr_assert_eq(o.code, 9, "%s", o.err);
}

#define CHAT                                                                                                     \
    {                                                                                                            \
        "/v1/config/chat", 200, JSON,                                                                            \
            "{\"namespace\":\"chat\",\"version\":3,\"document\":{\"a\":{\"temperature\":0.2,\"name\":\"x y\"}}," \
            "\"author\":\"ann\",\"message\":\"m\",\"time\":\"2026-01-01T00:00:00Z\",\"revision\":\"1-4\"}"       \
    }
#define FLAG                                                                                          \
    {                                                                                                 \
        "/v1/flags/chat/f", 200, JSON,                                                                \
            "{\"namespace\":\"chat\",\"name\":\"f\",\"version\":1,\"enabled\":false,\"value\":false}" \
    }

Test(cfgctl, get_finds_parameters_and_flags_and_what_was_meant)
{
    struct server s;
    struct outcome o = RUN(&s, "cfgctl get chat", CHAT);
    cr_assert_str_eq(o.out, "{\n  \"a\": {\n    \"temperature\": 0.2,\n    \"name\": \"x y\"\n  }\n}\n", "%s", o.err);
    o = RUN(&s, "cfgctl get chat/a.temperature", CHAT);
    cr_assert_str_eq(o.out, "0.2\n");
    o = RUN(&s, "cfgctl get chat/a.name", CHAT);
    cr_assert_str_eq(o.out, "x y\n");
    o = RUN(&s, "cfgctl get chat/a.name -o json", CHAT);
    cr_assert_str_eq(o.out, "\"x y\"\n");
    o = RUN(&s, "cfgctl get chat/f", CHAT, FLAG);
    cr_assert_str_eq(o.out, "off\n");
    o = RUN(&s, "cfgctl get chat/a.temprature", CHAT);
    cr_assert_eq(o.code, 3);
    cr_assert_not_null(strstr(o.err, "did you mean chat/a.temperature?"), "%s", o.err);
    o = RUN(&s, "cfgctl get 'chat/a[9]'", CHAT,
            {"/v1/flags/chat/a%5B9%5D", 400, PROBLEM, "{\"status\":400,\"code\":\"bad_address\",\"detail\":\"x\"}"});
    cr_assert_eq(o.code, 3, "%d: %s", o.code, o.err);
    cr_assert_not_null(strstr(o.err, "neither a parameter nor a flag a[9]"), "%s", o.err);
    o = RUN(&s, "cfgctl get caht/t",
            {"/v1/config/caht", 404, PROBLEM,
             "{\"status\":404,\"code\":\"not_found\",\"detail\":\"there is no config/caht\",\"hint\":\"did you mean "
             "chat?\"}"});
    cr_assert_eq(o.code, 3);
    cr_assert_str_eq(o.err, "cfgctl: there is no config/caht\n  hint: did you mean chat?\n");
    o = RUN(&s, "cfgctl get chat --version 2 -o yaml", CHAT);
    cr_assert_not_null(strstr(s.all, "GET /v1/config/chat?version=2 "));
    cr_assert_not_null(strstr(o.out, "time: \"2026-01-01T00:00:00Z\"\n"), "%s", o.out);
}

Test(cfgctl, wait_names_each_worker_and_the_stragglers)
{
    struct server s;
    struct outcome o =
        RUN(&s, "cfgctl set chat/t=2 --wait", {"/v1/changes", 200, JSON, WRITTEN},
            {"/v1/deployments/blue/workers", 200, JSON,
             "{\"target\":{\"revision\":\"1-9\"},\"workers\":[{\"worker\":\"w0\",\"connected\":true,\"converged\":true,"
             "\"applied\":{\"revision\":\"1-9\",\"step\":7,\"at\":\"2999-01-01T00:00:00Z\"}}]}"});
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_not_null(strstr(o.out, "  w0: applied "), "%s", o.out);
    cr_assert_not_null(strstr(o.out, " ms after set was sent, at step 7\n"));
    cr_assert_not_null(strstr(o.out, "clock"));
    cr_assert_str_eq(o.err, "1/1 workers converged\n", "lines, not a bar, where nobody looks");
    o = RUN(
        &s, "cfgctl set chat/t=2 --wait --timeout 0", {"/v1/changes", 200, JSON, WRITTEN},
        {"/v1/deployments/blue/workers", 200, JSON,
         "{\"target\":{\"revision\":\"1-9\"},\"workers\":[{\"worker\":\"w0\",\"converged\":false,\"applied\":null}]}"});
    cr_assert_eq(o.code, 8);
    cr_assert_not_null(strstr(o.err, "1 of 1 workers have not applied it: w0"), "%s", o.err);
    o = RUN(&s, "cfgctl set chat/t=2 --wait --timeout 0", {"/v1/changes", 200, JSON, WRITTEN},
            {"/v1/deployments/blue/workers", 200, JSON,
             "{\"target\":{\"revision\":\"1-9\"},\"workers\":[{\"worker\":\"w0\",\"rejects\":["
             "{\"revision\":\"1-9\",\"reason\":\"t: 2 lies outside of 0 to 1\"}]},"
             "{\"worker\":\"w1\",\"rejects\":[{\"revision\":\"1-8\",\"reason\":\"another\"}]}]}"});
    cr_assert_eq(o.code, 8);
    cr_assert_str_eq(strchr(o.out, '\n'),
                     "\n  w0: not applied, it rejects it: t: 2 lies outside of 0 to 1\n  w1: not applied\n");
}

Test(cfgctl, a_token_is_one_tree_for_programs)
{
    static const char url[] = "http://127.0.0.1:1";
    struct outcome o = run(url, "cfgctl token create --subject x --role reader -o json");
    cr_assert_not_null(strstr(o.out, "{\n  \"token\": \""), "%s", o.out);
    cr_assert_not_null(strstr(o.out, "\"entry\": {\n    \"subject\": \"x\""), "%s", o.out);
    cr_assert_str_eq(o.err, "");
    o = run(url, "cfgctl token create --subject x --role reader | wc -l");
    cr_assert_eq(atoi(o.out), 2, "%s", o.out);
}

Test(cfgctl, wait_tells_stragglers_apart)
{
    struct server s;
    struct outcome o = RUN(
        &s, "cfgctl set chat/t=2 --wait --timeout 0", {"/v1/changes", 200, JSON, WRITTEN},
        {"/v1/deployments/blue/workers", 200, JSON,
         "{\"target\":{\"revision\":\"1-9\"},\"partial\":true,\"unknown\":2,\"workers\":["
         "{\"worker\":\"w0\",\"connected\":true,\"converged\":true,\"condition\":\"draining\",\"why\":\"seqs 12 of 8\","
         "\"applied\":{\"revision\":\"1-9\"}},"
         "{\"worker\":\"w1\",\"connected\":true,\"condition\":\"lagging\",\"why\":\"it is at 1-8\"},"
         "{\"worker\":\"w2\",\"connected\":false,\"condition\":\"gone\"},"
         "{\"worker\":\"w3\",\"connected\":true,\"condition\":\"superseded\"},"
         "{\"worker\":\"w4\",\"connected\":true,\"condition\":\"stale\",\"why\":\"silent for 9 s\"}]}"});
    cr_assert_eq(o.code, 8, "%s", o.err);
    cr_assert_not_null(strstr(o.err,
                              "4 of 5 workers have not applied it: w1 (lagging), w4 (stale), 2 workers of a configd "
                              "that does not answer"),
                       "%s", o.err);
    cr_assert_str_eq(strchr(o.out, '\n'), "\n  w0: applied, draining: seqs 12 of 8\n"
                                          "  w1: not applied, lagging: it is at 1-8\n"
                                          "  w4: not applied, stale: silent for 9 s\n"
                                          "  2 workers of a configd that does not answer: not applied, unknown\n");
}

Test(cfgctl, a_damaged_backup_never_reaches_the_server)
{
    struct server s;
    static const char good[] = "printf '{\"configd_backup\":1}\\n{\"key\":\"k\",\"value\":{}}\\n' >$d/b; printf "
                               "'{\"end\":true,\"sha256\":\"sha256:%s\"}\\n' $(sha256sum $d/b | cut -c1-64) >>$d/b; ";
    char line[1024];
    snprintf(line, sizeof line, "(d=$(mktemp -d); %s cfgctl restore $d/b; r=$?; rm -r $d; exit $r)", good);
    struct outcome o = RUN(&s, line, {"/v1/restore", 200, JSON, "{\"restored\":1,\"revision\":\"2-9\",\"epoch\":2}"});
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_str_eq(o.out, "restored 1 keys; the store is now at 2-9\n");
    snprintf(line, sizeof line, "(d=$(mktemp -d); %s cfgctl restore -o json $d/b; r=$?; rm -r $d; exit $r)", good);
    o = RUN(&s, line, {"/v1/restore", 200, JSON, "{}"});
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_not_null(strstr(s.last, "Content-Type: application/x-ndjson"), "the one request that JSON asks for");
    static const char *const damage[] = {"sed -i 's/k/q/' $d/b", "head -n 2 $d/b >$d/c; mv $d/c $d/b", "echo {} >$d/b",
                                         ": >$d/b", "echo >>$d/b; echo junk >>$d/b"};
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        snprintf(line, sizeof line, "(d=$(mktemp -d); %s %s; cfgctl restore $d/b; r=$?; rm -r $d; exit $r)", good,
                 damage[i]);
        o = RUN(&s, line, {"/v1/restore", 200, JSON, "{}"});
        cr_assert_eq(o.code, 5, "%s: %s", damage[i], o.err);
        cr_assert_eq(s.seen, 0, "%s", damage[i]);
    }
}

Test(cfgctl, a_token_is_shown_once_and_known_by_its_hash)
{
    struct outcome o = run("http://127.0.0.1:1",
                           "(t=$(cfgctl token create --subject ann --role writer --namespaces 'chat,train-*'); "
                           "s=$(echo \"$t\" | head -n 1); h=$(printf %s \"$s\" | sha256sum | cut -c1-64); "
                           "echo \"$t\" | tail -n 1 | grep -c \"\\\"sha256\\\":\\\"$h\\\"\"; echo \"$t\" | tail -n 1 | "
                           "grep -o '\"role\".*')");
    cr_assert_str_eq(o.out, "1\n\"role\":\"writer\",\"namespaces\":[\"chat\",\"train-*\"]}\n", "%s", o.out);
}

Test(cfgctl, a_full_disk_is_no_success)
{
    struct outcome o = run("http://127.0.0.1:1", "sh -c 'cfgctl help >/dev/full'");
    cr_assert_eq(o.code, 1);
    cr_assert_not_null(strstr(o.err, "cannot write"));
}

Test(cfgctl, completion_knows_the_tables)
{
    struct outcome o =
        run("x", "bash -c 'source <(cfgctl completion bash); COMP_WORDS=(cfgctl deploy cr) COMP_CWORD=2; "
                 "_cfgctl; echo ${COMPREPLY[@]}; COMP_WORDS=(cfgctl set --dr) COMP_CWORD=2; _cfgctl; "
                 "echo ${COMPREPLY[@]}; COMP_WORDS=(cfgctl get -o y) COMP_CWORD=3; _cfgctl; echo "
                 "${COMPREPLY[@]}'");
    cr_assert_str_eq(o.out, "create\n--dry-run\nyaml\n", "%s%s", o.out, o.err);
}
