/* Settings: one table of options feeds the reader of flags and environment, --help and docs/configuration.md. Pure. */
#ifndef CFG_CONFIGD_SETTINGS_H
#define CFG_CONFIGD_SETTINGS_H

#include "proto/buf.h"

struct cfg_strings {
    char **items; /* owned */
    size_t n;
};

/* Strings are owned copies; NULL: not set and without a default. */
struct cfg_settings {
    char *listen;
    struct cfg_strings etcd;
    char *etcd_user, *etcd_password_file, *etcd_ca, *etcd_cert, *etcd_key;
    char *embedded_etcd, *etcd_binary;
    char *prefix;
    char *tls_cert, *tls_key, *tokens;
    struct cfg_strings allowed_host;
    char *replica_id, *advertise, *peer_ca;
    char *default_namespace;
    unsigned stream_age_s, heartbeat_s;
    unsigned history_versions, history_days;
    char *log_level, *log_format;
    bool help, version; /* asked for: nothing else was checked */
};

/* Reads argv (without the program's name) and env ("NAME=value", NULL-terminated; CONFIGD_<NAME> for --name). A flag
 * wins over the environment, that over the default. "--name value" and "--name=value"; lists take commas and
 * repetition. CFG_E_INVALID with the option's name, and the nearest known one for an unknown option. */
CFG_MUST_CHECK int cfg_settings_read(struct cfg_settings *out, int argc, const char *const *argv,
                                     const char *const *env, struct cfg_error *err);
void cfg_settings_finish(struct cfg_settings *s); /* takes a zeroed struct */

void cfg_settings_help(struct cfg_buf *out);     /* --help */
void cfg_settings_markdown(struct cfg_buf *out); /* the table of docs/configuration.md */

#endif
