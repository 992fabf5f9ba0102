#include "client/cfgctl/reach.h"
#include "client/cfgctl/cli.h"

#include <string.h>

enum { SHOWN_CHANGES = 8, VALUE_WIDTH = 60 };

static void put_short(struct cfg_buf *out, const cJSON *v)
{
    struct cfg_buf text;
    cfg_buf_init(&text, (size_t)1 << 22);
    cfg_json_print(&text, v);
    size_t n = text.len;
    if (n > VALUE_WIDTH) {
        n = VALUE_WIDTH;
        while (n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80)
            n--;
    }
    if (text.data)
        cfg_buf_put(out, text.data, n);
    cfg_buf_puts(out, n < text.len ? "…" : "");
    cfg_buf_finish(&text);
}

void reach_put_change(struct cfg_buf *out, const cJSON *change)
{
    const char *op = cfg_json_get_str(change, "op", "");
    const cJSON *from = cfg_json_get(change, "from"), *to = cfg_json_get(change, "to");
    if (strcmp(op, "remove") == 0)
        cfg_buf_puts(out, "removed ");
    cli_put_text(out, cfg_json_get_str(change, "path", "?"));
    if (strcmp(op, "replace") == 0) {
        cfg_buf_putc(out, ' ');
        put_short(out, from);
        cfg_buf_puts(out, " → ");
        put_short(out, to);
    } else if (strcmp(op, "add") == 0) {
        cfg_buf_putc(out, '=');
        put_short(out, to);
    }
}

/* "extends base, common" */
static int put_extends(struct cfg_buf *out, const cJSON *result)
{
    const cJSON *extends = cfg_json_get(result, "extends"), *base;
    const cJSON *to = cfg_json_get(extends, "to");
    if (extends == NULL)
        return 0;
    cfg_buf_puts(out, to && to->child ? "extends " : "extends nothing");
    cJSON_ArrayForEach(base, to)
    {
        cfg_buf_puts(out, base == to->child ? "" : ", ");
        cli_put_text(out, cJSON_IsString(base) ? base->valuestring : "?");
    }
    return 1;
}

static void put_changes(struct cfg_buf *out, const cJSON *result)
{
    const cJSON *change;
    int n = put_extends(out, result), total = cJSON_GetArraySize(cfg_json_get(result, "changes"));
    cJSON_ArrayForEach(change, cfg_json_get(result, "changes"))
    {
        if (n == SHOWN_CHANGES && total > SHOWN_CHANGES + 1) {
            cfg_buf_printf(out, ", and %d more", total - n);
            return;
        }
        cfg_buf_puts(out, n++ > 0 ? ", " : "");
        reach_put_change(out, change);
    }
}

/* The change of `enabled`, or NULL. */
static const cJSON *switched(const cJSON *result)
{
    const cJSON *change;
    cJSON_ArrayForEach(change, cfg_json_get(result, "changes"))
    {
        if (strcmp(cfg_json_get_str(change, "path", ""), "enabled") == 0)
            return change;
    }
    return NULL;
}

/* Which parts of a flag changed, each named once: rules as JsonLogic are for nobody's eyes. */
static void put_flag_parts(struct cfg_buf *out, const cJSON *result)
{
    static const struct {
        const char *path, *name;
    } parts[] = {{"enabled", "the switch"},
                 {"off_variant", "what holds while off"},
                 {"definition.targeting", "rules"},
                 {"definition.variants", "variants"},
                 {"definition.defaultVariant", "the default"},
                 {"definition.metadata", "metadata"},
                 {"definition", "the definition"},
                 {"prerequisites", "prerequisites"},
                 {"group", "the group"},
                 {"holdouts", "holdouts"},
                 {"overrides", "overrides"},
                 {"requires", "required capabilities"},
                 {"evaluators", "segments"},
                 {"metadata", "metadata"},
                 {"", "other parts"}};
    unsigned seen = 0;
    const cJSON *change;
    const char *lead = "changed ";
    cJSON_ArrayForEach(change, cfg_json_get(result, "changes"))
    {
        const char *path = cfg_json_get_str(change, "path", "");
        size_t i = 0;
        while (strncmp(path, parts[i].path, strlen(parts[i].path)) != 0)
            i++;
        if (!(seen & 1U << i))
            cfg_buf_printf(out, "%s%s", lead, parts[i].name);
        lead = ", ";
        seen |= 1U << i;
    }
}

