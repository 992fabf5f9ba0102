/* A program that is started, signalled and waited for: in a process group of its own, with the terminal when it is
 * meant to have it. Whoever starts some has a `struct child_setup` first: the signals that it takes from a descriptor,
 * and what a program must not inherit. One thread. */
#ifndef CFG_CFGCTL_CHILD_H
#define CFG_CFGCTL_CHILD_H

#include <cfg/error.h>
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

enum { CHILD_FILES = 1024 };

struct child_setup {
    sigset_t before;                  /* the mask that a program gets */
    uint64_t files[CHILD_FILES / 64]; /* a bit per descriptor that we were started with: a program gets these */
    bool foreground;                  /* a program gets the terminal when we have it */
};

/* To be called before anything is opened: libraries open descriptors without asking us whether a program may have
 * them. */
void child_note_files(struct child_setup *out);
/* Blocks `signals` and SIGCHLD (which is no longer ignored should it have been: there would be no end to see) and makes
 * *fd, a non-blocking signalfd of them. *fd is to be closed by the caller. CFG_E_IO. */
CFG_MUST_CHECK int child_take_signals(int *fd, struct child_setup *setup, const int *signals, size_t n,
                                      struct cfg_error *err);

struct child {
    pid_t pid;     /* and process group; 0: none */
    bool terminal; /* it has been given the terminal */
};

enum child_event { CHILD_NOTHING, CHILD_ENDED, CHILD_STOPPED };

/* Starts argv[0], searched in PATH, with this environment; it gets SIGTERM should we die. *out is untouched on failure.
 * CFG_E_NOT_FOUND: there is no such program; CFG_E_FORBIDDEN: it cannot be executed; CFG_E_IO. */
CFG_MUST_CHECK int child_start(struct child *out, char *const argv[], char *const envp[],
                               const struct child_setup *setup, struct cfg_error *err);
/* What has become of it, without waiting. On CHILD_ENDED what is left of its group has been killed, the terminal is
 * ours again, c->pid is 0 and *code what a shell would show: its code, or 128 + signal. */
enum child_event child_look(struct child *c, int *code);
void child_signal(const struct child *c, int signal); /* to the program itself; none is fine */
void child_kill(const struct child *c);               /* SIGKILL to its whole group */
void child_take_terminal(struct child *c);            /* it has stopped: the terminal is ours */
void child_give_terminal(struct child *c);            /* and again its own; it continues */

#endif
