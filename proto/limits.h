/* Limits on everything a peer controls, in one place. Each has its own clear error where it is enforced. */
#ifndef CFG_PROTO_LIMITS_H
#define CFG_PROTO_LIMITS_H

enum {
    CFG_LIMIT_NAME = 63,                       /* bytes of a namespace, deployment or worker-group name (a DNS label) */
    CFG_LIMIT_FLAG_NAME = 255,                 /* bytes of a flag name */
    CFG_LIMIT_PATH = 512,                      /* bytes of a dotted path */
    CFG_LIMIT_DEPTH = 64,                      /* nesting of a JSON document */
    CFG_LIMIT_DOCUMENT = 512 * 1024,           /* bytes of a document, compact */
    CFG_LIMIT_FLAG = 64 * 1024,                /* bytes of a flag definition, compact */
    CFG_LIMIT_MESSAGE = 4 * 1024,              /* bytes of a change message */
    CFG_LIMIT_CHANGE_OBJECTS = 60,             /* objects in one change: 2 puts each, etcd takes 128 operations */
    CFG_LIMIT_CHANGE_BYTES = 1400 * 1024,      /* bytes of one transaction, etcd takes 1.5 MiB */
    CFG_LIMIT_BODY = 2 * 1024 * 1024,          /* bytes of an HTTP request body */
    CFG_LIMIT_RESTORE = 256 * 1024 * 1024,     /* bytes of a backup that is restored, one at a time */
    CFG_LIMIT_HEADERS = 32 * 1024,             /* bytes of HTTP request headers */
    CFG_LIMIT_EVENT = 4 * 1024 * 1024,         /* bytes of one stream event a client accepts */
    CFG_LIMIT_GATEWAY_LINE = 64 * 1024 * 1024, /* bytes of one line of an etcd watch reply */
    CFG_LIMIT_EXTENDS = 16,                    /* bases that one namespace names */
    CFG_LIMIT_LAYERS = 32,                     /* namespaces of a release: itself and every base, however far below */
    CFG_LIMIT_EXTENDS_DEPTH = 16,              /* of a chain of bases */
    CFG_LIMIT_CONTRACT = 4096,                 /* parameters a worker declares */
};

#endif
