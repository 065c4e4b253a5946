/* plans.c - see plans.h. */
#include "plans.h"

#include <string.h>

/* The set of a key: the words mixed by the multiplications of MurmurHash3's finaliser. */
static int set_of(const cuda_plan_key *key)
{
    uint64_t hash = 0;
    for (int i = 0; i < CUDA_PLAN_WORDS; i++) {
        hash = (hash ^ (uint64_t)key->word[i]) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 33;
    }
    return (int)(hash % CUDA_PLAN_SETS);
}

void *cuda_plans_find(const cuda_plans *plans, const cuda_plan_key *key)
{
    int set = set_of(key);
    for (int i = 0; i < CUDA_PLAN_WAYS; i++)
        if (plans->set[set].plan[i] != NULL &&
            memcmp(&plans->set[set].key[i], key, sizeof *key) == 0)
            return plans->set[set].plan[i];
    return NULL;
}

void cuda_plans_keep(cuda_plans *plans, const cuda_plan_key *key, void *plan)
{
    int set = set_of(key), place = plans->set[set].next;
    plans->destroy(plans->set[set].plan[place]);
    plans->set[set].key[place] = *key;
    plans->set[set].plan[place] = plan;
    plans->set[set].next = (place + 1) % CUDA_PLAN_WAYS;
}
