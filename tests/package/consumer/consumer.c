/* A loop of steps on a file source: proves that installed headers and libraries are enough. */
#include <cfg/client.h>
#include <cfg/flags.h>
#include <cfg/worker.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct cfg_worker_options options = CFG_WORKER_OPTIONS_INIT;
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_worker *w = NULL;
    options.source = argc > 1 ? argv[1] : NULL;
    options.deployment = "consumer";
    options.cache = "";
    if (cfg_worker_open(&w, &options, &err) != 0) {
        fprintf(stderr, "open: %s\n", err.text);
        return 1;
    }
    cfg_param temperature = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0.0, 2.0, 0.7);
    cfg_flag ab = cfg_flag_declare(w, "experiment/ab.flag");
    if (cfg_worker_start(w, 5000, &err) != 0) {
        fprintf(stderr, "start: %s (%s)\n", err.text, err.hint);
        cfg_worker_close(w);
        return 1;
    }
    const struct cfg_view *view = cfg_step_begin(w, 0);
    struct cfg_context who;
    cfg_context_init(&who, "user-17");
    printf("libcfgclient %s: temperature %.2f, ab.flag %s\n", cfg_client_version(), cfg_get_f64(view, temperature),
           cfg_flag_bool(view, ab, &who, false) ? "on" : "off");
    cfg_step_end(w, NULL);
    cfg_worker_close(w);
    return 0;
}
