/* Learning-rate schedules: see optim.h. */
#include <math.h>

#include <tapegrad/optim.h>

double tg_lr_step(double lr, double factor, int64_t every, int64_t step)
{
    return every > 0 ? lr * pow(factor, (double)(step / every)) : lr;
}

double tg_lr_cosine(double lr, double lowest, int64_t total, int64_t step)
{
    if (step >= total) return lowest;
    if (step <= 0) return lr;
    const double pi = 3.14159265358979323846;
    return lowest + (lr - lowest) * 0.5 * (1 + cos(pi * (double)step / (double)total));
}

double tg_lr_warmup(double lr, int64_t steps, int64_t step)
{
    return step + 1 < steps ? lr * (double)(step + 1) / (double)steps : lr;
}

double tg_lr_plateau(tg_plateau *p, double lr, double loss)
{
    const double factor = p->factor > 0 ? p->factor : 0.1;
    const double threshold = p->threshold > 0 ? p->threshold : 1e-4;
    const int patience = p->patience > 0 ? p->patience : 10;
    if (!p->started || loss < p->best - threshold * fabs(p->best)) {
        p->best = loss;
        p->waited = 0;
        p->started = true;
        return lr;
    }
    if (++p->waited <= patience) return lr;
    p->waited = 0;
    const double lower = lr * factor;
    return lower > p->lowest ? lower : p->lowest;
}
