/* Shell completion, from the two tables. Names of what there is come from the server, by `completion names`, which
 * gives up soon and never complains. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/rollout_text.h"
#include "client/url.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_MS = 700 };

/* The kinds of names that a command's arguments are of, for `completion names`: read off its synopsis. */
static const char *kinds_of(const struct cli_command *cmd)
{
    const char *s = cmd->synopsis, *name = cmd->name;
    if (strcmp(name, "rollout status") == 0 || strcmp(name, "rollout history") == 0)
        return "rollout";
    if (strncmp(name, "rollout ", 8) == 0 && strcmp(name, "rollout start") != 0 && s[0])
        return "rollout-under-way";
    if (strcmp(name, "experiment report") == 0)
        return "experiment";
    if (strcmp(name, "experiment stop") == 0)
        return "experiment-running";
    if (strncmp(name, "experiment ", 11) == 0)
        return ""; /* by place: see below */
    if (strstr(s, "DEPLOYMENT") || (strncmp(cmd->name, "deployment ", 11) == 0 && strncmp(s, "NAME", 4) == 0))
        return "deployment";
    if (strstr(s, "NS/FLAG") || strstr(s, "NS/KEY"))
        return "namespace flag";
    return strstr(s, "NS/NAME") ? "flag" : strstr(s, "NS") ? "namespace" : "";
}

static void print_words(const char *prefix, cli_set set)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (set & CLI_BIT_AT(i))
            (void)printf("%s--%s", prefix, cli_options[i].name);
}

/* Prints every first word once; fn prints one. */
static void each_first_word(void (*fn)(const char *word, size_t len, const struct cli_command *cmd))
{
    for (size_t i = 0; i < cli_n_commands; i++) {
        const char *name = cli_commands[i].name;
        size_t n = strcspn(name, " ");
        bool seen = i > 0 && strncmp(cli_commands[i - 1].name, name, n) == 0 &&
                    (cli_commands[i - 1].name[n] == ' ' || cli_commands[i - 1].name[n] == '\0');
        if (!seen)
            fn(name, n, &cli_commands[i]);
    }
}

static void bash_word(const char *word, size_t len, const struct cli_command *cmd)
{
    (void)cmd;
    (void)printf(" %.*s", (int)len, word);
}

static void bash_second_words(const char *word, size_t len, const struct cli_command *cmd)
{
    if (word[len] == '\0')
        return;
    (void)printf("        %.*s%s%s) words=\"", (int)len, word, cmd->alias ? "|" : "", cmd->alias ? cmd->alias : "");
    for (size_t i = 0; i < cli_n_commands; i++)
        if (strncmp(cli_commands[i].name, word, len) == 0 && cli_commands[i].name[len] == ' ')
            (void)printf(" %s", cli_commands[i].name + len + 1);
    (void)puts("\" ;;");
}

static void bash_choices(void)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (cli_options[i].choices) {
            (void)printf("        --%s", cli_options[i].name);
            if (cli_options[i].letter)
                (void)printf("|-%c", cli_options[i].letter);
            (void)fputs(") words=\"", stdout);
            for (const char *p = cli_options[i].choices; *p; p++)
                (void)putchar(*p == '|' ? ' ' : *p);
            (void)puts("\"; COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); return ;;");
        }
}

