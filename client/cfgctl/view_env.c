/* ${oc.env:…} in a view: configd hands it on, who reads a view resolves it. See view.h. */
#include "client/cfgctl/view.h"
#include "proto/layers.h"
#include "proto/path.h"

#include <stdlib.h>
#include <string.h>

const char *view_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

/* Cheap, and right where it says no. */
static bool may_depend(const cJSON *v)
{
    if (cJSON_IsString(v))
        return strstr(v->valuestring, "oc.env") != NULL;
    for (const cJSON *m = v->child; m; m = m->next)
        if (may_depend(m))
            return true;
    return false;
}

/* Merges the document alone, and resolves it into *out. */
static int resolve(cJSON **out, cJSON *kept, const cJSON *document, const struct cfg_layers_options *o,
                   struct cfg_error *err)
{
    const struct cfg_layer layer = {"the view", document};
    struct cfg_layers *l = NULL;
    int rc = cfg_layers_merge(&l, &layer, 1, o, err);
    if (rc == 0)
        rc = cfg_layers_resolve(out, l, err);
    if (rc == 0 && kept)
        rc = cfg_layers_kept(kept, l, err);
    cfg_layers_free(l);
    return rc;
}

/* The paths of texts that lead to the environment. All others are what configd resolved: it leaves no interpolation but
 * these, so what looks like another one is text. (A text that looks like one of these cannot be told from it.) */
static int find(cJSON *kept, const cJSON *document, struct cfg_error *err)
{
    struct cfg_layers_options o = {.env_mode = CFG_LAYERS_ENV_KEEP, .failures = cJSON_CreateArray()};
    cJSON *unused = NULL;
    int rc = o.failures ? resolve(&unused, kept, document, &o, err) : cli_no_memory(err);
    cJSON_Delete(unused);
    cJSON_Delete(o.failures);
    return rc;
}

static int read_kept(cJSON **out, const cJSON *kept, const cJSON *document, struct cfg_error *err)
{
    const struct cfg_layers_options o = {.env_mode = CFG_LAYERS_ENV_READ, .env = view_environment};
    cJSON *escaped = cJSON_Duplicate(document, true);
    const cJSON *path;
    int rc = escaped ? cfg_layers_escape(escaped, err) : cli_no_memory(err);
    cJSON_ArrayForEach(path, kept)
    {
        const cJSON *text = cfg_path_get(document, path->valuestring);
        cJSON *raw = rc == 0 && text ? cJSON_Duplicate(text, true) : NULL;
        if (rc == 0)
            rc = raw ? cfg_path_set(escaped, path->valuestring, raw, err) : cli_no_memory(err);
    }
    if (rc == 0)
        rc = resolve(out, NULL, escaped, &o, err);
    cJSON_Delete(escaped);
    return rc;
}

mode_t view_file_mode(const cJSON *document)
{
    return may_depend(document) ? 0600 : 0644;
}

int view_read_environment(cJSON **out, const cJSON *document, struct cfg_error *err)
{
    if (!may_depend(document)) {
        cJSON *copy = cJSON_Duplicate(document, true);
        if (copy == NULL)
            return cli_no_memory(err);
        *out = copy;
        return 0;
    }
    cJSON *kept = cJSON_CreateArray();
    int rc = kept ? find(kept, document, err) : cli_no_memory(err);
    if (rc == 0)
        rc = read_kept(out, kept, document, err);
    cJSON_Delete(kept);
    return rc;
}
