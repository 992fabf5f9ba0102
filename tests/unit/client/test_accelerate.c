/* Launch files of Accelerate in and out, and what `cfgctl run` makes of a command. */
#include "client/cfgctl/accelerate.h"
#include "client/cfgctl/run_plan.h"
#include "proto/schema.h"
#include "proto/yaml.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cfg_error err;
static cJSON *notes, *violations;

static void setup(void)
{
    notes = cJSON_CreateArray();
    violations = cJSON_CreateArray();
}

static void teardown(void)
{
    cJSON_Delete(notes);
    cJSON_Delete(violations);
}

TestSuite(accelerate, .init = setup, .fini = teardown);

static cJSON *json(const char *text)
{
    cJSON *v = NULL;
    cr_assert_eq(cfg_json_parse(&v, cfg_slice_str(text), 0, &err), 0, "%s: %s", text, err.text);
    return v;
}

static void equals(const cJSON *v, const char *text)
{
    cJSON *want = json(text);
    struct cfg_buf b;
    cfg_buf_init(&b, 1 << 20);
    cfg_json_print(&b, v);
    cr_assert(cfg_json_equal(v, want), "%s", b.data);
    cfg_buf_finish(&b);
    cJSON_Delete(want);
}

static cJSON *take(const char *text, enum accelerate_unknown unknown)
{
    cJSON *v = NULL;
    cr_assert_eq(accelerate_read(&v, cfg_slice_str(text), unknown, notes, violations, &err), 0, "%s: %s", text,
                 err.text);
    return v;
}

static void refused(int code, const char *what, const char *text)
{
    cJSON *v = NULL, *list = cJSON_CreateArray();
    int rc = accelerate_read(&v, cfg_slice_str(text), ACCELERATE_REFUSE, notes, list, &err);
    cr_assert_eq(rc, code, "%s: %d %s", text, rc, err.text);
    cr_assert_null(v);
    cr_assert(strstr(err.text, what) || strstr(err.hint, what) || strstr(err.path, what), "%s: %s (%s) %s", text,
              err.text, err.hint, err.path);
    cJSON_Delete(list);
}

static const char *first_note(void)
{
    return notes->child ? notes->child->valuestring : "";
}

Test(accelerate, words_that_can_only_be_text)
{
    cJSON *v = take("distributed_type: NO\nmixed_precision: no\ngpu_ids: 0\ndowncast_bf16: no\nuse_cpu: yes\n",
                    ACCELERATE_REFUSE);
    equals(v, "{\"distributed_type\":\"NO\",\"mixed_precision\":\"no\",\"gpu_ids\":\"0\",\"downcast_bf16\":false,\"use_"
              "cpu\":true}");
    cr_assert(strstr(first_note(), "distributed_type: NO is taken as the text"), "%s", first_note());
    cr_assert_eq(cJSON_GetArraySize(notes), 5, "three corrected, two that readers differ on");
    cJSON_Delete(v);
}

Test(accelerate, unknown_keys_by_choice)
{
    static const char text[] =
        "distributed_type: FSDP\ntpu_config: {}\nfsdp_config: {fsdp_verison: 2, fsdp_version: 2}\n";
    refused(CFG_E_VALUE, "tpu_config, fsdp_config.fsdp_verison", text);
    cr_assert(strstr(err.hint, "--drop-unknown"));
    refused(CFG_E_VALUE, "did you mean fsdp_config?", "distributed_type: FSDP\nfsdp_confg: {}\n");
    cJSON *v = take(text, ACCELERATE_DROP);
    equals(v, "{\"distributed_type\":\"FSDP\",\"fsdp_config\":{\"fsdp_version\":2}}");
    cr_assert(strstr(first_note(), "tpu_config is unknown to Accelerate: dropped"));
    cJSON_Delete(v);
    v = take(text, ACCELERATE_KEEP);
    cr_assert_not_null(cfg_json_get(v, "tpu_config"));
    struct accelerate_launch l;
    cr_assert_eq(accelerate_make(&l, v, -1, ACCELERATE_DROP, notes, violations, &err), 0, "%s", err.text);
    equals(l.file, "{\"distributed_type\":\"FSDP\",\"fsdp_config\":{\"fsdp_verison\":2,\"fsdp_version\":2}}");
    accelerate_launch_finish(&l);
    cr_assert_eq(accelerate_make(&l, v, -1, ACCELERATE_KEEP, notes, violations, &err), 0);
    cr_assert_not_null(cfg_json_get(l.file, "tpu_config"));
    accelerate_launch_finish(&l);
    cJSON_Delete(v);
}

