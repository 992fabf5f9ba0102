/* Addresses of objects, and files: what several commands need. */
#include "client/cfgctl/commands.h"
#include "client/url.h"
#include "proto/path.h"
#include "proto/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fill(struct object_path *out, const char *kind, const char *plural, const char *ns, const char *name)
{
    struct cfg_buf base, object;
    cfg_buf_init(&base, sizeof out->base - 1);
    cfg_buf_init(&object, sizeof out->object - 1);
    cfg_url_format(&base, name[0] ? "/v1/*/*/*" : "/v1/*/*", plural, ns, name);
    cfg_buf_printf(&object, name[0] ? "%s/%s/%s" : "%s/%s", kind, ns, name);
    bool ok = cfg_buf_status(&base) == 0 && cfg_buf_status(&object) == 0;
    if (ok) {
        (void)snprintf(out->base, sizeof out->base, "%s", base.data);
        (void)snprintf(out->object, sizeof out->object, "%s", object.data);
    }
    cfg_buf_finish(&base);
    cfg_buf_finish(&object);
    return ok ? 0 : CFG_E_LIMIT;
}

int object_path_parse(struct object_path *out, const char *text, struct cfg_error *err)
{
    static const char prefix[] = "deployment/";
    int rc;
    if (strncmp(text, prefix, sizeof prefix - 1) == 0) {
        const char *name = text + sizeof prefix - 1;
        rc = cfg_check_name("deployment", cfg_slice_str(name), err);
        return rc != 0 ? rc : fill(out, "deployment", "deployments", name, "");
    }
    struct cfg_address a;
    rc = cfg_address_parse(&a, cfg_slice_str(text), true, err);
    if (rc == 0 && a.name[0])
        rc = cfg_check_flag_name(cfg_slice_str(a.name), err);
    if (rc != 0)
        return rc;
    rc = a.name[0] ? fill(out, "flag", "flags", a.ns, a.name) : fill(out, "config", "config", a.ns, "");
    return rc != 0 ? cfg_fail(err, rc, "the address %.100s… is too long", text) : 0;
}

int read_file(struct cfg_buf *out, const char *name, struct cfg_error *err)
{
    bool standard = strcmp(name, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cfg_fail(err, CFG_E_INVALID, "cannot read %s: %s", name, strerrordesc_np(errno));
    char chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            cfg_buf_put(out, chunk, (size_t)n);
    int rc = 0;
    if (n < 0)
        rc = cfg_fail(err, CFG_E_IO, "cannot read %s: %s", name, strerrordesc_np(errno));
    else if (cfg_buf_status(out) != 0)
        rc = cfg_fail(err, cfg_buf_status(out), "%s is larger than %zu bytes", name, out->max);
    if (!standard)
        close(fd);
    return rc;
}

static bool is_yaml(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

int read_tree(cJSON **out, const char *name, const char *label, size_t max, struct cfg_error *err)
{
    struct cfg_buf text;
    cfg_buf_init(&text, max);
    int rc = read_file(&text, name, err);
    if (rc == 0) {
        rc = is_yaml(name) ? cfg_yaml_parse(out, cfg_buf_slice(&text), NULL, NULL, err)
                           : cfg_json_parse(out, cfg_buf_slice(&text), 0, err);
        if (rc != 0)
            (void)cfg_error_wrap(err, "%s", label);
    }
    cfg_buf_finish(&text);
    return rc;
}
