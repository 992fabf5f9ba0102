/* One suite for every implementation of a group: collectives with a thread per rank, and failures with a process per
 * rank, which can be killed and stopped. A program that has the suite in it says what it runs on. */
#ifndef CFG_TEST_WORKER_GROUP_SUITE_H
#define CFG_TEST_WORKER_GROUP_SUITE_H

#include "worker/group.h"

#include <sys/types.h>

enum { WORLD = 4, FORM_MS = 20000 };

struct suite {
    void (*prepare)(void);  /* before ranks of a new group are made */
    uint32_t (*most)(void); /* how many ranks there can be here, at most */
    struct cfg_group *(*make)(uint32_t rank, uint32_t world, unsigned deadline_ms);
};
extern const struct suite suite_here; /* the program's */

/* A world of threads: lives, rounds, broadcasts. */
void suite_all_live(const struct suite *kind, uint32_t world);

/* A rank in a process of its own, which says what it sees. */
struct child {
    pid_t pid;
    int out;
    char text[1024];
};
/* It forms ("formed", or why not), runs rounds ("running" after a few) until one fails, says why, and forms again:
 * `lives` times. slow: it comes late to a round of its first life. */
struct child suite_start(uint32_t rank, uint32_t world, bool slow, int lives);
/* Reads until the child has said `text`; asserts that it does. */
void suite_expect(struct child *c, const char *text);
void suite_finish(struct child *c);

#endif
