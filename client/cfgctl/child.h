/* A program that is started, signalled and waited for: in a process group of its own, with the terminal when we have
 * it. The caller has blocked the signals it takes from a signalfd; the child gets the mask that was before. One thread.
 */
#ifndef CFG_CFGCTL_CHILD_H
#define CFG_CFGCTL_CHILD_H

#include <cfg/error.h>
#include <signal.h>
#include <sys/types.h>

struct child {
    pid_t pid;     /* and process group; 0: none */
    bool terminal; /* it has been given the terminal */
};

enum child_event { CHILD_NOTHING, CHILD_ENDED, CHILD_STOPPED };

/* Starts argv[0], searched in PATH, with this environment and signal mask; it gets SIGTERM should we die. *out is
 * untouched on failure. CFG_E_NOT_FOUND: there is no such program; CFG_E_FORBIDDEN: it cannot be executed; CFG_E_IO. */
CFG_MUST_CHECK int child_start(struct child *out, char *const argv[], char *const envp[], const sigset_t *mask,
                               struct cfg_error *err);
/* What has become of it, without waiting. On CHILD_ENDED what is left of its group has been killed, the terminal is
 * ours again, c->pid is 0 and *code what a shell would show: its code, or 128 + signal. */
enum child_event child_look(struct child *c, int *code);
void child_signal(const struct child *c, int signal); /* to the program itself; none is fine */
void child_kill(const struct child *c);               /* SIGKILL to its whole group */
void child_take_terminal(struct child *c);            /* it has stopped: the terminal is ours */
void child_give_terminal(struct child *c);            /* and again its own; it continues */

#endif
