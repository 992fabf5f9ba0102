/* See stops.h. */
#include "worker/cfg-infer/stops.h"
#include "worker/cfg-infer/text.h"
#include <string.h>

static int refuse(struct cfg_error *err, const char *name, const char *why)
{
    (void)cfg_fail(err, CFG_E_INVALID, "%s: %s", name, why);
    cfg_error_set_path(err, "%s", name);
    return CFG_E_INVALID;
}

static int add(struct cfg_stops *out, const cJSON *v, const char *name, struct cfg_error *err)
{
    unsigned char bytes[CFG_STOP_BYTES];
    if (!cJSON_IsString(v)) {
        return refuse(err, name, "expected a string or an array of at most 4 strings");
    }
    if (out->n == CFG_STOPS_MAX) {
        return refuse(err, name, "at most 4 stop sequences");
    }
    size_t len = cfg_text_bytes(bytes, sizeof bytes, v->valuestring);
    if (len == 0 || len > sizeof bytes) {
        return refuse(err, name, "a stop sequence has 1 to 128 bytes");
    }
    memcpy(out->of[out->n].bytes, bytes, len);
    out->of[out->n++].len = (unsigned)len;
    return 0;
}

int cfg_stops_read(struct cfg_stops *out, const cJSON *v, const char *name, struct cfg_error *err)
{
    struct cfg_stops s;
    int rc = 0;
    memset(&s, 0, sizeof s);
    if (cJSON_IsArray(v)) {
        const cJSON *each;
        cJSON_ArrayForEach(each, v)
        {
            rc = rc != 0 ? rc : add(&s, each, name, err);
        }
    } else if (v != NULL && !cJSON_IsNull(v)) {
        rc = add(&s, v, name, err);
    }
    if (rc == 0) {
        *out = s;
    }
    return rc;
}

unsigned cfg_stops_match(const struct cfg_stops *s, const unsigned char *text, size_t len)
{
    unsigned longest = 0;
    for (unsigned i = 0; i < s->n; i++) {
        unsigned n = s->of[i].len;
        if (n <= len && n > longest && memcmp(text + len - n, s->of[i].bytes, n) == 0) {
            longest = n;
        }
    }
    return longest;
}

unsigned cfg_stops_hold(const struct cfg_stops *s, const unsigned char *text, size_t len)
{
    unsigned held = 0;
    for (unsigned i = 0; i < s->n; i++) {
        unsigned n = s->of[i].len - 1 < len ? s->of[i].len - 1 : (unsigned)len;
        while (n > held && memcmp(text + len - n, s->of[i].bytes, n) != 0) {
            n--;
        }
        held = n > held ? n : held;
    }
    return held;
}
