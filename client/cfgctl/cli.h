/* cfgctl's frame: what was typed, what it is to be done with, and how results are shown.
 *
 * One table of commands (commands.c) and one of options (options.c) feed the parser, the help and the completion. A
 * command is a function in a file of its own; it gets the parsed line and returns 0 or an error code, from which the
 * exit code follows (`cfgctl help exit-codes`). Results go to stdout, everything else to stderr. One thread. */
#ifndef CFG_CFGCTL_CLI_H
#define CFG_CFGCTL_CLI_H

#include "client/include/cfg/client.h"
#include "proto/json.h"

/* X(id, name, letter, metavariable or NULL for a switch, choices separated by | or NULL, help) */
#define CLI_OPTIONS(X)                                                                                                \
    X(SERVER, "server", 's', "URL[,URL]", NULL, "where configd listens (CONFIGD_SERVER; http://127.0.0.1:7117)")      \
    X(TOKEN, "token", 0, "TOKEN", NULL, "bearer token (better: CONFIGD_TOKEN, which other users cannot see)")         \
    X(CA, "ca", 0, "FILE", NULL, "PEM file of the CA for https (CONFIGD_CA_FILE)")                                    \
    X(OUTPUT, "output", 'o', "FORMAT", "table|wide|json|yaml", "how results are shown (CONFIGD_OUTPUT; table)")       \
    X(HELP, "help", 'h', NULL, NULL, "show help and examples")                                                        \
    X(MESSAGE, "message", 'm', "TEXT", NULL, "why, kept in the history")                                              \
    X(IF_VERSION, "if-version", 0, "N", NULL, "only if the object is at version N (0: does not exist)")               \
    X(DRY_RUN, "dry-run", 'n', NULL, NULL, "say what would happen, change nothing")                                   \
    X(WAIT, "wait", 'w', NULL, NULL, "wait until every worker concerned has applied it")                              \
    X(TIMEOUT, "timeout", 0, "SECONDS", NULL, "how long --wait waits (30), or a command of sync may take")            \
    X(CHANGE_TYPE, "change-type", 0, NULL, NULL, "allow a value of another JSON type than the present one")           \
    X(STRING, "string", 0, "NS/KEY=TEXT", NULL, "set a string, taken as it stands (repeatable)")                      \
    X(FILE, "file", 'f', "FILE", NULL, "a whole document, JSON or YAML (- is standard input), or a folder of them")   \
    X(FORCE, "force", 0, NULL, NULL, "do it in spite of what would be lost")                                          \
    X(VERSION, "version", 0, "N", NULL, "that version instead of the newest")                                         \
    X(TO, "to", 0, "N", NULL, "the version to go to; of a base: NS=N (repeatable)")                                   \
    X(LIMIT, "limit", 0, "N", NULL, "how many at most (50)")                                                          \
    X(FOLLOW, "watch", 'w', NULL, NULL, "show it again whenever it changes")                                          \
    X(CONFIG, "config", 0, "NS", NULL, "the namespace the deployment runs on")                                        \
    X(PIN, "pin", 0, "KEY[,KEY]", NULL, "top-level keys frozen for the deployment's life (repeatable)")               \
    X(FLAGS, "flags", 0, "NS[,NS]", NULL, "flag namespaces it sees (repeatable)")                                     \
    X(TRACK, "track", 0, "TRACK", "head|hold", "head: follow every write; hold: move only when told")                 \
    X(FROM, "from", 0, "STORE", NULL, "the store whose workers may move over: the id that they report")               \
    X(SUBJECT, "subject", 0, "NAME", NULL, "who the token is for; becomes the author")                                \
    X(ROLE, "role", 0, "ROLE", "reader|writer|admin|worker", "what the token may do")                                 \
    X(NAMESPACES, "namespaces", 0, "PATTERN[,…]", NULL, "namespaces a writer may write, such as chat,train-* (all)")  \
    X(DEPLOYMENT, "deployment", 0, "NAME", NULL, "the deployment that is meant; of a worker's token: its only one")   \
    X(RESOLVED, "resolved", 0, NULL, NULL, "with everything that it extends, interpolations resolved")                \
    X(DEPENDENTS, "dependents", 0, NULL, NULL, "what extends it, directly or through others")                         \
    X(FROM_LOCK, "from-lock", 0, "FILE", NULL, "make it what `cfgctl lock` wrote; - is standard input")               \
    X(FLAG, "flag", 0, "NAME", NULL, "the flag of --file that is meant")                                              \
    X(TYPE, "type", 0, "TYPE", NULL, "bool, string, number, object or integer")                                       \
    X(DEFAULT, "default", 0, "VALUE", NULL, "the default variant; of eval and explain: the caller's default value")   \
    X(CONTEXT, "context", 0, "JSON", NULL, "who asks: an object of attributes, or @FILE")                             \
    X(AT, "at", 0, "TIME", NULL, "as if it were then: seconds since 1970, or 2026-12-01T00:00:00Z")                   \
    X(BATCH, "batch", 0, NULL, NULL, "one question per line on standard input, one answer per line out")              \
    X(VARIANTS, "variants", 0, "K=VALUE…", NULL, "what the flag can answer (repeatable)")                             \
    X(OFF, "off", 0, "VARIANT", NULL, "what holds while the flag is off")                                             \
    X(DESCRIPTION, "description", 0, "TEXT", NULL, "what the flag is for; kept in its metadata")                      \
    X(REMOVE_VARIANT, "remove-variant", 0, "VARIANT[,…]", NULL, "a variant that nothing uses any more (repeatable)")  \
    X(META, "meta", 0, "NAME=VALUE", NULL, "metadata of the flag (repeatable)")                                       \
    X(REMOVE_META, "remove-meta", 0, "NAME", NULL, "metadata that goes (repeatable)")                                 \
    X(STATE, "state", 0, "STATE", "ENABLED|DISABLED", "flagd's state; DISABLED: the caller's default holds")          \
    X(REQUIRES, "requires", 0, "C[,C]", NULL,                                                                         \
      "capabilities that workers must have (of a flag: while it is on); '' for none")                                 \
    X(HASH_VERSION, "hash-version", 0, "N", "1|2|3", "how splits hash; another one deals all units anew")             \
    X(BY, "by", 0, "ATTRIBUTE", NULL, "what names the unit that is dealt, such as user.id (targetingKey)")            \
    X(SEED, "seed", 0, "TEXT", NULL, "hash this instead of the flag's name: flags of one seed split alike")           \
    X(IF, "if", 0, "CONDITION", NULL, "such as 'email ends_with \"@example.com\" and plan in [pro, team]'")           \
    X(RULE, "rule", 0, "JSON", NULL, "the condition as JsonLogic, instead of --if")                                   \
    X(SERVE, "serve", 0, "VARIANT", NULL, "what they get: a variant, or shares such as on=10,off=90")                 \
    X(BEFORE, "before", 0, "N", NULL, "put the rule before rule N (behind all others)")                               \
    X(FIRST, "first", 0, NULL, NULL, "put the rule before all others")                                                \
    X(LIST, "list", 0, NULL, NULL, "show what there is: rules, or groups")                                            \
    X(REMOVE, "remove", 0, "WHICH", NULL, "take this one away")                                                       \
    X(CLEAR, "clear", 0, NULL, NULL, "take all of them away")                                                         \
    X(PRUNE, "prune", 0, NULL, NULL, "delete what the file does not have")                                            \
    X(YES, "yes", 'y', NULL, NULL, "do not ask")                                                                      \
    X(NON_ATOMIC, "non-atomic", 0, NULL, NULL, "in several transactions, when one cannot hold it")                    \
    X(SET, "set", 0, "KEY=VALUE", NULL, "a layer above the files, in Hydra's words (repeatable)")                     \
    X(EXPLAIN, "explain", 0, NULL, NULL, "show for each value which layer set it")                                    \
    X(NO_RESOLVE, "no-resolve", 0, NULL, NULL, "merge only, leave interpolations as they stand")                      \
    X(KEEP_UNKNOWN, "keep-unknown", 0, NULL, NULL, "keep keys that Accelerate does not know")                         \
    X(DROP_UNKNOWN, "drop-unknown", 0, NULL, NULL, "leave out keys that Accelerate does not know")                    \
    X(MACHINE_RANK, "machine-rank", 0, "N", NULL, "which of the machines this is, from 0 (SLURM_NODEID)")             \
    X(ALL_RANKS, "all-ranks", 0, "DIR", NULL, "one launch file per machine, DIR/machine-N.yaml")                      \
    X(RESTART_ON_CHANGE, "restart-on-change", 0, NULL, NULL,                                                          \
      "restart the program when a value it was started with changes")                                                 \
    X(JITTER, "jitter", 0, "SECONDS", NULL, "spread restarts at random over so long (0)")                             \
    X(GRACE, "grace", 0, "SECONDS", NULL, "how long a program has to end before it is killed (30)")                   \
    X(OUT, "out", 0, "FILE", NULL, "the file to keep up to date")                                                     \
    X(FORMAT, "format", 0, "FORMAT", "json|yaml|env|dotenv", "how it is written (json)")                              \
    X(EXEC, "exec", 0, "COMMAND", NULL, "a shell command to run whenever the file has changed")                       \
    X(RETRY, "retry", 0, "N", NULL, "how often a failed command is tried again (without end; --once: 0)")             \
    X(ONCE, "once", 0, NULL, NULL, "do it once and end")                                                              \
    X(SCHEMA, "schema", 0, "FILE", NULL, "the JSON Schema (2020-12) to judge by")                                     \
    X(FORMATS, "format", 0, NULL, NULL, "formats (date-time, uri, …) are assertions, not notes")                      \
    X(LENIENT, "lenient", 0, NULL, NULL, "ignore keywords that are not known instead of refusing the schema")         \
    X(ENVELOPES, "envelopes", 0, NULL, NULL, "with switch, prerequisites, groups and all that flagd has no word for") \
    X(EXCEPT, "except", 0, "KEY[,KEY]", NULL, "not these, nor what is below them (repeatable)")                       \
    X(TAKE, "take", 0, NULL, NULL, "overwrite what was changed outside the files")                                    \
    X(SOURCE, "source", 0, "NAME", NULL, "what the files are called (the name in .cfgctl.yaml, or the folder's)")     \
    X(WHEN, "at", 0, "TIME", NULL, "back to that time: 02:40, '2h ago', '2026-12-01 02:40', 2026-12-01T02:40:00Z")    \
    X(STEP, "step", 0, "N", NULL, "the step that is meant")                                                           \
    X(GROUP, "group", 0, "GROUP", NULL, "only this rank group")                                                       \
    X(WORKER, "worker", 0, "WORKER", NULL, "only this worker's group")                                                \
    X(DEEP, "deep", 0, NULL, NULL, "also make every view, and hold it against its workers' contracts")                \
    X(SINCE, "since", 0, "TIME", NULL, "from then on: 2h, 02:40, 'yesterday 22:00', 2026-12-01T02:40:00Z (24h)")      \
    X(UNTIL, "until", 0, "TIME", NULL, "up to then (now)")                                                            \
    X(AUTHOR, "author", 0, "TEXT", NULL, "only by authors whose name has this in it")                                 \
    X(STEPS, "steps", 0, "1%,10%:5m,50%!,100%", NULL,                                                                 \
      "shares, one after the other; :5m bakes so long, ! waits for an approval (1%,10%,50%,100%)")                    \
    X(STAGES, "plan", 0, "PLAN", NULL, "instead of --steps: linear:4 or exponential:1%:10")                           \
    X(BAKE, "bake", 0, "DURATION", NULL, "how long each step is watched before the next (60s)")                       \
    X(GUARD, "guard", 0, "CONDITION", NULL, "such as 'error_rate<1%' or 'p99_ms<1.1*base' (repeatable)")              \
    X(MIN_SAMPLES, "min-samples", 0, "N", NULL, "of a metric in each arm before a guard is judged (30)")              \
    X(WHERE, "where", 0, "LABEL=VALUE[,…]", NULL, "only rank groups with these labels (repeatable)")                  \
    X(TOGETHER, "by", 0, "LABEL", NULL, "groups that share this label's value move together, such as rack")           \
    X(GATE, "gate", 0, NULL, NULL, "every step waits for an approval")                                                \
    X(START_AT, "start-at", 0, "TIME", NULL,                                                                          \
      "not before then: 02:40 (the next), 'in 10m', 2026-12-01T02:40:00Z, @1764556800")                               \
    X(FREEZE, "freeze", 0, "WINDOW", NULL, "no step within: sat,sun, 22:00-06:00 or 'mon-fri 09:00-17:00' (UTC)")     \
    X(NOW, "now", 0, NULL, NULL, "everybody at once, without guards; -m says why")                                    \
    X(ROLLOUT, "rollout", 0, "1%,10%,100%", NULL, "and roll it out in these steps, in the same transaction")          \
    X(OBJECT, "object", 0, "OBJECT", NULL, "only this: chat, experiment/ab.flag, schema/chat, deployment/chat-blue")