static void put_flag(struct cfg_buf *out, const cJSON *result)
{
    const cJSON *change = switched(result);
    const char *name = cfg_json_get_str(result, "name", "?");
    bool on = change ? cfg_json_get_bool(change, "to", false) : true;
    if (cfg_json_get_bool(result, "deleted", false)) {
        cfg_buf_printf(out, "deleted flag %s", name);
    } else if (cfg_json_get_bool(result, "created", false)) {
        cfg_buf_printf(out, "created flag %s=%s", name, on ? "on" : "off");
    } else if (change && cJSON_GetArraySize(cfg_json_get(result, "changes")) == 1) {
        cfg_buf_printf(out, "flag %s=%s, was %s", name, on ? "on" : "off", on ? "off" : "on");
    } else {
        cfg_buf_printf(out, "flag %s: ", name);
        put_flag_parts(out, result);
    }
}

/* What people set in a deployment; what follows from it (digests, how an arm follows) is left to -o json. */
static void put_deployment(struct cfg_buf *out, const cJSON *result)
{
    static const char release[] = "arms.base.release.", *const silent[] = {"arms.base.follows", "pin_digest"};
    const cJSON *change;
    const char *lead = "";
    cJSON_ArrayForEach(change, cfg_json_get(result, "changes"))
    {
        const char *path = cfg_json_get_str(change, "path", "?"), *op = cfg_json_get_str(change, "op", "");
        const cJSON *from = cfg_json_get(change, "from"), *to = cfg_json_get(change, "to");
        bool flag = strncmp(path, "flags", 5) == 0 && (path[5] == '[' || path[5] == '\0');
        if (strcmp(path, silent[0]) == 0 || strcmp(path, silent[1]) == 0 ||
            (strcmp(path, "arms.base.release") == 0 && strcmp(op, "replace") != 0))
            continue;
        cfg_buf_puts(out, lead);
        lead = ", ";
        if (strncmp(path, release, sizeof release - 1) == 0 && cJSON_IsNumber(from) && cJSON_IsNumber(to)) {
            cli_put_text(out, path + sizeof release - 1);
            cfg_buf_printf(out, " v%.0f → v%.0f", from->valuedouble, to->valuedouble);
        } else if (strncmp(path, release, sizeof release - 1) == 0 && to == NULL) {
            cfg_buf_puts(out, "without ");
            cli_put_text(out, path + sizeof release - 1);
        } else if (strcmp(path, "arms.base.locked") == 0 && to == NULL) {
            cfg_buf_puts(out, "no longer what its lock says");
        } else if (flag) {
            cfg_buf_puts(out, to ? "sees the flags of " : "no longer sees the flags of ");
            cli_put_value(out, to ? to : from);
        } else {
            reach_put_change(out, change);
        }
    }
    if (lead[0] == '\0')
        cfg_buf_puts(out, "changed");
}

static void put_what(struct cfg_buf *out, const cJSON *result)
{
    const char *kind = cfg_json_get_str(result, "kind", "");
    if (cfg_json_get_bool(result, "unchanged", false))
        cfg_buf_puts(out, "unchanged");
    else if (strcmp(kind, "flag") == 0)
        put_flag(out, result);
    else if (cfg_json_get_bool(result, "deleted", false))
        cfg_buf_puts(out, "deleted");
    else if (strcmp(kind, "schema") == 0)
        cfg_buf_puts(out, cfg_json_get_bool(result, "created", false) ? "created" : "changed");
    else if (strcmp(kind, "evaluators") == 0)
        put_flag_parts(out, result);
    else if (cfg_json_get_bool(result, "created", false) && strcmp(kind, "deployment") == 0)
        cfg_buf_puts(out, "created");
    else if (strcmp(kind, "deployment") == 0)
        put_deployment(out, result);
    else if (cfg_json_get_bool(result, "created", false)) {
        cfg_buf_puts(out, "created with ");
        put_changes(out, result);
    } else {
        put_changes(out, result);
    }
}

static void put_label(struct cfg_buf *out, const cJSON *result)
{
    const char *label = cfg_json_get_str(result, "namespace", "");
    if (strcmp(cfg_json_get_str(result, "kind", ""), "deployment") == 0 || label[0] == '\0') {
        const char *object = cfg_json_get_str(result, "object", "?"), *slash = strchr(object, '/');
        label = slash ? slash + 1 : object;
    }
    if (strcmp(cfg_json_get_str(result, "kind", ""), "schema") == 0)
        cfg_buf_puts(out, "schema of ");
    cli_put_text(out, label);
    cfg_buf_printf(out, " v%.0f: ", cfg_json_get_num(result, "version", 0));
}

