/* A positive control: a Criterion program without any test exits 0; our harness must call that a failure. */
#include <criterion/criterion.h>
