/* Environment variables: names, values, files of them, and back. */
#include "proto/dotenv.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct cfg_error err;

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s", err.text);
    return v;
}

Test(dotenv, names_and_values)
{
    cJSON *doc = json("{\"sampling\":{\"temperature\":0.7,\"top-p\":1e-7},\"stop\":[\"a "
                      "b\",1],\"o\":{},\"on\":true,\"none\":null,\"s\":\"x\"}");
    cJSON *env = NULL;
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    cr_assert_eq(cfg_env_make(&env, "4b-chat", doc, &err), 0, "%s", err.text);
    cfg_json_print(&b, env);
    cr_assert_str_eq(
        b.data, "{\"_4B_CHAT_SAMPLING_TEMPERATURE\":\"0.7\",\"_4B_CHAT_SAMPLING_TOP_P\":\"1e-7\",\"_4B_CHAT_STOP\":"
                "\"[\\\"a b\\\",1]\",\"_4B_CHAT_O\":\"{}\",\"_4B_CHAT_ON\":\"true\",\"_4B_CHAT_S\":\"x\"}");
    cfg_buf_finish(&b);
    cJSON_Delete(env);
    cJSON_Delete(doc);
}

Test(dotenv, collisions_are_named)
{
    cJSON *doc = json("{\"a\":{\"b\":1},\"a-b\":2}"), *env = NULL;
    cr_assert_eq(cfg_env_make(&env, "x", doc, &err), CFG_E_CONFLICT);
    cr_assert_str_eq(err.text, "a.b and a-b would both be the variable X_A_B");
    cJSON_Delete(doc);
    doc = json("{\"a\":\"x\\u0000y\"}");
    cr_assert_eq(cfg_env_make(&env, "x", doc, &err), CFG_E_VALUE);
    cr_assert_str_eq(err.path, "a");
    cr_assert_null(env);
    cJSON_Delete(doc);
}

Test(dotenv, what_is_printed_is_read_back)
{
    cJSON *env = json("{\"A\":\"plain/1.5:x\",\"B\":\"\",\"C\":\"it's $HOME\",\"D\":\"two\\nlines \\\\ "
                      "\\\"q\\\"\",\"E\":\" blank # x \",\"F\":\"é\"}");
    cJSON *list = NULL;
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    cfg_env_print(&b, env, CFG_ENV_SHELL);
    cr_assert(strstr(b.data, "export C='it'\\''s $HOME'\n"), "%s", b.data);
    cr_assert(strstr(b.data, "export D='two\nlines \\ \"q\"'\n"), "%s", b.data);
    cfg_buf_clear(&b);
    cfg_env_print(&b, env, CFG_ENV_DOTENV);
    cr_assert_eq(cfg_dotenv_parse(&list, cfg_buf_slice(&b), &err), 0, "%s: %s", b.data, err.text);
    const cJSON *e, *v = env->child;
    cJSON_ArrayForEach(e, list)
    {
        cr_assert_str_eq(cfg_json_get_str(e, "name", ""), v->string);
        cr_assert_str_eq(cfg_json_get_str(e, "value", "?"), v->valuestring);
        v = v->next;
    }
    cr_assert_null(v);
    cfg_buf_finish(&b);
    cJSON_Delete(list);
    cJSON_Delete(env);
}

