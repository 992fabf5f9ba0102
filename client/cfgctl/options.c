/* The table of options, and the parser that it and the table of commands feed. */
#include "client/cfgctl/cli.h"
#include "proto/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 64 };

const struct cli_option cli_options[OPT_COUNT] = {
#define CLI_OPTION_ROW(id, name, letter, value, choices, help) {name, letter, value, choices, help},
    CLI_OPTIONS(CLI_OPTION_ROW)
#undef CLI_OPTION_ROW
};

struct parser {
    struct cli *c;
    int argc, at;
    char **argv;
    cli_set allowed; /* general, and the command's once it is known */
};

/* --- words --- */

/* Length of the first word of a command's name. */
static size_t first_word(const char *name)
{
    return strcspn(name, " ");
}

static bool is_first_word(const struct cli_command *cmd, const char *word)
{
    size_t n = first_word(cmd->name);
    return (strlen(word) == n && strncmp(cmd->name, word, n) == 0) || (cmd->alias && strcmp(cmd->alias, word) == 0);
}

static int unknown_command(const char *first, const char *second, struct cfg_error *err)
{
    const char *candidates[64];
    char firsts[64][NAME_MAX_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < cli_n_commands && n < 64; i++) {
        const struct cli_command *cmd = &cli_commands[i];
        if (second && !is_first_word(cmd, first))
            continue;
        const char *word = second ? cmd->name + first_word(cmd->name) + 1 : cmd->name;
        (void)snprintf(firsts[n], NAME_MAX_BYTES, "%.*s", (int)first_word(word), word);
        candidates[n] = firsts[n];
        n++;
    }
    const char *near = cfg_near_miss(second ? second : first, candidates, n);
    cfg_fail(err, CFG_E_INVALID, "unknown command '%s%s%s'", first, second ? " " : "", second ? second : "");
    if (near)
        cfg_error_set_hint(err, "did you mean `cfgctl %s%s%s`?", second ? first : "", second ? " " : "", near);
    else
        cfg_error_set_hint(err, "see `cfgctl help%s%s`", second ? " " : "", second ? first : "");
    return CFG_E_INVALID;
}

/* Finds the command of one or two words; 0 with command NULL when the second word is still to come. */
static int find_command(struct parser *p, const char *word, struct cfg_error *err)
{
    struct cli *c = p->c;
    bool known = false;
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *cmd = &cli_commands[i];
        const char *rest = cmd->name + first_word(cmd->name);
        if (c->topic == NULL && is_first_word(cmd, word)) {
            known = true;
            if (*rest == '\0')
                c->command = cmd;
        } else if (c->topic && is_first_word(cmd, c->topic) && *rest == ' ' && strcmp(rest + 1, word) == 0) {
            c->command = cmd;
        }
    }
    if (c->command == NULL && !known)
        return c->topic ? unknown_command(c->topic, word, err) : unknown_command(word, NULL, err);
    if (c->topic == NULL)
        c->topic = word;
    if (c->command)
        p->allowed = CLI_GENERAL | c->command->options;
    return 0;
}

/* A word right behind a command of one word may make it one of two: `export` and `export yaml`. */
static bool extend_command(struct parser *p, const char *word)
{
    struct cli *c = p->c;
    size_t n = strlen(c->command->name);
    for (size_t i = 0; i < cli_n_commands; i++) {
        const struct cli_command *cmd = &cli_commands[i];
        if (strncmp(cmd->name, c->command->name, n) == 0 && cmd->name[n] == ' ' &&
            strcmp(cmd->name + n + 1, word) == 0) {
            c->command = cmd;
            p->allowed = CLI_GENERAL | cmd->options;
            return true;
        }
    }
    return false;
}

/* --- options --- */

