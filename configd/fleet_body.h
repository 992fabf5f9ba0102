/* What the fleet's files share about JSON: members of bodies checked, replies put together. Pure. */
#ifndef CFG_CONFIGD_FLEET_BODY_H
#define CFG_CONFIGD_FLEET_BODY_H

#include "proto/json.h"

enum { FLEET_KEPT_MAX = 256 * 1024 }; /* bytes of labels, metrics, rejects, … of one worker */

/* Fills *err with "KEY must be MUST" and the path; CFG_E_INVALID. */
int fleet_invalid(struct cfg_error *err, const char *key, const char *must);
/* Members of a body that may be absent. CFG_E_INVALID with the path. */
CFG_MUST_CHECK int fleet_check_text(const cJSON *body, const char *key,
                                    struct cfg_error *err); /* ≤ 255 bytes; null too */
CFG_MUST_CHECK int fleet_check_count(const cJSON *body, const char *key, struct cfg_error *err);
CFG_MUST_CHECK int fleet_check_kind(const cJSON *body, const char *key, bool object, struct cfg_error *err);

/* As compact text of exactly its size, returned-owned; NULL without memory or beyond FLEET_KEPT_MAX. */
char *fleet_print(const cJSON *v);
/* What fleet_print made; NULL when there is nothing. Returned-owned. */
cJSON *fleet_parse(const char *text);

/* A reply being built: what has no memory makes all of it fail, at the end. */
struct fleet_reply {
    bool failed;
};
/* Adds a member; value is consumed, NULL: no memory. o NULL: dropped, the reply fails. */
void fleet_put(struct fleet_reply *r, cJSON *o, const char *key, cJSON *value);
void fleet_put_text(struct fleet_reply *r, cJSON *o, const char *key, const char *text);
void fleet_put_number(struct fleet_reply *r, cJSON *o, const char *key, double n);
void fleet_put_bool(struct fleet_reply *r, cJSON *o, const char *key, bool b);
/* A copy of `from`'s member, or what `otherwise` makes where there is none. */
void fleet_put_copy(struct fleet_reply *r, cJSON *o, const char *key, const cJSON *from, cJSON *(*otherwise)(void));
/* A new object at the end of the array, or array or object as a member; borrowed, NULL without memory. */
cJSON *fleet_add_entry(struct fleet_reply *r, cJSON *array);
void fleet_add_text(struct fleet_reply *r, cJSON *array, const char *text);
cJSON *fleet_put_array(struct fleet_reply *r, cJSON *o, const char *key);
cJSON *fleet_put_object(struct fleet_reply *r, cJSON *o, const char *key);
/* The whole, or NULL (and it is freed) where something failed. */
cJSON *fleet_finish(const struct fleet_reply *r, cJSON *whole);

#endif
