/* The table of commands. */
#include "client/cfgctl/commands.h"

enum { ANY = 10000 };
/* How a rollout goes. */
#define PLANS                                                                                                     \
    (CLI_BIT(BAKE) | CLI_BIT(GUARD) | CLI_BIT(MIN_SAMPLES) | CLI_BIT(WHERE) | CLI_BIT(TOGETHER) | CLI_BIT(GATE) | \
     CLI_BIT(START_AT) | CLI_BIT(FREEZE))

const struct cli_command cli_commands[] = {
    {"set", NULL, "NS/KEY=VALUE… | NS KEY=VALUE… | NS --file FILE", "set parameters and flags, in one transaction",
     "cfgctl set chat/sampling.temperature=0.2 chat/inference.batch_size=8\n"
     "cfgctl set experiment/ab.flag=on              # creates the flag when there is none\n"
     "cfgctl set chat/stop='[END, \"a b\"]' -m 'stop earlier' --wait\n"
     "cfgctl set --string chat/model.revision=1e4   # text, whatever it looks like\n"
     "cfgctl set +chat/new.key=1                    # only if it does not exist yet\n"
     "cfgctl set train optimizer.lr=1e-4 +trainer.epochs=5 ~model.dropout   # Hydra's words, the namespace first\n"
     "cfgctl set chat --file chat.yaml --if-version 42\n"
     "cfgctl set chat/sampling.temperature=0.9 --rollout 1%,10%,100% --guard 'error_rate<1%'   # in steps",
     CLI_WRITES | CLI_BIT(IF_VERSION) | CLI_BIT(CHANGE_TYPE) | CLI_BIT(STRING) | CLI_BIT(FILE) | CLI_BIT(FORCE) |
         CLI_BIT(ROLLOUT) | CLI_BIT(DEPLOYMENT) | PLANS,
     0, ANY, cmd_set},
    {"unset", NULL, "NS/KEY… | NS --force", "remove parameters or flags, or a whole namespace",
     "cfgctl unset chat/sampling.top_k\n"
     "cfgctl unset chat --force",
     CLI_WRITES | CLI_BIT(IF_VERSION) | CLI_BIT(FORCE), 1, ANY, cmd_unset},
    {"plan", NULL, "NS/KEY=VALUE… | NS KEY=VALUE… | NS -f FILE | -f DIR",
     "what a set or an apply would change, for whom and when; ends with 5 when something blocks it",
     "cfgctl plan chat/sampling.temperature=0.2 chat/distributed.tp=8\n"
     "cfgctl plan train optimizer.lr=1e-4 ~model.dropout\n"
     "cfgctl plan chat -f chat.yaml -o json | jq '.results[].plan'\n"
     "cfgctl plan -f configs/ --prune                # what `apply` would do",
     CLI_BIT(IF_VERSION) | CLI_BIT(CHANGE_TYPE) | CLI_BIT(STRING) | CLI_BIT(FILE) | CLI_BIT(PRUNE) | CLI_BIT(TAKE) |
         CLI_BIT(SOURCE) | CLI_BIT(FORCE),
     0, ANY, cmd_plan},
    {"apply", NULL, "-f DIR", "make namespaces, schemas and flags what the files of a folder say, plan first",
     "cfgctl apply -f configs/ --dry-run\n"
     "cfgctl apply -f configs/ --prune --yes -m \"$(git log -1 --format='%h %s')\" --wait\n"
     "cfgctl apply -f configs/ --take               # over what was changed by hand",
     CLI_WRITES | CLI_BIT(FILE) | CLI_BIT(PRUNE) | CLI_BIT(TAKE) | CLI_BIT(YES) | CLI_BIT(NON_ATOMIC) | CLI_BIT(SOURCE),
     0, 0, cmd_apply},
    {"promote", NULL, "SRC-NS DST-NS [KEY…]", "move values from one namespace to another, with a plan first",
     "cfgctl promote chat-staging chat-prod sampling inference.batch_size\n"
     "cfgctl promote chat-staging chat-prod --except endpoints,log --dry-run   # everything else\n"
     "cfgctl promote chat-staging chat-prod --version 41 --yes -m 'proved since Monday' --wait",
     CLI_EDITS | CLI_BIT(EXCEPT) | CLI_BIT(PRUNE) | CLI_BIT(CHANGE_TYPE) | CLI_BIT(VERSION) | CLI_BIT(YES) |
         CLI_BIT(FORCE),
     2, ANY, cmd_promote},
    {"resolve", NULL, "FILE…", "merge files as layers and resolve their interpolations, without a server",
     "cfgctl resolve base.yaml chat.yaml\n"
     "cfgctl resolve base.yaml chat.yaml --set optimizer.lr=1e-4 --set ~model.dropout -o yaml\n"
     "cfgctl resolve base.yaml chat.yaml --explain     # which file each value is from",
     CLI_BIT(SET) | CLI_BIT(EXPLAIN) | CLI_BIT(NO_RESOLVE), 1, ANY, cmd_resolve},
    {"get", NULL, "NS | NS/KEY", "show a document, a parameter or a flag",
     "cfgctl get chat\n"
     "cfgctl get chat --version 41 -o yaml\n"
     "cfgctl get chat/sampling.temperature\n"
     "cfgctl get chat --resolved                    # with what it extends\n"
     "cfgctl get base --dependents\n"
     "cfgctl get experiment/ab.flag",
     CLI_BIT(VERSION) | CLI_BIT(RESOLVED) | CLI_BIT(DEPENDENTS), 1, 1, cmd_get},
    {"extend", NULL, "NS [BASE…]", "say which namespaces one is laid over, lowest first; none: it stands alone",
     "cfgctl extend chat base                       # chat's own values win\n"
     "cfgctl extend chat-prod chat prod-limits\n"
     "cfgctl extend chat                            # extends nothing any more",
     CLI_WRITES | CLI_BIT(IF_VERSION) | CLI_BIT(FORCE), 1, 17, cmd_extend},
    {"explain", NULL, "NS/KEY", "why a value is what it is: every layer, the one that wins, since when, by whom",
     "cfgctl explain chat/sampling.temperature\n"
     "cfgctl explain chat/distributed.tp --deployment chat-blue   # with its pin and its workers",
     CLI_BIT(DEPLOYMENT), 1, 1, cmd_explain},
    {"lock", NULL, "DEPLOYMENT", "print what a deployment runs, to lie beside a checkpoint",
     "cfgctl lock chat-blue > run.lock.json\n"
     "cfgctl deployment create chat-again --from-lock run.lock.json",
     0, 1, 1, cmd_lock},
    {"list", "ls", "[NS]", "list namespaces and flags, or what a namespace holds",
     "cfgctl list\n"
     "cfgctl list chat",
     0, 0, 1, cmd_list},
    {"history", NULL, "[NS | NS/FLAG | deployment/NAME]", "who changed what, when and why",
     "cfgctl history chat\n"
     "cfgctl history experiment/ab.flag --limit 5\n"
     "cfgctl history deployment/chat-blue\n"
     "cfgctl history                                # of everything",
     CLI_BIT(LIMIT), 0, 1, cmd_history},
    {"diff", NULL, "NS | NS/FLAG [FROM [TO]]", "what changed between two versions of a namespace or a flag",
     "cfgctl diff chat          # the newest version and the one before\n"
     "cfgctl diff chat 41       # from 41 to the newest\n"
     "cfgctl diff chat 41 43\n"
     "cfgctl diff experiment/ab.flag 4 5",
     0, 1, 3, cmd_diff},
    {"log", NULL, "DEPLOYMENT", "everything that concerned a deployment: who wrote what, when and why",
     "cfgctl log chat-blue --since 2h\n"
     "cfgctl log chat-blue --since 'yesterday 22:00' --until 02:40 --author alice\n"
     "cfgctl log chat-blue --object base -o wide    # a base alone, all of its changes",
     CLI_BIT(SINCE) | CLI_BIT(UNTIL) | CLI_BIT(AUTHOR) | CLI_BIT(OBJECT) | CLI_BIT(LIMIT), 1, 1, cmd_log},
    {"rollback", NULL, "NS --to N | NS/FLAG --to N | deployment/NAME --to N | DEPLOYMENT --at TIME",
     "make an earlier version the newest again, or all that a deployment ran at a time",
     "cfgctl rollback chat --to 41 -m 'worse answers'\n"
     "cfgctl rollback chat-blue --at 02:40 --dry-run          # its namespace, bases and flags as they were\n"
     "cfgctl rollback chat-blue --at '2h ago' --except base --yes --wait",
     CLI_EDITS | CLI_BIT(TO) | CLI_BIT(FORCE) | CLI_BIT(WHEN) | CLI_BIT(EXCEPT) | CLI_BIT(YES), 1, 1, cmd_rollback},
    {"watch", NULL, "[NS…]", "show changes as they happen",
     "cfgctl watch chat experiment\n"
     "cfgctl watch -o json | jq .version",
     0, 0, 60, cmd_watch},
    {"deployment create", "deploy", "NAME --config NS [--pin KEY…] [--flags NS…] | NAME --from-lock FILE",
     "declare a running fleet",
     "cfgctl deployment create chat-blue --config chat --pin distributed --flags experiment\n"
     "cfgctl deploy create chat-slow --config chat --track hold\n"
     "cfgctl deploy create chat-again --from-lock run.lock.json    # what it ran then, whatever was written since",
     CLI_WRITES | CLI_BIT(FROM_LOCK) | CLI_BIT(CONFIG) | CLI_BIT(PIN) | CLI_BIT(FLAGS) | CLI_BIT(TRACK) |
         CLI_BIT(REQUIRES),
     1, 1, cmd_deployment_create},
    {"deployment list", "deploy", "", "list deployments", "cfgctl deployment list -o wide", 0, 0, 0,
     cmd_deployment_list},
    {"deployment get", "deploy", "NAME", "show a deployment and what is frozen in it",
     "cfgctl deployment get chat-blue -o json", 0, 1, 1, cmd_deployment_get},
    {"deployment update", "deploy", "NAME", "move a deployment to a version, or change what it follows",
     "cfgctl deployment update chat-blue --to 43 --wait\n"
     "cfgctl deployment update chat-blue --to base=8       # a base of what it holds\n"
     "cfgctl deployment update chat-blue --track head\n"
     "cfgctl deployment update chat-blue --requires bf16   # of every worker; '' for nothing",
     CLI_WRITES | CLI_BIT(TO) | CLI_BIT(TRACK) | CLI_BIT(FLAGS) | CLI_BIT(REQUIRES) | CLI_BIT(FORCE), 1, 1,
     cmd_deployment_update},
    {"deployment delete", "deploy", "NAME", "delete a deployment without workers (--force: with)",
     "cfgctl deployment delete chat-blue", CLI_BIT(MESSAGE) | CLI_BIT(DRY_RUN) | CLI_BIT(FORCE), 1, 1,
     cmd_deployment_delete},
    {"deployment adopt", "deploy", "NAME --from STORE",
     "let workers that hold another store's view move over to this one",
     "cfgctl deployment adopt chat-blue --from 5f0c…", CLI_WRITES | CLI_BIT(FROM), 1, 1, cmd_deployment_adopt},
    {"schema get", NULL, "NS", "show a namespace's schema",
     "cfgctl schema get chat\n"
     "cfgctl schema get chat --version 2 -o json",
     CLI_BIT(VERSION), 1, 1, cmd_schema_get},
    {"schema set", NULL, "NS FILE", "say what a namespace's document must keep to (JSON Schema 2020-12; JSON or YAML)",
     "cfgctl schema set chat chat.schema.json -m 'temperatures stay below 2'\n"
     "cfgctl schema set chat chat.schema.yaml --if-version 3",
     CLI_EDITS, 2, 2, cmd_schema_set},
    {"schema check", NULL, "NS FILE", "say whether a schema could be set, and everything that violates it",
     "cfgctl schema check chat chat.schema.json", 0, 2, 2, cmd_schema_check},
    {"schema delete", NULL, "NS", "let a namespace be anything", "cfgctl schema delete chat", CLI_EDITS, 1, 1,
     cmd_schema_delete},
    {"schema history", NULL, "NS", "who changed a schema, when and why", "cfgctl schema history chat --limit 5",
     CLI_BIT(LIMIT), 1, 1, cmd_schema_history},
    {"schema diff", NULL, "NS [FROM [TO]]", "what changed between two versions of a schema",
     "cfgctl schema diff chat        # the newest version and the one before\n"
     "cfgctl schema diff chat 3 5",
     0, 1, 3, cmd_schema_diff},
    {"schema rollback", NULL, "NS", "make an earlier version of a schema the newest again",
     "cfgctl schema rollback chat --to 3 -m 'too narrow'", CLI_EDITS | CLI_BIT(TO), 1, 1, cmd_schema_rollback},
    {"contract show", NULL, "DEPLOYMENT", "what a deployment's connected workers declare",
     "cfgctl contract show chat-blue", 0, 1, 1, cmd_contract_show},
    {"contract check", NULL, "DEPLOYMENT", "whether the connected workers take the view there is, or that of a file",
     "cfgctl contract check chat-blue\n"
     "cfgctl contract check chat-blue --file view.json     # parameters as they would be",
     CLI_BIT(FILE), 1, 1, cmd_contract_check},
    {"status", NULL, "[DEPLOYMENT]", "how the server is, or what a deployment's groups and arms run, live with -w",
     "cfgctl status\n"
     "cfgctl status chat-blue -w                     # like top: q ends it; in a pipe a line each second\n"
     "cfgctl status chat-blue -o wide                # worker by worker, with reasons\n"
     "cfgctl status chat-blue -o json | jq .summary.states",
     CLI_BIT(FOLLOW), 0, 1, cmd_status},
    {"at", NULL, "DEPLOYMENT --step N", "the exact values that a step ran with, also in a past run",
     "cfgctl at train-llama --step 81200\n"
     "cfgctl at train-llama --step 81200 --group job-7 -o json | jq '.views'",
     CLI_BIT(STEP) | CLI_BIT(GROUP) | CLI_BIT(WORKER), 1, 1, cmd_at},
    {"doctor", NULL, "", "what is wrong with servers, etcd, clocks, certificates and workers, and what to do about it",
     "cfgctl doctor\n"
     "cfgctl doctor --deep --server http://10.0.0.1:7117,http://10.0.0.2:7117\n"
     "cfgctl doctor -o json | jq '.findings[] | select(.severity == \"error\")'   # ends with 10: warnings, 11: errors",
     CLI_BIT(DEEP), 0, 0, cmd_doctor},
    {"flag on", NULL, "NS/FLAG", "switch a flag on", "cfgctl flag on experiment/ab.flag --wait",
     CLI_WRITES | CLI_BIT(IF_VERSION) | CLI_BIT(FORCE), 1, 1, cmd_flag_on},
    {"flag off", NULL, "NS/FLAG", "switch a flag off; its rules stay",
     "cfgctl flag off experiment/ab.flag -m 'errors in eu-west'", CLI_WRITES | CLI_BIT(IF_VERSION), 1, 1, cmd_flag_off},
    {"flag list", NULL, "[NS]", "list flags", "cfgctl flag list experiment", 0, 0, 1, cmd_flag_list},
    {"flag get", NULL, "NS/FLAG", "show a flag; -o wide: its rules and all else, in words",
     "cfgctl flag get experiment/ab.flag -o wide\n"
     "cfgctl flag get experiment/ab.flag --version 4 -o json",
     CLI_BIT(VERSION), 1, 1, cmd_flag_get},
    {"flag create", NULL, "NS/NAME [--variants K=VALUE…]",
     "make a flag; it is off unless --default says what it serves",
     "cfgctl flag create experiment/ab.flag --description 'the new sampler'   # on=true off=false\n"
     "cfgctl flag create experiment/mode --variants fast=0.2 slow=0.9 --default slow --off slow\n"
     "cfgctl flag create experiment/model --type string --variants a=llama b=mistral\n"
     "cfgctl flag create experiment/fp8 --requires fp8,bf16        # not to be turned on where a worker lacks one",
     CLI_WRITES | CLI_BIT(TYPE) | CLI_BIT(VARIANTS) | CLI_BIT(DEFAULT) | CLI_BIT(OFF) | CLI_BIT(DESCRIPTION) |
         CLI_BIT(REQUIRES) | CLI_BIT(FORCE),
     1, ANY, cmd_flag_create},
    {"flag update", NULL, "NS/NAME [VARIANT=VALUE…] [--default V] [--off V] …",
     "change what a flag can answer, its default, its metadata; rules stay",
     "cfgctl flag update experiment/mode mid=0.5 --default mid     # one more variant, or another value\n"
     "cfgctl flag update experiment/mode --remove-variant fast     # refused while something uses it\n"
     "cfgctl flag update experiment/mode --description 'how it decodes' --meta owner=search\n"
     "cfgctl flag update experiment/mode --off ''                  # while off, the caller's default\n"
     "cfgctl flag update experiment/fp8 --requires fp8,bf16        # refused while on and a worker lacks one",
     CLI_EDITS | CLI_BIT(VARIANTS) | CLI_BIT(REMOVE_VARIANT) | CLI_BIT(DEFAULT) | CLI_BIT(OFF) | CLI_BIT(DESCRIPTION) |
         CLI_BIT(META) | CLI_BIT(REMOVE_META) | CLI_BIT(STATE) | CLI_BIT(REQUIRES) | CLI_BIT(HASH_VERSION) |
         CLI_BIT(FORCE),
     1, ANY, cmd_flag_update},
    {"flag split", NULL, "NS/NAME VARIANT=WEIGHT… | --clear", "deal the units that no rule catches over the variants",
     "cfgctl flag split experiment/ab.flag on=10 off=90 --by user.id\n"
     "cfgctl flag split experiment/ab.flag on=25%          # off gets the rest; says who moves\n"
     "cfgctl flag split experiment/ab.flag on=10 --by user.id --default off   # off for whom has no user.id\n"
     "cfgctl flag split experiment/ab.flag --clear",
     CLI_EDITS | CLI_BIT(DEFAULT) | CLI_BIT(BY) | CLI_BIT(SEED) | CLI_BIT(CLEAR), 1, ANY, cmd_flag_split},
    {"flag target", NULL, "NS/NAME --if CONDITION --serve VARIANT | --list | --remove N | --clear",
     "rules, in order: the first that holds decides",
     "cfgctl flag target experiment/ab.flag --if 'email ends_with \"@example.com\"' --serve on --first\n"
     "cfgctl flag target experiment/ab.flag --if 'app.version sem_ver >= 2.1 and not segment staff' --serve "
     "on=50,off=50\n"
     "cfgctl flag target experiment/ab.flag --if 'now >= 2026-12-01T00:00:00Z' --serve on --before 2\n"
     "cfgctl flag target experiment/ab.flag --rule '{\"in\": [{\"var\": \"plan\"}, [\"pro\"]]}' --serve on\n"
     "cfgctl flag target experiment/ab.flag --list\n"
     "cfgctl flag target experiment/ab.flag --remove 2",
     CLI_EDITS | CLI_BIT(IF) | CLI_BIT(RULE) | CLI_BIT(SERVE) | CLI_BIT(BY) | CLI_BIT(SEED) | CLI_BIT(BEFORE) |
         CLI_BIT(FIRST) | CLI_BIT(LIST) | CLI_BIT(REMOVE) | CLI_BIT(CLEAR),
     1, 1, cmd_flag_target},
    {"flag require", NULL, "NS/NAME OTHER=VARIANT[,VARIANT]… | --remove OTHER | --clear",
     "only while another flag of the namespace serves a variant",
     "cfgctl flag require experiment/ab.flag new-sampler=on region=eu,us\n"
     "cfgctl flag require experiment/ab.flag --remove region",
     CLI_EDITS | CLI_BIT(REMOVE) | CLI_BIT(CLEAR), 1, ANY, cmd_flag_require},
    {"flag group", NULL, "NS/NAME GROUP=SHARE% | --clear | NS --list",
     "a share of an exclusion group that no other flag has",
     "cfgctl flag group experiment/ab.flag checkout=25% --by user.id\n"
     "cfgctl flag group experiment/ab.flag --clear\n"
     "cfgctl flag group experiment --list                      # who has what of each group, and what is free",
     CLI_EDITS | CLI_BIT(BY) | CLI_BIT(CLEAR) | CLI_BIT(LIST), 1, 2, cmd_flag_group},
    {"flag holdout", NULL, "NS/NAME HOLDOUT=SHARE%… | --remove HOLDOUT | --clear",
     "keep the same units out of many flags",
     "cfgctl flag holdout experiment/ab.flag q4=5% --by user.id\n"
     "cfgctl flag holdout experiment/ab.flag --remove q4",
     CLI_EDITS | CLI_BIT(BY) | CLI_BIT(REMOVE) | CLI_BIT(CLEAR), 1, ANY, cmd_flag_holdout},
    {"flag override", NULL, "NS/NAME VARIANT PARAMETER=VALUE… | [VARIANT] --clear | VARIANT --remove PARAMETER",
     "parameters that a variant carries for one request",
     "cfgctl flag override experiment/ab.flag on sampling.temperature=0.9\n"
     "cfgctl flag override experiment/ab.flag on --remove sampling.temperature",
     CLI_EDITS | CLI_BIT(REMOVE) | CLI_BIT(CLEAR) | CLI_BIT(FORCE), 1, ANY, cmd_flag_override},
    {"flag segment", NULL, "set NS/NAME CONDITION | list NS | get NS/NAME | delete NS/NAME",
     "conditions with a name, shared by the flags of a namespace",
     "cfgctl flag segment set experiment/staff 'team in [infra, research]'\n"
     "cfgctl flag target experiment/ab.flag --if 'segment staff' --serve on --first\n"
     "cfgctl flag segment list experiment",
     CLI_WRITES | CLI_BIT(IF) | CLI_BIT(RULE), 2, 3, cmd_flag_segment},
    {"flag explain", NULL, "NS/NAME | --file F --flag NAME", "what decides a flag's answer, step by step",
     "cfgctl flag explain experiment/ab.flag --context '{\"user\": {\"id\": \"u-1\"}}'\n"
     "cfgctl flag explain --file flags.json --flag ab --context @user.json -o json",
     CLI_BIT(FILE) | CLI_BIT(FLAG) | CLI_BIT(TYPE) | CLI_BIT(DEFAULT) | CLI_BIT(CONTEXT) | CLI_BIT(AT), 0, 1,
     cmd_flag_explain},
    {"flag import", NULL, "FILE NS", "make a namespace's flags those of a flagd file; shows the difference and asks",
     "cfgctl flag import flags.json experiment --dry-run\n"
     "cfgctl flag import flags.yaml experiment --prune --yes -m 'from git'",
     CLI_WRITES | CLI_BIT(PRUNE) | CLI_BIT(YES) | CLI_BIT(NON_ATOMIC), 2, 2, cmd_flag_import},
    {"flag export", NULL, "NS", "a namespace's flags as a flagd file; says what flagd cannot express",
     "cfgctl flag export experiment > flags.json\n"
     "cfgctl flag export experiment --envelopes > all.json    # nothing is lost: `flag import` makes it so again\n"
     "cfgctl flag export experiment -o yaml",
     CLI_BIT(ENVELOPES), 1, 1, cmd_flag_export},
    {"flag history", NULL, "NS/NAME", "what each version of a flag changed, by whom, when and why",
     "cfgctl flag history experiment/ab.flag --limit 5", CLI_BIT(LIMIT), 1, 1, cmd_flag_history},
    {"flag rollback", NULL, "NS/NAME", "make an earlier version of a flag the newest again",
     "cfgctl flag rollback experiment/ab.flag --to 3 -n          # what that would change\n"
     "cfgctl flag rollback experiment/ab.flag --to 3 -m 'worse answers'",
     CLI_EDITS | CLI_BIT(TO), 1, 1, cmd_flag_rollback},
    {"flag eval", NULL, "NS/NAME | --file F --flag NAME | --batch", "ask a flag, as an application would",
     "cfgctl flag eval experiment/ab.flag --context '{\"targetingKey\": \"u-1\"}'\n"
     "cfgctl flag eval --file flags.json --flag ab --type bool --default false --context @user.json -o json\n"
     "cfgctl flag eval --batch < questions.ndjson   # {\"flags\",\"flag\",\"type\",\"default\",\"context\"} per line",
     CLI_BIT(FILE) | CLI_BIT(FLAG) | CLI_BIT(TYPE) | CLI_BIT(DEFAULT) | CLI_BIT(CONTEXT) | CLI_BIT(AT) | CLI_BIT(BATCH),
     0, 1, cmd_flag_eval},
    {"flag exposures", NULL, "DEPLOYMENT", "which variants its workers have served, and to how many units",
     "cfgctl flag exposures chat-blue                          # ARM: the deployment's arm, `base` without others", 0,
     1, 1, cmd_flag_exposures},
    {"flag delete", NULL, "NS/FLAG", "delete a flag", "cfgctl flag delete experiment/ab.flag",
     CLI_WRITES | CLI_BIT(IF_VERSION), 1, 1, cmd_flag_delete},
    {"import accelerate", NULL, "FILE NS", "bring a launch file of Hugging Face Accelerate into a namespace",
     "cfgctl import accelerate default_config.yaml train      # under `accelerate`, checked strictly\n"
     "cfgctl import accelerate old.yaml train --drop-unknown --dry-run",
     CLI_WRITES | CLI_BIT(KEEP_UNKNOWN) | CLI_BIT(DROP_UNKNOWN), 2, 2, cmd_import_accelerate},
    {"import dotenv", NULL, "FILE NS", "bring a dotenv file's variables into a namespace",
     "cfgctl import dotenv .env chat                          # CHAT_SAMPLING_TEMPERATURE=0.2 sets "
     "sampling.temperature",
     CLI_WRITES, 2, 2, cmd_import_dotenv},
    {"export accelerate", NULL, "DEPLOYMENT", "print a deployment's launch file for Accelerate",
     "cfgctl export accelerate llama > launch.yaml            # flags that files cannot carry: as a comment\n"
     "cfgctl export accelerate llama --machine-rank 1\n"
     "cfgctl export accelerate llama --all-ranks launch/      # launch/machine-0.yaml, …\n"
     "cfgctl export accelerate llama -o json | jq -r .flags[]",
     CLI_BIT(MACHINE_RANK) | CLI_BIT(ALL_RANKS) | CLI_BIT(KEEP_UNKNOWN), 1, 1, cmd_export_accelerate},
    {"export accelerate-schema", NULL, "", "print the JSON Schema that launch files are checked with",
     "cfgctl export accelerate-schema > train.schema.json", 0, 0, 0, cmd_export_accelerate_schema},
    {"export env", NULL, "DEPLOYMENT", "print a deployment's values as `export` lines for a shell",
     "cfgctl export env chat-blue > chat.env.sh              # export CHAT_SAMPLING_TEMPERATURE='0.2'\n"
     "eval \"$(cfgctl export env chat-blue)\"                  # CHAT_SAMPLING_TEMPERATURE",
     0, 1, 1, cmd_export_view},
    {"export dotenv", NULL, "DEPLOYMENT", "print a deployment's values as a dotenv file",
     "cfgctl export dotenv chat-blue > .env", 0, 1, 1, cmd_export_view},
    {"export json", NULL, "DEPLOYMENT", "print a deployment's values, the pinned ones among them",
     "cfgctl export json chat-blue | jq .sampling", 0, 1, 1, cmd_export_view},
    {"export yaml", NULL, "DEPLOYMENT", "the same as YAML that 1.1 and 1.2 readers read alike",
     "cfgctl export yaml chat-blue > chat.yaml", 0, 1, 1, cmd_export_view},
    {"export", NULL, "-f DIR [NS…]", "write namespaces, schemas and flags to files, for git and `apply`",
     "cfgctl export -f configs/                      # everything\n"
     "cfgctl export -f configs/ chat experiment",
     CLI_BIT(FILE) | CLI_BIT(SOURCE) | CLI_BIT(FORMAT), 0, ANY, cmd_export_files},
    {"run", NULL, "DEPLOYMENT [options] -- COMMAND…", "run a program on a deployment's values, supervised",
     "cfgctl run llama -- accelerate launch train.py          # with its launch file and flags\n"
     "cfgctl run llama --machine-rank 1 -- accelerate launch train.py --epochs 3\n"
     "cfgctl run llama --restart-on-change --jitter 60 -- python serve.py\n"
     "cfgctl run llama -- sh -c 'cat {launch_file}; env | grep ^LLAMA_'",
     CLI_BIT(RESTART_ON_CHANGE) | CLI_BIT(JITTER) | CLI_BIT(GRACE) | CLI_BIT(MACHINE_RANK), 2, ANY, cmd_run},
    {"sync", NULL, "DEPLOYMENT --out FILE [--exec COMMAND]", "keep a file up to date for programs that read files",
     "cfgctl sync chat-blue --out view.json --exec 'systemctl reload chat'\n"
     "cfgctl sync chat-blue --out /etc/chat.env --format dotenv --once",
     CLI_BIT(OUT) | CLI_BIT(FORMAT) | CLI_BIT(EXEC) | CLI_BIT(RETRY) | CLI_BIT(ONCE) | CLI_BIT(TIMEOUT), 1, 1,
     cmd_sync},
    {"validate", NULL, "--schema FILE [DOCUMENT…] | --batch", "judge documents by a schema, without a server",
     "cfgctl validate --schema chat.schema.json chat.json staging.yaml\n"
     "cfgctl validate --schema chat.schema.json --format -o json - < chat.json\n"
     "cfgctl validate --schema chat.schema.json     # the schema itself\n"
     "cfgctl validate --batch < pairs.ndjson        # {\"schema\",\"document\",\"format\",\"lenient\"} per line",
     CLI_BIT(SCHEMA) | CLI_BIT(FORMATS) | CLI_BIT(LENIENT) | CLI_BIT(BATCH), 0, ANY, cmd_validate},
    {"rollout start", NULL, "DEPLOYMENT [--to N] [--steps …] [--guard …]…",
     "take a deployment to another release in steps; back by itself when a guard fails",
     "cfgctl rollout start chat-blue --to 43 --steps 1%,10%,50%,100% --bake 60s \\\n"
     "    --guard 'error_rate<1%' --guard 'p99_ms<1.1*base' --guard 'loss finite'\n"
     "cfgctl rollout start chat-blue --plan exponential:1%:10 --where region=eu,gpu=H200\n"
     "cfgctl rollout start chat-blue --to experiment/ab.flag=7 --steps 10%:5m,50%!,100%   # a flag's version\n"
     "cfgctl rollout start chat-blue --by rack --freeze sat,sun --start-at 02:40 --wait\n"
     "cfgctl rollout start chat-blue --to 43 --now -m 'the old one leaks memory'",
     CLI_BIT(MESSAGE) | CLI_BIT(DRY_RUN) | CLI_BIT(WAIT) | CLI_BIT(TIMEOUT) | CLI_BIT(FORCE) | CLI_BIT(TO) |
         CLI_BIT(STEPS) | CLI_BIT(STAGES) | CLI_BIT(NOW) | PLANS,
     1, 1, cmd_rollout_start},
    {"rollout status", NULL, "DEPLOYMENT", "where a rollout is: arms, guards, what it waits for",
     "cfgctl rollout status chat-blue -w", CLI_BIT(FOLLOW), 1, 1, cmd_rollout_status},
    {"rollout list", NULL, "", "the newest rollout of every deployment", "cfgctl rollout list", 0, 0, 0,
     cmd_rollout_list},
    {"rollout history", NULL, "DEPLOYMENT", "every decision, who took it, the guards' values then, and how they went",
     "cfgctl rollout history chat-blue", CLI_BIT(LIMIT), 1, 1, cmd_rollout_history},
    {"rollout pause", NULL, "DEPLOYMENT", "stay at this step; guards still watch",
     "cfgctl rollout pause chat-blue -m 'looking at eu-west'", CLI_BIT(MESSAGE), 1, 1, cmd_rollout_word},
    {"rollout resume", NULL, "DEPLOYMENT", "go on where it was paused", "cfgctl rollout resume chat-blue",
     CLI_BIT(MESSAGE), 1, 1, cmd_rollout_word},
    {"rollout approve", NULL, "DEPLOYMENT", "let it past its gate", "cfgctl rollout approve chat-blue",
     CLI_BIT(MESSAGE), 1, 1, cmd_rollout_word},
    {"rollout advance", NULL, "DEPLOYMENT", "the next step now, whatever the guards know",
     "cfgctl rollout advance chat-blue -m 'the old one leaks memory'", CLI_BIT(MESSAGE), 1, 1, cmd_rollout_word},
    {"rollout abort", NULL, "DEPLOYMENT", "everybody back to the release before",
     "cfgctl rollout abort chat-blue -m 'wrong version'", CLI_BIT(MESSAGE), 1, 1, cmd_rollout_word},
    {"experiment start", NULL, "NAME DEPLOYMENT NS/FLAG|arms METRIC:increase|decrease… [SETTING=VALUE…]",
     "compare a flag's variants, or a deployment's arms, by what workers measure; the first metric decides",
     "cfgctl experiment start warm chat-blue experiment/warm latency_ms:decrease quality:increase control=off\n"
     "cfgctl experiment start warm chat-blue experiment/warm latency_ms:decrease control=off \\\n"
     "    treatments=on,hot shares=off:50,on:25,hot:25 effect=2.5 units=20000 alpha=0.05 power=0.8\n"
     "cfgctl experiment start new-kernel chat-blue arms tokens_per_s:increase",
     CLI_BIT(MESSAGE) | CLI_BIT(DRY_RUN) | CLI_BIT(FORCE), 4, 32, cmd_experiment_start},
    {"experiment plan", NULL, "DEPLOYMENT NS/FLAG|arms METRIC:increase|decrease… effect=N [SETTING=VALUE…]",
     "how many units and how long it would take to find a difference",
     "cfgctl experiment plan chat-blue experiment/warm latency_ms:decrease control=off effect=5%\n"
     "cfgctl experiment plan chat-blue experiment/warm latency_ms:decrease control=off effect=2 baseline=41.5:12 "
     "rate=900",
     0, 4, 32, cmd_experiment_plan},
    {"experiment report", NULL, "NAME", "what an experiment says so far; looking never spoils it",
     "cfgctl experiment report warm -w\n"
     "cfgctl experiment report warm -o json | jq -r .verdict",
     CLI_BIT(FOLLOW), 1, 1, cmd_experiment_report},
    {"experiment stop", NULL, "NAME", "end an experiment and keep what it says",
     "cfgctl experiment stop warm -m 'on is better'", CLI_BIT(MESSAGE) | CLI_BIT(DRY_RUN) | CLI_BIT(FORCE), 1, 1,
     cmd_experiment_stop},
    {"experiment list", NULL, "", "all experiments, running and stopped", "cfgctl experiment list", 0, 0, 0,
     cmd_experiment_list},
    {"backup", NULL, "FILE", "write everything to a file (- is standard output)",
     "cfgctl backup configd.backup\n"
     "cfgctl backup - | zstd > configd.zst",
     0, 1, 1, cmd_backup},
    {"restore", NULL, "FILE", "replace everything by a backup; workers take whole views again",
     "cfgctl restore configd.backup\n"
     "cfgctl restore configd.backup --force         # without a question",
     CLI_BIT(FORCE), 1, 1, cmd_restore},
    {"version", NULL, "", "show the versions of cfgctl and of the server", "cfgctl version", 0, 0, 0, cmd_version},
    {"token create", NULL, "--subject NAME --role ROLE", "make a token and its entry for the server's token file",
     "cfgctl token create --subject alice --role writer --namespaces 'chat,train-*'\n"
     "cfgctl token create --subject blue-workers --role worker --deployment chat-blue",
     CLI_BIT(SUBJECT) | CLI_BIT(ROLE) | CLI_BIT(NAMESPACES) | CLI_BIT(DEPLOYMENT), 0, 0, cmd_token_create},
    {"completion", NULL, "bash|zsh|fish | names KIND…", "print a completion script for a shell, or the names it offers",
     "source <(cfgctl completion bash)\n"
     "cfgctl completion fish > ~/.config/fish/completions/cfgctl.fish",
     0, 1, 4, cmd_completion},
    {"help", NULL, "[COMMAND… | exit-codes]", "show help",
     "cfgctl help set\n"
     "cfgctl help exit-codes",
     0, 0, 2, cmd_help},
};
const size_t cli_n_commands = sizeof cli_commands / sizeof cli_commands[0];