Test(accelerate, stricter_than_its_own_loader)
{
    refused(CFG_E_SCHEMA, "mixed_precision", "distributed_type: \"NO\"\nmixed_precision: fp17\n");
    refused(CFG_E_SCHEMA, "main_process_port", "distributed_type: \"NO\"\nmain_process_port: '29500'\n");
    refused(CFG_E_SCHEMA, "distributed_type", "distributed_type: MULTI_GPUS\n");
    refused(CFG_E_SCHEMA, "distributed_type", "mixed_precision: bf16\n");
    refused(CFG_E_SCHEMA, "gpu_ids", "distributed_type: MULTI_GPU\ngpu_ids: one\n");
    refused(CFG_E_SCHEMA, "compute_environment", "distributed_type: \"NO\"\ncompute_environment: AMAZON_SAGEMAKER\n");
    refused(CFG_E_SCHEMA, "zero_stage", "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 4}\n");
    refused(CFG_E_SCHEMA, "each of 2 machines", "distributed_type: MULTI_GPU\nnum_machines: 2\nnum_processes: 3\n");
    refused(CFG_E_SCHEMA, "counted from 0",
            "distributed_type: MULTI_GPU\nnum_machines: 2\nnum_processes: 4\nmachine_rank: 2\n");
    refused(CFG_E_JSON, "twice", "distributed_type: FSDP\ndistributed_type: FSDP\n");
    refused(CFG_E_VALUE, "mapping", "- 1\n");
    cJSON *v = NULL;
    static const char several[] = "distributed_type: X\nnum_processes: '1'\n";
    cr_assert_eq(accelerate_read(&v, CFG_SLICE_LIT(several), ACCELERATE_REFUSE, notes, violations, &err), CFG_E_SCHEMA);
    cr_assert_eq(cJSON_GetArraySize(violations), 2, "all are listed");
}

Test(accelerate, flags_for_what_files_cannot_carry)
{
    struct accelerate_launch l;
    struct cfg_buf b;
    cJSON *v =
        json("{\"distributed_type\":\"MULTI_GPU\",\"num_machines\":2,\"num_processes\":4,\"machine_rank\":1,\"rdzv_"
             "backend\":\"c10d\","
             "\"same_network\":true,\"downcast_bf16\":\"no\",\"enable_cpu_affinity\":true,\"tpu_use_sudo\":false}");
    cr_assert_eq(accelerate_make(&l, v, 0, ACCELERATE_DROP, notes, violations, &err), 0, "%s", err.text);
    equals(l.flags, "[\"--rdzv_backend\",\"c10d\",\"--same_network\",\"--enable_cpu_affinity\"]");
    cr_assert_eq(cfg_json_get_num(l.file, "machine_rank", 9), 0);
    cfg_buf_init(&b, 1 << 16);
    cr_assert_eq(accelerate_print(&b, &l), 0);
    cr_assert(strstr(b.data, "give it also: --rdzv_backend c10d --same_network --enable_cpu_affinity\n"), "%s", b.data);
    cr_assert(strstr(b.data, "\ndowncast_bf16: \"no\"\n"), "%s", b.data);
    cfg_buf_finish(&b);
    accelerate_launch_finish(&l);
    cr_assert_eq(accelerate_make(&l, v, 2, ACCELERATE_DROP, notes, violations, &err), CFG_E_INVALID);
    cJSON_Delete(v);
}

static char *slurp(const char *folder, const char *name)
{
    char path[8192];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = calloc(1, 1 << 16);
    cr_assert_gt(fread(text, 1, (1 << 16) - 1, f), 0u);
    (void)fclose(f);
    return text;
}

/* In, out and in again is the same, for both generations of readers. */
static void round_trip(const char *text)
{
    struct accelerate_launch l;
    struct cfg_buf b;
    cJSON *v = take(text, ACCELERATE_DROP), *back = NULL, *warnings = cJSON_CreateArray();
    cr_assert_eq(accelerate_make(&l, v, -1, ACCELERATE_DROP, notes, violations, &err), 0, "%s", err.text);
    cfg_buf_init(&b, 1 << 16);
    cr_assert_eq(accelerate_print(&b, &l), 0);
    const struct cfg_yaml_options o = {.dialect = CFG_YAML_PYYAML};
    cr_assert_eq(cfg_yaml_parse(&back, cfg_buf_slice(&b), &o, warnings, &err), 0, "%s", err.text);
    cr_assert(cfg_json_equal(v, back), "%s", b.data);
    cr_assert_null(warnings->child, "%s", b.data);
    cfg_buf_finish(&b);
    accelerate_launch_finish(&l);
    cJSON_Delete(v);
    cJSON_Delete(back);
    cJSON_Delete(warnings);
}

