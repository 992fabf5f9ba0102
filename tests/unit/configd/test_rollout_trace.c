/* What guards saw, thinned out and told. */
#include "configd/rollout_trace.h"
#include "proto/json.h"

#include <criterion/criterion.h>

static struct cfg_rollout r;
static struct cfg_rollout_verdict v;
static struct cfg_rollout_trace t;

static void setup(void)
{
    cr_assert_eq(cfg_rollout_guard_new(&r.guards[0], "readable>0.98*base", NULL), 0);
    cr_assert_eq(cfg_rollout_guard_new(&r.guards[1], "error<1%", NULL), 0);
    r.n_guards = 2;
}

static void teardown(void)
{
    cfg_rollout_guard_free(r.guards[0]);
    cfg_rollout_guard_free(r.guards[1]);
}

TestSuite(trace, .init = setup, .fini = teardown);

static void look(uint64_t ms, double canary, double base)
{
    v.readings[0] = (struct cfg_guard_reading){.has_canary = true, .has_base = true, .canary = canary, .base = base};
    cfg_rollout_trace_add(&t, 7, &r, &v, ms);
}

static void told(const char *want, uint64_t version, uint64_t now_ms)
{
    struct cfg_buf b;
    cJSON *json = cfg_rollout_trace_json(&t, version, &r, now_ms);
    cfg_buf_init(&b, 65536);
    if (json)
        cfg_json_print(&b, json);
    cr_assert_str_eq(b.len > 0 ? b.data : "nothing", want);
    cfg_buf_finish(&b);
    cJSON_Delete(json);
}

Test(trace, what_the_guards_saw)
{
    told("nothing", 0, 0);
    cfg_rollout_trace_add(&t, 7, &r, &v, 1000); /* no guard has a value */
    told("nothing", 7, 1000);
    look(2000, 0.9712345678, 0.98);
    look(2100, 0.5, 0.5); /* too soon */
    v.readings[1] = (struct cfg_guard_reading){.has_canary = true, .canary = 0.25};
    look(2500, 0.9, 0.98);
    told("{\"ms\":[-1000,-500],\"guards\":[{\"guard\":\"readable>0.98*base\",\"canary\":[0.971235,0.9],\"base\":[0.98,"
         "0.98]},"
         "{\"guard\":\"error<1%\",\"canary\":[null,0.25],\"base\":[null,null]}]}",
         7, 3000);
    told("nothing", 8, 3000); /* a decision later */
    cfg_rollout_trace_add(&t, 8, &r, &v, 3500);
    told("{\"ms\":[0],\"guards\":[{\"guard\":\"readable>0.98*base\",\"canary\":[0.9],\"base\":[0.98]},"
         "{\"guard\":\"error<1%\",\"canary\":[0.25],\"base\":[null]}]}",
         8, 3500);
}

Test(trace, a_long_wait_keeps_its_beginning_and_its_end)
{
    for (uint64_t i = 0; i < 10000; i++)
        look(500 * i, (double)i, 0);
    cr_assert(t.n > CFG_TRACE_POINTS / 2 && t.n <= CFG_TRACE_POINTS, "%zu", t.n);
    cr_assert_eq(t.points[0].ms, 0U);
    cr_assert_gt(t.points[t.n - 1].ms, 9700U * 500);
    uint64_t mean = t.points[t.n - 1].ms / (t.n - 1);
    for (size_t i = 1; i < t.n; i++) { /* about evenly, and each with its own value */
        uint64_t gap = t.points[i].ms - t.points[i - 1].ms;
        cr_assert(gap > mean / 2 && gap < 2 * mean, "%llu of %llu", (unsigned long long)gap, (unsigned long long)mean);
        cr_assert_float_eq(t.points[i].canary[0], (double)t.points[i].ms / 500, 0);
    }
}
