/* tasks.c - see tasks.h.
 *
 * Most tasks ask whether an event of a topic with one of some actions happens in the window of 30
 * days. Which actions count was chosen so that between 5 and 40 of a hundred users do it with the
 * default knobs; where "any event" of the topic would be everybody, the qualified ones are asked
 * for. Searches say nothing of an action, and no task counts them. */
#include "tasks.h"

#include <math.h>
#include <stdlib.h>

#define ALIPAY(n, d, t, q, p, o)                                                                   \
    {                                                                                              \
        "alipay10", n, d, t, q, p, o                                                               \
    }
#define COGNITION(n, d, t, q, p, o)                                                                \
    {                                                                                              \
        "cognition9", n, d, t, q, p, o                                                             \
    }

const synth_task synth_tasks[TASKS] = {
    ALIPAY("active", "user engagement", "Interest Community Active User Identification",
           "Will the user be active in the interest community in the next period?",
           "active in the interest community", "not active in the interest community"),
    ALIPAY("concert", "user engagement", "Concert Click Prediction",
           "Will the user click concert content in the next period?", "clicks concert content",
           "clicks no concert content"),
    ALIPAY("login", "user engagement", "User Log-in Prediction",
           "Will the user log in in the next three days?", "logs in", "does not log in"),
    ALIPAY("forest", "user engagement", "Ant Forest Engagement",
           "Will the user take part in the forest in the next period?", "takes part in the forest",
           "takes no part in the forest"),
    ALIPAY("fraud", "risk", "Fraud Detection", "Is the user at risk of fraud?", "at risk of fraud",
           "no risk of fraud"),
    ALIPAY("money", "risk", "Money Laundering Detection",
           "Is the user at risk of money laundering?", "at risk of money laundering",
           "no risk of money laundering"),
    ALIPAY("takeout", "marketing sensitivity", "Takeout Interest",
           "Is the user interested in takeout?", "interested in takeout",
           "not interested in takeout"),
    ALIPAY("brand", "marketing sensitivity", "Brand Sensitivity",
           "Is the user sensitive to brand campaigns?", "sensitive to brand campaigns",
           "not sensitive to brand campaigns"),
    ALIPAY("promo", "marketing sensitivity", "Big Sale Sensitivity",
           "Is the user sensitive to big sales?", "sensitive to big sales",
           "not sensitive to big sales"),
    ALIPAY("value", "marketing sensitivity", "Cost-Performance Sensitivity",
           "Is the user sensitive to value for money?", "sensitive to value for money",
           "not sensitive to value for money"),
    COGNITION("concert", "user prediction", "Concert Click Prediction",
              "Will the user click concert content in the next period?", "clicks concert content",
              "clicks no concert content"),
    COGNITION("user", "user prediction", "User Log-in Prediction",
              "Will the user log in in the next three days?", "logs in", "does not log in"),
    COGNITION("mau", "user prediction", "MAU Loss Prediction",
              "Will the user be lost in the next month?", "is lost", "is not lost"),
    COGNITION("transit", "behavior preference", "Public Transit Preference",
              "Does the user prefer public transit?", "prefers public transit",
              "does not prefer public transit"),
    COGNITION("power", "behavior preference", "Consumption Power",
              "Will the user spend much in the next period?", "spends much", "spends little"),
    COGNITION("food", "behavior preference", "Food Interest", "Is the user interested in food?",
              "interested in food", "not interested in food"),
    COGNITION("movie", "behavior preference", "Movie Interest", "Is the user interested in movies?",
              "interested in movies", "not interested in movies"),
    COGNITION("achiev", "marketing sensitivity", "Achievement Preference",
              "Does the user respond to achievements and badges?", "responds to achievements",
              "does not respond to achievements"),
    COGNITION("physical", "marketing sensitivity", "Physical Preference",
              "Does the user respond to physical rewards?", "responds to physical rewards",
              "does not respond to physical rewards"),
};

enum { FRAUD_TASK = 4, MONEY_TASK = 5, MAU_TASK = 12, POWER_TASK = 14 };

/* ---- tasks that an event answers ---- */

typedef struct event_task {
    int task, topic;
    unsigned actions; /* bit a: the topic's action a counts */
    int days;         /* of the window */
    bool cheap;       /* only below the topic's median amount */
} event_task;

/* The actions are named in topic_table; the last ones are rare. */
static const event_task event_tasks[] = {
    {0, GAMES, 0xD0, WINDOW, false},    /* commented, posted, won */
    {1, CONCERT, 0xF0, WINDOW, false},  /* clicked, reminded, bought, reviewed */
    {2, ACCOUNT, 0x02, 3, false},       /* login */
    {3, FOREST, 0xF0, WINDOW, false},   /* collected, watered, planted, donated */
    {6, TAKEOUT, 0xE0, WINDOW, false},  /* rated, reordered, gifted */
    {7, BRAND, 0xB0, WINDOW, false},    /* claimed, joined, reviewed */
    {8, DISCOUNT, 0xF0, WINDOW, false}, /* claimed, joined, stacked, redeemed */
    {9, DISCOUNT, 0xFC, WINDOW, true},  /* shared, clicked and what promo counts */
    {10, CONCERT, 0xF0, WINDOW, false}, {11, ACCOUNT, 0x02, 3, false},
    {13, TRANSIT, 0xE0, WINDOW, false}, /* shared, renewed, reported */
    {15, DINING, 0xE0, WINDOW, false},  /* booked, recommended, hosted */
    {16, MOVIE, 0xF0, WINDOW, false},   /* rated, booked, reviewed, hosted */
    {17, GAMES, 0x20, WINDOW, false},   /* earned */
    {18, BRAND, 0x40, WINDOW, false},   /* redeemed */
};
#define EVENT_TASKS ((int)(sizeof event_tasks / sizeof event_tasks[0]))

