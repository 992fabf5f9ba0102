/* The heap of deadlines against a list that is searched from end to end. */
#include "proto/heap.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { NODES = 200, TURNS = 20000 };

static struct cfg_heap_node nodes[NODES];
static uint64_t model[NODES]; /* CFG_HEAP_NEVER: not in */

static uint64_t earliest(void)
{
    uint64_t due = CFG_HEAP_NEVER;
    for (size_t i = 0; i < NODES; i++)
        due = model[i] < due ? model[i] : due;
    return due;
}

Test(heap, any_order_of_setting_moving_and_taking_out)
{
    struct cfg_heap h = {0};
    unsigned seed = 7;
    cr_assert_eq(cfg_heap_reserve(&h, NODES), 0);
    for (size_t i = 0; i < NODES; i++)
        model[i] = CFG_HEAP_NEVER;
    for (int turn = 0; turn < TURNS; turn++) {
        size_t i = (size_t)rand_r(&seed) % NODES;
        int what = rand_r(&seed) % 8;
        uint64_t due = (uint64_t)rand_r(&seed) % 1000;
        if (what == 0) {
            cfg_heap_remove(&h, &nodes[i]);
            model[i] = CFG_HEAP_NEVER;
        } else if (what < 3) {
            struct cfg_heap_node *first = cfg_heap_pop(&h, due);
            cr_assert_eq(first != NULL, earliest() <= due, "turn %d", turn);
            if (first != NULL) {
                cr_assert_eq(first->due, earliest(), "turn %d", turn);
                model[first - nodes] = CFG_HEAP_NEVER;
            }
        } else {
            cfg_heap_set(&h, &nodes[i], due);
            model[i] = due;
        }
        cr_assert_eq(cfg_heap_due(&h), earliest(), "turn %d", turn);
        cr_assert_eq(nodes[i].at != 0, model[i] != CFG_HEAP_NEVER, "turn %d", turn);
    }
    cfg_heap_finish(&h);
}

Test(heap, an_empty_one_has_nothing_to_give)
{
    struct cfg_heap h = {0};
    struct cfg_heap_node node = {0};
    cr_assert_null(cfg_heap_pop(&h, CFG_HEAP_NEVER));
    cr_assert_eq(cfg_heap_due(&h), CFG_HEAP_NEVER);
    cfg_heap_remove(&h, &node);
    cr_assert_eq(cfg_heap_reserve(&h, 0), 0);
    cfg_heap_finish(&h);
}
