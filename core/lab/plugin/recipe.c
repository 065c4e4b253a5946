/* recipe.c - copies of what defines a run (lab/plugin/recipe.h). */
#include "lab/plugin/recipe.h"

#include <assay/memory.h>

#include <string.h>

static void clear_list(settings **list, int *count)
{
    for (int i = 0; *list != NULL && i < *count; i++)
        settings_clear(&(*list)[i]);
    assay_free(*list);
    *list = NULL;
    *count = 0;
}

void recipe_clear(recipe *old)
{
    settings_clear(&old->dataset);
    settings_clear(&old->model);
    settings_clear(&old->mask);
    settings_clear(&old->train);
    clear_list(&old->adapters, &old->adapter_count);
    clear_list(&old->losses, &old->loss_count);
    clear_list(&old->evaluators, &old->evaluator_count);
    setting_clear(&old->init);
    old->seed = 0;
}

static bool copy_list(settings **out, int *out_count, const settings *from, int count,
                      assay_error *error)
{
    if (count == 0)
        return true;
    *out = assay_zalloc((int64_t)sizeof **out * count, error);
    if (*out == NULL)
        return false;
    *out_count = count;
    for (int i = 0; i < count; i++)
        if (!settings_copy(&(*out)[i], &from[i], error))
            return false;
    return true;
}

bool recipe_copy(recipe *out, const recipe *from, assay_error *error)
{
    memset(out, 0, sizeof *out);
    out->init = SETTING_NONE;
    out->seed = from->seed;
    bool ok = settings_copy(&out->dataset, &from->dataset, error) &&
              settings_copy(&out->model, &from->model, error) &&
              settings_copy(&out->mask, &from->mask, error) &&
              settings_copy(&out->train, &from->train, error) &&
              setting_copy(&out->init, &from->init, error) &&
              copy_list(&out->adapters, &out->adapter_count, from->adapters, from->adapter_count,
                        error) &&
              copy_list(&out->losses, &out->loss_count, from->losses, from->loss_count, error) &&
              copy_list(&out->evaluators, &out->evaluator_count, from->evaluators,
                        from->evaluator_count, error);
    if (!ok)
        recipe_clear(out);
    return ok;
}
