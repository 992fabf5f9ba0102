/* cfgctl: the operator's hand. */
#include "client/cfgctl/commands.h"
#include "client/cfgctl/refusal.h"

#include <stdio.h>

/* A result that could not be written is no result. */
static int finish_output(int rc, struct cfg_error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return cfg_fail(err, CFG_E_IO, "cannot write the result");
    return rc;
}

static int run(struct cli *c, struct cfg_error *err)
{
    if (cli_has(c, OPT_HELP)) {
        help_print(c->command, c->topic, stdout);
        return 0;
    }
    if (c->command)
        return c->command->run(c, err);
    help_print(NULL, c->topic, stderr);
    if (c->topic)
        return cfg_fail(err, CFG_E_INVALID, "cfgctl %s needs one of the commands above", c->topic);
    return cfg_fail(err, CFG_E_INVALID, "no command given");
}

int main(int argc, char **argv)
{
    struct cli c = {.exit_code = 0};
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cli_parse(&c, argc, argv, &err);
    if (rc == 0) {
        rc = run(&c, &err);
        rc = finish_output(rc, &err);
    }
    if (rc != 0)
        cli_print_error(&err);
    refusal_print(stderr, rc != 0 ? c.violations : NULL);
    cli_finish(&c);
    return c.exit_code != 0 ? c.exit_code : cfg_code_exit(rc);
}
