/* The daemon put together: what there is, who owns it, in which order it starts and stops.
 *
 *    embedded etcd → etcd client → store ← replica → service → hub → fleet → streams → http
 *
 * Everything runs on the one loop. Handlers (api_*.c, stream_http.c) get this struct; each uses the few members its job
 * needs. */
#ifndef CFG_CONFIGD_APP_H
#define CFG_CONFIGD_APP_H

#include "configd/stream_http.h"

struct cfg_embedded;
struct cfg_http;
struct cfg_log;
struct cfg_settings;

struct cfg_app {
    const struct cfg_settings *settings; /* borrowed */
    struct cfg_log *log;                 /* borrowed */
    const struct cfg_clock *clock;
    struct cfg_loop *loop;
    struct cfg_embedded *embedded; /* NULL with --etcd */
    struct cfg_etcd *etcd;
    struct cfg_store *store;
    struct cfg_replica *replica;
    struct cfg_service *service;
    struct cfg_hub *hub;
    struct cfg_fleet *fleet;
    struct cfg_streams *streams;
    struct cfg_http *http;
    char replica_id[CFG_LIMIT_NAME * 2 + 2];
    uint64_t started_ns; /* monotonic */
};

#endif
