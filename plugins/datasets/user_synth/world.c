/* world.c - see world.h. Everything here is worked out once, when a dataset is opened. */
#include "world.h"

#include <assay/memory.h>

#include <math.h>

/* Log popularity of topics and sources: what nobody's traits speak for or against. */
static const float topic_bases[TOPICS] = {
    [DINING] = 0.5F,     [TAKEOUT] = 0.2F, [TRANSIT] = 0.4F, [TRAVEL] = 0.1F,  [MOVIE] = -0.2F,
    [CONCERT] = -0.6F,   [GAMES] = 0.0F,   [HEALTH] = 0.3F,  [FOREST] = -0.4F, [BRAND] = -0.1F,
    [DISCOUNT] = -0.15F, [FINANCE] = 0.8F, [ACCOUNT] = 0.1F};
static const float source_bases[SOURCES] = {
    [BILL] = 0.4F, [APP] = -0.2F, [MINIPRO] = 0.2F, [SOUSUO] = -1.2F, [SPM] = 0.3F};
static const float median_amounts[TOPICS] = {
    [DINING] = 60,   [TAKEOUT] = 25,  [TRANSIT] = 4, [TRAVEL] = 300, [MOVIE] = 40,
    [CONCERT] = 180, [GAMES] = 12,    [HEALTH] = 80, [FOREST] = 3,   [BRAND] = 150,
    [DISCOUNT] = 30, [FINANCE] = 200, [ACCOUNT] = 5};
/* How often each action of a topic is done, and how busy each hour of the day is. */
static const float action_shares[ACTIONS] = {0.36F, 0.24F, 0.15F, 0.10F,
                                             0.06F, 0.04F, 0.03F, 0.02F};
static const float hour_shares[24] = {2,  1, 1, 1, 1, 2,  4,  7,  9,  8,  7, 9,
                                      12, 9, 7, 7, 8, 10, 13, 14, 13, 11, 8, 4};

/* ---- tables ---- */

/* The x with P(N <= x) = p, by halving. */
static double normal_quantile(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (0.5 * erfc(-middle / sqrt(2.0)) < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static void make_quantiles(world *w)
{
    for (int i = 0; i < NORMAL_STEPS; i++)
        w->normal[i] = (float)normal_quantile((i + 0.5) / NORMAL_STEPS);
    for (int i = 0; i < SPREAD_STEPS; i++)
        w->spread[i] = (float)exp(0.6 * normal_quantile((i + 0.5) / SPREAD_STEPS));
    for (int i = 0; i < DRIFT_STEPS; i++)
        w->drift[i] = (float)exp(0.05 * normal_quantile((i + 0.5) / DRIFT_STEPS));
}

/* Entry i of a table of `steps` is the first value whose share and those before reach (i + 1/2) /
 * steps of all. */
static int entry_of(const double *shares, int count, double wanted)
{
    double sum = 0;
    for (int k = 0; k < count - 1; k++) {
        sum += shares[k];
        if (wanted < sum)
            return k;
    }
    return count - 1;
}

static void make_choices(world *w)
{
    double zipf[ITEMS], action[ACTIONS], hour[24], zipf_sum = 0, hour_sum = 0;
    for (int k = 0; k < ITEMS; k++)
        zipf_sum += zipf[k] = pow(k + 1, -1.1);
    for (int k = 0; k < ACTIONS; k++)
        action[k] = (double)action_shares[k];
    for (int k = 0; k < 24; k++)
        hour_sum += hour[k] = (double)hour_shares[k];
    for (int i = 0; i < ZIPF_STEPS; i++)
        w->zipf[i] = (uint8_t)entry_of(zipf, ITEMS, (i + 0.5) / ZIPF_STEPS * zipf_sum);
    for (int i = 0; i < ACTION_STEPS; i++)
        w->action[i] = (uint8_t)entry_of(action, ACTIONS, (i + 0.5) / ACTION_STEPS);
    double before = 0; /* shares of the hours that have passed */
    for (int i = 0, h = 0; i < CLOCK_STEPS; i++) {
        double wanted = (i + 0.5) / CLOCK_STEPS * hour_sum;
        while (wanted > before + hour[h])
            before += hour[h++];
        double in_hour = (wanted - before) / hour[h];
        w->clock[i] = (uint16_t)((h + in_hour) / 24 * TICKS);
    }
}

/* ---- how traits become tastes ---- */

static void make_tastes(world *w)
{
    assay_stream taste = assay_stream_of(0, "user_synth/world/taste", 0);
    assay_stream habit = assay_stream_of(0, "user_synth/world/habit", 0);
    const float scale = 0.25F; /* 1 / sqrt(TRAITS): a log weight has variance 1 over users */
    assay_random_fill_normal(taste, 0, TOPICS * TRAITS, w->taste[0]);
    assay_random_fill_normal(habit, 0, SOURCES * TRAITS, w->habit[0]);
    for (int t = 0; t < TOPICS; t++) {
        for (int k = 0; k < TRAITS; k++)
            w->taste[t][k] *= scale;
        w->topic_base[t] = topic_bases[t];
        w->topic_share[t] = expf(topic_bases[t]);
        w->topic_total += w->topic_share[t];
        w->price[t] = logf(median_amounts[t]);
    }
    for (int s = 0; s < SOURCES; s++) {
        for (int k = 0; k < TRAITS; k++)
            w->habit[s][k] *= scale * 0.7F;
        w->source_base[s] = source_bases[s];
    }
}

world *world_new(const world_knobs *knobs, assay_error *error)
{
    world *w = assay_zalloc(sizeof *w, error);
    if (w == NULL)
        return NULL;
    w->knobs = *knobs;
    make_quantiles(w);
    make_choices(w);
    make_tastes(w);
    return w;
}
