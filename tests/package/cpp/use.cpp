// A program in C++ that uses every public header: options, handles, inline reads, flags, a session. Compiled, not run.
#include <cfg/client.h>
#include <cfg/error.h>
#include <cfg/flags.h>
#include <cfg/worker.h>
#include <cfg/worker_nccl.h>

#include <cstdio>

namespace {

void quiet(void *, int, const char *)
{
}

double steps(cfg_worker *w, cfg_param temperature, cfg_param batch, cfg_flag ab, cfg_metric loss)
{
    double sum = 0;
    for (uint64_t step = 0; step < 3; step++) {
        const cfg_view *v = cfg_step_begin(w, step);
        if (v == nullptr) {
            break;
        }
        cfg_context who;
        cfg_context_init(&who, "user-17");
        cfg_overlay overlay;
        cfg_overlay_begin(&overlay, v, &who);
        sum += cfg_overlay_f64(&overlay, temperature) + cfg_get_f64(v, temperature);
        sum += cfg_flag_bool(v, ab, &who, false) ? 1 : 0;
        cfg_worker_metric(w, loss, sum);
        (void)cfg_worker_draining(w, batch, 3);
        cfg_step_end(w, nullptr);
    }
    cfg_run run;
    return cfg_worker_revision_at(w, 2, &run, nullptr) == 0 ? sum : 0;
}

} // namespace

int main()
{
    cfg_error err = CFG_ERROR_INIT;
    cfg_worker_options o = CFG_WORKER_OPTIONS_INIT;
    cfg_session_options so = CFG_SESSION_OPTIONS_INIT;
    cfg_client_options co = CFG_CLIENT_OPTIONS_INIT;
    cfg_param none = CFG_PARAM_NONE;
    cfg_flag no_flag = CFG_FLAG_NONE;
    o.log = quiet;
    cfg_worker *w = nullptr;
    if (cfg_worker_open(&w, &o, &err) != 0 || so.size == 0 || co.size == 0) {
        std::printf("%s\n", err.text);
        return 1;
    }
    cfg_param temperature = cfg_param_f64(w, "sampling.temperature", CFG_LIVE, 0, 2, 0.7);
    cfg_param batch = cfg_param_i64(w, "inference.batch_size", CFG_DRAIN, 1, 64, 8);
    cfg_flag ab = cfg_flag_declare(w, "experiment/ab.flag");
    cfg_metric loss = cfg_metric_declare(w, "loss");
    double sum = cfg_worker_start(w, 1000, &err) == 0 ? steps(w, temperature, batch, ab, loss) : 0;
    cfg_worker_close(w);
    return sum > 0 && none.index != 0 && no_flag.index != 0 ? 0 : 1;
}
