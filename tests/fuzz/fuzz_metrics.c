/* What others say of their steps: a step's JSON, read by the scanner inside a step; and a histogram or moments out of a
 * report. What is taken is within its bounds, and printed and read again it is the same. */
#include "proto/histogram.h"
#include "proto/moments.h"
#include "worker/metrics.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_scan(struct cfg_slice text)
{
    static struct cfg_metric_names names; /* kept: they fill up, as those of a worker do */
    struct cfg_metric_batch b;
    unsigned complaints = 0;
    bool exact = false;
    bool ok = cfg_metrics_scan(&b, &exact, text, &names, &complaints);
    uint32_t known = atomic_load(&names.n);
    if (known > CFG_METRICS_MAX || b.n > CFG_METRICS_MAX || (!ok && b.n > 0) ||
        ok == ((complaints & CFG_METRICS_BAD_JSON) != 0))
        abort();
    for (uint32_t i = 0; i < b.n; i++)
        if (b.items[i].index >= known ||
            !cfg_label_ok(names.items[b.items[i].index], strlen(names.items[b.items[i].index])))
            abort();
    if (known == CFG_METRICS_MAX)
        memset(&names, 0, sizeof names);
}

static cJSON *again(struct cfg_buf *text)
{
    cJSON *v = NULL;
    if (cfg_buf_status(text) != 0 || cfg_json_parse(&v, cfg_buf_slice(text), 0, NULL) != 0)
        abort();
    return v;
}

static void check_parsers(const cJSON *v)
{
    static struct cfg_histogram h, same;
    struct cfg_moments m, back;
    struct cfg_buf text;
    cJSON *printed = NULL;
    cfg_buf_init(&text, 1 << 20);
    if (cfg_histogram_parse(&h, v, NULL) == 0) {
        cfg_histogram_print(&text, &h);
        printed = again(&text);
        if (cfg_histogram_parse(&same, printed, NULL) != 0 || memcmp(&h, &same, sizeof h) != 0)
            abort();
        (void)cfg_histogram_quantile(&h, 0.99); /* any answer will do */
        cJSON_Delete(printed);
        cfg_buf_clear(&text);
    }
    if (cfg_moments_parse(&m, v, NULL) == 0) {
        cfg_moments_merge(&m, &m);
        cfg_moments_print(&text, &m);
        printed = again(&text);
        if (m.n > 0 && !(m.min <= m.mean && m.mean <= m.max))
            abort();
        if (cfg_moments_parse(&back, printed, NULL) == 0 && (back.n != m.n || back.bad != m.bad))
            abort();
        cJSON_Delete(printed);
    }
    cfg_buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cfg_slice text = {(const char *)bytes, n};
    cJSON *v = NULL;
    check_scan(text);
    if (cfg_json_parse(&v, text, 0, NULL) == 0)
        check_parsers(v);
    cJSON_Delete(v);
    return 0;
}
