/* Help, from the two tables. */
#include "client/cfgctl/commands.h"

#include <stdio.h>
#include <string.h>

static void print_options(FILE *f, cli_set set)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        const struct cli_option *o = &cli_options[i];
        char left[64], letter[8] = "    ";
        if (!(set & CLI_BIT_AT(i)))
            continue;
        if (o->letter)
            (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
                       o->choices ? o->choices
                       : o->value ? o->value
                                  : "");
        int more = 0; /* bytes that are no column: "…" has three and takes one */
        for (const char *p = left; *p; p++)
            more += ((unsigned char)*p & 0xC0) == 0x80;
        (void)fprintf(f, "  %-*s %s\n", 34 + more, left, o->help);
    }
}

static void print_examples(FILE *f, const char *lines)
{
    for (;;) {
        size_t n = strcspn(lines, "\n");
        (void)fprintf(f, "  %.*s\n", (int)n, lines);
        if (lines[n] == '\0')
            return;
        lines += n + 1;
    }
}

/* Commands of two words whose first one is a command itself. */
static void print_longer(FILE *f, const struct cli_command *cmd)
{
    size_t n = strlen(cmd->name);
    const char *lead = "\nsee also:\n";
    for (size_t i = 0; i < cli_n_commands; i++)
        if (strncmp(cli_commands[i].name, cmd->name, n) == 0 && cli_commands[i].name[n] == ' ') {
            (void)fprintf(f, "%s  %-26s %s\n", lead, cli_commands[i].name, cli_commands[i].summary);
            lead = "";
        }
}

static void print_command(FILE *f, const struct cli_command *cmd)
{
    (void)fprintf(f, "cfgctl %s: %s\n\nusage: cfgctl %s %s\n", cmd->name, cmd->summary, cmd->name, cmd->synopsis);
    if (cmd->options) {
        (void)fputs("\noptions:\n", f);
        print_options(f, cmd->options);
    }
    (void)fputs("\ngeneral options:\n", f);
    print_options(f, CLI_GENERAL);
    (void)fputs("\nexamples:\n", f);
    print_examples(f, cmd->examples);
    print_longer(f, cmd);
}

static bool belongs(const struct cli_command *cmd, const char *topic)
{
    size_t n = strlen(topic);
    bool first = strncmp(cmd->name, topic, n) == 0 && (cmd->name[n] == ' ' || cmd->name[n] == '\0');
    return first || (cmd->alias && strcmp(cmd->alias, topic) == 0);
}

void help_print(const struct cli_command *cmd, const char *topic, void *file)
{
    FILE *f = file;
    if (cmd) {
        print_command(f, cmd);
        return;
    }
    if (topic == NULL)
        (void)fputs("cfgctl: live configuration and feature flags for fleets of workers\n\n"
                    "usage: cfgctl COMMAND [ARGUMENT…] [OPTION…]\n\n",
                    f);
    (void)fputs("commands:\n", f);
    for (size_t i = 0; i < cli_n_commands; i++)
        if (topic == NULL || belongs(&cli_commands[i], topic))
            (void)fprintf(f, "  %-18s %s\n", cli_commands[i].name, cli_commands[i].summary);
    (void)fputs("\ngeneral options:\n", f);
    print_options(f, CLI_GENERAL);
    (void)fputs(
        "\n`cfgctl COMMAND --help` shows its options and examples; `cfgctl help exit-codes` what it ends with.\n", f);
}

/* The codes of every exit status, out of the one table of errors. */
static void print_exit_codes(void)
{
    static const struct {
        int code;
        const char *meaning;
    } rows[] = {
        {0, "done"},
        {1, "an error inside cfgctl or the server, or of this machine"},
        {2, "wrong usage: unknown command or option, malformed address"},
        {3, "what was named does not exist"},
        {4, "a conflict: another version than expected, pinned, exists already, in use"},
        {5, "a value or document that is not accepted"},
        {6, "not allowed: a wrong or missing token"},
        {7, "no server, or one that cannot serve now; try again later"},
        {8, "out of time; with --wait the change is made, but workers are behind"},
        {9, "the server is no configd"},
        {10, "`doctor` has warnings"},
        {11, "`doctor` has found errors"},
        {12, "with --wait the change is made, but nobody runs it: no worker that tried was let in"},
    };
    static const struct {
        int number;
        const char *name;
        int exit_code;
    } codes[] = {
#define CODE_ROW(name, number, text, http, exit_code) {number, text, exit_code},
        CFG_ERROR_CODES(CODE_ROW)
#undef CODE_ROW
    };
    (void)puts("cfgctl ends with:");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)printf("  %-2d %s\n", rows[i].code, rows[i].meaning);
        const char *lead = "     ";
        for (size_t k = 0; k < sizeof codes / sizeof codes[0]; k++)
            if (codes[k].exit_code == rows[i].code) {
                (void)printf("%s%s", lead, codes[k].name);
                lead = ", ";
            }
        if (lead[0] == ',')
            (void)putchar('\n');
    }
}

int cmd_help(struct cli *c, struct cfg_error *err)
{
    if (c->n_args == 0) {
        help_print(NULL, NULL, stdout);
        return 0;
    }
    if (strcmp(c->args[0], "exit-codes") == 0) {
        print_exit_codes();
        return 0;
    }
    /* the words of a command, read as the parser reads them */
    char program[] = "cfgctl", help[] = "--help", words[2][64];
    char *argv[4] = {program, help, words[0], words[1]};
    for (int i = 0; i < c->n_args; i++)
        (void)snprintf(words[i], sizeof words[i], "%s", c->args[i]);
    struct cli named;
    int rc = cli_parse(&named, 2 + c->n_args, argv, err);
    if (rc != 0)
        return rc;
    help_print(named.command, named.topic, stdout);
    cli_finish(&named);
    return 0;
}
