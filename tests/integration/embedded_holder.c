/* Holds an embedded etcd until it is killed: embedded_holder DIR BINARY. Prints the child's process id. */
#include "configd/embedded.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct cfg_loop *loop;
    struct cfg_embedded *e;
    struct cfg_error err = CFG_ERROR_INIT;
    if (argc != 3)
        return 2;
    const struct cfg_embedded_options o = {.dir = argv[1], .etcd_binary = argv[2]};
    if (cfg_loop_new(&loop, &err) != 0 || cfg_embedded_start(&e, loop, &o, &err) != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)printf("child %d\n", cfg_embedded_pid(e));
    (void)fflush(stdout);
    cfg_loop_run(loop);
    return 0;
}