Test(dotenv, forms_of_a_line)
{
    static const char text[] = "\xEF\xBB\xBF# comment\r\n\nA=1 # one\r\nexport B = two words  \nC='a # "
                               "$b\n\\n'\nD=\"x\\ty\\$z\" # c\nE=\nF=a#b\n  G='' ";
    static const char *const rows[][3] = {{"A", "1", "3"},      {"B", "two words", "4"}, {"C", "a # $b\n\\n", "5"},
                                          {"D", "x\ty$z", "7"}, {"E", "", "8"},          {"F", "a#b", "9"},
                                          {"G", "", "10"}};
    cJSON *list = NULL;
    cr_assert_eq(cfg_dotenv_parse(&list, CFG_SLICE_LIT(text), &err), 0, "%s", err.text);
    cr_assert_eq(cJSON_GetArraySize(list), 7);
    for (int i = 0; i < 7; i++) {
        const cJSON *e = cJSON_GetArrayItem(list, i);
        char line[16];
        (void)snprintf(line, sizeof line, "%.0f", cfg_json_get_num(e, "line", 0));
        cr_assert_str_eq(cfg_json_get_str(e, "name", ""), rows[i][0]);
        cr_assert_str_eq(cfg_json_get_str(e, "value", "?"), rows[i][1]);
        cr_assert_str_eq(line, rows[i][2], "%s", rows[i][0]);
    }
    cJSON_Delete(list);
}

Test(dotenv, what_is_refused)
{
    static const char *const rows[][3] = {
        {"A=1\nA=2", "line 2", "twice"},
        {"A", "line 1", "NAME=value"},
        {"1A=2", "line 1", "name"},
        {"A='x", "line 1", "never"},
        {"A='x' y", "line 1", "behind"},
        {"A=$HOME", "line 1", "expanded"},
        {"A=\"a ${B}\"", "line 1", "expanded"},
        {"\nA=\xC3", "line 2", "UTF-8"},
        {"a-b=1", "line 1", "NAME=value"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON *list = NULL;
        cr_assert_eq(cfg_dotenv_parse(&list, cfg_slice_str(rows[i][0]), &err), CFG_E_VALUE, "%s", rows[i][0]);
        cr_assert_str_eq(err.path, rows[i][1], "%s: %s", rows[i][0], err.text);
        cr_assert(strstr(err.text, rows[i][2]), "%s: %s", rows[i][0], err.text);
        cr_assert_null(list);
    }
    cJSON *list = NULL;
    cr_assert_eq(cfg_dotenv_parse(&list, (struct cfg_slice){"A=\0b", 4}, &err), CFG_E_VALUE);
}

Test(dotenv, names_back_to_paths)
{
    static const char *const rows[][3] = {
        {"CHAT_SAMPLING_TOP_P", "sampling.top_p", "known"},
        {"SAMPLING_TOP_P", "sampling.top_p", "known"},
        {"CHAT_NEW__DEEP_KEY", "new.deep_key", ""},
        {"OTHER", "other", ""},
        {"CHAT_", "chat_", ""},
    };
    cJSON *doc = json("{\"sampling\":{\"top_p\":1}}");
    struct cfg_buf b;
    cfg_buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool known = false;
        cfg_buf_clear(&b);
        cr_assert_eq(cfg_env_path(&b, &known, "chat", rows[i][0], doc, &err), 0);
        cr_assert_str_eq(b.data, rows[i][1]);
        cr_assert_eq(known, rows[i][2][0] != '\0', "%s", rows[i][0]);
    }
    cJSON_Delete(doc);
    doc = json("{\"a\":{\"b\":1},\"a-b\":2}");
    bool known;
    cr_assert_eq(cfg_env_path(&b, &known, "x", "X_A_B", doc, &err), CFG_E_CONFLICT);
    cfg_buf_finish(&b);
    cJSON_Delete(doc);
}

Test(dotenv, too_many_variables)
{
    struct cfg_buf b;
    cJSON *list = NULL;
    cfg_buf_init(&b, 1 << 20);
    for (int i = 0; i < CFG_DOTENV_MAX; i++)
        cfg_buf_printf(&b, "A%d=1\n", i);
    cr_assert_eq(cfg_dotenv_parse(&list, cfg_buf_slice(&b), &err), 0);
    cJSON_Delete(list);
    list = NULL;
    cfg_buf_puts(&b, "B=1\n");
    cr_assert_eq(cfg_dotenv_parse(&list, cfg_buf_slice(&b), &err), CFG_E_LIMIT);
    cr_assert(strstr(err.text, "line 4097"), "%s", err.text);
    cfg_buf_finish(&b);
}
