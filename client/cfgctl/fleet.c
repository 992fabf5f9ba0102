#include "client/cfgctl/fleet.h"
#include "client/cfgctl/peer.h"
#include "client/url.h"

#include <string.h>

enum { PEER_TIMEOUT_MS = 500 };

static bool has_worker(const cJSON *workers, const char *key, const char *value)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, workers)
    {
        if (strcmp(cfg_json_get_str(w, key, ""), value) == 0)
            return true;
    }
    return false;
}

static void set_number(cJSON *o, const char *key, double n)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    (void)cJSON_AddNumberToObject(o, key, n); /* without memory: read as 0 */
}

static void recount(cJSON *fleet)
{
    int converged = 0, total = 0;
    const cJSON *w;
    cJSON_ArrayForEach(w, cfg_json_get(fleet, "workers"))
    {
        converged += cfg_json_get_bool(w, "converged", false);
        total += cfg_json_get_bool(w, "connected", true);
    }
    set_number(fleet, "converged", converged);
    set_number(fleet, "total", total);
}

void fleet_merge(cJSON *fleet, cJSON *other)
{
    cJSON *into = cfg_json_get(fleet, "workers"), *from = cfg_json_get(other, "workers"), *w;
    while (into && from && (w = cJSON_DetachItemFromArray(from, 0)) != NULL)
        if (has_worker(into, "incarnation", cfg_json_get_str(w, "incarnation", "")) || !cJSON_AddItemToArray(into, w))
            cJSON_Delete(w);
    cJSON_Delete(other);
    recount(fleet);
}

/* A replica whose workers are in the list already is the one that answered. */
static void ask_others(struct cli *c, const char *path, cJSON *fleet)
{
    double unasked = 0;
    const cJSON *replica;
    cJSON_ArrayForEach(replica, cfg_json_get(fleet, "replicas"))
    {
        double n = cfg_json_get_num(replica, "workers", 0);
        const char *url = cfg_json_get_str(replica, "url", "");
        cJSON *other = NULL;
        if (n == 0 || has_worker(cfg_json_get(fleet, "workers"), "replica", cfg_json_get_str(replica, "replica", "")))
            continue;
        if (url[0] && peer_get(c, url, path, PEER_TIMEOUT_MS, &other, NULL) == 0)
            fleet_merge(fleet, other);
        else
            unasked += n;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(fleet, "partial");
    (void)cJSON_AddBoolToObject(fleet, "partial", unasked > 0); /* without memory: read as false */
    set_number(fleet, "unasked", unasked);
}

int fleet_fetch(struct cli *c, const char *deployment, cJSON **out, struct cfg_error *err)
{
    struct cfg_buf path;
    cfg_buf_init(&path, 1024);
    cfg_url_format(&path, "/v1/deployments/*/workers", deployment);
    cJSON *fleet = NULL;
    int rc = cfg_buf_status(&path) == 0 ? cli_get(c, path.data, &fleet, err) : cli_no_memory(err);
    if (rc == 0 && cfg_json_get_bool(fleet, "partial", false))
        ask_others(c, path.data, fleet);
    cfg_buf_finish(&path);
    if (rc == 0)
        *out = fleet;
    return rc;
}
