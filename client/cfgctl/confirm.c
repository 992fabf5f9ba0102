#include "client/cfgctl/confirm.h"

#include <stdio.h>
#include <unistd.h>

int confirm(const struct cli *c, const char *question, struct cfg_error *err)
{
    char answer[8] = "";
    if (cli_has(c, OPT_YES))
        return 0;
    if (!isatty(STDIN_FILENO)) {
        (void)cfg_fail(err, CFG_E_INVALID, "this asks before it writes, and standard input is no terminal");
        cfg_error_set_hint(err, "--yes does it without a question, --dry-run only shows it");
        return CFG_E_INVALID;
    }
    (void)fprintf(stderr, "%s [y/N] ", question);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return cfg_fail(err, CFG_E_CANCELED, "nothing was written");
    return 0;
}
