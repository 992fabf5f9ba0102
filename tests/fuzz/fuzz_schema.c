/* JSON Schema on any bytes: a schema, a byte 0 and a document. What compiles checks, within its bounds; the verdict
 * alone and the list agree; a violation's path is one that cfg_schema_info reads. A third part, behind another byte 0,
 * is a text for every format. */
#include "proto/schema.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_violation(const struct cfg_schema *s, const cJSON *v)
{
    struct cfg_schema_info info;
    const char *path = cfg_json_get_str(v, "path", NULL);
    if (path == NULL || cfg_json_get_str(v, "message", NULL) == NULL)
        abort();
    if (strlen(path) < 500 && !cfg_schema_info(&info, s, path))
        abort();
}

static void check_document(const struct cfg_schema *s, const cJSON *document)
{
    struct cfg_error err = CFG_ERROR_INIT;
    cJSON *violations = cJSON_CreateArray();
    const cJSON *v;
    int quick = cfg_schema_judge(s, document), code = cfg_schema_check(s, document, violations, &err);
    if (quick != code || (code == CFG_E_SCHEMA) != (cJSON_GetArraySize(violations) > 0) || (code && err.code != code))
        abort();
    cJSON_ArrayForEach(v, violations) check_violation(s, v);
    cJSON_Delete(violations);
}

static void check_schema(const cJSON *schema, const cJSON *document, const struct cfg_schema_options *options)
{
    struct cfg_schema *s = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int code = cfg_schema_compile(&s, schema, options, &err);
    if (code && (code != err.code || err.text[0] == '\0' || s))
        abort();
    if (s && document)
        check_document(s, document);
    cfg_schema_free(s);
}

/* The part up to the next byte 0; *bytes moves behind it. */
static cJSON *part(const char **bytes, size_t *n)
{
    const char *end = memchr(*bytes, 0, *n);
    size_t length = end ? (size_t)(end - *bytes) : *n;
    cJSON *v = NULL;
    if (cfg_json_parse(&v, (struct cfg_slice){*bytes, length}, 0, NULL) != 0)
        v = NULL;
    *bytes += length + (end != NULL);
    *n -= length + (end != NULL);
    return v;
}

static void set(cJSON *schema, const char *key, const char *text)
{
    if (cfg_json_set(schema, key, cJSON_CreateString(text)) != 0)
        abort();
}

static void check_formats(const char *text, size_t n)
{
    static const char *const formats[] = {"date-time",
                                          "date",
                                          "time",
                                          "duration",
                                          "email",
                                          "idn-email",
                                          "hostname",
                                          "idn-hostname",
                                          "ipv4",
                                          "ipv6",
                                          "uri",
                                          "uri-reference",
                                          "iri",
                                          "uuid",
                                          "iri-reference",
                                          "uri-template",
                                          "regex",
                                          "json-pointer",
                                          "relative-json-pointer"};
    struct cfg_schema_options options = {.assert_formats = true};
    cJSON *schema = cJSON_CreateObject(), *document = NULL;
    struct cfg_buf quoted;
    cfg_buf_init(&quoted, 1 << 20);
    cfg_json_put_string(&quoted, (struct cfg_slice){text, n});
    if (cfg_json_parse(&document, cfg_buf_slice(&quoted), 0, NULL) == 0)
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
            set(schema, "format", formats[i]);
            check_schema(schema, document, &options);
        }
    set(schema, "pattern", document ? document->valuestring : "a");
    check_schema(schema, NULL, NULL);
    cJSON_Delete(document);
    cJSON_Delete(schema);
    cfg_buf_finish(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const struct cfg_schema_options lenient = {.lenient = true, .assert_formats = true, .max_steps = 100000};
    const struct cfg_schema_options strict = {.max_steps = 100000};
    const char *p = (const char *)bytes;
    cJSON *schema = part(&p, &n), *document = part(&p, &n);
    if (schema) {
        check_schema(schema, document, &lenient);
        check_schema(schema, document, &strict);
    }
    if (n > 0 && n < 300)
        check_formats(p, n);
    cJSON_Delete(schema);
    cJSON_Delete(document);
    return 0;
}
