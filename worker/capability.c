#include "worker/capability.h"
#include "proto/json.h"
#include "worker/label.h"
#include <string.h>

struct list {
    struct cfg_slice items[CFG_CAPABILITIES_MAX]; /* borrowed */
    size_t n;
};

static int add(struct list *l, struct cfg_slice name, struct cfg_error *err)
{
    if (!cfg_label_ok(name.ptr, name.len)) {
        return cfg_fail(err, CFG_E_INVALID, "\"%.*s\" names no capability: letters, digits and _ . : / -, at most %d",
                        name.len < 80 ? (int)name.len : 80, name.ptr, CFG_LABEL_MAX);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (cfg_slice_eq(l->items[i], name)) {
            return 0;
        }
    }
    if (l->n == CFG_CAPABILITIES_MAX) {
        return cfg_fail(err, CFG_E_LIMIT, "more than %d capabilities", CFG_CAPABILITIES_MAX);
    }
    l->items[l->n++] = name;
    return 0;
}

static int read_words(struct list *l, const char *text, struct cfg_error *err)
{
    static const char space[] = " \t\n";
    int rc = 0;
    for (const char *at = text + strspn(text, space); rc == 0 && *at != '\0';) {
        size_t n = strcspn(at, ",");
        size_t used = n;
        while (used > 0 && strchr(space, at[used - 1]) != NULL) {
            used--;
        }
        rc = add(l, (struct cfg_slice){at, used}, err);
        at += n + (at[n] == ',');
        at += strspn(at, space);
    }
    return rc;
}

static int read_array(struct list *l, const cJSON *v, struct cfg_error *err)
{
    int rc = 0;
    for (const cJSON *i = v->child; rc == 0 && i != NULL; i = i->next) {
        rc = cJSON_IsString(i) ? add(l, cfg_slice_str(i->valuestring), err)
                               : cfg_fail(err, CFG_E_INVALID, "a capability is a name, not %s", cfg_json_type(i));
    }
    return rc;
}

static int print(char **out, const struct list *l, struct cfg_error *err)
{
    struct cfg_buf b;
    cfg_buf_init(&b, CFG_CAPABILITIES_MAX * (CFG_LABEL_MAX + 4) + 8);
    cfg_buf_putc(&b, '[');
    for (size_t i = 0; i < l->n; i++) {
        cfg_buf_puts(&b, i > 0 ? "," : "");
        cfg_json_put_string(&b, l->items[i]);
    }
    cfg_buf_putc(&b, ']');
    char *text = cfg_buf_steal(&b);
    cfg_buf_finish(&b);
    if (text == NULL) {
        return cfg_fail(err, CFG_E_NOMEM, "out of memory");
    }
    *out = text;
    return 0;
}

int cfg_capabilities_parse(char **out, const char *text, struct cfg_error *err)
{
    struct list l = {.n = 0};
    cJSON *v = NULL;
    const char *at = text != NULL ? text + strspn(text, " \t\n") : "";
    int rc = 0;
    if (*at == '[') {
        rc = cfg_json_parse(&v, cfg_slice_str(at), 2, err);
        rc = rc != 0 ? rc : read_array(&l, v, err);
    } else {
        rc = read_words(&l, at, err);
    }
    if (rc != 0) {
        (void)cfg_error_wrap(err, "capabilities");
    } else if (l.n == 0) {
        *out = NULL;
    } else {
        rc = print(out, &l, err);
    }
    cJSON_Delete(v);
    return rc;
}