enum cli_option_id {
#define CLI_OPTION_ENUM(id, name, letter, value, choices, help) OPT_##id,
    CLI_OPTIONS(CLI_OPTION_ENUM)
#undef CLI_OPTION_ENUM
        OPT_COUNT
};
__extension__ typedef unsigned __int128 cli_set; /* of options; gcc and clang have it */
#define CLI_BIT_AT(i) ((cli_set)1 << (i))
#define CLI_BIT(id)   CLI_BIT_AT(OPT_##id)
_Static_assert(OPT_COUNT <= 128, "a set of options has 128 bits");

struct cli_option {
    const char *name;
    char letter;         /* 0: none */
    const char *value;   /* metavariable; NULL: a switch */
    const char *choices; /* "a|b"; NULL: anything */
    const char *help;
};
extern const struct cli_option cli_options[OPT_COUNT];

struct cli;
struct cli_command {
    const char *name;     /* "set", "deployment create" */
    const char *alias;    /* of the first word, or NULL */
    const char *synopsis; /* arguments only */
    const char *summary;  /* one line */
    const char *examples; /* lines */
    cli_set options;      /* CLI_BIT of those it takes besides the general ones */
    int min_args, max_args;
    int (*run)(struct cli *c, struct cfg_error *err);
};
extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;
#define CLI_GENERAL (CLI_BIT(SERVER) | CLI_BIT(TOKEN) | CLI_BIT(CA) | CLI_BIT(OUTPUT) | CLI_BIT(HELP))
#define CLI_WRITES  (CLI_BIT(MESSAGE) | CLI_BIT(DRY_RUN) | CLI_BIT(WAIT) | CLI_BIT(TIMEOUT))
#define CLI_EDITS   (CLI_WRITES | CLI_BIT(IF_VERSION))

