/* Folders of namespaces: reading them, normal forms, cutting a change into transactions, and progress. */
#include "client/cfgctl/gitops.h"
#include "client/cfgctl/progress.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cJSON *tree(const char *text)
{
    cJSON *v = NULL;
    struct cfg_error err;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

/* Consumes v. */
static void is(cJSON *v, const char *wanted)
{
    cJSON *w = tree(wanted);
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 16);
    cfg_json_print(&text, v);
    cr_assert(v && cfg_json_equal(v, w), "%s, not %s", text.data, wanted);
    cfg_buf_finish(&text);
    cJSON_Delete(v);
    cJSON_Delete(w);
}

/* --- normal forms --- */

static cJSON *body(enum gitops_kind kind, const char *reply)
{
    cJSON *r = tree(reply), *out = NULL;
    struct cfg_error err;
    cr_assert_eq(gitops_body(&out, kind, r, &err), 0);
    cJSON_Delete(r);
    return out;
}

Test(gitops, defaults_are_no_part_of_a_normal_form)
{
    is(body(GITOPS_CONFIG, "{\"document\":{\"a\":1},\"version\":3}"), "{\"document\":{\"a\":1},\"extends\":[]}");
    is(body(GITOPS_FLAG,
            "{\"enabled\":true,\"off_variant\":null,\"hash_version\":2,\"prerequisites\":{},\"holdouts\":[],"
            "\"overrides\":{},\"definition\":{\"variants\":{}},\"author\":\"x\"}"),
       "{\"enabled\":true,\"definition\":{\"variants\":{}}}");
    is(body(GITOPS_FLAG, "{\"definition\":{},\"hash_version\":3,\"off_variant\":\"x\"}"),
       "{\"enabled\":true,\"definition\":{},\"hash_version\":3,\"off_variant\":\"x\"}");
    cr_assert_null(body(GITOPS_EVALUATORS, "{\"evaluators\":{},\"metadata\":{}}"));
    is(body(GITOPS_EVALUATORS, "{\"evaluators\":{\"a\":1}}"), "{\"evaluators\":{\"a\":1},\"metadata\":{}}");
    is(body(GITOPS_SCHEMA, "{\"schema\":true}"), "true");
}

Test(gitops, flags_go_to_files_and_back)
{
    static const char *const files[] = {
        "{\"state\":\"ENABLED\",\"variants\":{\"on\":true},\"defaultVariant\":\"on\"}",
        "{\"variants\":{\"on\":true},\"configd\":{\"enabled\":false,\"off_variant\":\"on\"}}",
        "{\"variants\":{},\"configd\":{\"group\":{\"name\":\"g\",\"to\":5},\"hash_version\":1}}"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cJSON *file = tree(files[i]), *envelope = NULL, *back = NULL;
        struct cfg_error err;
        cr_assert_eq(gitops_flag_read(&envelope, file, &err), 0);
        cr_assert_null(cfg_json_get(cfg_json_get(envelope, "definition"), "configd"));
        cr_assert_eq(gitops_flag_write(&back, envelope, &err), 0);
        is(back, files[i]);
        cJSON_Delete(file);
        cJSON_Delete(envelope);
    }
}