static int unknown_option(const struct parser *p, const char *text, struct cfg_error *err)
{
    const char *candidates[OPT_COUNT];
    size_t n = 0;
    char name[NAME_MAX_BYTES];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    for (int i = 0; i < OPT_COUNT; i++)
        if (p->allowed & CLI_BIT_AT(i))
            candidates[n++] = cli_options[i].name;
    const char *bare = name + strspn(name, "-");
    const char *near = cfg_near_miss(bare, candidates, n);
    const char *command = p->c->command ? p->c->command->name : "";
    cfg_fail(err, CFG_E_INVALID, "unknown option '%s'%s%s", name, command[0] ? " for cfgctl " : "", command);
    if (near)
        cfg_error_set_hint(err, "did you mean --%s?", near);
    else
        cfg_error_set_hint(err, "see `cfgctl %s%s--help`", command, command[0] ? " " : "");
    return CFG_E_INVALID;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *p = choices; n > 0; p++) {
        size_t len = strcspn(p, "|");
        if (len == n && strncmp(p, value, n) == 0)
            return true;
        p += len;
        if (*p == '\0')
            break;
    }
    return false;
}

static int give(struct parser *p, enum cli_option_id id, const char *value, struct cfg_error *err)
{
    const struct cli_option *o = &cli_options[id];
    if (o->choices && !is_choice(o->choices, value)) {
        cfg_fail(err, CFG_E_INVALID, "--%s cannot be '%s'", o->name, value);
        cfg_error_set_hint(err, "one of %s", o->choices);
        return CFG_E_INVALID;
    }
    p->c->given[p->c->n_given++] = (struct cli_given){id, value};
    return 0;
}

/* An option found; `attached` is a value stuck to it, or NULL. */
static int take_option(struct parser *p, enum cli_option_id id, const char *attached, struct cfg_error *err)
{
    const struct cli_option *o = &cli_options[id];
    if (o->value == NULL) {
        if (attached)
            return cfg_fail(err, CFG_E_INVALID, "--%s takes no value", o->name);
        return give(p, id, "", err);
    }
    if (attached == NULL && p->at + 1 >= p->argc) {
        cfg_fail(err, CFG_E_INVALID, "--%s needs a value", o->name);
        cfg_error_set_hint(err, "--%s %s: %s", o->name, o->value, o->help);
        return CFG_E_INVALID;
    }
    return give(p, id, attached ? attached : p->argv[++p->at], err);
}

static int long_option(struct parser *p, const char *text, struct cfg_error *err)
{
    const char *name = text + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    for (int i = 0; i < OPT_COUNT; i++)
        if ((p->allowed & CLI_BIT_AT(i)) && strlen(cli_options[i].name) == n &&
            strncmp(cli_options[i].name, name, n) == 0)
            return take_option(p, (enum cli_option_id)i, equals ? equals + 1 : NULL, err);
    return unknown_option(p, text, err);
}

static int short_options(struct parser *p, const char *text, struct cfg_error *err)
{
    for (const char *letter = text + 1; *letter; letter++) {
        int id = 0;
        while (id < OPT_COUNT && !((p->allowed & CLI_BIT_AT(id)) && cli_options[id].letter == *letter))
            id++;
        if (id == OPT_COUNT)
            return unknown_option(p, text, err);
        bool takes = cli_options[id].value != NULL;
        int rc = take_option(p, (enum cli_option_id)id, takes && letter[1] ? letter + 1 : NULL, err);
        if (rc != 0 || takes)
            return rc;
    }
    return 0;
}

/* --- the line --- */

static int too_many_or_few(const struct cli *c, struct cfg_error *err)
{
    const struct cli_command *cmd = c->command;
    if (cli_has(c, OPT_HELP) || (c->n_args >= cmd->min_args && c->n_args <= cmd->max_args))
        return 0;
    if (c->n_args > cmd->max_args)
        cfg_fail(err, CFG_E_INVALID, "cfgctl %s does not know what to do with '%s'", cmd->name, c->args[cmd->max_args]);
    else
        cfg_fail(err, CFG_E_INVALID, "cfgctl %s needs more: %s", cmd->name, cmd->synopsis);
    cfg_error_set_hint(err, "usage: cfgctl %s %s", cmd->name, cmd->synopsis);
    return CFG_E_INVALID;
}

