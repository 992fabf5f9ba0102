/* The printer: see yaml.h. */
#include "proto/yaml.h"
#include "proto/yaml_scalar.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

/* Words that YAML 1.1 takes for booleans, null or numbers. */
static bool is_special(const char *s)
{
    static const char *const words[] = {"y",     "n",    "yes", "no",  "on",   "off", "true",
                                        "false", "null", "inf", "nan", ".inf", ".nan"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* Only what cannot be read in two ways stays unquoted: a word that begins with a letter. */
static bool is_plain(const char *s)
{
    if (!isalpha((unsigned char)s[0]) || is_special(s))
        return false;
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-./", *p))
            return false;
    return true;
}

static bool emit(yaml_emitter_t *e, yaml_event_t *event)
{
    return yaml_emitter_emit(e, event) == 1; /* consumes the event, also on failure */
}

static bool emit_text(yaml_emitter_t *e, const char *text, size_t len, yaml_scalar_style_t style)
{
    yaml_event_t event;
    bool quoted = style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    /* libyaml copies the text; its parameter is not const for historical reasons */
    return yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)(uintptr_t)text, (int)len, !quoted, quoted,
                                        style) &&
           emit(e, &event);
}

static bool emit_string(yaml_emitter_t *e, const char *s)
{
    struct cfg_buf bytes; /* the tree holds U+0000 as C0 80 */
    cfg_buf_init(&bytes, (size_t)1 << 26);
    for (const char *p = s; *p; p++) {
        bool nul = (unsigned char)p[0] == 0xC0 && (unsigned char)p[1] == 0x80;
        cfg_buf_putc(&bytes, nul ? '\0' : *p);
        p += nul ? 1 : 0;
    }
    bool plain = is_plain(s);
    bool ok =
        cfg_buf_status(&bytes) == 0 && emit_text(e, bytes.data ? bytes.data : "", bytes.len,
                                                 plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    cfg_buf_finish(&bytes);
    return ok;
}

static bool emit_number(yaml_emitter_t *e, double d)
{
    struct cfg_buf text;
    cfg_buf_init(&text, 64);
    cfg_yaml_number_put(&text, d);
    bool ok = cfg_buf_status(&text) == 0 && emit_text(e, text.data, text.len, YAML_PLAIN_SCALAR_STYLE);
    cfg_buf_finish(&text);
    return ok;
}

static bool emit_value(yaml_emitter_t *e, const cJSON *v);

static bool emit_members(yaml_emitter_t *e, const cJSON *v)
{
    yaml_event_t event;
    bool map = cJSON_IsObject(v), empty = v->child == NULL;
    bool ok = map ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                        empty ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE)
                  : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                         empty ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE);
    ok = ok && emit(e, &event);
    const cJSON *child;
    cJSON_ArrayForEach(child, v)
    {
        ok = ok && (!map || emit_string(e, child->string));
        ok = ok && emit_value(e, child);
    }
    return ok && (map ? yaml_mapping_end_event_initialize(&event) : yaml_sequence_end_event_initialize(&event)) &&
           emit(e, &event);
}

static bool emit_value(yaml_emitter_t *e, const cJSON *v)
{
    if (cJSON_IsObject(v) || cJSON_IsArray(v))
        return emit_members(e, v);
    if (cJSON_IsString(v))
        return emit_string(e, v->valuestring);
    if (cJSON_IsNumber(v))
        return emit_number(e, v->valuedouble);
    const char *word = cJSON_IsTrue(v) ? "true" : cJSON_IsFalse(v) ? "false" : "null";
    return emit_text(e, word, strlen(word), YAML_PLAIN_SCALAR_STYLE);
}

static int write_out(void *arg, unsigned char *bytes, size_t n)
{
    struct cfg_buf *out = arg;
    cfg_buf_put(out, bytes, n);
    return cfg_buf_status(out) == 0;
}

int cfg_yaml_print(struct cfg_buf *out, const cJSON *v)
{
    yaml_emitter_t e;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&e))
        return CFG_E_NOMEM;
    yaml_emitter_set_output(&e, write_out, out);
    yaml_emitter_set_unicode(&e, 1);
    yaml_emitter_set_width(&e, -1);
    bool ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && emit(&e, &event) &&
              yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) && emit(&e, &event) &&
              emit_value(&e, v) && yaml_document_end_event_initialize(&event, 1) && emit(&e, &event) &&
              yaml_stream_end_event_initialize(&event) && emit(&e, &event);
    yaml_emitter_delete(&e);
    int failed = cfg_buf_status(out);
    return ok || failed != 0 ? failed : CFG_E_NOMEM;
}