static void print_bash(void)
{
    (void)puts("_cfgctl() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= kinds=\n"
               "    case $prev in");
    bash_choices();
    (void)puts("        --file|-f|--ca|backup|restore) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n    esac");
    (void)fputs("    if [ \"$COMP_CWORD\" = 1 ]; then words=\"", stdout);
    each_first_word(bash_word);
    (void)puts("\"\n    elif [ \"$COMP_CWORD\" = 2 ]; then case ${COMP_WORDS[1]} in");
    each_first_word(bash_second_words);
    (void)puts("        completion) words=\"bash zsh fish\" ;;\n    esac; fi\n    case \"${COMP_WORDS[1]} "
               "${COMP_WORDS[2]}\" in");
    for (size_t i = 0; i < cli_n_commands; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' ');
        if (space)
            (void)printf("        \"%s\"", name);
        else
            (void)printf("        \"%s \"*", name);
        if (cli_commands[i].alias)
            (void)printf("|\"%s%s\"%s", cli_commands[i].alias, space ? space : " ", space ? "" : "*");
        (void)fputs(") words=\"$words", stdout);
        print_words(" ", CLI_GENERAL | cli_commands[i].options);
        (void)printf("\" kinds=\"%s\" ;;\n", kinds_of(&cli_commands[i]));
    }
    (void)puts(
        "    esac\n    case $prev in --config|--flags|--namespaces) kinds=namespace ;; --deployment) "
        "kinds=deployment ;;\n"
        "        --to) case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n"
        "            \"rollout start\"|\"deployment update\") words= kinds=release:${COMP_WORDS[3]} ;;\n"
        "            \"flag rollback\") words= kinds=version:${COMP_WORDS[3]} ;;\n"
        "            \"rollback \"*) words= kinds=version:${COMP_WORDS[2]} ;;\n"
        "            esac ;;\n"
        "        --guard) if [ \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" = \"rollout start\" ]; then\n"
        "            words= kinds=metric:${COMP_WORDS[3]}; compopt -o nospace 2>/dev/null; fi ;;\n"
        "    esac\n"
        "    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]} $COMP_CWORD\" in\n" /* NAME DEPLOYMENT FLAG METRIC… */
        "        \"experiment start 4\"|\"experiment plan 3\") kinds=deployment ;;\n"
        "        \"experiment start 5\"|\"experiment plan 4\") kinds=flag; words=\"$words arms\" ;;\n"
        "        \"experiment start 3\") ;;\n"
        "        \"experiment start \"*) kinds=outcome:${COMP_WORDS[4]}; words=\"$words control= effect= units=\" ;;\n"
        "        \"experiment plan \"*) kinds=outcome:${COMP_WORDS[3]}; words=\"$words control= effect= baseline= "
        "rate=\" ;;\n"
        "    esac\n    if [ -n \"$kinds\" ] && [ \"${cur#-}\" = \"$cur\" ]; then\n        words=\"$words "
        "$(\"${COMP_WORDS[0]}\" completion names $kinds 2>/dev/null)\"\n    fi\n    COMPREPLY=($(compgen -W "
        "\"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _cfgctl "
        "cfgctl");
}

static void fish_word(const char *word, size_t len, const struct cli_command *cmd)
{
    (void)printf("complete -c cfgctl -f -n __fish_use_subcommand -a %.*s -d '%s'\n", (int)len, word,
                 word[len] ? "see its commands" : cmd->summary);
}

static void fish_second_words(const char *word, size_t len, const struct cli_command *cmd)
{
    (void)cmd;
    if (word[len] == '\0')
        return;
    for (size_t i = 0; i < cli_n_commands; i++)
        if (strncmp(cli_commands[i].name, word, len) == 0 && cli_commands[i].name[len] == ' ')
            (void)printf("complete -c cfgctl -f -n '__fish_seen_subcommand_from %.*s' -a %s\n", (int)len, word,
                         cli_commands[i].name + len + 1);
}

static void print_fish(void)
{
    each_first_word(fish_word);
    each_first_word(fish_second_words);
    for (size_t i = 0; i < cli_n_commands; i++) {
        const char *name = cli_commands[i].name, *space = strchr(name, ' '), *kinds = kinds_of(&cli_commands[i]);
        if (kinds[0] == '\0')
            continue;
        (void)printf("complete -c cfgctl -f -n '__fish_seen_subcommand_from %.*s", (int)strcspn(name, " "), name);
        (void)printf(space ? "; and __fish_seen_subcommand_from %s'" : "%s'", space ? space + 1 : "");
        (void)printf(" -a '(cfgctl completion names %s 2>/dev/null)'\n", kinds);
    }
    (void)puts("complete -c cfgctl -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'");
    (void)puts(
        "complete -c cfgctl -x -n '__fish_seen_subcommand_from rollout; and __fish_seen_subcommand_from start' -l "
        "guard -a '(cfgctl completion names metric:(commandline -opc)[4] 2>/dev/null)'");
    (void)puts(
        "complete -c cfgctl -x -n '__fish_seen_subcommand_from rollout; and __fish_seen_subcommand_from start' -l "
        "to -a '(cfgctl completion names release:(commandline -opc)[4] 2>/dev/null)'");
    for (int i = 0; i < OPT_COUNT; i++) {
        const struct cli_option *o = &cli_options[i];
        (void)printf("complete -c cfgctl -l %s", o->name);
        if (o->letter)
            (void)printf(" -s %c", o->letter);
        if (o->choices) {
            (void)fputs(" -x -a '", stdout);
            for (const char *p = o->choices; *p; p++)
                (void)putchar(*p == '|' ? ' ' : *p);
            (void)putchar('\'');
        } else if (o->value) {
            (void)fputs(" -r", stdout);
        }
        (void)puts("");
    }
}