static int take_words(struct parser *p, struct cfg_error *err)
{
    bool only_words = false;
    for (p->at = 1; p->at < p->argc; p->at++) {
        const char *text = p->argv[p->at];
        int rc = 0;
        if (!only_words && strcmp(text, "--") == 0)
            only_words = true;
        else if (!only_words && p->c->command == NULL && strcmp(text, "--version") == 0)
            rc = find_command(p, "version", err);
        else if (!only_words && strncmp(text, "--", 2) == 0)
            rc = long_option(p, text, err);
        else if (!only_words && text[0] == '-' && text[1])
            rc = short_options(p, text, err);
        else if (p->c->command == NULL)
            rc = find_command(p, text, err);
        else if (only_words || p->at != 2 || !extend_command(p, text))
            p->c->args[p->c->n_args++] = text;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int choose_output(struct cli *c, struct cfg_error *err)
{
    static const char *const names[] = {"table", "wide", "json", "yaml"};
    const char *wanted = cli_value(c, OPT_OUTPUT), *env = getenv("CONFIGD_OUTPUT"), *no_color = getenv("NO_COLOR");
    if (wanted == NULL)
        wanted = env && env[0] ? env : "table";
    c->color = isatty(STDOUT_FILENO) && !(no_color && no_color[0]);
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], wanted) == 0) {
            c->output = (enum cli_output)i;
            return 0;
        }
    cfg_fail(err, CFG_E_INVALID, "CONFIGD_OUTPUT cannot be '%s'", wanted);
    cfg_error_set_hint(err, "one of %s", cli_options[OPT_OUTPUT].choices);
    return CFG_E_INVALID;
}

int cli_parse(struct cli *out, int argc, char **argv, struct cfg_error *err)
{
    /* -abc gives three options, so letters are counted too */
    size_t room = (size_t)argc;
    for (int i = 1; i < argc; i++)
        room += argv[i][0] == '-' ? strlen(argv[i]) : 0;
    struct cli c = {.args = calloc((size_t)argc + 1, sizeof *c.args), .given = calloc(room + 1, sizeof *c.given)};
    struct parser p = {.c = &c, .argc = argc, .argv = argv, .allowed = CLI_GENERAL};
    int rc = c.args && c.given ? 0 : cli_no_memory(err);
    if (rc == 0)
        rc = take_words(&p, err);
    if (rc == 0)
        rc = choose_output(&c, err);
    if (rc == 0 && c.command)
        rc = too_many_or_few(&c, err);
    if (rc != 0) {
        cli_finish(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void cli_finish(struct cli *c)
{
    cfg_client_free(c->client);
    cJSON_Delete(c->violations);
    free(c->args);
    free(c->given);
}

bool cli_has(const struct cli *c, enum cli_option_id id)
{
    return cli_value(c, id) != NULL;
}

const char *cli_value(const struct cli *c, enum cli_option_id id)
{
    const char *value = NULL;
    for (size_t i = 0; i < c->n_given; i++)
        if (c->given[i].id == id)
            value = c->given[i].value;
    return value;
}

int cli_number(const struct cli *c, enum cli_option_id id, uint64_t *out, struct cfg_error *err)
{
    const char *text = cli_value(c, id);
    if (text == NULL)
        return 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15 || text[digits])
        return cfg_fail(err, CFG_E_INVALID, "--%s needs a number, not '%s'", cli_options[id].name, text);
    *out = strtoull(text, NULL, 10);
    return 0;
}

cJSON *cli_items(const struct cli *c, enum cli_option_id id)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < c->n_given; i++) {
        if (c->given[i].id != id)
            continue;
        for (const char *p = c->given[i].value;; p++) {
            size_t n = strcspn(p, ",");
            char *item = strndup(p, n);
            cJSON *string = item ? cJSON_CreateString(item) : NULL;
            free(item);
            if (n > 0 && !cJSON_AddItemToArray(list, string)) {
                cJSON_Delete(list);
                return NULL;
            }
            if (n == 0)
                cJSON_Delete(string);
            p += n;
            if (*p == '\0')
                break;
        }
    }
    return list;
}
