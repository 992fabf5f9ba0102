/* JsonLogic as the conditions of flag_expr.h. */
#include "client/cfgctl/flag_expr.h"

#include <string.h>
#include <time.h>

enum place { OUTERMOST, IN_OR, IN_AND, IN_NOT };

static void print(struct cfg_buf *out, const cJSON *rule, enum place place);

/* Characters that end a word, and words that mean something else. */
static bool is_word(const char *s)
{
    static const char *const taken[] = {"and",      "or",  "not",  "in",    "segment",
                                        "everyone", "now", "true", "false", "null"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        if (strcmp(s, taken[i]) == 0)
            return false;
    return s[0] && s[strcspn(s, " \t\r\n()[],\"'=!<>")] == '\0';
}

/* The path of {"var": PATH} that a condition can name; NULL otherwise. */
static const char *path_of(const cJSON *v)
{
    const cJSON *path = cfg_json_get(v, "var");
    if (cJSON_IsArray(path) && path->child && path->child->next == NULL)
        path = path->child;
    if (!cJSON_IsString(path) || v->child->next)
        return NULL;
    if (strcmp(path->valuestring, "$flagd.timestamp") == 0)
        return "now";
    return is_word(path->valuestring) ? path->valuestring : NULL;
}

static bool is_literal(const cJSON *v)
{
    return v && !cJSON_IsObject(v) && !cJSON_IsArray(v);
}

static bool is_literal_list(const cJSON *v)
{
    const cJSON *item;
    if (!cJSON_IsArray(v))
        return false;
    cJSON_ArrayForEach(item, v)
    {
        if (!is_literal(item))
            return false;
    }
    return true;
}

static void put_list(struct cfg_buf *out, const cJSON *list)
{
    const cJSON *item;
    cfg_buf_putc(out, '[');
    cJSON_ArrayForEach(item, list)
    {
        cfg_buf_puts(out, item == list->child ? "" : ", ");
        cfg_json_print(out, item);
    }
    cfg_buf_putc(out, ']');
}

/* As times where that is what is compared with. */
static void put_literal(struct cfg_buf *out, const char *path, const cJSON *v)
{
    char text[32];
    double n = v->valuedouble;
    struct tm tm;
    bool in_range =
        strcmp(path, "now") == 0 && cJSON_IsNumber(v) && n >= 0 && n < 253402300800.0; /* to the year 9999 */
    time_t seconds = in_range ? (time_t)n : 0;
    if (in_range && n == (double)seconds && gmtime_r(&seconds, &tm) &&
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        cfg_buf_puts(out, text);
    else
        cfg_json_print(out, v);
}

static bool put_comparison(struct cfg_buf *out, const char *op, const cJSON *a, const cJSON *b)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">=", "starts_with", "ends_with"};
    const char *path = path_of(a);
    size_t i = 0;
    while (i < sizeof ops / sizeof ops[0] && strcmp(ops[i], op) != 0)
        i++;
    if (path == NULL || !is_literal(b) || i == sizeof ops / sizeof ops[0])
        return false;
    bool nothing = cJSON_IsNull(b) && i < 2;
    cfg_buf_printf(out, "%s %s", path, nothing ? (i == 1 ? "exists" : "not exists") : op);
    if (!nothing) {
        cfg_buf_putc(out, ' ');
        put_literal(out, path, b);
    }
    return true;
}

static bool put_in(struct cfg_buf *out, const cJSON *a, const cJSON *b)
{
    if (path_of(a) && is_literal_list(b)) {
        cfg_buf_printf(out, "%s in ", path_of(a));
        put_list(out, b);
        return true;
    }
    if (!path_of(b) || !is_literal(a))
        return false;
    cfg_buf_printf(out, "%s contains ", path_of(b));
    cfg_json_print(out, a);
    return true;
}

static bool put_versions(struct cfg_buf *out, const cJSON *a, const cJSON *op, const cJSON *version)
{
    if (!path_of(a) || !cJSON_IsString(op) || !cJSON_IsString(version) || version->next ||
        !is_word(version->valuestring))
        return false;
    cfg_buf_printf(out, "%s sem_ver %s %s", path_of(a), op->valuestring, version->valuestring);
    return true;
}

static bool put_joined(struct cfg_buf *out, const char *op, const cJSON *operands, enum place place)
{
    bool is_and = strcmp(op, "and") == 0;
    if ((!is_and && strcmp(op, "or") != 0) || !cJSON_IsArray(operands) || operands->child == NULL)
        return false;
    bool brackets = place == IN_NOT || (place == IN_AND && !is_and);
    const cJSON *item;
    cfg_buf_puts(out, brackets ? "(" : "");
    cJSON_ArrayForEach(item, operands)
    {
        if (item != operands->child)
            cfg_buf_printf(out, " %s ", op);
        print(out, item, is_and ? IN_AND : IN_OR);
    }
    cfg_buf_puts(out, brackets ? ")" : "");
    return true;
}

static bool put_operation(struct cfg_buf *out, const cJSON *rule, enum place place)
{
    const cJSON *operands = rule->child, *a = operands, *b = NULL;
    const char *op = operands->string;
    if (cJSON_IsArray(operands)) {
        a = operands->child;
        b = a ? a->next : NULL;
    }
    if (put_joined(out, op, operands, place))
        return true;
    if (strcmp(op, "$ref") == 0 && cJSON_IsString(operands) && is_word(operands->valuestring)) {
        cfg_buf_printf(out, "segment %s", operands->valuestring);
        return true;
    }
    if (strcmp(op, "!") == 0 && a && b == NULL) {
        cfg_buf_puts(out, "not ");
        print(out, a, IN_NOT);
        return true;
    }
    if (strcmp(op, "sem_ver") == 0 && b && b->next)
        return put_versions(out, a, b, b->next);
    if (b == NULL || b->next)
        return false;
    return strcmp(op, "in") == 0 ? put_in(out, a, b) : put_comparison(out, op, a, b);
}

static void print(struct cfg_buf *out, const cJSON *rule, enum place place)
{
    if (cJSON_IsTrue(rule))
        cfg_buf_puts(out, "everyone");
    else if (!cJSON_IsObject(rule) || rule->child == NULL || rule->child->next || !put_operation(out, rule, place))
        cfg_json_print(out, rule);
}

void flag_expr_print(struct cfg_buf *out, const cJSON *rule)
{
    print(out, rule, OUTERMOST);
}