enum cli_output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML };

struct cli_given {
    enum cli_option_id id;
    const char *value; /* borrowed from argv; "" for a switch */
};
struct cli {
    const struct cli_command *command; /* NULL: none named */
    const char **args;                 /* owned array of borrowed strings */
    int n_args;
    struct cli_given *given; /* owned, in order */
    size_t n_given;
    const char *topic; /* of `help` and of an unfinished command: the first word; NULL */
    enum cli_output output;
    bool color;                /* escape sequences on stdout */
    struct cfg_client *client; /* made when first used */
    cJSON *violations;         /* of the last refusal, owned; NULL: none */
    int exit_code;             /* of a program that the command stands for; else 0, and the error decides */
};

/* Reads a command line. CFG_E_INVALID with what is wrong and the nearest right spelling. */
CFG_MUST_CHECK int cli_parse(struct cli *out, int argc, char **argv, struct cfg_error *err);
void cli_finish(struct cli *c);
bool cli_has(const struct cli *c, enum cli_option_id id);
const char *cli_value(const struct cli *c, enum cli_option_id id); /* the last given; NULL when absent */
/* A non-negative number. *out keeps its value when the option is absent. CFG_E_INVALID. */
CFG_MUST_CHECK int cli_number(const struct cli *c, enum cli_option_id id, uint64_t *out, struct cfg_error *err);
/* Every item of a repeatable, comma-separated option, as a JSON array. Returned-owned; NULL without memory. */
cJSON *cli_items(const struct cli *c, enum cli_option_id id);

