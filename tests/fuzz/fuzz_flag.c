/* The flag engine on any JSON: what compiles evaluates, and its export for plain flagd compiles and serves the same
 * value. */
#include "flags/flag.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct cfg_flag_program *compile(const cJSON *envelope)
{
    struct cfg_flag_program *p = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_flag_compile(&p, envelope, &err);
    if (rc != 0 && (rc != err.code || err.text[0] == '\0'))
        abort();
    return rc == 0 ? p : NULL;
}

static bool same(const struct cfg_flag_result *a, const struct cfg_flag_result *b)
{
    if ((a->value == NULL) != (b->value == NULL))
        return false;
    return a->value == NULL || (cfg_json_equal(a->value, b->value) && strcmp(a->variant, b->variant) == 0);
}

/* Nothing that flagd cannot express. */
static bool is_lossless(const cJSON *envelope)
{
    cJSON *loss = cfg_flag_export_loss(envelope);
    bool lossless = loss && loss->child == NULL;
    cJSON_Delete(loss);
    return lossless;
}

static void check_export(const struct cfg_flag_result *answer, enum cfg_flag_type type, const cJSON *envelope)
{
    cJSON *plain = cJSON_CreateObject();
    cJSON_AddItemToObject(plain, "definition", cfg_flag_export(envelope));
    struct cfg_flag_program *exported = compile(plain);
    if (exported == NULL)
        abort();
    struct cfg_flag_result again = cfg_flag_eval(exported, type);
    if (is_lossless(envelope) && !same(answer, &again))
        abort();
    cfg_flag_free(exported);
    cJSON_Delete(plain);
}

static void check_program(const struct cfg_flag_program *p, const cJSON *envelope)
{
    enum cfg_flag_type type = cfg_flag_type_of(p);
    struct cfg_flag_result answer = cfg_flag_eval(p, type);
    for (int want = CFG_FLAG_BOOL; want <= CFG_FLAG_OBJECT; want++) {
        struct cfg_flag_result r = cfg_flag_eval(p, (enum cfg_flag_type)want);
        bool other = (enum cfg_flag_type)want != type;
        if ((r.error && r.value) || (other && r.value) || (other && answer.value && r.error == NULL))
            abort(); /* of another type is an error, but only where a value is served */
    }
    check_export(&answer, type, envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    cJSON *envelope = NULL;
    if (cfg_json_parse(&envelope, (struct cfg_slice){(const char *)bytes, n}, 0, NULL) != 0)
        return 0;
    struct cfg_flag_program *p = compile(envelope);
    if (p)
        check_program(p, envelope);
    cfg_flag_free(p);
    cJSON_Delete(envelope);
    return 0;
}
