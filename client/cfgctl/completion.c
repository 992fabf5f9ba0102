/* Shell completion, from the two tables. The scripts know words only; they never ask a server. */
#include "client/cfgctl/commands.h"

#include <stdio.h>
#include <string.h>

static void print_words(const char *prefix, uint64_t set)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (set & (UINT64_C(1) << i))
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
    (void)puts("_cfgctl() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
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
        (void)puts("\" ;;");
    }
    (void)puts("    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _cfgctl "
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
    (void)puts("complete -c cfgctl -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'");
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

int cmd_completion(struct cli *c, struct cfg_error *err)
{
    const char *shell = c->args[0];
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
