/* How often adoptions are written to etcd: a few at once, one a second in the long run. */
#include "configd/fleet_runs.h"

#include <criterion/criterion.h>

static unsigned writes(uint64_t *due_ms, uint64_t from_ms, uint64_t until_ms, uint64_t every_ms)
{
    unsigned n = 0;
    for (uint64_t t = from_ms; t < until_ms; t += every_ms)
        n += fleet_runs_may_write(due_ms, t);
    return n;
}

Test(runs, are_written_at_once_until_there_are_too_many)
{
    uint64_t due = 0;
    cr_assert_eq(writes(&due, 5000, 5400, 100), 4u, "four changes within a second are four writes");
    cr_assert_not(fleet_runs_may_write(&due, 5500));
    cr_assert(fleet_runs_may_write(&due, 6000), "a second after the first");
    cr_assert_not(fleet_runs_may_write(&due, 6001));
    cr_assert_eq(writes(&due, 20000, 20400, 100), 4u, "after a pause as at first");
}

Test(runs, are_written_once_a_second_in_the_long_run)
{
    uint64_t due = 0;
    unsigned n = writes(&due, 1000, 1001000, 7);
    cr_assert(n <= 1000 + 4 && n >= 1000, "%u writes in a thousand seconds", n);
}

Test(runs, start_with_a_clock_at_any_time)
{
    uint64_t due = 0;
    cr_assert(fleet_runs_may_write(&due, 1));
    due = 0;
    cr_assert(fleet_runs_may_write(&due, UINT64_MAX / 2));
}
