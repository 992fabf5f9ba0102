/* A positive control: leaks on purpose. scripts run it as a test that must FAIL; if it passes, leaks no longer fail our
 * tests. */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(planted, leak)
{
    char *volatile p = malloc(64);
    cr_assert_not_null(p);
    p = NULL;
}
