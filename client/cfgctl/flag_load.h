/* What the commands that evaluate flags need first: the flags, of a file or of the server, and who asks. */
#ifndef CFG_CFGCTL_FLAG_LOAD_H
#define CFG_CFGCTL_FLAG_LOAD_H

#include "client/cfgctl/cli.h"
#include "client/cfgctl/flag_ask.h"
#include "proto/limits.h"

/* The flags of a namespace as they are kept, {"namespace","revision","flags":{NAME:{envelope, "version"}},"evaluators",
 * "metadata"}. Returned-owned. */
CFG_MUST_CHECK int flag_fetch_space(struct cli *c, const char *ns, cJSON **out, struct cfg_error *err);
/* Its shared rules and metadata, {"evaluators","metadata","version"}: version 0 and empty when there are none. */
CFG_MUST_CHECK int flag_fetch_shared(struct cli *c, const char *ns, cJSON **out, struct cfg_error *err);
/* A file of JSON, or of YAML by its name; "-" is standard input. lenient: what other programs write is taken too, as
 * cfg_json_parse_lenient says; never for what is to be stored. */
CFG_MUST_CHECK int flag_read_file(cJSON **out, const char *name, bool lenient, struct cfg_error *err);

/* One flag among its kind, ready to be asked. */
struct flag_loaded {
    cJSON *document; /* owned: a flagd document, or one of flag_fetch_space */
    struct cfg_flag_set *set;
    char name[CFG_LIMIT_PATH + 1];
    cJSON *fallback, *context; /* owned; NULL: none given */
    enum cfg_flag_type type;
    int64_t now;
    bool served; /* by configd; false: read from a file */
};
/* By the line's words and options: NS/NAME of the server, or --file F --flag NAME; --type, --default, --context, --at.
 * Finish it after success. */
CFG_MUST_CHECK int flag_load(struct flag_loaded *out, struct cli *c, struct cfg_error *err);
void flag_loaded_finish(struct flag_loaded *l);
/* --at, or the clock: seconds since 1970. */
CFG_MUST_CHECK int flag_read_time(const struct cli *c, int64_t *out, struct cfg_error *err);
/* As configd and workers answer, where configd serves the flag: TARGETING_KEY_MISSING when the answer depends on a
 * targeting key that the context lacks. Flags of a file answer as flagd does, the default variant; then standard error
 * says what OFREP would. */
struct flag_answer flag_loaded_ask(const struct flag_loaded *l, const struct cfg_flag_explain *explain);
/* The flag's envelope or definition in the document, borrowed; NULL when there is none. */
const cJSON *flag_loaded_find(const struct flag_loaded *l);
/* Adds the nearest name to FLAG_NOT_FOUND: borrowed from the document, or NULL. */
const char *flag_near_name(const cJSON *flags, const char *name);
/* An object of flags by name, inside whatever form a document has. */
const cJSON *flag_members(const cJSON *document);

#endif
