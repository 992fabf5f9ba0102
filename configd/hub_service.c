/* The hub over the service: its cache of versions and its history. */
#include "configd/hub.h"

static struct cfg_object *service_version(void *arg, const struct cfg_object_id *id, uint64_t version)
{
    return cfg_service_cached_version(arg, id, version);
}

static void service_versions(void *arg, const struct cfg_object_id *id, uint64_t before, unsigned limit,
                             cfg_objects_fn fn, void *fn_arg)
{
    cfg_service_versions(arg, id, before, limit, fn, fn_arg);
}

static void fetched(void *arg, struct cfg_object *object)
{
    (void)object;
    cfg_hub_fetched(arg);
}

int cfg_hub_new(struct cfg_hub **out, struct cfg_loop *loop, struct cfg_store *store, struct cfg_service *service,
                struct cfg_error *err)
{
    struct cfg_hub_history history = {service_version, service_versions, service};
    int rc = cfg_hub_new_with(out, loop, store, &history, err);
    if (rc == 0)
        cfg_service_on_fetched(service, fetched, *out);
    return rc;
}