/* --- requests --- */

/* body NULL: none. type NULL: application/json. The reply is parsed: *out is returned-owned, NULL for an empty one. */
CFG_MUST_CHECK int cli_call(struct cli *c, const char *method, const char *path, const cJSON *body, const char *type,
                            cJSON **out, struct cfg_error *err);
/* A write that shows nothing: cli_call with message (NULL: none) and what --dry-run and --force say. CFG_E_LIMIT for a
 * message that is too long. */
CFG_MUST_CHECK int cli_send(cJSON **reply, struct cli *c, const char *method, const char *path, const cJSON *body,
                            const char *type, const char *message, struct cfg_error *err);
CFG_MUST_CHECK int cli_get(struct cli *c, const char *path, cJSON **out, struct cfg_error *err);
/* The client itself, with the options of the line. timeout_ms 0: the default. CFG_E_INVALID, CFG_E_NOMEM. */
CFG_MUST_CHECK int cli_client(struct cli *c, unsigned timeout_ms, struct cfg_client **out, struct cfg_error *err);
/* A write: adds message, dry run and precondition, sends, shows what it did and reaches, waits when asked to. */
CFG_MUST_CHECK int cli_write(struct cli *c, const char *method, const char *path, const cJSON *body, const char *type,
                             struct cfg_error *err);