/* --- names --- */

/* One try, briefly: who presses tab does not want to wait, nor to read an error. */
static cJSON *ask_quickly(struct cli *c, const char *path)
{
    struct cfg_client *client;
    struct cfg_response reply = {0};
    const struct cfg_request r = {.method = "GET", .path = path};
    cJSON *v = NULL;
    if (cli_client(c, NAMES_MS, &client, NULL) == 0 && cfg_client_call(client, &r, &reply, NULL, NULL) == 0 &&
        cfg_json_parse(&v, (struct cfg_slice){reply.body, reply.body_len}, 2 * 64, NULL) != 0)
        v = NULL;
    cfg_response_finish(&reply);
    return v;
}

/* What a kind of name is read from: members "items" of a reply, by the member that is the name. */
struct source {
    const char *kind, *path, *member;
};
static const struct source sources[] = {
    {"namespace", "/v1/config", "namespace"},
    {"flag", "/v1/flags", "name"},
    {"deployment", "/v1/deployments", "name"},
    {"rollout", "/v1/rollouts", "deployment"},
    {"rollout-under-way", "/v1/rollouts", "deployment"},
    {"experiment", "/v1/experiments", "name"},
    {"experiment-running", "/v1/experiments", "name"},
};

static void print_name(const char *prefix, const char *name)
{
    struct cfg_buf line;
    cfg_buf_init(&line, 4096);
    cli_put_text(&line, prefix);
    cfg_buf_puts(&line, prefix[0] ? "/" : "");
    cli_put_text(&line, name);
    cfg_buf_putc(&line, '\n');
    cli_print(&line);
}

static void print_names(struct cli *c, const struct source *s)
{
    cJSON *reply = ask_quickly(c, s->path);
    const cJSON *item;
    bool flag = strcmp(s->kind, "flag") == 0, under_way = strcmp(s->kind, "rollout-under-way") == 0,
         running = strcmp(s->kind, "experiment-running") == 0;
    cJSON_ArrayForEach(item, cfg_json_get(reply, "items"))
    {
        if ((!under_way || !rollout_is_final(item)) &&
            (!running || strcmp(cfg_json_get_str(item, "state", ""), "running") == 0))
            print_name(flag ? cfg_json_get_str(item, "namespace", "") : "", cfg_json_get_str(item, s->member, ""));
    }
    cJSON_Delete(reply);
}

/* --- of one object --- */

static cJSON *ask_about(struct cli *c, const char *pattern, const char *name)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 2048);
    cfg_url_format(&path, pattern, name);
    cJSON *reply = cfg_buf_status(&path) == 0 ? ask_quickly(c, path.data) : NULL;
    cfg_buf_finish(&path);
    return reply;
}

/* A namespace's or (NS/FLAG) a flag's, the newest ones. */
static void print_versions(struct cli *c, const char *object)
{
    struct object_path o;
    char path[sizeof o.base + 32];
    if (object_path_parse(&o, object, NULL) != 0)
        return;
    (void)snprintf(path, sizeof path, "%s/versions?limit=20", o.base);
    cJSON *reply = ask_quickly(c, path);
    const cJSON *item;
    cJSON_ArrayForEach(item, cfg_json_get(reply, "items"))
    {
        (void)printf("%.0f\n", cfg_json_get_num(item, "version", 0));
    }
    cJSON_Delete(reply);
}

