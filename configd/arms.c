#include "configd/arms.h"
#include "proto/digest.h"
#include "proto/path.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    POINT_DIGITS = 13,     /* hexadecimal digits of the digest: 52 bits, which a double holds exactly */
    KEY_MAX = 1024,        /* bytes of seed and key together; ids and labels are shorter */
    STEPS_PER_ONE = 10000, /* shares are told in hundredths of a per cent */
};

static int no_memory(struct cfg_error *err)
{
    return cfg_fail(err, CFG_E_NOMEM, "out of memory");
}

static int bad(struct cfg_error *err, const char *path, const char *must)
{
    (void)cfg_fail(err, CFG_E_VALUE, "%s must be %s", path, must);
    cfg_error_set_path(err, "%s", path);
    return CFG_E_VALUE;
}

/* --- records --- */

/* One label's values; appended to `where`. */
static int read_label(cJSON *where, const cJSON *label, struct cfg_error *err)
{
    const char *must = "a label's value, or a list of them: {\"region\":[\"eu\",\"us\"]}";
    bool list = cJSON_IsArray(label);
    if (label->string == NULL || label->string[0] == '\0' || strlen(label->string) > CFG_SPLIT_LABEL ||
        (!list && !cJSON_IsString(label)) || (list && label->child == NULL) ||
        cJSON_GetArraySize(label) > CFG_SPLIT_VALUES_MAX)
        return bad(err, "where", must);
    cJSON *values = cJSON_AddArrayToObject(where, label->string);
    for (const cJSON *v = list ? label->child : label; v; v = list ? v->next : NULL) {
        if (!cJSON_IsString(v))
            return bad(err, "where", must);
        if (values == NULL || !cJSON_AddItemToArray(values, cJSON_CreateString(v->valuestring)))
            return no_memory(err);
    }
    return 0;
}

int cfg_split_read_where(cJSON **out, const cJSON *where, struct cfg_error *err)
{
    if (where == NULL || cJSON_IsNull(where) || (cJSON_IsObject(where) && where->child == NULL)) {
        *out = NULL;
        return 0;
    }
    if (!cJSON_IsObject(where) || cJSON_GetArraySize(where) > CFG_SPLIT_LABELS_MAX)
        return bad(err, "where", "an object of at most 16 labels");
    cJSON *copy = cJSON_CreateObject();
    int rc = copy ? 0 : no_memory(err);
    const cJSON *label;
    cJSON_ArrayForEach(label, where)
    {
        rc = rc ? rc : read_label(copy, label, err);
    }
    if (rc != 0)
        cJSON_Delete(copy);
    else
        *out = copy;
    return rc;
}

static int read_members(struct cfg_split *s, const cJSON *object, struct cfg_error *err)
{
    const char *arm = cfg_json_get_str(object, "arm", ""), *seed = cfg_json_get_str(object, "seed", "");
    const char *by = cfg_json_get_str(object, "by", "");
    const cJSON *share = cfg_json_get(object, "share");
    int rc = cfg_check_name("arm", cfg_slice_str(arm), err);
    if (rc != 0)
        return rc;
    size_t digits = strspn(seed, "0123456789abcdef");
    if (digits == 0 || digits > CFG_SPLIT_SEED || seed[digits] != '\0')
        return bad(err, "split.seed", "hexadecimal digits");
    if (!cJSON_IsNumber(share) || !(share->valuedouble >= 0 && share->valuedouble <= 1))
        return bad(err, "split.share", "a number from 0 to 1");
    if (strlen(by) > CFG_SPLIT_LABEL)
        return bad(err, "split.by", "a label's name");
    memcpy(s->arm, arm, strlen(arm) + 1);
    memcpy(s->seed, seed, digits + 1);
    memcpy(s->by, by, strlen(by) + 1);
    s->share = share->valuedouble;
    return cfg_split_read_where(&s->where, cfg_json_get(object, "where"), err);
}

int cfg_split_read(struct cfg_split *out, const cJSON *object, struct cfg_error *err)
{
    struct cfg_split s = {.share = 0};
    int rc = read_members(&s, object, err);
    if (rc == 0)
        *out = s;
    else
        cfg_split_finish(&s);
    return rc;
}

void cfg_split_finish(struct cfg_split *s)
{
    cJSON_Delete(s->where);
    *s = (struct cfg_split){.share = 0};
}

cJSON *cfg_split_json(const struct cfg_split *s)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(o, "arm", s->arm) && cJSON_AddStringToObject(o, "seed", s->seed) &&
              cJSON_AddNumberToObject(o, "share", s->share) &&
              (s->by[0] == '\0' || cJSON_AddStringToObject(o, "by", s->by)) &&
              (s->where == NULL || cfg_json_set(o, "where", cJSON_Duplicate(s->where, true)) == 0);
    if (ok)
        return o;
    cJSON_Delete(o);
    return NULL;
}

/* --- points --- */

static bool matches(const cJSON *where, const cJSON *labels)
{
    const cJSON *wanted, *value;
    cJSON_ArrayForEach(wanted, where)
    {
        const char *has = cfg_json_get_str(labels, wanted->string, NULL);
        bool found = false;
        cJSON_ArrayForEach(value, wanted)
        {
            found = found || (has && strcmp(has, value->valuestring) == 0);
        }
        if (!found)
            return false;
    }
    return true;
}

bool cfg_split_point(double *out, const struct cfg_split *s, const char *group, const cJSON *labels)
{
    char text[KEY_MAX], digest[CFG_DIGEST_TEXT];
    if (s->arm[0] == '\0' || !matches(s->where, labels))
        return false;
    const char *key = s->by[0] ? cfg_json_get_str(labels, s->by, NULL) : group;
    if (key == NULL || key[0] == '\0')
        return false;
    int n = snprintf(text, sizeof text, "%s/%s", s->seed, key);
    size_t len = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
    if (cfg_digest_bytes(digest, (struct cfg_slice){text, len}) != 0)
        return false;
    double bits = 0;
    const char *hex = digest + strlen("sha256:");
    for (size_t i = 0; i < POINT_DIGITS; i++)
        bits = bits * 16 + (double)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    *out = ldexp(bits, -4 * POINT_DIGITS);
    return true;
}

const char *cfg_split_arm(const struct cfg_split *s, const char *group, const cJSON *labels)
{
    double point;
    return cfg_split_point(&point, s, group, labels) && point < s->share ? s->arm : CFG_ARM_BASE;
}

double cfg_split_share_for(double point)
{
    return (floor(point * STEPS_PER_ONE) + 1) / STEPS_PER_ONE;
}