/* The same under another message than --message; NULL: none. */
CFG_MUST_CHECK int cli_write_saying(struct cli *c, const char *method, const char *path, const cJSON *body,
                                    const char *type, const char *message, struct cfg_error *err);
CFG_MUST_CHECK int cli_no_memory(struct cfg_error *err); /* CFG_E_NOMEM */
/* Worth trying again: the server, or what it needs, is away for now. */
bool cli_passes(int code);

/* --- results --- */

/* Whether JSON or YAML is wanted, and if so prints v so. */
bool cli_show_tree(const struct cli *c, const cJSON *v);
/* Appends s with control characters shown as '?', so that no text of others can drive a terminal. */
void cli_put_text(struct cfg_buf *out, const char *s);
/* Appends a value as people write it: strings bare, the rest as JSON. */
void cli_put_value(struct cfg_buf *out, const cJSON *v);
/* Appends what an item of the log or a change of the feed is about: "chat", "experiment/ab.flag", "deployment/blue",
 * "rollout/blue", "experiment warm" (a flag's address may begin likewise). */
void cli_put_object(struct cfg_buf *out, const cJSON *item);
/* The next cell of a table: a list's values with commas between them, "-" for none. */
struct table;
void cli_add_list(struct table *t, const cJSON *list);
/* Appends a table as wide as the terminal; -o wide leaves it uncut. */
void cli_put_table(struct cfg_buf *out, const struct cli *c, const struct table *t);
/* Prints and frees. */
void cli_print(struct cfg_buf *b);
void cli_print_table(const struct cli *c, struct table *t); /* and finishes it */
/* The same of a list that the server cut: with a word on how to see more where its reply says that there is more. */
void cli_print_page(const struct cli *c, struct table *t, const cJSON *reply);
/* A table of the array `items`, a row each. wide: what -o says. */
typedef void (*cli_row_fn)(struct table *t, const cJSON *item, bool wide);
void cli_print_items(const struct cli *c, const cJSON *items, const char *header, cli_row_fn row);
/* GETs a list and prints its items so; the reply as it is where JSON or YAML is wanted. The request's errors. */
CFG_MUST_CHECK int cli_list(struct cli *c, const char *path, const char *header, cli_row_fn row, struct cfg_error *err);
/* "3m", "2d": how long ago an RFC 3339 time is; the time itself when it cannot be read. */
const char *cli_age(char out[32], const char *time_text);
void cli_print_error(const struct cfg_error *err);

#endif
