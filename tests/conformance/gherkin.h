/* As much of Gherkin as flagd's feature files use: tags, a background, scenarios, outlines with several tables of
 * examples, and steps with a table. Every example becomes a case with its values put in. */
#ifndef CFG_TESTS_CONFORMANCE_GHERKIN_H
#define CFG_TESTS_CONFORMANCE_GHERKIN_H

#include "proto/buf.h"

enum { GHERKIN_STEPS = 24, GHERKIN_ROWS = 16, GHERKIN_CELLS = 16 };

struct gherkin_row {
    char *cells[GHERKIN_CELLS];
    unsigned n;
};

struct gherkin_step {
    char *text; /* without Given, When, Then, And */
    struct gherkin_row rows[GHERKIN_ROWS];
    unsigned n_rows;
};

struct gherkin_case {
    char *name; /* the scenario's, and the values of its example */
    char *tags; /* "@a @b": of the feature, the scenario and the examples */
    struct gherkin_step steps[GHERKIN_STEPS];
    unsigned n_steps;
};

typedef void (*gherkin_fn)(void *user, const struct gherkin_case *c);

/* Calls fn with every case of a feature file. False when the text has more of something than the limits above. */
bool gherkin_run(struct cfg_slice text, gherkin_fn fn, void *user);

#endif
