/* Pairs of definitions and contexts: {"flags": …, "$evaluators": …, "context": …}, the flags being envelopes or plain
 * definitions. Whatever compiles answers, the same every time, with a variant of its own, and more scratch memory only
 * ever turns GENERAL into an answer. */
#include "flags/set.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_note(void *user, const struct cfg_flag_note *n)
{
    unsigned *count = user;
    ++*count;
    if (n->kind > CFG_NOTE_UNNAMED || (n->total > 0 && n->bucket >= n->total) ||
        (n->name.len > 0 && n->name.ptr == NULL))
        abort();
}

static bool same(const struct cfg_flag_result *a, const struct cfg_flag_result *b)
{
    return a->value == b->value && a->variant == b->variant && a->error == b->error && a->reason == b->reason;
}

static void check_flag(const struct cfg_flag_program *p, const struct cfg_flag_context *context)
{
    static _Alignas(16) char scratch[1 << 16];
    unsigned notes = 0;
    struct cfg_flag_explain explain = {check_note, &notes};
    struct cfg_flag_context roomy = *context, loud = *context;
    roomy.scratch = scratch;
    roomy.scratch_size = sizeof scratch;
    loud.explain = &explain;
    struct cfg_flag_result r = cfg_flag_eval_with(p, CFG_FLAG_ANY, context);
    struct cfg_flag_result again = cfg_flag_eval_with(p, CFG_FLAG_ANY, &loud);
    struct cfg_flag_result more = cfg_flag_eval_with(p, CFG_FLAG_ANY, &roomy);
    if (!same(&r, &again) || (r.error == NULL && !same(&r, &more)))
        abort();
    if ((r.variant == NULL) != (r.value == NULL) || (r.error && r.value) ||
        (r.error != NULL) != (r.reason == CFG_REASON_ERROR))
        abort();
}

static void check_set(const struct cfg_flag_source *source, const struct cfg_flag_context *context)
{
    struct cfg_flag_set *set = NULL;
    struct cfg_error err = CFG_ERROR_INIT;
    int rc = cfg_flag_set_compile(&set, source, &err);
    if (rc != 0) {
        if (rc != err.code || err.text[0] == '\0' || set != NULL)
            abort();
        return;
    }
    for (size_t i = 0; i < cfg_flag_set_count(set); i++) {
        const struct cfg_flag_program *p = cfg_flag_set_at(set, i);
        check_flag(p, context);
    }
    cfg_flag_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    cJSON *doc = NULL;
    struct cfg_flag_context context = {0};
    if (cfg_json_parse(&doc, (struct cfg_slice){(const char *)bytes, n}, 0, NULL) != 0)
        return 0;
    if (cfg_flag_context_init_json(&context, cfg_json_get(doc, "context"), NULL) != 0)
        context = (struct cfg_flag_context){.timestamp = 1750000000};
    for (unsigned way = 0; way < 4; way++) {
        struct cfg_flag_source source = {.flags = cfg_json_get(doc, "flags"),
                                         .evaluators = cfg_json_get(doc, "$evaluators"),
                                         .metadata = cfg_json_get(doc, "metadata"),
                                         .plain = way & 1,
                                         .keep_broken = way & 2};
        check_set(&source, &context);
    }
    cfg_flag_context_finish(&context);
    cJSON_Delete(doc);
    return 0;
}