static void print_releases(struct cli *c, const char *deployment)
{
    cJSON *d = ask_about(c, "/v1/deployments/*", deployment);
    const char *config = cfg_json_get_str(d, "config", "");
    if (config[0])
        print_versions(c, config);
    cJSON_Delete(d);
}

/* What a guard may look at: percentiles of steps, and what workers report. */
static void print_metrics(struct cli *c, const char *deployment)
{
    cJSON *fleet = ask_about(c, "/v1/deployments/*/fleet", deployment), *seen = cJSON_CreateObject();
    const cJSON *arm, *m;
    (void)puts("p50_ms\np99_ms");
    cJSON_ArrayForEach(arm, cfg_json_get(fleet, "arms"))
    {
        cJSON_ArrayForEach(m, cfg_json_get(arm, "metrics"))
        {
            if (cfg_json_get(seen, m->string))
                continue;
            (void)cJSON_AddTrueToObject(seen, m->string); /* without memory it is offered twice */
            print_name("", m->string);
        }
    }
    cJSON_Delete(seen);
    cJSON_Delete(fleet);
}

/* What an experiment may compare variants or arms by, and which way. */
static void print_outcomes(struct cli *c, const char *deployment)
{
    cJSON *part = ask_about(c, "/v1/deployments/*/outcomes?local=true", deployment), *seen = cJSON_CreateObject();
    const cJSON *variant, *m;
    cJSON_ArrayForEach(variant, cfg_json_get(part, "seen"))
    {
        cJSON_ArrayForEach(m, cfg_json_get(variant, "metrics"))
        {
            char word[160];
            if (cfg_json_get(seen, m->string))
                continue;
            (void)cJSON_AddTrueToObject(seen, m->string); /* without memory it is offered twice */
            (void)snprintf(word, sizeof word, "%s:decrease", m->string);
            print_name("", word);
            (void)snprintf(word, sizeof word, "%s:increase", m->string);
            print_name("", word);
        }
    }
    cJSON_Delete(seen);
    cJSON_Delete(part);
}

static const struct {
    const char *kind; /* with the colon; a name follows */
    void (*print)(struct cli *c, const char *name);
} details[] = {{"version:", print_versions},
               {"release:", print_releases},
               {"metric:", print_metrics},
               {"outcome:", print_outcomes}};

static bool print_kind(struct cli *c, const char *kind)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(kind, sources[i].kind) == 0) {
            print_names(c, &sources[i]);
            return true;
        }
    for (size_t i = 0; i < sizeof details / sizeof details[0]; i++) {
        size_t n = strlen(details[i].kind);
        if (strncmp(kind, details[i].kind, n) != 0)
            continue;
        if (kind[n])
            details[i].print(c, kind + n);
        return true;
    }
    return false;
}

static int complete_names(struct cli *c, struct cfg_error *err)
{
    for (int i = 1; i < c->n_args; i++) {
        if (print_kind(c, c->args[i]))
            continue;
        (void)cfg_fail(err, CFG_E_INVALID, "no names of kind '%.60s'", c->args[i]);
        cfg_error_set_hint(err, "namespace, flag, deployment, rollout, rollout-under-way, experiment, "
                                "experiment-running, version:OBJECT, release:DEPLOYMENT, metric:DEPLOYMENT, "
                                "outcome:DEPLOYMENT");
        return CFG_E_INVALID;
    }
    return 0;
}

int cmd_completion(struct cli *c, struct cfg_error *err)
{
    const char *shell = c->args[0];
    if (strcmp(shell, "names") == 0)
        return complete_names(c, err);
    if (c->n_args > 1)
        return cfg_fail(err, CFG_E_INVALID, "one shell at a time");
    if (strcmp(shell, "bash") == 0) {
        print_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        (void)puts("autoload -U +X bashcompinit && bashcompinit");
        print_bash();
    } else if (strcmp(shell, "fish") == 0) {
        print_fish();
    } else {
        cfg_fail(err, CFG_E_INVALID, "no completion for '%s'", shell);
        cfg_error_set_hint(err, "one of bash, zsh, fish");
        return CFG_E_INVALID;
    }
    return 0;
}
