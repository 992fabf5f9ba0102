/* flag history, rollback: as those of any object, for what is a flag only. */
#include "client/cfgctl/commands.h"
#include "proto/path.h"

static int is_flag(const struct cli *c, struct object_path *out, struct cfg_error *err)
{
    struct cfg_address a;
    int rc = cfg_address_parse(&a, cfg_slice_str(c->args[0]), false, err);
    return rc != 0 ? rc : object_path_parse(out, c->args[0], err);
}

int cmd_flag_history(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    int rc = is_flag(c, &path, err);
    return rc == 0 ? cmd_history(c, err) : rc;
}

int cmd_flag_rollback(struct cli *c, struct cfg_error *err)
{
    struct object_path path;
    int rc = is_flag(c, &path, err);
    return rc == 0 ? cmd_rollback(c, err) : rc;
}
