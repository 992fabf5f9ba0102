/* What an evaluation noted, put back into the order of the flag's parts. */
#include "client/cfgctl/flag_explain.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SET                                                                                                            \
    "{\"flags\":{"                                                                                                     \
    "\"leaf\":{\"enabled\":false,\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":" \
    "\"on\"}},"                                                                                                        \
    "\"base\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true,\"off\":false},\"defaultVariant\":"     \
    "\"off\",\"targeting\":"                                                                                           \
    "{\"if\":[{\"==\":[{\"var\":\"who\"},\"ann\"]},\"on\"]}}},"                                                        \
    "\"top\":{\"prerequisites\":{\"base\":\"on\"},\"holdouts\":[{\"name\":\"q4\",\"to\":0,\"by\":\"who\"}],"           \
    "\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2},\"defaultVariant\":\"a\",\"targeting\":"     \
    "{\"if\":[{\"var\":\"x\"},\"b\",{\"fractional\":[{\"var\":\"who\"},[\"a\",0],[\"b\",1]]}]}}},"                     \
    "\"killed\":{\"prerequisites\":{\"leaf\":\"on\"},\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},"    \
    "\"defaultVariant\":\"a\"}},"                                                                                      \
    "\"byuser\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":\"on\","          \
    "\"targeting\":"                                                                                                   \
    "{\"fractional\":[{\"cat\":[{\"var\":\"$flagd.flagKey\"},{\"var\":\"user.id\"}]},[\"on\",1]]}}},"                  \
    "\"guarded\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":\"on\","         \
    "\"targeting\":{\"if\":[{\"if\":[{\"!=\":[{\"var\":\"who\"},null]},"                                               \
    "{\"fractional\":[{\"cat\":[\"s\",{\"var\":\"who\"}]},[\"on\",1]]}]}]}}},"                                         \
    "\"keyed\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":\"on\","           \
    "\"targeting\":"                                                                                                   \
    "{\"fractional\":[[\"on\",1]]}}},"                                                                                 \
    "\"nested\":{\"definition\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\"b\":2},\"defaultVariant\":\"a\","       \
    "\"targeting\":"                                                                                                   \
    "{\"if\":[{\"if\":[{\"var\":\"x\"},true,false]},\"a\",\"b\"]}}}"                                                   \
    "},\"evaluators\":{},\"metadata\":{}}"

static void explains(const char *flag, const char *context, const char *wanted)
{
    cJSON *document = NULL, *attributes = NULL;
    struct cfg_flag_set *set = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_json_parse(&document, cfg_slice_str(SET), 0, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_json_parse(&attributes, cfg_slice_str(context), 0, &err), 0, "%s", err.text);
    const struct flag_source source = {.flags = document};
    cr_assert_eq(flag_source_compile(&set, &source, &err), 0, "%s", err.text);
    struct flag_notes notes = {.list = NULL};
    const struct cfg_flag_explain to = {flag_notes_take, &notes};
    const struct flag_question q = {flag, CFG_FLAG_ANY, NULL, attributes, 0, &to};
    (void)flag_ask(set, &q);
    cJSON *steps = flag_explain_steps(&notes, flag, cfg_json_get(document, "flags"), NULL, attributes);
    cr_assert_not_null(steps);
    struct cfg_buf out;
    cfg_buf_init(&out, 1 << 16);
    flag_explain_draw(&out, steps);
    cr_expect_str_eq(out.data ? out.data : "", wanted);
    cfg_buf_finish(&out);
    cJSON_Delete(steps);
    flag_notes_finish(&notes);
    cfg_flag_set_free(set);
    cJSON_Delete(attributes);
    cJSON_Delete(document);
}

Test(flag_explain, what_a_required_flag_decided_lies_under_it)
{
    explains("top", "{\"who\":\"ann\"}",
             "├─ holdout q4: bucket 9666 of 10000, not held out\n"
             "├─ prerequisite base: serves on, \"on\" is required: holds\n"
             "│  ├─ rule 1 holds: who == \"ann\" → on\n"
             "│  └─ targeting names on\n"
             "├─ rule 1 does not hold: {\"var\":\"x\"}\n"
             "├─ no rule holds → a 0 %, b 100 % by {\"var\":\"who\"}\n"
             "├─ split: bucket 0 of 1 is b\n"
             "└─ targeting names b\n");
    explains("top", "{\"who\":\"bob\"}",
             "├─ holdout q4: bucket 8212 of 10000, not held out\n"
             "└─ prerequisite base: serves off, \"on\" is required: does not hold\n"
             "   ├─ rule 1 does not hold: who == \"ann\"\n"
             "   └─ no rule holds → the default\n");
    explains("top", "{}", "└─ holdout q4: the context has no who, so the unit takes no part\n");
}

Test(flag_explain, switches_and_branches_inside_conditions)
{
    explains("leaf", "{}", "└─ it is switched off\n");
    explains("killed", "{}",
             "└─ prerequisite leaf: serves nothing, \"on\" is required: does not hold\n"
             "   └─ it is switched off\n");
    explains("nested", "{\"x\":1}", "├─ branch 1 of an if\n├─ branch 1 of an if\n└─ targeting names a\n");
}

Test(flag_explain, a_split_says_when_there_is_nobody_to_hash)
{
    explains("byuser", "{\"user\":{\"id\":\"ann\"}}", "├─ split: bucket 0 of 1 is on\n└─ targeting names on\n");
    explains("byuser", "{\"targetingKey\":\"ann\"}",
             "├─ split: bucket 0 of 1 is on; the context has no user.id, and all without one share this bucket\n"
             "└─ targeting names on\n");
    explains("guarded", "{\"who\":\"ann\"}", "├─ split: bucket 0 of 1 is on\n└─ targeting names on\n");
    explains("guarded", "{\"targetingKey\":\"ann\"}", "└─ split: the context has no who → the default\n");
    explains("keyed", "{\"targetingKey\":\"ann\"}", "├─ split: bucket 0 of 1 is on\n└─ targeting names on\n");
    explains("keyed", "{}",
             "└─ split: the context has no targetingKey to hash (TARGETING_KEY_MISSING over OFREP and in workers)\n");
}
