/* Command lines by table. See args.h. */
#include "worker/args.h"
#include "proto/path.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- help --- */

static size_t columns(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80; /* not a byte that continues a character */
    }
    return n;
}

static size_t left_columns(const struct cfg_arg *a)
{
    return columns(a->name) + (a->value != NULL ? 1 + columns(a->value) : 0);
}

void cfg_args_help(FILE *out, const struct cfg_args *args)
{
    size_t widest = 0;
    for (size_t i = 0; i < args->n; i++) {
        size_t n = left_columns(&args->rows[i]);
        widest = n > widest ? n : widest;
    }
    (void)fprintf(out, "%s: %s\n\n", args->program, args->about);
    for (size_t i = 0; i < args->n; i++) {
        const struct cfg_arg *a = &args->rows[i];
        (void)fprintf(out, "  %s%s%s%*s%s\n", a->name, a->value != NULL ? " " : "", a->value != NULL ? a->value : "",
                      (int)(widest - left_columns(a)) + 2, "", a->help);
    }
    (void)fprintf(out, "\n%s", args->notes);
}

/* --- reading --- */

static int unknown(const struct cfg_args *args, const char *name, struct cfg_error *err)
{
    const char *names[CFG_ARGS_MAX];
    for (size_t i = 0; i < args->n; i++) {
        names[i] = args->rows[i].name;
    }
    const char *near = cfg_near_miss(name, names, args->n);
    (void)cfg_fail(err, CFG_E_INVALID, "unknown option %s", name);
    if (near != NULL) {
        cfg_error_set_hint(err, "did you mean %s?", near);
    } else {
        cfg_error_set_hint(err, "see %s --help", args->program);
    }
    return CFG_E_INVALID;
}

static int store_number(void *at, const struct cfg_arg *a, const char *value, struct cfg_error *err)
{
    errno = 0;
    unsigned long long n = strtoull(value, NULL, 10);
    if (value[0] == '\0' || value[strspn(value, "0123456789")] != '\0' || errno != 0 || n < a->min || n > a->max) {
        return cfg_fail(err, CFG_E_INVALID, "%s %s: expected a number from %llu to %llu", a->name, value,
                        (unsigned long long)a->min, (unsigned long long)a->max);
    }
    if (a->kind == CFG_ARG_U64) {
        *(uint64_t *)at = n; /* ≤ INT64_MAX where it is an int64_t */
    } else {
        *(unsigned *)at = (unsigned)n;
    }
    return 0;
}

static int store(void *options, const struct cfg_arg *a, const char *value, struct cfg_error *err)
{
    void *at = (char *)options + a->at;
    if (a->kind == CFG_ARG_SWITCH) {
        if (value != NULL) {
            return cfg_fail(err, CFG_E_INVALID, "%s takes no value", a->name);
        }
        *(bool *)at = true;
        return 0;
    }
    if (value == NULL) {
        return cfg_fail(err, CFG_E_INVALID, "%s needs a value: %s %s", a->name, a->name, a->value);
    }
    if (a->kind == CFG_ARG_CALLED) {
        return a->take(options, value, err) == 0 ? 0 : cfg_error_wrap(err, "%s", a->name);
    }
    if (a->kind == CFG_ARG_TEXT) {
        *(const char **)at = value;
        return 0;
    }
    return store_number(at, a, value, err);
}

int cfg_args_read(void *options, const struct cfg_args *args, int argc, char **argv, struct cfg_error *err)
{
    int rc = 0;
    for (int i = 1; rc == 0 && i < argc; i++) {
        char name[64];
        size_t len = strcspn(argv[i], "="), k = 0;
        (void)snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), argv[i]);
        while (k < args->n && strcmp(args->rows[k].name, name) != 0) {
            k++;
        }
        if (k == args->n) {
            return unknown(args, name, err);
        }
        const char *value = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
        if (value == NULL && args->rows[k].kind != CFG_ARG_SWITCH && i + 1 < argc) {
            value = argv[++i];
        }
        rc = store(options, &args->rows[k], value, err);
    }
    return rc;
}
