/* The three-way decision, over every combination of what a file says, what it said last and what is served. */
#include "client/cfgctl/reconcile.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* 'a', 'b', 'c': three different bodies; '-': none. */
static cJSON *body(char c)
{
    return c == '-' ? NULL : cJSON_CreateNumber(c);
}

static enum reconcile_action decide(const char *states, struct reconcile_state s)
{
    cJSON *file = body(states[0]), *last = body(states[1]), *head = body(states[2]);
    s.file = file;
    s.last = last;
    s.head = head;
    enum reconcile_action a = reconcile_decide(&s);
    cJSON_Delete(file);
    cJSON_Delete(last);
    cJSON_Delete(head);
    return a;
}

#define IS(states, action, ...)                                                                         \
    do {                                                                                                \
        enum reconcile_action is = decide(states, (struct reconcile_state){__VA_ARGS__});               \
        cr_assert_eq(is, action, "%s: %s, not %s", states, reconcile_name(is), reconcile_name(action)); \
    } while (0)

/* states: file, last, head */
Test(reconcile, a_file_that_is_served_writes_nothing)
{
    IS("a-a", RECONCILE_SAME, .known = false);
    IS("aaa", RECONCILE_SAME, .known = true);
    IS("aba", RECONCILE_SAME, .known = true);
    IS("aba", RECONCILE_SAME, .known = true, .take = true);
    IS("a-a", RECONCILE_SAME, .known = true, .prune = true);
}

Test(reconcile, a_changed_file_is_written_over_what_it_left)
{
    IS("a--", RECONCILE_CREATE, .known = false);
    IS("a--", RECONCILE_CREATE, .known = true); /* the files deleted it, and have it again */
    IS("abb", RECONCILE_UPDATE, .known = true);
}

Test(reconcile, what_others_did_is_not_overwritten)
{
    IS("aab", RECONCILE_DRIFT, .known = true);
    IS("abc", RECONCILE_CLASH, .known = true);
    IS("aa-", RECONCILE_REMOVED, .known = true);
    IS("ab-", RECONCILE_REMOVED, .known = true);
    IS("a-b", RECONCILE_FOREIGN, .known = false);
    IS("a-b", RECONCILE_FOREIGN, .known = true); /* the files deleted it, somebody made it again */
}

Test(reconcile, take_overwrites)
{
    IS("aab", RECONCILE_UPDATE, .known = true, .take = true);
    IS("abc", RECONCILE_UPDATE, .known = true, .take = true);
    IS("aa-", RECONCILE_CREATE, .known = true, .take = true);
    IS("a-b", RECONCILE_UPDATE, .known = false, .take = true);
}

Test(reconcile, only_what_the_files_made_is_pruned)
{
    IS("--a", RECONCILE_NONE, .prune = true);
    IS("-aa", RECONCILE_NONE, .known = true, .prune = true, .take = true);
    IS("---", RECONCILE_NONE, .known = true, .owned = true, .prune = true);
    IS("-a-", RECONCILE_NONE, .known = true, .owned = true, .prune = true);
    IS("-aa", RECONCILE_LEFT, .known = true, .owned = true);
    IS("-aa", RECONCILE_DELETE, .known = true, .owned = true, .prune = true);
    IS("-ab", RECONCILE_DRIFT, .known = true, .owned = true, .prune = true);
    IS("-ab", RECONCILE_DELETE, .known = true, .owned = true, .prune = true, .take = true);
}

Test(reconcile, an_action_writes_or_conflicts_never_both)
{
    unsigned writes = 0, conflicts = 0;
    for (int a = RECONCILE_NONE; a <= RECONCILE_FOREIGN; a++) {
        enum reconcile_action action = (enum reconcile_action)a;
        cr_assert(!(reconcile_writes(action) && reconcile_conflicts(action)));
        writes += reconcile_writes(action);
        conflicts += reconcile_conflicts(action);
        cr_assert_not_null(reconcile_name(action));
    }
    cr_assert_eq(writes, 3);
    cr_assert_eq(conflicts, 4);
    cr_assert_str_eq(reconcile_name(RECONCILE_FOREIGN), "foreign");
}

/* Whatever the options, a file that nobody else touched wins, and --take never conflicts. */
Test(reconcile, holds_over_all_combinations)
{
    static const char bodies[] = "-abc";
    for (int n = 0; n < 4 * 4 * 4 * 16; n++) {
        const char states[] = {bodies[n / 64 % 4], bodies[n / 256 % 4], bodies[n / 16 % 4], '\0'};
        const struct reconcile_state s = {
            .known = (n & 1) != 0, .owned = (n & 2) != 0, .prune = (n & 4) != 0, .take = (n & 8) != 0};
        enum reconcile_action a = decide(states, s);
        if (s.take)
            cr_assert(!reconcile_conflicts(a), "%s", states);
        if (states[0] != '-' && states[0] == states[2])
            cr_assert_eq(a, RECONCILE_SAME, "%s", states);
        if (states[0] == '-')
            cr_assert(a != RECONCILE_CREATE && a != RECONCILE_UPDATE, "%s", states);
        if (a == RECONCILE_DELETE)
            cr_assert(s.prune && s.owned && states[2] != '-', "%s", states);
    }
}
