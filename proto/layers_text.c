/* Values spelled as Python's str() does, because that is what a text around an interpolation has always shown. */
#include "proto/json_number.h"
#include "proto/layers_internal.h"
#include "proto/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* repr(float): the shortest digits, an exponent below 1e-4 and from 1e16 on, always a point or an exponent. */
static void put_float(struct cfg_buf *out, double d)
{
    char text[CFG_NUMBER_TEXT], digits[CFG_NUMBER_TEXT + 1];
    if (isnan(d) || isinf(d)) {
        cfg_buf_puts(out, isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    size_t length = cfg_number_format(text, fabs(d), false), n = 0;
    int point = -1, exponent = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.') {
            point = (int)n;
        } else if (text[i] == 'e') {
            (void)sscanf(text + i + 1, "%d", &exponent); /* our own formatter wrote it */
            break;
        } else {
            digits[n++] = text[i];
        }
    }
    digits[n] = '\0';
    point = (point < 0 ? (int)n : point) + exponent; /* digits before the point */
    size_t zeros = strspn(digits, "0");
    if (zeros == n)
        zeros--;
    memmove(digits, digits + zeros, n - zeros);
    n -= zeros;
    point -= (int)zeros;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (signbit(d))
        cfg_buf_putc(out, '-');
    if (digits[0] == '0') {
        cfg_buf_puts(out, "0.0");
    } else if (point > 16 || point < -3) {
        cfg_buf_putc(out, digits[0]);
        if (n > 1)
            cfg_buf_printf(out, ".%.*s", (int)n - 1, digits + 1);
        cfg_buf_printf(out, "e%c%02d", point > 0 ? '+' : '-', point > 0 ? point - 1 : 1 - point);
    } else if (point <= 0) {
        cfg_buf_printf(out, "0.%.*s%.*s", -point, "0000", (int)n, digits);
    } else if ((size_t)point >= n) {
        cfg_buf_printf(out, "%.*s%.*s.0", (int)n, digits, point - (int)n, "0000000000000000");
    } else {
        cfg_buf_printf(out, "%.*s.%.*s", point, digits, (int)n - point, digits + point);
    }
}

static void put_number(struct cfg_buf *out, const struct node *v)
{
    if (v->is_float)
        put_float(out, v->number);
    else
        cfg_buf_printf(out, "%.0f", v->number);
}

/* repr(str): single quotes unless only those occur inside. */
static void put_quoted(struct cfg_buf *out, const char *text)
{
    char quote = strchr(text, '\'') && !strchr(text, '"') ? '"' : '\'';
    cfg_buf_putc(out, quote);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == 0xC0 && p[1] == 0x80) { /* U+0000, as trees hold it */
            cfg_buf_puts(out, "\\x00");
            p++;
        } else if (*p == '\\' || *p == (unsigned char)quote)
            cfg_buf_printf(out, "\\%c", *p);
        else if (*p == '\n' || *p == '\r' || *p == '\t')
            cfg_buf_puts(out, *p == '\n' ? "\\n" : *p == '\r' ? "\\r" : "\\t");
        else if (*p < ' ' || *p == 0x7F)
            cfg_buf_printf(out, "\\x%02x", *p);
        else
            cfg_buf_putc(out, (char)*p);
    }
    cfg_buf_putc(out, quote);
}

static void put_repr(struct cfg_buf *out, struct node *v, struct cfg_layers *l)
{
    if (v->kind == NODE_STRING)
        put_quoted(out, v->text);
    else
        node_str(out, v, l);
}

static void put_container(struct cfg_buf *out, struct node *v, struct cfg_layers *l)
{
    bool object = v->kind == NODE_OBJECT;
    if (!object && !node_unfold(l, v)) {
        out->failed = l->arena.failed;
        return;
    }
    cfg_buf_putc(out, object ? '{' : '[');
    for (struct node *c = v->child; c && cfg_buf_status(out) == 0; c = c->next) {
        if (c != v->child)
            cfg_buf_puts(out, ", ");
        if (object) {
            put_quoted(out, c->key);
            cfg_buf_puts(out, ": ");
        }
        put_repr(out, c, l);
    }
    cfg_buf_putc(out, object ? '}' : ']');
}

void node_str(struct cfg_buf *out, struct node *v, struct cfg_layers *l)
{
    switch ((enum node_kind)v->kind) {
    case NODE_NULL:
        cfg_buf_puts(out, "None");
        break;
    case NODE_BOOL:
        cfg_buf_puts(out, v->boolean ? "True" : "False");
        break;
    case NODE_NUMBER:
        put_number(out, v);
        break;
    case NODE_STRING:
        cfg_buf_puts(out, v->text);
        break;
    default:
        put_container(out, v, l);
    }
}

/* --- texts that shall stand for themselves --- */

static int escape_text(cJSON *v)
{
    struct cfg_buf out;
    size_t backslashes = 0;
    cfg_buf_init(&out, LAYERS_MAX_BYTES);
    for (const char *p = v->valuestring; *p; p++) {
        if (p[0] == '$' && p[1] == '{')
            for (size_t i = 0; i <= backslashes; i++)
                cfg_buf_putc(&out, '\\');
        backslashes = *p == '\\' ? backslashes + 1 : 0;
        cfg_buf_putc(&out, *p);
    }
    int code = cfg_buf_status(&out);
    if (code == 0 && cJSON_SetValuestring(v, out.data) == NULL)
        code = CFG_E_NOMEM;
    cfg_buf_finish(&out);
    return code;
}

int cfg_layers_escape(cJSON *v, struct cfg_error *err)
{
    if (cJSON_IsString(v) && text_holds_inter(v->valuestring)) {
        int code = escape_text(v);
        return code ? cfg_fail(err, code, "out of memory") : 0;
    }
    int code = 0;
    for (cJSON *c = v->child; c && code == 0; c = c->next)
        code = cfg_layers_escape(c, err);
    return code;
}
