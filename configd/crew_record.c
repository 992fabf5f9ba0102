/* What a presence record tells of its workers, as decisions ask for it. */
#include "configd/contract_check.h"

enum { NAMES_MAX = 8 };

static size_t read_names(const char *names[NAMES_MAX], const cJSON *entry)
{
    const cJSON *name;
    size_t n = 0;
    cJSON_ArrayForEach(name, cfg_json_get(entry, "names"))
    {
        if (cJSON_IsString(name) && n < NAMES_MAX)
            names[n++] = name->valuestring;
    }
    return n;
}

static uint64_t count(const cJSON *record, bool *whole)
{
    uint64_t total = 1; /* at least: it has a record */
    *whole = cfg_json_need_u64(record, "workers", &total, NULL) == 0;
    return total;
}

bool cfg_crew_record_each(const char *replica, const cJSON *record,
                          bool (*fn)(const struct cfg_crew_part *part, void *fn_arg), void *fn_arg)
{
    const cJSON *entry, *ceilings = cfg_json_get(record, "ceilings");
    const char *names[NAMES_MAX];
    bool whole, go_on = true;
    uint64_t total = count(record, &whole), told = 0;
    cJSON_ArrayForEach(entry, cfg_json_get(record, "contracts"))
    {
        struct cfg_crew_part part = {.replica = replica, .contract = cfg_json_get(entry, "contract"), .names = names};
        if (!go_on || !cJSON_IsObject(part.contract) || cfg_json_need_u64(entry, "workers", &part.workers, NULL) != 0)
            continue;
        part.n_names = read_names(names, entry);
        told += part.workers;
        go_on = fn(&part, fn_arg);
    }
    if (go_on && ceilings)
        go_on = fn(&(struct cfg_crew_part){.replica = replica, .ceilings = ceilings}, fn_arg);
    if (go_on && (!whole || told < total))
        go_on = fn(&(struct cfg_crew_part){.replica = replica, .unknown = true, .workers = total - told}, fn_arg);
    return go_on;
}

bool cfg_crew_record_skills(const char *replica, const cJSON *record,
                            bool (*fn)(const struct cfg_crew_skills *part, void *fn_arg), void *fn_arg)
{
    const cJSON *entry;
    const char *names[NAMES_MAX];
    bool whole, go_on = true;
    uint64_t total = count(record, &whole), told = 0;
    cJSON_ArrayForEach(entry, cfg_json_get(record, "capabilities"))
    {
        struct cfg_crew_skills s = {.replica = replica, .capabilities = cfg_json_get(entry, "has"), .names = names};
        if (!go_on || !cJSON_IsArray(s.capabilities) || cfg_json_need_u64(entry, "workers", &s.workers, NULL) != 0)
            continue;
        s.n_names = read_names(names, entry);
        told += s.workers;
        go_on = fn(&s, fn_arg);
    }
    if (go_on && (!whole || told < total))
        go_on = fn(
            &(struct cfg_crew_skills){.replica = replica, .unknown = true, .workers = total > told ? total - told : 1},
            fn_arg);
    return go_on;
}