Test(accelerate, conformance_files_go_round)
{
    const char *base = getenv("CFG_CONFORMANCE_DIR");
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s/accelerate", base ? base : "../shared/conformance");
    DIR *d = opendir(folder);
    if (d == NULL) {
        (void)puts("SKIP: no conformance data");
        cr_skip_test("no conformance data");
    }
    int files = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".yaml") == NULL)
            continue;
        char *text = slurp(folder, e->d_name);
        round_trip(text);
        free(text);
        files++;
    }
    (void)closedir(d);
    cr_assert_gt(files, 0);
}

Test(accelerate, schema_is_one)
{
    cJSON *schema = NULL;
    struct cfg_schema *program = NULL;
    struct cfg_schema_info info;
    cr_assert_eq(accelerate_schema(&schema, &err), 0, "%s", err.text);
    cr_assert_eq(cfg_schema_compile(&program, schema, NULL, &err), 0, "%s %s", err.text, err.path);
    cr_assert(cfg_schema_info(&info, program, "accelerate.fsdp_config.fsdp_version"));
    cr_assert_eq(info.apply, CFG_APPLY_PINNED);
    cfg_schema_free(program);
    cJSON_Delete(schema);
}

/* --- run --- */

static void arguments_are(const char *const *want, int argc, const char *const *argv, const char *flags)
{
    char **got = NULL;
    cJSON *list = json(flags);
    cr_assert_eq(run_arguments(&got, argc, argv, "/f", list, &err), 0);
    int i = 0;
    for (; want[i]; i++)
        cr_assert_str_eq(got[i] ? got[i] : "(end)", want[i]);
    cr_assert_null(got[i]);
    run_strings_free(got);
    cJSON_Delete(list);
}

Test(run, arguments)
{
    static const char flags[] = "[\"--rdzv_backend\",\"c10d\",\"--same_network\"]";
    static const char *const launch[] = {"accelerate", "launch", "--same-network", "t.py", "--config_file", "x"};
    static const char *const launched[] = {"accelerate",
                                           "launch",
                                           "--config_file",
                                           "/f",
                                           "--rdzv_backend",
                                           "c10d",
                                           "--same-network",
                                           "t.py",
                                           "--config_file",
                                           "x",
                                           NULL};
    arguments_are(launched, 6, launch, flags);
    static const char *const own[] = {"accelerate", "launch", "--config_file=mine", "t.py"};
    static const char *const kept[] = {"accelerate", "launch", "--config_file=mine", "t.py", NULL};
    arguments_are(kept, 4, own, flags);
    cr_assert_not(run_wants_launch_file(4, own));
    static const char *const module[] = {"/usr/bin/python3", "-m", "accelerate.commands.launch", "t.py"};
    static const char *const moduled[] = {
        "/usr/bin/python3", "-m", "accelerate.commands.launch", "--config_file", "/f", "t.py", NULL};
    arguments_are(moduled, 4, module, "[]");
    static const char *const shell[] = {"sh", "-c", "cat {launch_file} {launch_file}"};
    static const char *const shelled[] = {"sh", "-c", "cat /f /f", NULL};
    arguments_are(shelled, 3, shell, flags);
    cr_assert(run_wants_launch_file(3, shell));
    static const char *const other[] = {"python", "train.py", "accelerate", "launch"};
    cr_assert_not(run_wants_launch_file(4, other));
    cr_assert_not(run_is_launcher(4, other));
    cr_assert(run_is_launcher(6, launch));
}

Test(run, environment_has_each_name_once)
{
    char a[] = "A=1", b[] = "B=2", ab[] = "AB=3";
    char *const base[] = {a, b, ab, NULL};
    char **got = NULL;
    cJSON *variables = json("{\"A\":\"9\",\"C\":\"x=y\"}");
    cr_assert_eq(run_environment(&got, base, variables, &err), 0);
    static const char *const want[] = {"B=2", "AB=3", "A=9", "C=x=y"};
    for (int i = 0; i < 4; i++)
        cr_assert_str_eq(got[i], want[i]);
    cr_assert_null(got[4]);
    run_strings_free(got);
    cJSON_Delete(variables);
}

static bool is_live(const char *path, void *arg)
{
    return strcmp(path, arg) == 0;
}

Test(run, changes)
{
    cJSON *before = json("{\"a\":{\"b\":1,\"gone\":2},\"l\":[1],\"same\":\"x\",\"live\":1}");
    cJSON *now = json("{\"a\":{\"b\":1.5,\"new\":null},\"l\":[1,2],\"same\":\"x\",\"live\":2}"), *paths = NULL;
    char live[] = "live";
    cr_assert_eq(run_changes(&paths, before, now, is_live, live, &err), 0);
    equals(paths, "[\"a.b\",\"a.new\",\"l\",\"a.gone\"]");
    cJSON_Delete(paths);
    cr_assert_eq(run_changes(&paths, now, now, NULL, NULL, &err), 0);
    equals(paths, "[]");
    cJSON_Delete(paths);
    cJSON_Delete(before);
    cJSON_Delete(now);
}