Test(gitops, flags_that_are_none_are_refused)
{
    static const char *const bad[][2] = {
        {"1", "object"}, {"{\"configd\":1}", "configd must be"}, {"{\"configd\":{\"enable\":true}}", "configd.enable"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cJSON *file = tree(bad[i][0]), *out = NULL;
        struct cfg_error err;
        cr_assert_eq(gitops_flag_read(&out, file, &err), CFG_E_VALUE);
        cr_assert(strstr(err.text, bad[i][1]), "%s", err.text);
        cJSON_Delete(file);
    }
}

Test(gitops, versions_from_the_files_carry_their_mark)
{
    struct cfg_error err;
    cr_assert(gitops_is_from("[apply a/b]", "a/b"));
    cr_assert(gitops_is_from("why [apply a/b]", "a/b"));
    cr_assert(!gitops_is_from("why [apply a/b] and more", "a/b"));
    cr_assert(!gitops_is_from("[apply a/bc]", "a/b"));
    cr_assert(!gitops_is_from("", "a/b"));
    cr_assert_eq(gitops_check_source("git@x.org:ops/configs", &err), 0);
    cr_assert_eq(gitops_check_source("a b", &err), CFG_E_INVALID);
    cr_assert_eq(gitops_check_source("a]", &err), CFG_E_INVALID);
    cr_assert_eq(gitops_check_source("", &err), CFG_E_INVALID);
}

/* --- transactions --- */

static void add(struct gitops *g, enum gitops_kind kind, const char *ns, const char *name, enum reconcile_action a,
                const char *wanted, const char *head)
{
    struct gitops_object *o;
    struct cfg_error err;
    cr_assert_eq(gitops_add(&o, g, kind, ns, name, &err), 0);
    o->wanted = wanted ? tree(wanted) : NULL;
    o->head = head ? tree(head) : NULL;
    o->version = head ? 7 : 0;
    o->action = a;
}

#define DOC(extends) "{\"document\":{\"v\":1},\"extends\":[" extends "]}"

/* The objects of each transaction: "config/a config/b | flag/x/y". */
static void cuts(const struct gitops *g, size_t objects, size_t bytes, const char *wanted)
{
    cJSON *parts = NULL;
    const cJSON *part, *entry;
    struct cfg_error err;
    struct cfg_buf text;
    cr_assert_eq(gitops_entries(&parts, g, objects, bytes, &err), 0);
    cfg_buf_init(&text, 1 << 16);
    cfg_buf_puts(&text, "");
    cJSON_ArrayForEach(part, parts)
    {
        cfg_buf_puts(&text, part == parts->child ? "" : " |");
        cJSON_ArrayForEach(entry, part)
        {
            cfg_buf_printf(&text, "%s%s", text.len ? " " : "", cfg_json_get_str(entry, "object", "?"));
        }
    }
    cr_assert_str_eq(text.data, wanted);
    cfg_buf_finish(&text);
    cJSON_Delete(parts);
}

Test(gitops, bases_come_first_and_deletes_last)
{
    struct gitops g = {.n = 0};
    add(&g, GITOPS_CONFIG, "a", "", RECONCILE_CREATE, DOC("\"m\""), NULL);
    add(&g, GITOPS_CONFIG, "del-base", "", RECONCILE_DELETE, NULL, DOC(""));
    add(&g, GITOPS_CONFIG, "del-top", "", RECONCILE_DELETE, NULL, DOC("\"del-base\""));
    add(&g, GITOPS_FLAG, "a", "f", RECONCILE_UPDATE, "{}", "{}");
    add(&g, GITOPS_SCHEMA, "a", "", RECONCILE_UPDATE, "{}", "{}");
    add(&g, GITOPS_CONFIG, "m", "", RECONCILE_CREATE, DOC("\"z\""), NULL);
    add(&g, GITOPS_CONFIG, "same", "", RECONCILE_SAME, DOC(""), DOC(""));
    add(&g, GITOPS_CONFIG, "z", "", RECONCILE_CREATE, DOC(""), NULL);
    cuts(&g, 60, 1 << 20, "config/z config/m config/a schema/a flag/a/f config/del-top config/del-base");
    cuts(&g, 4, 1 << 20, "config/z config/m | config/a schema/a flag/a/f | config/del-top config/del-base");
    cuts(&g, 2, 1 << 20, "config/z | config/m | config/a | schema/a flag/a/f | config/del-top | config/del-base");
    cuts(&g, 60, 1, "config/z | config/m | config/a | schema/a | flag/a/f | config/del-top | config/del-base");
    gitops_finish(&g);
    cuts(&g, 60, 1 << 20, "");
}

Test(gitops, a_circle_of_bases_ends)
{
    struct gitops g = {.n = 0};
    add(&g, GITOPS_CONFIG, "a", "", RECONCILE_CREATE, DOC("\"b\""), NULL);
    add(&g, GITOPS_CONFIG, "b", "", RECONCILE_CREATE, DOC("\"a\""), NULL);
    cuts(&g, 60, 1 << 20, "config/a config/b");
    gitops_finish(&g);
}

static void entry_is(enum gitops_kind kind, enum reconcile_action a, const char *wanted, const char *head,
                     const char *entry)
{
    struct gitops g = {.n = 0};
    cJSON *parts = NULL;
    struct cfg_error err;
    add(&g, kind, "a", kind == GITOPS_FLAG ? "f" : "", a, wanted, head);
    cr_assert_eq(gitops_entries(&parts, &g, 60, 1 << 20, &err), 0);
    is(cJSON_DetachItemFromArray(parts->child, 0), entry);
    cJSON_Delete(parts);
    gitops_finish(&g);
}

Test(gitops, an_entry_names_the_version_it_was_decided_on)
{
    entry_is(GITOPS_CONFIG, RECONCILE_CREATE, DOC(""), NULL,
             "{\"object\":\"config/a\",\"if_version\":0,\"put\":{\"v\":1}}");
    entry_is(GITOPS_CONFIG, RECONCILE_CREATE, DOC("\"b\""), NULL,
             "{\"object\":\"config/a\",\"if_version\":0,\"put\":{\"v\":1},\"extends\":[\"b\"]}");
    entry_is(GITOPS_CONFIG, RECONCILE_UPDATE, DOC("\"b\""), DOC("\"b\""),
             "{\"object\":\"config/a\",\"if_version\":7,\"put\":{\"v\":1}}");
    entry_is(GITOPS_CONFIG, RECONCILE_UPDATE, DOC(""), DOC("\"b\""),
             "{\"object\":\"config/a\",\"if_version\":7,\"put\":{\"v\":1},\"extends\":[]}");
    entry_is(GITOPS_FLAG, RECONCILE_DELETE, NULL, "{}", "{\"object\":\"flag/a/f\",\"if_version\":7,\"delete\":true}");
    entry_is(GITOPS_SCHEMA, RECONCILE_CREATE, "false", NULL,
             "{\"object\":\"schema/a\",\"if_version\":0,\"put\":false}");
}

/* --- words --- */

Test(gitops, conflicts_say_who_and_what)
{
    struct gitops g = {.n = 0, .source = "configs"};
    struct cfg_buf text;
    add(&g, GITOPS_CONFIG, "chat", "", RECONCILE_DRIFT, DOC(""), "{\"document\":{\"v\":9},\"extends\":[]}");
    g.objects[0].last = tree(DOC(""));
    g.objects[0].last_version = 5;
    g.objects[0].file = strdup("chat.yaml");
    g.objects[0].outside = tree("[{\"version\":7,\"author\":\"bob\",\"time\":\"x\",\"message\":\"hot\\u001bfix\"}]");
    add(&g, GITOPS_FLAG, "x", "f", RECONCILE_LEFT, NULL, "{}");
    cfg_buf_init(&text, 1 << 16);
    gitops_describe(&text, &g, false);
    cr_assert_str_eq(text.data, "! chat (chat.yaml): changed outside the files since v5\n"
                                "    v7 by bob, x ago: hot?fix\n"
                                "  - v = 1\n  + v = 9\n"
                                "? x/f: no file has it any more; --prune deletes it\n"
                                "configs: 0 new, 0 changed, 0 gone, 0 as they are, 1 in conflict\n");
    cfg_buf_finish(&text);
    cr_assert_eq(gitops_conflicts(&g), 1);
    is(gitops_tree(&g),
       "[{\"object\":\"config/chat\",\"action\":\"drift\",\"version\":7,\"last\":5,\"file\":\"chat.yaml\","
       "\"outside\":[{\"version\":7,\"author\":\"bob\",\"time\":\"x\",\"message\":\"hot\\u001bfix\"}]},"
       "{\"object\":\"flag/x/f\",\"action\":\"left\",\"version\":7,\"last\":0}]");
    gitops_finish(&g);
}

Test(gitops, progress_is_a_bar_or_a_line_at_every_quarter)
{
    struct progress p = {.what = "reading", .total = 100};
    struct cfg_buf text;
    cfg_buf_init(&text, 1 << 16);
    cfg_buf_puts(&text, "");
    for (p.done = 0; p.done <= 100; p.done++)
        progress_line(&text, &p);
    cr_assert_str_eq(text.data, "reading: 25 of 100\nreading: 50 of 100\nreading: 75 of 100\nreading: 100 of 100\n");
    cfg_buf_clear(&text);
    p = (struct progress){"reading", 10, 20, true};
    progress_line(&text, &p);
    cr_assert_str_eq(text.data, "\rreading [###############...............] 10/20");
    cfg_buf_clear(&text);
    p = (struct progress){"reading", 5, 9, true};
    progress_line(&text, &p);
    p = (struct progress){"reading", 10, 39, false};
    progress_line(&text, &p);
    cr_assert_eq(text.len, 0, "short work is silent");
    cfg_buf_finish(&text);
}

/* --- reading --- */

Test(gitops, every_bad_file_is_named_with_its_line)
{
    static const char *const files[][2] = {{"a.yaml", "x: 1\ny: no\n"},
                                           {"b.yaml", "x: [\n"},
                                           {"c.json", "{\n\"x\": 1,\n\"x\": 2}"},
                                           {"notes.txt", "[[["},
                                           {".hidden.yaml", "[[["}};
    char dir[] = "/tmp/cfg-gitops-XXXXXX", path[128];
    struct gitops g;
    struct cfg_error err;
    cJSON *warnings = cJSON_CreateArray(), *errors = cJSON_CreateArray();
    cr_assert_not_null(mkdtemp(dir));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i][0]);
        FILE *f = fopen(path, "w");
        cr_assert_not_null(f);
        fputs(files[i][1], f);
        fclose(f);
    }
    cr_assert_eq(gitops_read(&g, dir, warnings, errors, &err), 0);
    cr_assert_eq(g.n, 1);
    cr_assert_str_eq(g.source, dir + sizeof "/tmp");
    cr_assert_eq(cJSON_GetArraySize(errors), 2);
    cr_assert_eq(strncmp(errors->child->valuestring, "b.yaml:2:1: ", 12), 0, "%s", errors->child->valuestring);
    cr_assert_eq(strncmp(errors->child->next->valuestring, "c.json:3:1: duplicate", 21), 0, "%s",
                 errors->child->next->valuestring);
    cr_assert_eq(cJSON_GetArraySize(warnings), 1);
    cr_assert_eq(strncmp(warnings->child->valuestring, "a.yaml:2:4: ", 12), 0, "%s", warnings->child->valuestring);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i][0]);
        unlink(path);
    }
    rmdir(dir);
    gitops_finish(&g);
    cJSON_Delete(warnings);
    cJSON_Delete(errors);
}