static bool holds(const cJSON *list, const char *deployment)
{
    const cJSON *held;
    cJSON_ArrayForEach(held, list)
    {
        if (strcmp(cfg_json_get_str(held, "deployment", ""), deployment) == 0)
            return true;
    }
    return false;
}

bool reach_all_hold(const cJSON *result)
{
    static const char *const counts[] = {"live", "pending_restart", "unread", "unknown"};
    const cJSON *reach = cfg_json_get(result, "reach"), *held = cfg_json_get(result, "held"), *name;
    bool all = cJSON_GetArraySize(held) > 0;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        all = all && cfg_json_get_num(reach, counts[i], 0) <= 0;
    cJSON_ArrayForEach(name, cfg_json_get(reach, "deployments"))
    {
        all = all && cJSON_IsString(name) && holds(held, name->valuestring);
    }
    return all;
}

static bool put_reach(struct cfg_buf *out, const cJSON *result)
{
    const cJSON *reach = cfg_json_get(result, "reach");
    if (!cJSON_IsObject(reach))
        return true;
    double live = cfg_json_get_num(reach, "live", 0), pending = cfg_json_get_num(reach, "pending_restart", 0);
    double unread = cfg_json_get_num(reach, "unread", 0), unknown = cfg_json_get_num(reach, "unknown", 0);
    cfg_buf_printf(out, " · live on %.0f worker%s, pending restart on %.0f, read by nobody on %.0f", live,
                   live == 1 ? "" : "s", pending, unread);
    if (unknown > 0)
        cfg_buf_printf(out, ", unknown on %.0f", unknown);
    return live + pending + unknown > 0;
}

/* The version that the other arm of a deployment holds; the same when there is none. */
static double canary_version(const cJSON *list, const cJSON *base)
{
    const char *deployment = cfg_json_get_str(base, "deployment", "");
    const cJSON *held;
    cJSON_ArrayForEach(held, list)
    {
        if (held != base && strcmp(cfg_json_get_str(held, "deployment", ""), deployment) == 0)
            return cfg_json_get_num(held, "version", 0);
    }
    return cfg_json_get_num(base, "version", 0);
}

/* Nothing that is written moves a rollout: it has its two releases. */
static void put_waiting(struct cfg_buf *out, const cJSON *result, const cJSON *held, bool dry_run)
{
    const char *name = cfg_json_get_str(held, "deployment", "?"), *ns = cfg_json_get_str(result, "namespace", "?");
    double version = cfg_json_get_num(result, "version", 0);
    bool own = strcmp(cfg_json_get_str(held, "namespace", ns), ns) == 0;
    if (!dry_run)
        cfg_buf_printf(out, "stored %s v%.0f; ", ns, version);
    cfg_buf_printf(out, "a rollout of %s is under way", name);
    if (canary_version(cfg_json_get(result, "held"), held) != cfg_json_get_num(held, "version", 0))
        cfg_buf_printf(out, " (v%.0f → v%.0f)", cfg_json_get_num(held, "version", 0),
                       canary_version(cfg_json_get(result, "held"), held));
    if (dry_run)
        cfg_buf_puts(out, ": it would wait\n");
    else
        cfg_buf_printf(out, ": it waits; afterwards: cfgctl rollout start %s --to %s%s%.0f\n", name, own ? "" : ns,
                       own ? "" : "=", version);
}

/* A namespace whose every deployment holds is only stored. */
static void put_held(struct cfg_buf *out, const cJSON *result, bool dry_run)
{
    const cJSON *held;
    const char *ns = cfg_json_get_str(result, "namespace", "?");
    double version = cfg_json_get_num(result, "version", 0);
    cJSON_ArrayForEach(held, cfg_json_get(result, "held"))
    {
        const char *name = cfg_json_get_str(held, "deployment", "?");
        bool own = strcmp(cfg_json_get_str(held, "namespace", ns), ns) == 0; /* else it is a base of what it runs */
        if (cfg_json_get_bool(held, "rollout", false)) {
            if (strcmp(cfg_json_get_str(held, "arm", "base"), "base") == 0)
                put_waiting(out, result, held, dry_run); /* once for both arms */
            continue;
        }
        if (dry_run) {
            cfg_buf_printf(out, "%s holds v%.0f and would stay there\n", name, cfg_json_get_num(held, "version", 0));
            continue;
        }
        cfg_buf_printf(out, "stored %s v%.0f; %s holds v%.0f; next: cfgctl rollout start %s --to %s%s%.0f, ", ns,
                       version, name, cfg_json_get_num(held, "version", 0), name, own ? "" : ns, own ? "" : "=",
                       version);
        cfg_buf_printf(out, "or at once: cfgctl deployment update %s --to %s%s%.0f\n", name, own ? "" : ns,
                       own ? "" : "=", version);
    }
}