static bool answers(const event_task *task, const world *w, const life_event *e)
{
    return e->topic == task->topic && (task->actions >> e->action & 1) != 0 &&
           e->time < (uint32_t)(HISTORY + task->days) * TICKS &&
           (!task->cheap || logf(e->amount) < w->price[e->topic]);
}

static uint32_t answer_events(const world *w, const life *l)
{
    uint32_t bits = 0;
    for (int64_t i = life_from(l, HISTORY); i < l->count; i++)
        for (int k = 0; k < EVENT_TASKS; k++)
            if (l->events[i].source != SOUSUO && answers(&event_tasks[k], w, &l->events[i]))
                bits |= 1U << event_tasks[k].task;
    return bits;
}

/* ---- tasks of the whole population ---- */

static float spend_of(const life *l)
{
    float sum = 0;
    for (int64_t i = life_from(l, HISTORY); i < l->count; i++)
        if (l->events[i].source == BILL && l->events[i].status == PAID)
            sum += l->events[i].amount;
    return sum;
}

/* What a risk control would see in the history, beside the latent risk itself: failed payments and
 * large amounts, and how far the busiest day stands out. */
typedef struct risk_signs {
    float failed, large, burst;
} risk_signs;

static risk_signs signs_of(const life *l)
{
    int64_t end = life_from(l, HISTORY), busiest = 0;
    float failed = 0, large = 0;
    int64_t of_day[HISTORY] = {0};
    for (int64_t i = 0; i < end; i++) {
        const life_event *e = &l->events[i];
        int64_t *day = &of_day[e->time / TICKS];
        ++*day;
        busiest = *day > busiest ? *day : busiest;
        failed += e->status == FAILED;
        large += e->topic == FINANCE && e->amount > 1000;
    }
    float mean = (float)end / HISTORY;
    return (risk_signs){log1pf(failed), log1pf(large), log1pf((float)busiest / (mean + 1))};
}

static float fraud_risk(const person *p, const risk_signs *signs)
{
    return 0.6F * p->fraud + 0.15F * (signs->failed - 1.7F) + 0.2F * (signs->burst - 1.2F);
}

static float laundering_risk(const person *p, const risk_signs *signs)
{
    return 0.6F * p->laundering + 0.15F * (signs->large - 1.0F) + 0.2F * (signs->burst - 1.2F);
}

static float chance(float risk, float limit)
{
    return 1 / (1 + expf(-6 * (risk - limit)));
}

/* ---- thresholds ---- */

enum { CALIBRATION = 1024 };

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The q with a mean chance of `wanted`, by halving. */
static float find_limit(const float *risk, double wanted)
{
    float low = -10, high = 10;
    for (int i = 0; i < 40; i++) {
        float middle = (low + high) / 2;
        double sum = 0;
        for (int k = 0; k < CALIBRATION; k++)
            sum += (double)chance(risk[k], middle);
        if (sum > wanted * CALIBRATION)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

bool thresholds_make(thresholds *out, const world *w, const life_streams *streams,
                     assay_error *error)
{
    float spend[CALIBRATION], fraud[CALIBRATION], laundering[CALIBRATION];
    assay_arena *arena = assay_arena_new(0, error);
    bool done = arena != NULL;
    for (int i = 0; done && i < CALIBRATION; i++) {
        person p;
        life l;
        assay_arena_reset(arena);
        person_make(&p, w, streams, CALIBRATION_BASE + (uint64_t)i);
        done = person_live(&p, w, streams, DAYS, arena, &l, error);
        if (!done)
            break;
        risk_signs signs = signs_of(&l);
        spend[i] = spend_of(&l);
        fraud[i] = fraud_risk(&p, &signs);
        laundering[i] = laundering_risk(&p, &signs);
    }
    assay_arena_free(arena);
    if (!done)
        return false;
    qsort(spend, CALIBRATION, sizeof *spend, by_size);
    *out = (thresholds){.spend = spend[CALIBRATION * 7 / 10],
                        .fraud = find_limit(fraud, 0.12),
                        .laundering = find_limit(laundering, 0.09)};
    return true;
}

/* ---- all of them ---- */

static bool happens(const life_streams *streams, const person *p, uint64_t which, float probability)
{
    assay_stream luck = streams->luck;
    luck.step[0] = (uint32_t)p->number;
    luck.step[1] = (uint32_t)(p->number >> 32);
    return assay_random_uniform(luck, 16 + which) < probability; /* blocks 0 and 1 are person.c's */
}

uint32_t tasks_answer(const thresholds *limits, const world *w, const life_streams *streams,
                      const person *p, const life *l)
{
    uint32_t bits = answer_events(w, l);
    risk_signs signs = signs_of(l);
    int64_t window = life_from(l, HISTORY);
    if (happens(streams, p, 0, chance(fraud_risk(p, &signs), limits->fraud)))
        bits |= 1U << FRAUD_TASK;
    if (happens(streams, p, 1, chance(laundering_risk(p, &signs), limits->laundering)))
        bits |= 1U << MONEY_TASK;
    if (window > life_from(l, HISTORY - WINDOW) && window == l->count)
        bits |= 1U << MAU_TASK;
    if (spend_of(l) > limits->spend)
        bits |= 1U << POWER_TASK;
    return bits;
}
