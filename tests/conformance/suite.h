/* A conformance suite: how one file of its data is read and judged. cfg-conformance finds the files, counts and
 * reports. To add a suite: write its cfg_suite_fn in suite_<name>.c, declare it here, and name it in the table of
 * main.c. */
#ifndef CFG_TESTS_CONFORMANCE_SUITE_H
#define CFG_TESTS_CONFORMANCE_SUITE_H

#include "proto/json.h"

struct cfg_suite_run {
    const char *file; /* path of the file in hand, below the folder that was given; begins every case's name */
    const char *path; /* the same as it can be opened, for suites whose cases refer to further files */
    unsigned passed, failed, left_out;
};

/* Runs every case of one file. The content is borrowed. */
typedef void (*cfg_suite_fn)(struct cfg_suite_run *run, struct cfg_slice content);

/* One verdict per case. `name` may be "" where a file is one case. */
void cfg_suite_pass(struct cfg_suite_run *run);
void cfg_suite_fail(struct cfg_suite_run *run, const char *name, const char *format, ...) CFG_PRINTF(3, 4);
void cfg_suite_leave_out(struct cfg_suite_run *run, const char *name, const char *format, ...) CFG_PRINTF(3, 4);

/* Appends a file's bytes. False when it cannot be read. */
bool cfg_suite_read(struct cfg_buf *out, const char *path);

/* The value as compact text, returned-owned (free), for messages. Ends the program when memory is out. */
char *cfg_suite_text(const cJSON *v);

/* Is the text that of an array? */
bool cfg_suite_is_array(struct cfg_slice text);
/* The text of the array's next element, borrowed; *i is where to go on, 0 at first. False behind the last. */
bool cfg_suite_element(struct cfg_slice *out, struct cfg_slice array, size_t *i);

void cfg_suite_flagd(struct cfg_suite_run *run, struct cfg_slice content);
void cfg_suite_json_parsing(struct cfg_suite_run *run, struct cfg_slice content);
void cfg_suite_json_patch(struct cfg_suite_run *run, struct cfg_slice content);
void cfg_suite_json_schema(struct cfg_suite_run *run, struct cfg_slice content);
void cfg_suite_hydra(struct cfg_suite_run *run, struct cfg_slice content);
void cfg_suite_omegaconf(struct cfg_suite_run *run, struct cfg_slice content);
void cfg_suite_jsonlogic(struct cfg_suite_run *run, struct cfg_slice content);

#endif