static void put_kept(struct cfg_buf *out, const cJSON *result)
{
    const cJSON *kept;
    cJSON_ArrayForEach(kept, cfg_json_get(result, "kept"))
    {
        cfg_buf_printf(out, "%s keeps %s=", cfg_json_get_str(kept, "deployment", "?"),
                       cfg_json_get_str(kept, "path", "?"));
        put_short(out, cfg_json_get(kept, "value"));
        cfg_buf_putc(out, '\n');
    }
}

static void put_nobody(struct cfg_buf *out, const cJSON *result)
{
    const char *ns = cfg_json_get_str(result, "namespace", "?");
    const char *kind = cfg_json_get_str(result, "kind", "");
    bool one = strcmp(kind, "flag") == 0, flag = one || strcmp(kind, "evaluators") == 0;
    if (cJSON_GetArraySize(cfg_json_get(cfg_json_get(result, "reach"), "deployments")) > 0)
        cfg_buf_printf(out, "warning: no worker reads %s now\n",
                       one ? cfg_json_get_str(result, "name", "?") : "what was changed");
    else if (flag)
        cfg_buf_printf(out,
                       "warning: no deployment sees the flags of %s; next: cfgctl deployment update NAME --flags %s\n",
                       ns, ns);
    else
        cfg_buf_printf(out, "warning: no deployment runs %s; next: cfgctl deployment create NAME --config %s\n", ns,
                       ns);
}

/* Many objects of one namespace have the same to say: once is enough. */
static void warn_of_nobody(struct cfg_buf *warnings, const cJSON *result)
{
    struct cfg_buf line;
    cfg_buf_init(&line, 4096);
    put_nobody(&line, result);
    if (line.len > 0 && (warnings->data == NULL || strstr(warnings->data, line.data) == NULL))
        cfg_buf_puts(warnings, line.data);
    cfg_buf_finish(&line);
}

static void put_forced(struct cfg_buf *warnings, const cJSON *result)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, cfg_json_get(result, "forced"))
    {
        cfg_buf_puts(warnings, "warning: forced: ");
        cli_put_text(warnings, cfg_json_get_str(v, "path", ""));
        cfg_buf_puts(warnings, ": ");
        cli_put_text(warnings, cfg_json_get_str(v, "message", ""));
        cfg_buf_printf(warnings, " (%.0f of deployment ", cfg_json_get_num(v, "workers", 1));
        cli_put_text(warnings, cfg_json_get_str(v, "deployment", "?"));
        cfg_buf_puts(warnings, ")\n");
    }
}

static void put_result(struct cfg_buf *out, struct cfg_buf *warnings, const cJSON *result, bool dry_run)
{
    bool unchanged = cfg_json_get_bool(result, "unchanged", false), reached = true;
    bool held = cJSON_GetArraySize(cfg_json_get(result, "held")) > 0;
    bool kept = cJSON_GetArraySize(cfg_json_get(result, "kept")) > 0;
    cfg_buf_puts(out, dry_run ? "dry run: " : "");
    put_label(out, result);
    put_what(out, result);
    if (!unchanged && !reach_all_hold(result)) /* that it is stored only, and for whom, is said below */
        reached = put_reach(out, result);
    cfg_buf_putc(out, '\n');
    if (!unchanged)
        put_held(out, result, dry_run);
    put_kept(out, result);
    const char *hint = cfg_json_get_str(result, "hint", "");
    bool deleted = cfg_json_get_bool(result, "deleted", false); /* which nobody can read any more */
    if (!reached && !held && !kept && !deleted)
        warn_of_nobody(warnings, result);
    put_forced(warnings, result);
    if (hint[0]) {
        cfg_buf_puts(warnings, "hint: ");
        cli_put_text(warnings, hint);
        cfg_buf_putc(warnings, '\n');
    }
}

void reach_describe(struct cfg_buf *out, struct cfg_buf *warnings, const cJSON *reply)
{
    const cJSON *result;
    bool dry_run = cfg_json_get_bool(reply, "dry_run", false);
    cJSON_ArrayForEach(result, cfg_json_get(reply, "results"))
    {
        put_result(out, warnings, result, dry_run);
    }
    if (!dry_run && !cfg_json_get_bool(reply, "visible", true))
        cfg_buf_puts(warnings, "warning: written, but this configd does not show it yet (it is behind etcd)\n");
}
